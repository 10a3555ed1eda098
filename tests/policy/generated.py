"""Every intent's policy: no finding by parliament and policy_sentry, and the same policy in all three languages."""
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile

import cfnlint.api
import hcl2
import parliament
from policy_sentry.querying.actions import get_action_data
from policy_sentry.util.arns import ARN

# parliament's table of actions is older than policy_sentry's, which is of 2026: that DescribeClusters takes the ARN of a cluster
# is not in it yet.
for service in parliament.iam_definition:
    if service["prefix"] == "redshift":
        for privilege in service["privileges"]:
            rows = [row for row in get_action_data("redshift", privilege["privilege"]).get("redshift", [])] if privilege["privilege"] == "DescribeClusters" else []
            if any(row["resource_arn_format"].endswith(":cluster:${ClusterName}") for row in rows):
                privilege["resource_types"] = [{"condition_keys": [], "dependent_actions": [], "resource_type": "cluster"}]

WHO = ["users", "role-id:AROAEXAMPLEEXAMPLE12", "tag:RedshiftDbUser", "db-user:reporting", "mapped"]
PLACES = [
    ("aws", ["cluster:analytics@us-east-1"]),
    ("aws", ["cluster:analytics@us-east-1", "cluster:finance@eu-west-1"]),
    ("aws-cn", ["cluster:analytics@cn-north-1"]),
    ("aws-us-gov", ["cluster:analytics@us-gov-west-1"]),
]
OPTIONS = [
    [],
    ["--db-group", "analysts", "--db-group", "engineers", "--auto-create"],
    ["--mfa", "--longest", "15m"],
    ["-d", "dev", "-d", "sales", "--longest", "47m", "--mfa", "--auto-create", "--db-group", "analysts"],
]


def run(*args):
    ran = subprocess.run([os.environ["SHIFTKEY"], "policy", *args], capture_output=True, text=True)
    assert ran.returncode == 0, (args, ran.stderr)
    return ran.stdout


def judge(text):
    findings = parliament.analyze_policy_string(text).findings
    assert not findings, (text, [str(finding) for finding in findings])
    for statement in json.loads(text)["Statement"]:
        for action, resource in itertools.product(statement["Action"], statement["Resource"]):
            service, name = action.split(":")
            rows = get_action_data(service, name)[service]
            kinds = [row for row in rows if row["resource_arn_format"] != "*"]
            fitting = [row for row in kinds if ARN(resource).same_resource_type(row["resource_arn_format"])] if kinds else rows
            assert fitting, (action, resource, [row["resource_arn_format"] for row in rows])
            known = {key for row in rows for key in row["condition_keys"]}
            for keys in statement.get("Condition", {}).values():
                for key in keys:
                    assert key.startswith("aws:") or key in known, (action, key, known)
        assert not any(resource == "*" for resource in statement["Resource"])


def same_in_every_language(arguments, policy):
    template = run(*arguments, "--format", "cloudformation")
    [resource] = json.loads(template)["Resources"].values()
    assert resource["Properties"]["PolicyDocument"] == policy
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(template)
        file.flush()
        mistakes = cfnlint.api.lint_file(__import__("pathlib").Path(file.name))
    assert not mistakes, mistakes
    parsed = hcl2.load(io.StringIO(run(*arguments, "--format", "terraform") + "\n"))
    found = json.dumps(parsed)
    assert "aws_iam_policy" in found and "redshift-login" in found, found
    text = run(*arguments, "--format", "terraform")
    body = text.split("<<-POLICY\n")[1].split("  POLICY\n")[0].replace("$${", "${")
    assert json.loads(body) == policy


count = 0
for who, (partition, places), options in itertools.product(WHO, PLACES, OPTIONS):
    if who == "mapped" and ("--db-group" in options or "--auto-create" in options):
        continue
    arguments = ["generate", *places, "--for", who, "--account", "111122223333", "--admin-user", "root", *options]
    text = run(*arguments)
    judge(text)
    policy = json.loads(text)
    for statement in policy["Statement"]:
        assert all(resource.startswith(f"arn:{partition}:") for resource in statement["Resource"])
    lint = subprocess.run([os.environ["SHIFTKEY"], "policy", "lint", "-", "--fail-on", "note", "--admin-user", "root", "--partition", partition],
                          input=text, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout
    if count % 8 == 0:
        same_in_every_language(arguments, policy)
    count += 1
assert count >= 60, count
print(f"{count} policies, no finding")

# The judges do find faults.
wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "redshift:GetClusterCredentials", "Resource": "arn:aws:s3:::x"}]}
assert parliament.analyze_policy_string(json.dumps(wide)).findings
sys.exit(0)
