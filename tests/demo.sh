#!/usr/bin/env bash
# make demo: the story of the README on real servers, in a temporary directory: protect a PostgreSQL,
# drop a table, get the second before it back. Everything started here is stopped by pid at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${HOLDFAST_BIN:-build/bin}
pg=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
base=$(mktemp -d /tmp/holdfast-demo.XXXXXX)
work=$base/db # of the protected server's user; holdfast and its own user stay out of it
mkdir "$work"
chmod 755 "$base" "$work"
port=$((20000 + RANDOM % 10000))
user=()
if [ "$(id -u)" = 0 ]; then
    user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres "$work"
fi

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
# Print a command the way a person would type it, then run it.
run() {
    local word text='$'
    for word in "$@"; do
        case $word in *' '*) word="\"$word\"" ;; esac
        text+=" $word"
    done
    printf '%s\n' "${text//$bin\/holdfast/holdfast}"
    "$@"
}
holdfast() { run "$bin/holdfast" "$@"; }
sql() { psql -h "$work" -p "$1" -U postgres -d postgres -Atqc "$2"; }

cleanup() {
    status=$?
    set +e
    HOLDFAST_DIR=$base/holdfast "$bin/holdfast" down --destroy --yes >/dev/null 2>&1
    for data in source restored offline; do
        [ -f "$work/$data/postmaster.pid" ] &&
            "${user[@]}" "$pg/pg_ctl" -s -m immediate -D "$work/$data" stop
    done
    rm -rf "$base"
    [ "$status" = 0 ] || echo "the demonstration failed (exit $status)" >&2
    exit "$status"
}
trap cleanup EXIT

export HOLDFAST_DIR=$base/holdfast

say "A PostgreSQL with some data: yours would be there already"
"${user[@]}" "$pg/initdb" -D "$work/source" -U postgres -A trust -k >/dev/null
"${user[@]}" "$pg/pg_ctl" -s -w -D "$work/source" -l "$work/source.log" \
    -o "-p $port -k $work -c listen_addresses=127.0.0.1 -c max_slot_wal_keep_size=4GB" start
"${user[@]}" "$pg/pgbench" -h "$work" -p "$port" -U postgres -q -i -s 20 postgres 2>/dev/null
sql "$port" "CREATE TABLE invoices AS SELECT g AS id, md5(g::text) AS content
             FROM generate_series(1, 100000) g"
digest=$(sql "$port" "SELECT md5(string_agg(content, '' ORDER BY id)) FROM invoices")
echo "invoices: 100000 rows, digest $digest"

say "Start holdfast: a user of its own, private PostgreSQL and Redis, certificates, keys, a vault"
holdfast up
holdfast doctor

say "Protect the cluster"
holdfast cluster add demo --dsn "host=127.0.0.1 port=$port user=postgres dbname=postgres"
holdfast backup create demo --wait

say "Work goes on; then somebody drops a table"
"${user[@]}" "$pg/pgbench" -h "$work" -p "$port" -U postgres -n -T 5 -c 2 postgres >/dev/null 2>&1
moment=$(sql "$port" "SELECT clock_timestamp()")
sleep 1
sql "$port" "DROP TABLE invoices"
echo "dropped; the last good moment was $moment"
holdfast backup create demo --wait -o name
sleep 2

say "Get the second before it back"
holdfast restore demo --to "$work/restored" --at "$moment"
run "${user[@]}" "$pg/pg_verifybackup" "$work/restored"
"${user[@]}" "$pg/pg_ctl" -s -w -D "$work/restored" -l "$work/restored.log" \
    -o "-p $((port + 1)) -k $work" start
found=$(sql $((port + 1)) "SELECT md5(string_agg(content, '' ORDER BY id)) FROM invoices")
echo "invoices in the restored server: digest $found"
[ "$found" = "$digest" ]

say "Prove the backup, and see where we stand"
holdfast backup verify "$("$bin/holdfast" backup list demo -o name | head -n 1)"
holdfast info

say "The machine with the services is gone; the vault and its key are not"
cp -a "$base/holdfast/vault" "$base/vault-copy"
cp -a "$base/holdfast/keys/vault.key" "$base/vault.key"
holdfast down
run env -u HOLDFAST_DIR "$bin/holdfast" restore --vault "$base/vault-copy" --key-file "$base/vault.key" \
    --cluster demo --to "$work/offline" --latest
"${user[@]}" "$pg/pg_ctl" -s -w -D "$work/offline" -l "$work/offline.log" \
    -o "-p $((port + 2)) -k $work" start
[ "$(sql $((port + 2)) "SELECT count(*) FROM pgbench_accounts")" = 2000000 ]
echo "2000000 accounts in the server restored from the vault alone"

say "Done: the table is back, digest for digest"
