#!/bin/sh
# Runs a command with a C compiler, Rust and Go in its PATH, and installs the ones that are missing: the compiler with
# the system's packages, Rust and Go from their official archives, checked against the checksums below, into .tools of
# this checkout. Asks nothing. Usage: scripts/with-tools.sh COMMAND [ARGUMENT...]
set -eu

GO_VERSION=1.26.7
GO_OLDEST=25
RUSTUP_VERSION=1.28.2

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
RUST_VERSION=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$here/rust-toolchain.toml")
# Of Rust 1.x.
RUST_OLDEST=$(sed -n 's/^rust-version = "1\.\([0-9]*\)"/\1/p' "$here/Cargo.toml")
tools=$here/.tools
PATH=$tools/go/bin:$tools/cargo/bin:$PATH:/usr/local/go/bin:$HOME/.cargo/bin
if [ -x "$tools/cargo/bin/cargo" ]; then
    CARGO_HOME=$tools/cargo RUSTUP_HOME=$tools/rustup
    export CARGO_HOME RUSTUP_HOME
fi
export PATH

say() { echo "sky-island: $*" >&2; }
fail() { say "$*"; exit 3; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
    elif has doas && doas -n true 2>/dev/null; then doas -n "$@"
    else fail "run this as root, or install it first: $*"; fi
}

system_packages() {
    say "installing with the system's packages: $*"
    if has apt-get; then
        as_root apt-get update -qq >/dev/null
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    elif has pkg; then
        as_root env ASSUME_ALWAYS_YES=yes pkg install -q "$@"
    else
        fail "neither apt-get nor pkg is here; install $* yourself"
    fi
}

# download URL FILE SHA256
download() {
    if has curl; then curl -fsSL --retry 3 -o "$2" "$1"
    elif has fetch; then fetch -q -o "$2" "$1"
    elif has wget; then wget -q -O "$2" "$1"
    else system_packages curl ca-certificates; curl -fsSL --retry 3 -o "$2" "$1"; fi ||
        fail "cannot download $1"
    if has sha256sum; then sum=$(sha256sum "$2" | cut -d' ' -f1); else sum=$(sha256 -q "$2"); fi
    [ "$sum" = "$3" ] || { rm -f "$2"; fail "$1 has the checksum $sum instead of $3"; }
}

platform() { echo "$(uname -s)-$(uname -m)"; }

# The minor number of a version such as 1.95.0 or go1.26.8, or 0.
minor() { echo "$1" | sed -n 's/^[a-z]*1\.\([0-9][0-9]*\).*/\1/p' | grep . || echo 0; }

ensure_compiler() {
    has cc && return
    if has apt-get; then system_packages gcc libc6-dev; else system_packages llvm; fi
}

ensure_certificates() {
    has apt-get || return 0
    [ -s /etc/ssl/certs/ca-certificates.crt ] || system_packages ca-certificates
}

rust_is_here() {
    has cargo && has rustc || return 1
    [ "$(minor "$(rustc --version 2>/dev/null | cut -d' ' -f2)")" -ge "$RUST_OLDEST" ]
}

# rust-toolchain.toml names a toolchain that rustup may neither have nor download. Another one that it has and that is
# new enough does as well: the default one, as it is outside of this checkout.
use_default_rust() {
    has rustup && [ -z "${RUSTUP_TOOLCHAIN:-}" ] || return 0
    (cd "$here" && rustc --version) >/dev/null 2>&1 && return 0
    default=$(cd / && rustup default 2>/dev/null | cut -d' ' -f1)
    [ -n "$default" ] || return 0
    say "rustup has no Rust $RUST_VERSION, which rust-toolchain.toml names; its default, $default, is used"
    RUSTUP_TOOLCHAIN=$default
    export RUSTUP_TOOLCHAIN
}

ensure_rust() {
    rust_is_here && return
    case $(platform) in
        Linux-x86_64) target=x86_64-unknown-linux-gnu
            sum=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c ;;
        Linux-aarch64) target=aarch64-unknown-linux-gnu
            sum=e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c ;;
        FreeBSD-*) system_packages rust; rust_is_here && return; fail "the packaged Rust is older than 1.$RUST_OLDEST" ;;
        *) fail "install Rust 1.$RUST_OLDEST or later; there is no archive for $(platform) here" ;;
    esac
    say "installing Rust $RUST_VERSION from its official archive into $tools"
    mkdir -p "$tools"
    download "https://static.rust-lang.org/rustup/archive/$RUSTUP_VERSION/$target/rustup-init" "$tools/rustup-init" "$sum"
    chmod +x "$tools/rustup-init"
    CARGO_HOME=$tools/cargo RUSTUP_HOME=$tools/rustup
    export CARGO_HOME RUSTUP_HOME
    "$tools/rustup-init" -y -q --no-modify-path --profile minimal --default-toolchain "$RUST_VERSION" \
        -c clippy -c rustfmt >/dev/null
    rust_is_here || fail "Rust was installed but does not run"
}

go_is_here() { has go && [ "$(minor "$(go version 2>/dev/null | cut -d' ' -f3)")" -ge "$GO_OLDEST" ]; }

ensure_go() {
    go_is_here && return
    case $(platform) in
        Linux-x86_64) target=linux-amd64
            sum=ffb5f8de10c62550dfddab66b36b57030721e0a44a3218e9e1181d7b59f121ca ;;
        Linux-aarch64) target=linux-arm64
            sum=5a4ec883379d51ee9ce1040d5e87f8d35e20387574dd8c947feb01eabc3c1b37 ;;
        FreeBSD-amd64) target=freebsd-amd64
            sum=2ad37146fa8449907716b494dd268aeae6f79592b875915525c28c8c337ad32a ;;
        FreeBSD-arm64) target=freebsd-arm64
            sum=23d425a3a51876df8bf050f080b1ae50340048def689fbcc44c939fa23485ce0 ;;
        *) fail "install Go 1.$GO_OLDEST or later; there is no archive for $(platform) here" ;;
    esac
    say "installing Go $GO_VERSION from its official archive into $tools"
    mkdir -p "$tools"
    download "https://go.dev/dl/go$GO_VERSION.$target.tar.gz" "$tools/go.tar.gz" "$sum"
    rm -rf "$tools/go"
    tar -xzf "$tools/go.tar.gz" -C "$tools"
    rm -f "$tools/go.tar.gz"
    go_is_here || fail "Go was installed but does not run"
}

cd "$here"
ensure_compiler
ensure_certificates
use_default_rust
ensure_rust
ensure_go
exec "$@"
