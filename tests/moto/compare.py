"""Ask moto the same things through boto3 and through shiftkey, and compare the answers."""

import datetime
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import boto3


def wait_for_server():
    for _ in range(300):
        try:
            urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/moto-api/", timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("moto_server does not answer")


def shiftkey(*arguments, status=0, profile=None):
    environment = dict(os.environ)
    if profile:
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.pop(key)
        environment["AWS_PROFILE"] = profile
    run = subprocess.run([os.environ["SHIFTKEY"], *arguments, "--json", "--no-input"], env=environment, capture_output=True, text=True)
    assert run.returncode == status, f"{arguments}: status {run.returncode}, expected {status}: {run.stderr}"
    return json.loads(run.stdout)


wait_for_server()
redshift, sts = boto3.client("redshift"), boto3.client("sts")
redshift.create_cluster(
    ClusterIdentifier="analytics", NodeType="ra3.large", MasterUsername="root", MasterUserPassword="Passw0rdPassw0rd", DBName="dev", Port=5439
)
endpoint = redshift.describe_clusters(ClusterIdentifier="analytics")["Clusters"][0]["Endpoint"]

theirs = redshift.get_cluster_credentials(DbUser="alice", DbName="dev", ClusterIdentifier="analytics", DurationSeconds=3600)
ours = shiftkey("creds", "cluster:analytics@us-east-1", "--db-user", "alice", "-d", "dev")
assert ours["db_user"] == theirs["DbUser"], (ours["db_user"], theirs["DbUser"])
assert ours["db_password"]
assert (ours["host"], ours["port"]) == (endpoint["Address"], endpoint["Port"]), "the endpoint is DescribeClusters'"
expiry = datetime.datetime.fromisoformat(ours["expiration"].replace("Z", "+00:00"))
assert abs((expiry - theirs["Expiration"]).total_seconds()) < 120, (expiry, theirs["Expiration"])
print("ok: creds, as GetClusterCredentials through boto3")

assert "analytics" in json.dumps(shiftkey("targets", "--discover"))
print("ok: targets --discover lists the cluster")

assert sts.get_caller_identity()["Arn"] in json.dumps(shiftkey("whoami"))
print("ok: whoami, as GetCallerIdentity through boto3")

role = json.dumps(shiftkey("whoami", profile="analyst"))
assert "assumed-role/analyst/alice" in role, role
print("ok: a profile that assumes a role")

assert "error" in shiftkey("creds", "cluster:nowhere@us-east-1", "--db-user", "alice", "-d", "dev", status=7)
print("ok: an unknown cluster is exit 7")
