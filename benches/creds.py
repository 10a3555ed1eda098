"""Cold `shiftkey creds` against `aws redshift get-cluster-credentials`: whole processes, one sandbox, interleaved."""

import contextlib
import itertools
import subprocess
from statistics import median

from bench import SHIFTKEY, TIMES, Goals, arguments, aws_cli, heading, in_memory, interleaved, sandbox, scratch, spread, table

GOAL = 40
AWS = "aws redshift get-cluster-credentials"

options = arguments(__doc__, "RUNS", default=20, least=1, limit=300)
aws, version = aws_cli()
with sandbox("--caller", "alice") as world, contextlib.ExitStack() as directories:
    number = itertools.count()

    def cold(directory, *arguments):
        """Each run has a cache directory of its own, which does not exist yet."""
        command = [SHIFTKEY, "creds", *arguments, "--json"]
        return lambda: (command, world.environment | {"SHIFTKEY_CACHE_DIR": f"{directory}/{next(number)}"})

    # $XDG_RUNTIME_DIR, the usual place of the cache, is in memory; without one the cache is on disk, where a credential is synced.
    places = [directories.enter_context(scratch(parent)) for parent in dict.fromkeys([in_memory(), None])]
    warehouse = ["cluster:analytics@us-east-1", "--db-user", "alice", "-d", "dev"]
    request = ["--cluster-identifier", "analytics", "--db-user", "alice", "--db-name", "dev"]
    subjects = {AWS: lambda: ([aws, "redshift", "get-cluster-credentials", *request], world.environment)}
    for place in places:
        kind = subprocess.run(["df", "--output=fstype", place], capture_output=True, text=True, check=True).stdout.split()[-1]
        subjects[f"shiftkey creds, empty cache on {kind}"] = cold(place, *warehouse)
    judged = list(subjects)[1:]
    subjects["  --no-cache"] = cold(places[0], *warehouse, "--no-cache")
    subjects["  --host: no DescribeClusters"] = cold(places[0], *warehouse, "--host", "localhost", "--port", "5439")
    subjects["  configured target: user name from STS"] = cold(places[0], "prod/analytics")
    times = interleaved(subjects, options.number)
    calls = world.issuing_calls()

ratios = {name: median(times[AWS]) / median(taken) for name, taken in times.items()}
heading("A cold credential: time of the whole process", version)
table(
    ["", *TIMES, "AWS CLI takes", "goal"],
    [[name, *spread(taken), f"{ratios[name]:.1f} x", f"{GOAL} x" if name in judged else ""] for name, taken in times.items()],
)
goals = Goals(options.strict)
runs = len(subjects) * (options.number + 1)  # with the one before the count
goals.hard(f"every run was cold: {calls} GetClusterCredentials calls in {runs} runs", calls == runs)
for name in judged:
    goals.soft(f"{name}: {ratios[name]:.1f} times faster than the AWS CLI (goal: {GOAL})", ratios[name] >= GOAL)
goals.exit()
