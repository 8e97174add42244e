#!/bin/sh
# Installs, with the system's packages, programs that tests use and that are not here. Prints on stdout the names of those
# that are not here afterwards: a test that needs one is skipped.
#   test-tools.sh             all of them
#   test-tools.sh NAME...     these
set -eu

# What a test looks for, and the package that has it: Debian's name, and FreeBSD's.
TOOLS='
git git git
ip iproute2 -
nft nftables -
curl curl curl
curl/curl.h libcurl4-openssl-dev curl
python3 python3 python3
python3-requests python3-requests py311-requests
bash bash bash
dash dash dash
bmake bmake -
mandoc mandoc -
shellcheck shellcheck hs-ShellCheck
systemd-analyze systemd -
'

say() { echo "sky-island: $*" >&2; }

is_here() {
    case $1 in
        curl/curl.h) echo | cc -E -include curl/curl.h -x c - >/dev/null 2>&1 ;;
        python3-requests) python3 -c 'import requests' >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

install_package() {
    say "installing with the system's packages, for the tests: $1"
    if command -v apt-get >/dev/null 2>&1; then
        if [ -z "${updated:-}" ]; then apt-get update -qq >/dev/null 2>&1 || true; fi
        updated=1
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
    elif command -v pkg >/dev/null 2>&1; then
        ASSUME_ALWAYS_YES=yes pkg install -q "$1" >/dev/null 2>&1
    else
        false
    fi
}

missing=
while read -r name debian freebsd; do
    [ -n "$name" ] || continue
    if [ "$#" -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    if is_here "$name"; then continue; fi
    package=$debian
    if [ "$(uname -s)" = FreeBSD ]; then package=$freebsd; fi
    if [ "$package" != - ] && [ "$(id -u)" = 0 ]; then install_package "$package" </dev/null || true; fi
    if ! is_here "$name"; then
        say "not here: $name"
        missing="$missing $name"
    fi
done <<END
$TOOLS
END
echo "${missing# }"
