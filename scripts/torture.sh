#!/bin/sh
# Tortures the program for about 25 minutes and prints one table: ten minutes of fuzzing, 200 crashes under load, every
# k-th descriptor refused, full and read-only disks, 50 hand-overs, a soak. docs/internals/testing.md describes the parts.
#   torture.sh            all parts
#   torture.sh PART...    these parts: fuzzing crashes descriptors full readonly handovers soak
# Fuzzing needs the nightly toolchain and cargo-fuzz, and the disks root; without them these parts say so and are skipped.
set -eu

sh scripts/test-tools.sh git >/dev/null
SKY_ISLAND_TORTURE=full
export SKY_ISLAND_TORTURE
exec cargo test --locked --test torture -- "$@"
