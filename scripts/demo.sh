#!/bin/sh
# Starts the server with no configuration file, sends the README's request twice, and stops it again.
set -eu

server=target/release/sky-island
request='{"url": "github.com/mmcloughlin/geohash", "call": "Encode(100.1, 80.9)"}'
address=127.0.0.1:3281
log=$(mktemp)

"$server" serve 2>"$log" &
pid=$!
stop() {
    kill "$pid" 2>/dev/null || true
    wait "$pid" || { cat "$log" >&2; rm -f "$log"; exit 3; }
    rm -f "$log"
}
trap 'kill "$pid" 2>/dev/null; wait "$pid"; rm -f "$log"; exit 3' INT TERM

tries=0
until grep -q 'sky-island serves' "$log"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ] || ! kill -0 "$pid" 2>/dev/null; then
        cat "$log" >&2
        stop
        exit 3
    fi
    sleep 0.1
done

echo "The server runs. Twice this request, POST http://$address/api/v1/function:"
echo "  $request"
failed=0
for which in first second; do
    echo
    echo "The $which time:"
    "$server" call github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)' --server "http://$address" --timing || failed=1
done
echo
if [ "$failed" = 0 ]; then echo "Now stopping the server."; fi
stop
[ "$failed" = 0 ] && echo "It stopped cleanly. Start it again with: make run"
exit "$failed"
