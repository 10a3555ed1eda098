#!/usr/bin/env bash
# Whole-process time of a cold `shiftkey creds` and of `aws redshift get-cluster-credentials`, against one sandbox, interleaved.
# usage: benches/creds.sh [RUNS]; SHIFTKEY names the (release) binary. Installs the AWS CLI into a throw-away venv when missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
shiftkey=$(realpath "${SHIFTKEY:-$here/../target/release/shiftkey}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
aws=$(command -v aws || true)
if [ -z "$aws" ] || ! "$aws" --version >/dev/null 2>&1; then
    python3 -m venv "$tmp/venv"
    "$tmp/venv/bin/pip" install -q --disable-pip-version-check awscli
    aws=$tmp/venv/bin/aws
fi
cat >"$tmp/bench.py" <<'PY'
import statistics, subprocess, sys, time
shiftkey, aws, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
commands = {
    "shiftkey creds": [shiftkey, "creds", "cluster:analytics@us-east-1", "--db-user", "alice", "-d", "dev", "--json"],
    "aws get-cluster-credentials": [aws, "redshift", "get-cluster-credentials", "--cluster-identifier", "analytics", "--db-user", "alice", "--db-name", "dev"],
}
times = {name: [] for name in commands}
for turn in range(runs + 1):
    for name, command in commands.items():
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if turn:  # the first of each warms the page cache
            times[name].append(time.perf_counter() - start)
medians = {name: statistics.median(values) for name, values in times.items()}
for name, median in medians.items():
    print(f"{name:32} {median * 1000:8.1f} ms (median of {runs})")
ours, theirs = medians.values()
print(f"ratio {theirs / ours:.1f}")
PY
"$shiftkey" sandbox -q --engine embedded -- python3 "$tmp/bench.py" "$shiftkey" "$aws" "${1:-15}"
