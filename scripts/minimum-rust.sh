#!/bin/sh
# Checks the program with the oldest Rust that Cargo.toml declares (rust-version). rustup has it, or installs it; where it
# cannot, that is printed, and added to the file that NOT_CHECKED names.
set -eu
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

not_checked() {
    echo "sky-island: Rust $oldest not checked: $1" >&2
    if [ -n "${NOT_CHECKED:-}" ]; then echo "Rust $oldest: $1" >>"$NOT_CHECKED"; fi
    exit 0
}

# rustup names a toolchain by its whole version.
version=$oldest
case $oldest in *.*.*) ;; *) version=$oldest.0 ;; esac
command -v rustup >/dev/null 2>&1 || not_checked "there is no rustup to install it with"
if ! RUSTUP_AUTO_INSTALL=0 rustup run "$version" rustc --version >/dev/null 2>&1; then
    echo "sky-island: installing Rust $version with rustup" >&2
    rustup toolchain install --no-self-update --profile minimal "$version" >/dev/null 2>&1 ||
        not_checked "rustup cannot install it"
fi
# The tests and benchmarks are the developers' own and may need a later one. In a folder of its own, so that no other
# build waits for this one.
RUSTUP_TOOLCHAIN=$version cargo check --quiet --locked --workspace --lib --bins --target-dir target/minimum-rust
echo "sky-island: the program compiles with Rust $version"
