#!/usr/bin/env bash
# Prints the bin directory of one part of tests/parts/versions.txt, fetching it when its version
# is not in the cache yet. Everything stays below the cache: nothing is installed on the system.
#
#   tests/parts/get.sh NAME        PATH="$(tests/parts/get.sh grpcurl):$PATH"
#   tests/parts/get.sh --all       fetches every part
#
# Root's cache is /var/cache/holdfast-test-parts, which the user `postgres` can enter; an ordinary
# user's is $XDG_CACHE_HOME or ~/.cache. HOLDFAST_TEST_PARTS overrides both.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
table=$here/versions.txt

say() { printf 'parts: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

cache_dir() {
    if [ -n "${HOLDFAST_TEST_PARTS:-}" ]; then
        printf '%s\n' "$HOLDFAST_TEST_PARTS"
    elif [ "$(id -u)" -eq 0 ]; then
        printf '/var/cache/holdfast-test-parts\n'
    else
        printf '%s/holdfast-test-parts\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# The mirror that this machine already uses for Debian.
mirror() {
    apt-get indextargets --format '$(SITE)|$(REPO_URI)|$(RELEASE)' 'Created-By: Packages' |
        awk -F'|' '$3 == "bookworm" && $2 !~ /security/ {print $2; exit}'
}

# unpack_debs SUITE FOLDER PACKAGE…: the packages and the libraries they need, unpacked only.
# libc6 is left out when the machine's own is not older, else it comes along with its loader.
unpack_debs() {
    local suite=$1 folder=$2 apt_dir uri
    shift 2
    apt_dir=$(mktemp -d "$cache/.apt-XXXXXX")
    mkdir -p "$apt_dir/state/lists/partial" "$apt_dir/cache/archives/partial" "$apt_dir/etc" \
        "$apt_dir/none"
    : >"$apt_dir/status"
    uri=$(mirror)
    [ -n "$uri" ] || die "no Debian mirror is configured on this machine"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
        "$uri" "$suite" >"$apt_dir/etc/sources.list"
    if [ "$suite" = bookworm-backports ]; then
        printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm main\n' \
            "$uri" >>"$apt_dir/etc/sources.list"
    fi
    local apt=(apt-get -qq -o Dir::Etc::sourcelist="$apt_dir/etc/sources.list"
        -o Dir::Etc::sourceparts="$apt_dir/none" -o Dir::Etc::preferencesparts="$apt_dir/none"
        -o Dir::State="$apt_dir/state" -o Dir::State::status="$apt_dir/status"
        -o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3
        -o Acquire::Languages=none -o APT::Install-Recommends=false)
    "${apt[@]}" update >&2
    local names
    mapfile -t names < <("${apt[@]}" install --print-uris -y "$@" |
        awk '{print $2}' | sed 's/_.*//' | unpack_filter "$suite" "$@")
    [ ${#names[@]} -gt 0 ] || die "$suite offers nothing for $*"
    (cd "$apt_dir" && "${apt[@]}" download "${names[@]}" >&2)
    local deb
    for deb in "$apt_dir"/*.deb; do
        dpkg-deb -x "$deb" "$folder"
    done
    rm -rf "$apt_dir"
}

# Of a whole dependency closure keep the packages asked for and shared libraries.
unpack_filter() {
    local suite=$1 name asked
    shift
    asked=" $* "
    while read -r name; do
        case "$asked" in *" $name "*)
            printf '%s\n' "$name"
            continue
            ;;
        esac
        case $name in
        libllvm* | libperl* | libpython* | *-perl | perl*) ;; # only for JIT and PL/Perl
        libc6 | libgcc-s1 | libstdc++6)
            if [ "$suite" = trixie ]; then printf '%s\n' "$name"; fi
            ;;
        lib*) if [ "$suite" != bookworm-backports ]; then printf '%s\n' "$name"; fi ;;
        esac
    done
}

# A wrapper per PostgreSQL program runs it under the right loader and libraries. Nothing leaks
# into the environment of children, and programs find each other as in an ordinary installation,
# because the wrapper keeps the program's place and name.
wrap_postgres() {
    local folder=$1 major=$2 bin libs loader program triplet
    triplet=$(basename "$(dirname "$(find "$folder/usr/lib" -name 'libpq.so.5' -print -quit)")")
    bin=$folder/usr/lib/postgresql/$major/bin
    libs=$folder/usr/lib/$triplet:$folder/lib/$triplet
    loader=$(find "$folder/usr/lib" "$folder/lib" -name 'ld-linux*.so.*' -print -quit 2>/dev/null)
    [ -n "$loader" ] || loader=$(find /lib64/ /lib/ -maxdepth 1 -name 'ld-linux*.so.*' -print -quit)
    rm -f "$folder/usr/lib/postgresql/$major/lib/llvmjit.so"
    mkdir -p "$folder/usr/lib/postgresql/$major/real"
    for program in "$bin"/*; do
        mv "$program" "$folder/usr/lib/postgresql/$major/real/"
        printf '#!/bin/sh\nexec %s --library-path %s --argv0 "%s" %s "$@"\n' "$loader" "$libs" \
            "$program" "$folder/usr/lib/postgresql/$major/real/${program##*/}" >"$program"
        chmod 755 "$program"
    done
    "$bin/postgres" -V >&2
    "$bin/initdb" -V >&2
}

go_is_new_enough() {
    local version
    version=$("$1" env GOVERSION 2>/dev/null | sed 's/^go//') || return 1
    [ "$(printf '1.21\n%s\n' "$version" | sort -V | head -n 1)" = 1.21 ]
}

go_program() {
    if command -v go >/dev/null && go_is_new_enough go; then
        command -v go
    else
        printf '%s/go\n' "$("$here/get.sh" go)"
    fi
}

go_install() {
    local folder=$1 module=$2 version=$3
    mkdir -p "$folder/bin"
    GOBIN=$folder/bin GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=auto \
        "$(go_program)" install "$module@v${version#v}" >&2
}

npm_install() {
    local folder=$1 package=$2 version=$3
    mkdir -p "$folder/npm"
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder/npm" \
        "$package@$version" >&2 || return 1
    ln -s npm/node_modules/.bin "$folder/bin"
    "$folder/bin/buf" --version >/dev/null 2>&1
}

# place_postgres NAME FOLDER TREE: the tree of a package becomes the usual place of a version.
place_postgres() {
    local folder=$2 major=${1#postgresql} tree=$3
    mkdir -p "$folder/usr/lib/postgresql"
    ln -s "../../../$tree" "$folder/usr/lib/postgresql/$major"
    chmod 755 "$folder/$tree"/bin/*
    "$folder/usr/lib/postgresql/$major/bin/postgres" -V >&2
    "$folder/usr/lib/postgresql/$major/bin/initdb" -V >&2
}

# npm_postgres NAME FOLDER VERSION PACKAGE SHA256: server, initdb and pg_ctl, no other program.
npm_postgres() {
    local name=$1 folder=$2 version=$3 package=$4 sha256=$5 archive
    command -v npm >/dev/null || "$here/../../tools/setup.sh" npm >&2
    mkdir -p "$folder/npm"
    archive=$(cd "$folder" && npm pack --silent "$package@$version")
    printf '%s  %s\n' "$sha256" "$folder/$archive" | sha256sum --check --quiet >&2 ||
        die "$package $version is not what the table says"
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder/npm" \
        "$folder/$archive" >&2
    rm "$folder/$archive"
    place_postgres "$name" "$folder" "npm/node_modules/$package/native"
}

# pip_postgres NAME FOLDER VERSION PACKAGE SHA256
pip_postgres() {
    local name=$1 folder=$2 version=$3 package=$4 sha256=$5
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha256" >"$folder/wanted.txt"
    /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --no-deps \
        --root-user-action=ignore --only-binary=:all: --require-hashes --target "$folder/python" \
        -r "$folder/wanted.txt" >&2
    place_postgres "$name" "$folder" "python/${package//-/_}/pginstall"
}

# fetch NAME FOLDER VERSION HOW FROM…
fetch() {
    local name=$1 folder=$2 version=$3 how=$4
    shift 4
    case $how in
    go) go_install "$folder" "$1" "$version" ;;
    npm-or-go)
        if ! command -v npm >/dev/null || ! npm_install "$folder" "$1" "$version"; then
            rm -rf "${folder:?}/npm" "${folder:?}/bin"
            go_install "$folder" "$2" "$version"
        fi
        ;;
    npm) npm_postgres "$name" "$folder" "$version" "$@" ;;
    pip) pip_postgres "$name" "$folder" "$version" "$@" ;;
    deb)
        unpack_debs "$1" "$folder" "${@:2}"
        case $name in
        postgresql*) wrap_postgres "$folder" "$version" ;;
        go) go_env "$folder" "$version" ;;
        esac
        ;;
    *) die "unknown way '$how' in $table" ;;
    esac
}

# Debian splits Go into two trees joined by symlinks with absolute targets.
go_env() {
    local folder=$1 version=$2 root=$1/usr/lib/go-$2 link
    for link in "$root"/*; do
        if [ -L "$link" ] && [ ! -e "$link" ]; then
            ln -sfn "$folder/usr/share/go-$version/${link##*/}" "$link"
        fi
    done
    "$root/bin/go" version >&2
}

bin_of() {
    local name=$1 folder=$2 version=$3
    case $name in
    postgresql*) printf '%s/usr/lib/postgresql/%s/bin\n' "$folder" "${name#postgresql}" ;;
    go) printf '%s/usr/lib/go-%s/bin\n' "$folder" "$version" ;;
    *) printf '%s/bin\n' "$folder" ;;
    esac
}

get() {
    local name=$1 row folder
    read -r -a row < <(awk -v name="$name" '$1 == name' "$table") || true
    [ ${#row[@]} -ge 4 ] || die "no part named '$name' in $table"
    folder=$cache/$name-${row[1]}
    if [ ! -e "$folder/.complete" ]; then
        say "fetching $name ${row[1]}"
        exec 9>"$cache/.lock-$name"
        flock 9 # two callers at once: one fetches, the other then finds it complete
        if [ ! -e "$folder/.complete" ]; then
            rm -rf "$folder"
            mkdir -p "$folder"
            fetch "$name" "$folder" "${row[@]:1}"
            touch "$folder/.complete"
        fi
        exec 9>&-
    fi
    bin_of "$name" "$folder" "${row[1]}"
}

[ $# -eq 1 ] || die "usage: tests/parts/get.sh NAME | --all"
umask 022
cache=$(cache_dir)
mkdir -p "$cache"
if [ "$1" = --all ]; then
    while read -r name _; do
        case $name in '#'* | '' | go) continue ;; esac
        get "$name"
    done <"$table"
else
    get "$1"
fi
