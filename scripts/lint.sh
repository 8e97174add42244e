#!/bin/sh
# Format, shell scripts, lints as errors for Linux and FreeBSD, and what may be linked in.
set -eu
cargo fmt --all --check
if command -v shellcheck >/dev/null 2>&1; then
    shellcheck scripts/*.sh rc.d/sky_island tests/service/rc.subr
else
    echo "sky-island: the shell scripts were not checked: there is no shellcheck here" >&2
fi
cargo clippy --locked --workspace --all-targets -- -D warnings
if ! cargo deny --version >/dev/null 2>&1; then
    echo "sky-island: installing cargo-deny from its source" >&2
    cargo install --locked --debug --quiet cargo-deny
fi
cargo deny --locked check bans licenses sources
# The advisories come by git; where their database cannot be reached, the rest is checked all the same.
if ! found=$(cargo deny --locked check advisories 2>&1); then
    case $found in
        *"failed to fetch advisory database"*)
            echo "sky-island: the advisories were not checked: their database cannot be reached from here" >&2 ;;
        *) echo "$found" >&2; exit 1 ;;
    esac
fi
target=x86_64-unknown-freebsd
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || rustup target add "$target" >/dev/null 2>&1; then
    # A lint links nothing, so the C parts of dependencies need not be compiled for the other system.
    CC_x86_64_unknown_freebsd=true AR_x86_64_unknown_freebsd=true \
        cargo clippy --locked --workspace --all-targets --target "$target" -- -D warnings
else
    echo "sky-island: no lints for $target: its standard library is not here" >&2
fi
