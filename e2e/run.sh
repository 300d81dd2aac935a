#!/bin/sh
# Runs every end-to-end suite against the binary named by CAMPANILE_BIN. All suites run even if one fails;
# a suite that cannot run fails.
set -u
: "${CAMPANILE_BIN:?names the campanile binary to test}"
CAMPANILE_BIN=$(realpath "$CAMPANILE_BIN")
export CAMPANILE_BIN
[ -x "$CAMPANILE_BIN" ] || { echo "e2e/run: $CAMPANILE_BIN is not executable" >&2; exit 1; }
cd "$(dirname "$0")" || exit 1

failed=""
suite() {
    name=$1
    shift
    echo "== e2e: $name"
    "$@" || failed="$failed $name"
}

suite node npm run --silent test:node
suite crash-sync node crash/run.mjs --kills 30 --minutes 1 --durability sync
suite crash-relaxed node crash/run.mjs --kills 30 --minutes 1 --durability relaxed
suite crash-full node crash/full.mjs
suite cluster node cluster/run.mjs --quick
suite python python/.venv/bin/python -m pytest -q python
suite autobahn autobahn/.venv/bin/python autobahn/run.py
suite browser npm run --silent test:browser
suite examples npm run --silent test:examples

if [ -n "$failed" ]; then
    echo "e2e/run: failed:$failed" >&2
    exit 1
fi
echo "e2e/run: all suites passed"
