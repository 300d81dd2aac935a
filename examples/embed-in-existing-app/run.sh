#!/bin/sh
# Fetches the SDK for the page, once, and runs the example. Options are its own: `run.sh --help`.
set -eu
cd "$(dirname "$0")"
[ -d node_modules/centrifuge ] || npm ci
exec cargo run --release -- "$@"
