#!/bin/sh
# Runs tests. At its end it prints how long each test program took, and, as its last line, what was skipped and why.
#   test.sh               every test
#   test.sh --check       the quick ones: no island, no root, no network
#   test.sh WORD...       WORD names a program below tests/ (its tests, of whose names the other words are parts), a
#                         crate below crates/ (the same), or neither: all tests whose names have WORD in them
# SKY_ISLAND_STRICT=1 makes a failure of each skip that this machine could do without; it first installs what tests use.
# SKY_ISLAND_OFFLINE=1 skips the tests that need the network.
# SKY_ISLAND_TEST_LIMIT=SECONDS ends the tests after that time; compiling them does not count.
set -eu

# Programs below tests/ that need neither islands nor root nor the network.
QUICK="call_texts configuration corpora destroy init jails log_panics tidy"

say() { echo "sky-island: $*" >&2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
# Some tests are an ordinary user's.
: >"$work/skips"
chmod 666 "$work/skips"
SKY_ISLAND_TEST_SKIPS=$work/skips
export SKY_ISLAND_TEST_SKIPS

prepare() {
    if [ "${SKY_ISLAND_STRICT:-}" != 1 ]; then
        sh scripts/test-tools.sh git >/dev/null
        return
    fi
    SKY_ISLAND_TEST_NOT_INSTALLABLE=$(sh scripts/test-tools.sh)
    export SKY_ISLAND_TEST_NOT_INSTALLABLE
    if [ -z "${SKY_ISLAND_OFFLINE:-}" ] && ! sh scripts/network.sh; then
        say "the tests that need the network are skipped: no module proxy can be reached"
        SKY_ISLAND_OFFLINE=1
        export SKY_ISLAND_OFFLINE
    fi
}

# Runs cargo test, and keeps what it prints.
run() {
    limit=
    if [ -n "${SKY_ISLAND_TEST_LIMIT:-}" ]; then
        cargo test --locked --no-run "$@"
        limit="timeout -k 60 $SKY_ISLAND_TEST_LIMIT"
    fi
    # shellcheck disable=SC2086
    { $limit cargo test --locked "$@" 2>&1 || echo "$?" >"$work/status"; } | tee "$work/log"
    if [ -n "$limit" ] && [ "$(cat "$work/status")" = 124 ]; then
        say "the tests were ended after $SKY_ISLAND_TEST_LIMIT s (SKY_ISLAND_TEST_LIMIT)"
    fi
}

# The quick tests in two lanes at a time, for most of them wait more than they work. What the second one prints comes
# after the first one's.
check() {
    lane="--workspace --no-fail-fast"
    programs=
    for program in $QUICK; do programs="$programs --test $program"; done
    # shellcheck disable=SC2086
    {
        cargo test --locked $lane --lib --bins $programs --no-run || { echo "$?" >"$work/status"; exit; }
        cargo test --locked $lane $programs >"$work/second" 2>&1 &
        cargo test --locked $lane --lib --bins 2>&1 || echo "$?" >"$work/status"
        wait "$!" || echo "$?" >"$work/status"
        cat "$work/second"
    } | tee "$work/log"
}

# A line for each program that ran a test, the slowest first.
durations() {
    awk '
        /^ +(Running|Doc-tests) / {
            name = ($1 == "Doc-tests" ? "doc tests of " : "") $2
            if (name == "unittests") { split($4, parts, "/"); name = "unit tests of " parts[length(parts)] }
            sub(/-[0-9a-f]+\)$/, "", name)
            sub(/^tests\//, "", name); sub(/\/main\.rs$/, "", name); sub(/\.rs$/, "", name)
        }
        /^test result: / && match($0, /finished in [0-9.]+s/) {
            if ($4 + $6 == 0) next
            passed[name] += $4; failed[name] += $6
            seconds[name] += substr($0, RSTART + 12, RLENGTH - 13)
        }
        END {
            for (name in seconds)
                printf "%9.1f s  %5d passed  %3d failed  %s\n", seconds[name], passed[name], failed[name], name
        }' "$work/log" | sort -rn
}

# One line: how much was skipped, and for each reason how much of it.
skipped() {
    awk -F '\t' '
        { all++; count[$2]++; if ($1 == "fixable") could[$2] = 1 }
        END {
            if (!all) { print "skipped 0"; exit }
            for (why in count) {
                short = length(why) > 90 ? substr(why, 1, 87) "..." : why
                part = short " (" count[why] (could[why] ? ", this machine could run them" : "") ")"
                text = text (text ? "; " : "") part
            }
            print "skipped " all ": " text
        }' "$work/skips"
}

case ${1:-} in
    "") prepare; set -- --workspace --no-fail-fast ;;
    --check) ;;
    *)
        # The programs that it uses are the base system's.
        [ "$1" = sandbox_freebsd ] || prepare
        word=$1
        if [ -f "tests/$word.rs" ] || [ -f "tests/$word/main.rs" ]; then
            shift
            set -- --test "$word" -- "$@"
        elif [ -f "crates/$word/Cargo.toml" ]; then
            shift
            set -- --package "$word" -- "$@"
        else
            set -- --workspace --no-fail-fast -- "$@"
        fi ;;
esac
: >"$work/status"
if [ "${1:-}" = --check ]; then check; else run "$@"; fi
echo
echo "seconds of each test program:"
durations
skipped
status=$(cat "$work/status")
exit "${status:-0}"
