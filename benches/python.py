"""The Python package: what importing it and asking it cost, and what it saves the calls to AWS that programs make by hand."""

import os
import statistics
import subprocess
import textwrap

from bench import TIMES, Goals, arguments, heading, installed, interleaved, sandbox, spread, table, venv
from crowd import LIMITED, Trial

PROCESSES, CONNECTIONS = 20, 5
GOAL_IMPORT, GOAL_WARM = 0.015, 100  # seconds, microseconds

BY_HAND = """
import os, boto3, psycopg
redshift = boto3.client("redshift")

def connect():
    cluster = redshift.describe_clusters(ClusterIdentifier="analytics")["Clusters"][0]
    credential = redshift.get_cluster_credentials(
        ClusterIdentifier="analytics", DbUser="alice", DbName="dev", DurationSeconds=3600, AutoCreate=False
    )
    return psycopg.connect(
        host=cluster["Endpoint"]["Address"], port=cluster["Endpoint"]["Port"], dbname="dev",
        user=credential["DbUser"], password=credential["DbPassword"], sslmode="verify-full", sslrootcert=os.environ["CA"],
    )
"""
# The sandbox's warehouses have the host localhost, which the driver takes for a custom domain: its vain call for that is left out.
DRIVER = """
import redshift_connector

def connect():
    return redshift_connector.connect(
        iam=True, cluster_identifier="analytics", database="dev", db_user="alice", region="us-east-1", sslmode="verify-full"
    )
"""
DRIVER_SETUP = """
from redshift_connector.redshift_property import RedshiftProperty
RedshiftProperty.set_is_cname = lambda self: self.put(key="is_cname", value=False)
"""
OURS = """
import shiftkey

def connect():
    return shiftkey.connect("prod/analytics", db_user="alice")
"""
USE = f"""
for _ in range({CONNECTIONS}):
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("select current_user")
    assert cursor.fetchone()[0] == "alice"
    connection.close()
"""
WARM = """
import timeit, shiftkey
shiftkey.credential("prod/analytics")
runs = timeit.repeat(lambda: shiftkey.credential("prod/analytics"), number=200, repeat=20)
print(*(1e6 * run / 200 for run in runs))
"""


def lines(code):
    return sum(1 for line in code.splitlines() if line.strip())


options = arguments(__doc__, "RUNS", default=60, least=10, limit=400)
python = venv("boto3", "psycopg[binary]", "redshift_connector")
subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--force-reinstall", "--no-deps", os.environ["WHEEL"]], check=True)
versions = [f"{name} {installed(python, name)}" for name in ("shiftkey", "boto3", "psycopg", "redshift_connector")]

with sandbox("--caller", "alice") as world:
    keys = world.environment
    subjects = {
        "python -c pass": lambda: ([python, "-c", "pass"], keys),
        "python -c 'import shiftkey'": lambda: ([python, "-c", "import shiftkey"], keys),
        "python -c 'import boto3'": lambda: ([python, "-c", "import boto3"], keys),
    }
    times = interleaved(subjects, options.number, {"python -c 'import boto3'": 4})
    warm = [float(word) for word in subprocess.check_output([python, "-c", WARM], env=keys, text=True).split()]
    calls = world.issuing_calls()
empty = statistics.median(times["python -c pass"])
heading("Importing it: time of the whole process", *versions)
table(["", *TIMES, "more than empty"], [[name, *spread(taken), f"{1000 * (statistics.median(taken) - empty):.1f} ms"] for name, taken in times.items()])
heading("shiftkey.credential() of the cache, in one process")
table(["", "median", "least", "most"], [["microseconds", *(f"{choose(warm):.1f}" for choose in (statistics.median, min, max))]])

ways = {"boto3 and psycopg, by hand": (BY_HAND, ""), "redshift_connector, iam=True": (DRIVER, DRIVER_SETUP), "shiftkey.connect, psycopg": (OURS, "")}
trials = []
for limit in (None, LIMITED):
    for name, (code, setup) in ways.items():

        def commands(world, code=code, setup=setup):
            trust = [f"CA={world.exports['SHIFTKEY_CA_FILE']}", f"SSL_CERT_FILE={world.exports['SHIFTKEY_CA_FILE']}"]
            return [["env", *trust, python, "-c", textwrap.dedent(setup + code + USE)]] * PROCESSES

        trial = Trial(name, commands, limit)
        trial.row.insert(1, lines(code))
        trials.append(trial)
heading(f"{PROCESSES} processes at once on a cold cache, each of which opens {CONNECTIONS} connections", *versions)
table([Trial.columns[0], "lines of code", *Trial.columns[1:]], [trial.row for trial in trials])
for trial in trials:
    for reason, count in trial.herd.failed.most_common(2):
        print(f"  {trial.row[0]}, limit {trial.row[2]}: {count} x {reason}")

goals = Goals(options.strict)
mine = [trial for trial in trials if trial.row[0].startswith("shiftkey")]
goals.hard(f"it makes {' and '.join(str(trial.calls) for trial in mine)} calls (goal: 1)", all(trial.calls == 1 for trial in mine))
goals.hard("none of its processes fails", not any(trial.failures for trial in mine))
goals.hard(f"{len(warm) * 200} warm credentials: {calls} call", calls == 1)
more = statistics.median(times["python -c 'import shiftkey'"]) - empty
goals.soft(f"importing takes {1000 * more:.1f} ms more than nothing (goal: {1000 * GOAL_IMPORT:.0f})", more <= GOAL_IMPORT)
goals.soft(f"a warm credential takes {statistics.median(warm):.0f} microseconds (goal: {GOAL_WARM})", statistics.median(warm) <= GOAL_WARM)
goals.exit()
