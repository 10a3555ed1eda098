"""N processes at once on a cold cache: calls to AWS, failures, time until the last one is done; then other clients, fewer."""

import shutil

from bench import SHIFTKEY, Goals, arguments, aws_cli, heading, installed, table, venv
from crowd import LIMITED, Trial

FEW = 20  # processes of the other clients, which take half a second of processor time each
TARGETS = 10
# The sandbox's warehouses have the host localhost, which the driver takes for a custom domain; its vain call for that would count
# against it, and AWS's host names do not cause it.
CONNECT = """
from redshift_connector.redshift_property import RedshiftProperty
RedshiftProperty.set_is_cname = lambda self: self.put(key="is_cname", value=False)
import redshift_connector
connection = redshift_connector.connect(
    iam=True, cluster_identifier="analytics", database="dev", db_user="alice", region="us-east-1", ssl=True, sslmode="verify-ca"
)
cursor = connection.cursor()
cursor.execute("select current_user")
assert cursor.fetchone()[0] == "alice"
"""


def ours(number, keys):
    """`number` processes that want `keys` credentials: database users of two clusters of one account and region, so under one limit."""

    def command(place):
        key = place % keys
        return [SHIFTKEY, "creds", ["prod/analytics", "prod/finance"][key % 2], "--db-user", f"user{key}", "--json"]

    return lambda _: [command(place) for place in range(number)]


options = arguments(__doc__, "N", default=1000, least=20, limit=590)
number = options.number - options.number % TARGETS
aws, version = aws_cli()
python = venv("redshift_connector")
request = ["--cluster-identifier", "analytics", "--db-user", "alice", "--db-name", "dev"]


def cli(_):
    return [[aws, "redshift", "get-cluster-credentials", *request]] * FEW


def driver(world):
    return [["env", f"SSL_CERT_FILE={world.exports['SHIFTKEY_CA_FILE']}", python, "-c", CONNECT]] * FEW


heading("Processes started at once on a cold cache", version, "redshift_connector " + installed(python, "redshift_connector"))
one = Trial("shiftkey creds, 1 target", ours(number, 1))
ten = Trial(f"shiftkey creds, {TARGETS} targets", ours(number, TARGETS), LIMITED)
others = [Trial("true", lambda _: [[shutil.which("true")]] * number)]
for limit in (None, LIMITED):
    others.append(Trial("shiftkey creds, 1 target", ours(FEW, 1), limit))
    others.append(Trial("aws get-cluster-credentials", cli, limit))
    others.append(Trial("redshift_connector, iam=True", driver, limit))
table(Trial.columns, [trial.row for trial in [one, ten, *others]])
for trial in [one, ten, *others]:
    for reason, count in trial.herd.failed.most_common(2):
        print(f"  {trial.row[0]}, limit {trial.row[1]}: {count} x {reason}")

goals = Goals(options.strict)
for trial, keys in ((one, 1), (ten, TARGETS)):
    name = f"{trial.row[0]}, limit {trial.row[1]}"
    goals.hard(f"{name}: {number - trial.failures} of {number} processes succeed", trial.failures == 0)
    goals.hard(f"{name}: {trial.issued} credentials issued (goal: {keys})", trial.issued == keys)
    same = all(len(found) == 1 and None not in found for found in trial.passwords(lambda place: place % keys).values())
    goals.hard(f"{name}: all who wanted the same got the same credential", same)
    # Under a limit this depends on how late a busy machine lets the first ones start.
    goals.soft(f"{name}: {trial.calls} GetClusterCredentials calls, {trial.throttled} throttled (goal: {keys}, 0)", trial.calls == keys)
goals.exit()
