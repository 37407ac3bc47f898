#!/usr/bin/env bash
# Installs the Debian 12 packages of a level (tools/packages.txt). Asks dpkg first, so a machine
# that has them all is left within a fraction of a second and untouched.
#
#   tools/setup.sh build|run|test|lint|bench|npm [--check]
#
# It starts and changes no server: only what is missing is installed, nothing is upgraded on
# purpose, a temporary policy-rc.d refuses service starts, no PostgreSQL cluster is created, and
# the units of servers that it brings are not enabled. What it puts down for that it takes away.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
level=${1:-}
mode=${2:-}
policy=/usr/sbin/policy-rc.d
no_cluster_dir=/etc/postgresql-common/createcluster.d
no_cluster=$no_cluster_dir/holdfast-setup.conf

say() { printf 'setup: %s\n' "$*" >&2; }

case $level in
build) levels='build' ;;
run) levels='build run' ;;
test) levels='build run test' ;;
lint) levels='build run test lint' ;;
bench) levels='build run bench' ;;
npm) levels='npm' ;;
*)
    say "usage: tools/setup.sh build|run|test|lint|bench|npm [--check]"
    exit 2
    ;;
esac

wanted() {
    awk -v levels=" $levels " '!/^#/ && NF == 2 && index(levels, " " $1 " ") {print $2}' \
        "$here/packages.txt"
}

# A package counts as there when it or something that provides it is installed.
missing() {
    local -A have=()
    local name status
    while read -r status name; do
        [ "$status" = installed ] && have[$name]=1
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null)
    while read -r name; do
        [ -n "${have[$name]:-}" ] || printf '%s\n' "$name"
    done < <(wanted)
}

added=()
take_back() {
    local path
    for path in ${added[@]+"${added[@]}"}; do
        if [ -d "$path" ]; then
            rmdir --ignore-fail-on-non-empty "$path"
        else
            rm -f "$path"
        fi
    done
}

refuse_service_starts() {
    if [ -e "$policy" ]; then
        return # somebody's own policy: leave it
    fi
    added+=("$policy")
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

refuse_main_cluster() {
    local dir
    for dir in "${no_cluster_dir%/*}" "$no_cluster_dir"; do
        if [ ! -d "$dir" ]; then
            mkdir "$dir"
            added=("$dir" ${added[@]+"${added[@]}"})
        fi
    done
    added=("$no_cluster" ${added[@]+"${added[@]}"})
    printf 'create_main_cluster = false\n' >"$no_cluster"
}

# A server of ours is started by the program that needs it, never by init.
keep_disabled() {
    local package=$1 unit=$2
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper disable "$unit.service" >/dev/null 2>&1 || true
    fi
    update-rc.d "$unit" disable >/dev/null 2>&1 || true
    say "$package installed, its service stays disabled"
}

lists_are_fresh() {
    local newest
    newest=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit \
        2>/dev/null || true)
    [ -n "$newest" ]
}

install() {
    trap take_back EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    refuse_service_starts
    refuse_main_cluster
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
        -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold)
    if ! lists_are_fresh; then
        "${apt[@]}" update
    fi
    if ! "${apt[@]}" install -y --no-install-recommends --no-upgrade "$@" >&2; then
        say "refreshing the package lists and trying once more"
        "${apt[@]}" update
        "${apt[@]}" install -y --no-install-recommends --no-upgrade "$@" >&2
    fi
    case " $* " in *' redis-server '*) keep_disabled redis-server redis-server ;; esac
}

mapfile -t lacking < <(missing)
if [ ${#lacking[@]} -eq 0 ]; then
    exit 0
fi
if [ "$mode" = --check ] || [ "$(id -u)" -ne 0 ]; then
    say "${#lacking[@]} Debian packages are missing: ${lacking[*]}"
    say "install them with: sudo $here/setup.sh $level"
    exit 4
fi
if ! grep -q '^VERSION_ID="12"' /etc/os-release; then
    say "this is not Debian 12: package names may differ"
fi
say "installing ${#lacking[@]} packages for '$level': ${lacking[*]}"
install "${lacking[@]}"
mapfile -t lacking < <(missing)
if [ ${#lacking[@]} -ne 0 ]; then
    say "still missing after the install: ${lacking[*]}"
    exit 1
fi
