#!/bin/sh
# Format, shell scripts, lints and documentation as errors, for Linux on two processors and for FreeBSD, and what may be
# linked in. What cannot be checked here is printed, and added to the file that NOT_CHECKED names.
set -eu

not_checked() {
    echo "sky-island: $1 not checked: $2" >&2
    if [ -n "${NOT_CHECKED:-}" ]; then echo "$1: $2" >>"$NOT_CHECKED"; fi
}

# Whether the standard library of a target is here, or can be had.
has_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] || rustup target add "$1" >/dev/null 2>&1
}

# A lint links nothing, so the C parts of dependencies need not be compiled for the other system.
clippy_for() {
    if ! has_target "$1"; then
        not_checked "the lints for $1" "its standard library is not here and cannot be installed"
        return
    fi
    name=$(echo "$1" | tr - _)
    env "CC_$name=true" "AR_$name=true" cargo clippy --locked --workspace --all-targets --target "$1" -- -D warnings
}

cargo fmt --all --check
sh scripts/test-tools.sh shellcheck >/dev/null
if command -v shellcheck >/dev/null 2>&1; then
    shellcheck scripts/*.sh .ci/run rc.d/sky_island tests/service/rc.subr
else
    not_checked "the shell scripts" "shellcheck is not here and cannot be installed"
fi
cargo clippy --locked --workspace --all-targets -- -D warnings
# Links to private items are for readers of the source.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --locked --workspace --no-deps
if ! cargo deny --version >/dev/null 2>&1; then
    echo "sky-island: installing cargo-deny from its source" >&2
    cargo install --locked --debug --quiet cargo-deny
fi
cargo deny --locked check bans licenses sources
# The advisories come by git; where their database cannot be reached, the rest is checked all the same.
if ! found=$(cargo deny --locked check advisories 2>&1); then
    case $found in
        *"failed to fetch advisory database"*)
            not_checked "the advisories" "their database cannot be reached from here" ;;
        *) echo "$found" >&2; exit 1 ;;
    esac
fi
clippy_for aarch64-unknown-linux-gnu
clippy_for x86_64-unknown-freebsd
