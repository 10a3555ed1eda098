"""Warm `shiftkey creds` against `true` and against the AWS CLI: whole processes, one sandbox, interleaved."""

import json
import shutil
import subprocess
import tempfile
from statistics import median

from bench import SHIFTKEY, TIMES, Goals, arguments, aws_cli, heading, interleaved, sandbox, spread, table

GOAL_TRUE, GOAL_AWS = 3, 100
TRUE, AWS = "true", "aws redshift get-cluster-credentials"
START = "shiftkey --version"
AWS_EACH = 20  # turns between two runs of the AWS CLI

# As an installation leaves it: a linker writes its file by memory maps, and the system then maps that in smaller pieces.
installed = tempfile.TemporaryDirectory()
SHIFTKEY = shutil.copy(SHIFTKEY, installed.name)

options = arguments(__doc__, "RUNS", default=500, least=10, limit=300)
aws, version = aws_cli()
true = shutil.which("true")
with sandbox("--caller", "alice") as world:
    keys = world.environment

    def profile(name):
        without = {key: value for key, value in keys.items() if key not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        return without | {"AWS_PROFILE": name}

    configured = ["prod/analytics"]
    ad_hoc = ["cluster:analytics@us-east-1", "--db-user", "alice", "-d", "dev"]
    commands = {
        "shiftkey creds, keys, configured target": (configured, keys),
        "shiftkey creds, keys, ad hoc target": (ad_hoc, keys),
        "shiftkey creds, profile, configured target": (configured, profile("alice")),
        "shiftkey creds, profile, ad hoc target": (ad_hoc, profile("alice")),
        "shiftkey creds, profile of a role": (["prod/analytics", "--db-user", "alice"], profile("engineer")),
    }
    commands = {name: ([SHIFTKEY, "creds", *arguments, "--json"], environment) for name, (arguments, environment) in commands.items()}

    def cached(name):
        command, environment = commands[name]
        return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)["cached"]

    for name in commands:
        cached(name)
    before = world.calls()
    request = ["--cluster-identifier", "analytics", "--db-user", "alice", "--db-name", "dev"]
    subjects = {
        TRUE: lambda: ([true], keys),
        START: lambda: ([SHIFTKEY, "--version"], keys),
        AWS: lambda: ([aws, "redshift", "get-cluster-credentials", *request], keys),
    } | {name: lambda command=command: command for name, command in commands.items()}
    times = interleaved(subjects, options.number, {AWS: AWS_EACH})
    after = world.calls()
    all_cached = all([cached(name) for name in commands])

floor, theirs = median(times[TRUE]), median(times[AWS])
heading("A warm credential: time of the whole process", version)
table(
    ["", *TIMES, "of true", "AWS CLI takes"],
    [[name, *spread(taken), f"{median(taken) / floor:.2f} x", f"{theirs / median(taken):.0f} x"] for name, taken in times.items()],
)
goals = Goals(options.strict)
calls = sum(after.values()) - sum(before.values()) - len(times[AWS]) - 1
goals.hard(f"shiftkey answered from its cache: {calls} calls to AWS", all_cached and calls == 0)
slowest = max(median(times[name]) for name in commands)
goals.soft(f"the slowest takes {slowest / floor:.2f} times the time of `true` (goal: {GOAL_TRUE})", slowest <= GOAL_TRUE * floor)
goals.soft(f"the slowest is {theirs / slowest:.0f} times faster than the AWS CLI (goal: {GOAL_AWS})", theirs >= GOAL_AWS * slowest)
goals.exit()
