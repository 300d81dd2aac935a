#!/bin/sh
# Installs what the end-to-end suites need. Safe to run again; says what it does; stops at the first failure.
set -eu
cd "$(dirname "$0")"

say() { echo "e2e/install: $*"; }
need() { command -v "$1" >/dev/null || { say "$1 is missing: $2" >&2; exit 1; }; }

need node "install Node.js 20 or newer"
need npm "it comes with Node.js"
need python3 "install Python 3.10 or newer"

say "JavaScript packages (npm ci)"
npm ci --no-fund --no-audit

for example in ../examples/*/package-lock.json; do
    directory=$(dirname "$example")
    say "JavaScript packages of $directory (npm ci)"
    (cd "$directory" && npm ci --no-fund --no-audit)
done

servers/install.sh

for suite in python autobahn; do
    if cmp -s "$suite/requirements.txt" "$suite/.venv/installed.txt"; then
        say "Python packages of $suite are up to date"
        continue
    fi
    say "Python packages ($suite/.venv)"
    rm -rf "$suite/.venv"
    python3 -m venv "$suite/.venv"
    "$suite/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$suite/requirements.txt"
    cp "$suite/requirements.txt" "$suite/.venv/installed.txt"
done

if [ -x "${CHROMIUM_BIN:-/usr/bin/chromium}" ]; then
    say "Chromium is there: ${CHROMIUM_BIN:-/usr/bin/chromium}"
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "Chromium (apt-get install chromium)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
    say "no Chromium: install it, or name one in CHROMIUM_BIN" >&2
    exit 1
fi
say "done"
