#!/usr/bin/env bash
# Measures the brokers beside Redis, and prints the tables of README.md beside this file.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: bench/brokers.sh [--quick] [--rounds N] [--subjects LIST] [--dir DIR] [SCENARIO…]

  SCENARIO    node, memory, startup, http; all of them without any
  --quick     small and once: shows that everything works, its figures mean little
  --rounds    rounds to take the median of (5)
  --subjects  what to compare (memory,relaxed,sync,redis-everysec,redis-always)
  --dir       a directory on the disk to measure (beside the built binaries)

Environment: SERVER_CPUS (0), CLIENT_CPUS (1), for `http` alone.
USAGE
}

rounds=5 seconds=2 channels=10000 publications=1000000 scenarios=() dir=
subjects=memory,relaxed,sync,redis-everysec,redis-always
while (($#)); do
    case $1 in
        --quick) rounds=1 seconds=0.5 channels=1000 publications=100000 ;;
        --rounds) rounds=$2; shift ;;
        --subjects) subjects=$2; shift ;;
        --dir) dir=$2; shift ;;
        -h | --help) usage; exit ;;
        node | memory | startup | http) scenarios+=("$1") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
((${#scenarios[@]})) || scenarios=(node memory startup http)
if [[ $subjects == *redis* ]] && ! command -v redis-server >/dev/null; then
    echo "redis-server is missing: install it, or leave it out with --subjects" >&2
    exit 1
fi

cd "$(dirname "$0")/.."
cargo build --release --quiet -p campanile
cargo build --release --quiet -p campanile-bench-brokers
bin=$(cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/release
work=$(mktemp -d "${dir:-$bin}/brokers.XXXX")
trap 'rm -rf "$work"' EXIT

for scenario in "${scenarios[@]}"; do
    echo "$scenario" >&2
    command=("$bin/campanile-bench-brokers" "$scenario" --dir "$work/$scenario"
        --subjects "$subjects" --rounds "$rounds")
    mkdir "$work/$scenario"
    case $scenario in
        node) "${command[@]}" --seconds "$seconds" ;;
        http)
            taskset -c "${CLIENT_CPUS:-1}" "${command[@]}" --seconds "$seconds" \
                --server-cpus "${SERVER_CPUS:-0}" --campanile "$bin/campanile"
            ;;
        *) "${command[@]}" --channels "$channels" --publications "$publications" ;;
    esac
done
