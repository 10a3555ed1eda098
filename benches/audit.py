"""An audit of a warehouse with many users: time and memory; and a lockdown of a tenth of them under AWS's rate limit."""

import os
import subprocess
import sys
import tempfile
import time

import bench

RATE = float(os.environ.get("RATE", "50"))
TARGET = ["prod/analytics", "--db-user", "awsuser"]


def run(environment, *words):
    """Seconds, the largest memory in MB, stdout."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([bench.SHIFTKEY, *words], env=environment, stdout=output, stderr=subprocess.PIPE)
        told = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: status {process.returncode}: {told}")
        output.seek(0)
        return time.monotonic() - started, usage.ru_maxrss / 1024, output.read().decode()


def main():
    parsed = bench.arguments(__doc__, "USERS", 10_000, 100, 3600)
    missed = failed = False
    print(f"| an audit of {parsed.number} users | time | memory |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place, bench.sandbox("--caller", "security", "--crowd", str(parsed.number)) as sandbox:
        environment = sandbox.environment | {"XDG_STATE_HOME": place}
        for form in ["text", "json", "csv", "html"]:
            seconds, memory, text = run(environment, "audit", *TARGET, "--format", form)
            missed |= seconds > 5 or memory > 100
            failed |= text.count("user0") < parsed.number
            print(f"| `--format {form}` | {seconds:.2f} s | {memory:.0f} MB |")
    print("\ngoal: 5 s, 100 MB")
    count = parsed.number // 10
    names = ",".join(f"user{number:05}" for number in range(count * 2) if number % 3)
    names = ",".join(names.split(",")[:count])
    limit = f"{RATE:g}/s,burst=5"
    options = ["--caller", "security", "--crowd", str(parsed.number), "--rate-limit", limit]
    with tempfile.TemporaryDirectory() as place, bench.sandbox(*options) as sandbox:
        environment = sandbox.environment | {"XDG_STATE_HOME": place, "SHIFTKEY_RATE": f"{RATE:g}:5"}
        seconds, memory, told = run(environment, "lockdown", *TARGET, "--users", names, "--apply")
        calls = sandbox.calls()
        throttled = sum(n for (action, outcome), n in calls.items() if outcome == "Throttling")
        issued = sum(n for (action, outcome), n in calls.items() if action == "GetClusterCredentials" and outcome == "ok")
        _, _, proof = run(environment, "lockdown", *TARGET, "--verify", "--json")
        refused = proof.count('"refused"')
        failed |= refused != count
        missed |= throttled > 0
        print(f"\n| a lockdown of {count} users, AWS's limit {limit} | |\n|---|---|")
        print(f"| time | {seconds:.0f} s; at that rate not less than {(count - 5) / RATE:.0f} s |")
        print(f"| credentials issued, calls throttled | {issued}, {throttled} |")
        print(f"| users done, refused by password | {told.splitlines()[-1].split(' ')[0]}, {refused} |")
        print(f"| memory | {memory:.0f} MB |")
    sys.exit(1 if failed or (missed and parsed.strict) else 0)


if __name__ == "__main__":
    main()
