#!/usr/bin/env bash
# Measures several servers alternately in one run and prints one table of medians.
# What is measured, and how to read it: README.md beside this file.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bench/run.sh [--quick] [--rounds N] [--servers "floor baseline campanile"] [--out DIR]

  --quick     small and once: shows that everything works, its figures mean little
  --rounds    rounds to take the median of (3)
  --servers   which to compare; besides the three, Campanile in other ways:
              campanile-memory    its streams in memory, not on disk
              campanile-protobuf  the client speaks Protobuf
              campanile-1k        JSON with payloads of 1 KiB
              campanile-deflate   the same, compressed
  --out       keep the JSON of each step there

Environment: SERVER_CPU (0), CLIENT_CPU (1), BENCH_CLIENT (command to measure with).
USAGE
}

rounds=3 servers="floor baseline campanile" out=
subscribers=5000 messages=100 burst=400 from=2000 to=10000 accepts=5000 echoes=10000
while (($#)); do
    case $1 in
        --quick) rounds=1 subscribers=500 messages=50 burst=100 from=200 to=1000 accepts=500 echoes=1000 ;;
        --rounds) rounds=$2; shift ;;
        --servers) servers=$2; shift ;;
        --out) out=$2; shift ;;
        -h | --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

here=$(cd "$(dirname "$0")" && pwd)
server_cpu=${SERVER_CPU:-0} client_cpu=${CLIENT_CPU:-1}
work=$(mktemp -d)
server_pid=

stop_server() {
    [[ -z $server_pid ]] && return
    # A graceful stop of thousands of connections is not what is measured.
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}
trap 'stop_server; rm -rf "$work"' EXIT
out=${out:-$work/results}
mkdir -p "$out"

cd "$here/.."
packages=(-p campanile)
[[ $servers == *floor* ]] && packages+=(-p campanile-bench-floor)
[[ $servers == *baseline* ]] && packages+=(-p campanile-bench-baseline)
cargo build --release --quiet "${packages[@]}"
bin=$(cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/release
read -ra client <<<"${BENCH_CLIENT:-$bin/campanile bench}"

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); is_open "$port"; do :; done
    echo "$port"
}

start_server() {
    port=$(free_port)
    local command
    case $1 in
        floor) command=("$bin/campanile-bench-floor" "127.0.0.1:$port") ;;
        baseline) command=("$bin/campanile-bench-baseline" --listen "127.0.0.1:$port") ;;
        campanile | campanile-memory | campanile-protobuf | campanile-1k | campanile-deflate)
            # A directory of its own each time, so that no data of another round is found.
            local home
            home=$(mktemp -d "$work/campanile.XXXX")
            sed "s/^port = .*/port = $port/" "$here/campanile.toml" >"$home/campanile.toml"
            [[ $1 != campanile-memory ]] ||
                printf '\n[engine]\ntype = "memory"\n' >>"$home/campanile.toml"
            [[ $1 != campanile-deflate ]] ||
                printf '\n[websocket]\ncompression = true\n' >>"$home/campanile.toml"
            command=(env -C "$home" "$bin/campanile" serve -c "$home/campanile.toml")
            ;;
        *) echo "unknown server: $1" >&2; exit 2 ;;
    esac
    taskset -c "$server_cpu" "${command[@]}" >"$work/$1.log" 2>&1 &
    server_pid=$!
    for _ in {1..100}; do
        is_open "$port" && return
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "$1 does not start:" >&2
    tail -n 20 "$work/$1.log" >&2
    exit 1
}

# measure SERVER ROUND STEP PATH SCENARIO [OPTION…]; a step that fails leaves a gap in the table.
measure() {
    local server=$1 round=$2 step=$3 path=$4 scenario=$5
    shift 5
    "${client[@]}" "$scenario" --url "ws://127.0.0.1:$port$path" --api-key bench-key \
        --token-secret bench-secret --pid "$server_pid" --pin-client "$client_cpu" \
        --json - "$@" >"$out/$server.$step.$round.json" ||
        { rm -f "$out/$server.$step.$round.json"; echo "$server: $step failed" >&2; }
}

