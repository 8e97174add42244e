#!/bin/sh
# A FreeBSD executable: on FreeBSD by the system's own compiler, elsewhere by zig, which has FreeBSD's libraries.
set -eu
target=x86_64-unknown-freebsd
if [ "$(uname -s)" = FreeBSD ]; then
    cargo build --release --locked
    exit 0
fi
# A place that prepares both the standard library and the linker, where there is one beside the project.
setup=${SKY_ISLAND_FREEBSD_SETUP:-../shared/freebsd/setup.sh}
if [ -x "$setup" ]; then
    PATH="$("$setup" --link):$PATH"
    export PATH
fi
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    rustup target add "$target" >/dev/null
fi
if ! cargo zigbuild --version >/dev/null 2>&1; then
    tools=${XDG_CACHE_HOME:-$HOME/.cache}/sky-island-zig
    if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
        echo "sky-island: installing ziglang and cargo-zigbuild with pip into $tools" >&2
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet ziglang==0.17.0 cargo-zigbuild==0.24.0
    fi
    PATH="$tools/bin:$PATH"
fi
cargo zigbuild --release --locked --target "$target"
echo "target/$target/release/sky-island"
