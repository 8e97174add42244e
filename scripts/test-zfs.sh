#!/bin/sh
# The tests named zfs_*, on a real pool: the one that SKY_ISLAND_TEST_POOL names, where this host has ZFS; otherwise in
# a small guest that has a pool of its own, run by $ZFSVM or by a runner beside this checkout. Where neither is at
# hand it says so and succeeds. Arguments go to the tests: `scripts/test-zfs.sh clone`.
set -eu

MEMORY=1536     # of the guest, in MiB; its pool takes 768
DEADLINE=${SKY_ISLAND_TEST_DEADLINE:-600} # for one binary in the guest, in seconds; it takes about one minute
THREADS=3       # tests at once; the guest has two processors, and much of a test is waiting

say() { echo "sky-island: $*" >&2; }

guest=
if [ -z "${SKY_ISLAND_TEST_POOL:-}" ]; then
    guest=${ZFSVM:-../shared/zfsvm/zfsvm}
    if [ ! -x "$guest" ]; then
        say "the ZFS tests are skipped: SKY_ISLAND_TEST_POOL names no pool, and there is no guest at $guest (set ZFSVM)"
        exit 0
    fi
    if ! command -v qemu-system-x86_64 >/dev/null 2>&1; then
        if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
            say "the ZFS tests are skipped: the guest needs qemu-system-x86_64; install it first"
            exit 0
        fi
        say "installing with the system's packages, for the ZFS tests: qemu-system-x86"
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-system-x86 >/dev/null
    fi
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

set_of_tests() {
    for file in tests/zfs_*.rs; do
        name=${file##*/}
        echo "--test ${name%.rs}"
    done
}
# shellcheck disable=SC2046 # the names of files here have no spaces
cargo test --locked --no-run --message-format=json $(set_of_tests) >"$work/built"
# One line of JSON for each thing that was built; the tests are those that have an executable.
sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$work/built" | grep '/zfs_[^/]*$' >"$work/tests" || {
    say "cargo built no test named zfs_*"
    exit 1
}

failed=0
while read -r test; do
    name=${test##*/}
    say "running $name"
    if [ -z "$guest" ]; then
        "$test" --test-threads="$THREADS" "$@" </dev/null || failed=$?
    else
        # What helps to debug does not fit the guest's memory.
        strip -o "$work/$name" "$test"
        "$guest" --mem "$MEMORY" --timeout "$DEADLINE" --file "$work/$name:/job/$name" -- \
            env SKY_ISLAND_TEST_POOL=zroot TMPDIR=/tmp "/job/$name" --test-threads="$THREADS" "$@" </dev/null ||
            failed=$?
    fi
done <"$work/tests"
exit "$failed"
