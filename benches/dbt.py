"""dbt's own way to sign in (method: iam) against dbt under `shiftkey exec`: calls to AWS, for one run of N models in 8 threads and for 8 runs at once."""

import os
import pathlib

from bench import SHIFTKEY, Goals, arguments, heading, sandbox, scratch, table
from crowd import Herd

DBT = os.environ["DBT"]
THREADS = RUNS = 8
LIMIT = "1/s"
# What benches/herd.py says of localhost.
NOT_A_CUSTOM_DOMAIN = """
from redshift_connector.redshift_property import RedshiftProperty
RedshiftProperty.set_is_cname = lambda self: self.put(key="is_cname", value=False)
"""
PROFILES = """
warehouse:
  target: iam
  outputs:
    iam: {type: redshift, method: iam, host: localhost, port: THE_PORT, cluster_id: analytics, region: us-east-1, user: alice, THE_REST, sslmode: verify-full}
    direct: {type: redshift, method: database, host: "{{ env_var('PGHOST') }}", port: "{{ env_var('PGPORT') | as_number }}",
      user: "{{ env_var('PGUSER') }}", password: "{{ env_var('PGPASSWORD') }}", THE_REST, sslmode: verify-full}
    proxy: {type: redshift, method: database, host: "{{ env_var('PGHOST') }}", port: "{{ env_var('PGPORT') | as_number }}",
      user: any, password: any, THE_REST, sslmode: disable}
"""
EXEC = [SHIFTKEY, "exec", "prod/analytics"]
WAYS = {
    "method: iam": ("iam", []),
    "shiftkey exec --direct": ("direct", [*EXEC, "--direct", "--"]),
    "shiftkey exec --tcp": ("proxy", [*EXEC, "--tcp", "--"]),
}


class Trial:
    """dbt in a new sandbox with a PostgreSQL behind it: `runs` times at once, over `models` models together."""

    def __init__(self, way, models, runs):
        output, before = WAYS[way]
        with sandbox("--rate-limit", LIMIT, engine="postgres") as world, scratch() as place:
            warehouses = world.ask("/warehouses")["warehouses"]
            analytics = next(house for house in warehouses if house["name"] == "analytics" and house["account"] == "111122223333")
            write(f"{place}/profiles/profiles.yml", PROFILES.replace("THE_PORT", str(analytics["port"])).replace("THE_REST", f"dbname: dev, schema: public, threads: {THREADS}"))
            write(f"{place}/patch/sitecustomize.py", NOT_A_CUSTOM_DOMAIN)
            commands = [[*before, *self.dbt(f"{place}/{run}", place, output, models // runs, run)] for run in range(runs)]
            exports = {"SSL_CERT_FILE": world.exports["SHIFTKEY_CA_FILE"], "PYTHONPATH": f"{place}/patch", "DBT_SEND_ANONYMOUS_USAGE_STATS": "False"}
            self.herd = Herd(commands, world.environment | exports)
            counts = world.calls()
        self.issued = counts.get(("GetClusterCredentials", "ok"), 0)
        self.calls = sum(count for (action, _), count in counts.items() if action == "GetClusterCredentials")
        throttled = sum(count for (_, outcome), count in counts.items() if "Throttl" in outcome)
        self.failures = self.herd.failed.total()
        self.row = [way, runs, models, self.calls, sum(counts.values()) - self.calls, throttled, self.failures, f"{self.herd.ends[-1]:.1f} s"]

    @staticmethod
    def dbt(project, place, output, models, run):
        for number in range(models):
            write(f"{project}/models/run{run}_model{number}.sql", "{{ config(materialized='table') }} select 1 as n")
        write(f"{project}/dbt_project.yml", "name: bench\nversion: '1.0'\nprofile: warehouse\n")
        return [DBT, "run", "--target", output, "--project-dir", project, "--profiles-dir", f"{place}/profiles", "--log-path", f"{project}/logs"]


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


options = arguments(__doc__, "N", default=24, least=1, limit=590)
models = options.number
heading(f"dbt run with {THREADS} threads, AWS limited to {LIMIT}")
trials = {(way, runs): Trial(way, number, runs) for runs, number in ((1, models), (RUNS, RUNS)) for way in WAYS}
table(["", "runs at once", "models", "credential calls", "others", "throttled", "failed", "last done"], [trial.row for trial in trials.values()])
goals = Goals(options.strict)
for (way, runs), trial in trials.items():
    if trial.failures:
        print(f"  {way}: {[text[-300:] for text in trial.herd.outputs][-1]}")
    if way != "method: iam":
        goals.hard(f"{way}, {runs} at once: one call, none fails", trial.calls == 1 and not trial.failures)
goals.exit()
