#!/bin/sh
# The sandbox promises on a FreeBSD host that `sky-island init` has prepared: as root, with no server running on it.
# The suite itself looks for what it needs, and prints what is missing. Anywhere else this says so, and is no failure.
# The tests end after 20 minutes, or SKY_ISLAND_TEST_LIMIT seconds. The last line says what was skipped, and why.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ "$(uname -s)" != FreeBSD ]; then
    echo "sky-island: make test-freebsd needs a FreeBSD host; this is $(uname -s), and nothing was run" >&2
    exit 0
fi
# The build jail has a Go that runs on the host as well; with-tools.sh installs one only where there is none.
config=${SKY_ISLAND_TEST_CONFIG:-/usr/local/etc/sky-island/config.json}
jails=$(sed -n 's/.*"base_jail_dir"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$config" 2>/dev/null || true)
dataset=$(sed -n 's/.*"zfs_dataset"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$config" 2>/dev/null || true)
for folder in ${jails:+"$jails"} ${dataset:+"/$dataset/jails"}; do
    PATH=$PATH:$folder/build/usr/local/go/bin
done
SKY_ISLAND_TEST_LIMIT=${SKY_ISLAND_TEST_LIMIT:-1200}
export PATH SKY_ISLAND_TEST_LIMIT
cd "$here"
exec sh scripts/with-tools.sh sh scripts/test.sh sandbox_freebsd "$@"