run_round() {
    local server=$1 round=$2 path=/connection/websocket mode speech=() size=()
    case $server in
        campanile-protobuf) speech=(--protocol protobuf) ;;
        campanile-1k) size=(--payload-bytes 1024) ;;
        campanile-deflate) speech=(--compress) size=(--payload-bytes 1024) ;;
    esac
    for mode in shared own; do
        start_server "$server"
        measure "$server" "$round" "memory-$mode" $path memory --channel-mode $mode \
            --from "$from" --to "$to" "${speech[@]}" "${size[@]}"
        stop_server
    done
    start_server "$server"
    measure "$server" "$round" accept $path accept --connections "$accepts" --rounds 1 \
        "${speech[@]}"
    measure "$server" "$round" fanout-1 $path fanout --rounds 1 --in-flight 1 \
        --subscribers "$subscribers" --messages "$messages" "${speech[@]}" "${size[@]}"
    measure "$server" "$round" fanout-8 $path fanout --rounds 1 --in-flight 8 \
        --subscribers "$subscribers" --messages "$burst" "${speech[@]}" "${size[@]}"
    # Small text comes back the same way in all of them.
    [[ $server == campanile-* ]] ||
        measure "$server" "$round" echo /connection/echo echo --rounds 1 --messages "$echoes"
    stop_server
}

# Rounds are the outer loop: a slow minute of the machine falls on all servers alike.
for ((round = 1; round <= rounds; round++)); do
    for server in $servers; do
        echo "round $round of $rounds: $server" >&2
        run_round "$server" "$round"
    done
done

# cell SERVER STEP METRIC: the median over all rounds, with three digits.
cell() {
    local files=("$out/$1.$2".*.json)
    [[ -e ${files[0]} ]] || { echo "–"; return; }
    jq -rs --arg metric "$3" '
        [.[].metrics[] | select(.name == $metric) | .rounds[]] | sort
        | if length == 0 then null
          else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end
        | if . == null then "–"
          elif fabs >= 100 then round
          elif fabs >= 10 then . * 10 | round / 10
          else . * 100 | round / 100 end' "${files[@]}"
}

row() {
    local step=$1 metric=$2 label=$3 server line="| $3 |"
    for server in $servers; do line+=" $(cell "$server" "$step" "$metric") |"; done
    echo "$line"
}

echo "| | ${servers// / | } |"
echo "|---|$(for _ in $servers; do printf -- '---:|'; done)"
row memory-shared "server memory per connection" "memory, one channel for all: bytes a connection"
row memory-own "server memory per connection" "memory, a channel each: bytes a connection"
for flight in 1 8; do
    for part in user system total; do
        row "fanout-$flight" "server CPU per delivery, $part" "delivery, $flight in flight: CPU µs, $part"
    done
    row "fanout-$flight" "delivery rate" "delivery, $flight in flight: a second"
    row "fanout-$flight" "latency p50" "delivery, $flight in flight: latency p50, ms"
    row "fanout-$flight" "latency p99" "delivery, $flight in flight: latency p99, ms"
    row "fanout-$flight" "received per delivery" "delivery, $flight in flight: bytes received"
    row "fanout-$flight" "client busy" "delivery, $flight in flight: client's CPU share"
done
row accept "server CPU per accept, total" "accept: CPU µs"
row accept "accept rate" "accept: a second"
row echo "server CPU per echo, total" "echo, 2,000 a second: CPU µs"
row echo "latency p50" "echo, 2,000 a second: latency p50, ms"
row echo "latency p99" "echo, 2,000 a second: latency p99, ms"

for file in "$out"/*.json; do
    [[ -e $file ]] || continue
    jq -r --arg step "$(basename "$file" .json)" '.flags[] | "doubtful: \($step): \(.)"' "$file" >&2
done
