# What people type. `.ci/run` does not need `just`; its steps are the same commands.

# The recipes
default:
    @just --list --unsorted

# A minute: format, lints, tests of protocol and engine
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --quiet -p campanile-protocol -p campanile-engine

# Install the servers that tests start: Redis, NATS, load balancers
servers:
    e2e/servers/install.sh

# All Rust tests (they need the servers)
test:
    cargo test --workspace

# Published SDKs and a browser against the release binary
e2e:
    e2e/install.sh
    cargo build --release -p campanile
    for manifest in examples/*/Cargo.toml; do cargo build --release --manifest-path "$manifest"; done
    CAMPANILE_BIN="$(just target)/release/campanile" e2e/run.sh

# One fuzz target for so many seconds (nightly and cargo-fuzz; `cd fuzz && cargo fuzz list` names them)
fuzz target="ws_reader" seconds="60":
    cd fuzz && mkdir -p corpus/{{ target }} && cargo +nightly fuzz run {{ target }} corpus/{{ target }} seeds/{{ target }} -- -max_total_time={{ seconds }}

# Compare servers: two CPUs that nobody else uses
bench *arguments:
    bench/run.sh {{ arguments }}

# The API documentation
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Build the playground; fails if what is committed differs
web:
    cd web/playground && npm ci --no-fund --no-audit && npm run fresh

# Licences, sources and banned crates of all dependencies (cargo-deny)
deny:
    cargo deny check --hide-inclusion-graph bans licenses sources

# Everything that has to pass
ci:
    .ci/run

# Where cargo puts what it builds
[private]
target:
    @cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
