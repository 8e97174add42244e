#!/bin/sh
# Installs the program and what makes a service of it, or takes exactly that away again. Usage, from the Makefile:
#   install.sh install|deinstall
#
# PREFIX    where to, /usr/local by default
# DESTDIR   stands before PREFIX while a package is being made; nothing installed mentions it
# OS        whose service: FreeBSD or Linux; by default this host's
# PROGRAM   the program, where it is not the one that this checkout builds
set -eu
umask 022
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
DESTDIR=${DESTDIR%/}
OS=${OS:-$(uname -s)}
built=target/release/sky-island

fail() { echo "sky-island: $*" >&2; exit 3; }

case $PREFIX in
    *[!A-Za-z0-9/._+-]*) fail "PREFIX=$PREFIX: use letters, digits and /._+- only" ;;
    /?*) ;;
    *) fail "PREFIX=$PREFIX: must be an absolute path" ;;
esac
PREFIX=${PREFIX%/}
case $OS in
    FreeBSD | Linux) ;;
    *) fail "OS=$OS: there is a service for FreeBSD and for Linux" ;;
esac
config=$PREFIX/etc/sky-island/config.json

# What is installed: the mode, the place below PREFIX, and the file of this checkout that it is made from.
files() {
    cat <<LIST
555 bin/sky-island ${PROGRAM:-$built}
644 etc/sky-island/config.json.sample config.example.json
444 share/man/man8/sky-island.8 man/sky-island.8
LIST
    case $OS in
        FreeBSD) cat <<LIST ;;
555 etc/rc.d/sky_island rc.d/sky_island
444 etc/newsyslog.conf.d/sky_island.conf newsyslog.conf.d/sky_island.conf
LIST
        Linux) cat <<LIST ;;
444 lib/systemd/system/sky-island.service systemd/sky-island.service
444 lib/systemd/system/sky-island.socket systemd/sky-island.socket
LIST
    esac
}

# Builds what is missing or older than its source; only for the checkout's owner, as another user (root, by sudo) would
# leave files in it that its owner cannot replace, and may have no Rust.
build() {
    newer=$(find Cargo.toml Cargo.lock src crates templates -type f -newer "$built" 2>/dev/null | head -n 1)
    [ -x "$built" ] && [ -z "$newer" ] && return
    [ -n "$(find . -prune -user "$(id -u)")" ] ||
        fail "$built is missing or older than ${newer:-its source}: first run make build as the owner of this folder"
    ${MAKE:-make} build
}

# What a file of the checkout becomes on this host. The keys whose values are the host's own have good defaults.
render() {
    case $1 in
        config.example.json) sed -e '/"state_dir":/d' -e '/"command":/d' "$1" ;;
        *) sed "s|%%PREFIX%%|$PREFIX|g" "$1" ;;
    esac
}

put() { # MODE PLACE SOURCE
    place=$DESTDIR$PREFIX/$2
    mkdir -p "${place%/*}"
    if [ "$2" = bin/sky-island ]; then
        install -m "$1" "$3" "$place"
    else
        render "$3" >"$scratch"
        install -m "$1" "$scratch" "$place"
    fi
    echo "$place"
}

# What is left to do on this host.
next() {
    echo "Next, if there is no $config yet: cp $config.sample $config"
    case $OS in
        FreeBSD) echo "Then: sky-island init -c $config; sysrc sky_island_enable=YES; service sky_island start" ;;
        Linux) echo "Then: systemctl daemon-reload; systemctl enable --now sky-island" ;;
    esac
}

remove() { # PLACE
    place=$DESTDIR$PREFIX/$1
    [ ! -e "$place" ] || echo "$place"
    rm -f "$place"
    # The host's own folders stay. In a package's staging area all of them were made by us.
    if [ -n "$DESTDIR" ]; then
        (cd "$DESTDIR" && below=${PREFIX#/}/$1 && rmdir -p "${below%/*}") 2>/dev/null || :
    elif [ "${1%/*}" = etc/sky-island ]; then
        rmdir "${place%/*}" 2>/dev/null || :
    fi
}

case ${1:-} in
    install)
        [ -n "${PROGRAM:-}" ] || build
        scratch=$(mktemp)
        trap 'rm -f "$scratch"' EXIT
        trap 'exit 3' HUP INT TERM
        files | while read -r mode place source; do put "$mode" "$place" "$source"; done
        [ -n "$DESTDIR" ] || next
        ;;
    deinstall)
        files | while read -r _ place _; do remove "$place"; done
        ;;
    *) fail "say install or deinstall" ;;
esac
