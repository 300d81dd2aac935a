#!/bin/sh
# Runs the example until Ctrl-C: the server, built from this repository unless CAMPANILE_BIN names one, and the
# backend. Secrets are made anew for each run, so a page has to be signed in again; data stays.
# PORT (3000) and CAMPANILE_PORT (8000) are where the two listen, DATA (`.run`) is where their data is.
set -eu
cd "$(dirname "$0")"

# Other variables with this prefix would be taken for settings of the server.
binary=${CAMPANILE_BIN:-}
page_port=${PORT:-3000}
server_port=${CAMPANILE_PORT:-8000}
data=${DATA:-.run}
unset CAMPANILE_BIN CAMPANILE_PORT

[ -d node_modules/centrifuge ] || npm ci
if [ -z "$binary" ]; then
    cargo build --release -p campanile
    target=$(cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    binary=$target/release/campanile
fi

secret() { python3 -c 'import secrets; print(secrets.token_hex(32))'; }
CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY=$(secret)
CAMPANILE_HTTP_API_KEY=$(secret)
CAMPANILE_CLIENT_ALLOWED_ORIGINS="http://127.0.0.1:$page_port http://localhost:$page_port"
COOKIE_SECRET=$(secret)
NOTIFY_KEY=$(secret)
export CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY CAMPANILE_HTTP_API_KEY CAMPANILE_CLIENT_ALLOWED_ORIGINS
export COOKIE_SECRET NOTIFY_KEY

mkdir -p "$data"

# Starts it again when it ends, as a supervisor does.
serve() {
    trap 'kill "$child" 2>/dev/null; wait "$child"; exit 0' TERM
    while :; do
        "$binary" serve -c campanile.toml --port "$server_port" --data-dir "$data/campanile-data" &
        child=$!
        echo "the server is process $child"
        wait "$child" || true
        echo "the server has ended; it is started again in 5 s"
        sleep 5 &
        child=$!
        wait "$child" || true
    done
}

serve &
server=$!
python3 backend.py --port "$page_port" --campanile "http://127.0.0.1:$server_port" \
    --database "$data/notifications.sqlite" &
backend=$!

stop() {
    trap '' INT TERM
    kill "$server" "$backend" 2>/dev/null || true
    wait
}
trap 'stop; exit 0' INT TERM

cat <<EOF

  page     http://127.0.0.1:$page_port/
  notify   export NOTIFY_KEY=$NOTIFY_KEY
EOF
# The backend does not need the server to be there: the example goes on without it.
wait "$backend" || true
stop
exit 1
