#!/bin/sh
# Every test. Those that need the network skip with a printed reason when SKY_ISLAND_OFFLINE=1.
set -eu
if ! command -v git >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "sky-island: installing with the system's packages, for the tests over smart HTTP: git" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git >/dev/null
fi
exec cargo test --locked --workspace "$@"
