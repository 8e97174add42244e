#!/bin/sh
# Succeeds if the module proxy that the go command is configured for can be asked.
set -eu
cd "${TMPDIR:-/tmp}"
GOFLAGS='' GOWORK=off go list -m golang.org/x/text@v0.3.0 >/dev/null 2>&1
