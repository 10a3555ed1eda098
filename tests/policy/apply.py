"""`policy apply` on an IAM that we did not write; boto3 says what is there."""
import json
import os
import subprocess
import time

import boto3
from botocore.exceptions import BotoCoreError

iam = boto3.client("iam")
for _ in range(300):
    try:
        iam.list_users()
        break
    except BotoCoreError:
        time.sleep(0.1)  # the server is starting


def shiftkey(*args):
    ran = subprocess.run([os.environ["SHIFTKEY"], "policy", *args, "--no-cache"], capture_output=True, text=True)
    assert ran.returncode == 0, (args, ran.returncode, ran.stdout, ran.stderr)
    return ran.stdout + ran.stderr


def apply(*args):
    return shiftkey("apply", *args, "--apply")


for name in ("alice", "bob", "dave"):
    iam.create_user(UserName=name)
target = ["cluster:analytics@us-east-1", "--for", "users", "--account", "123456789012", "--admin-user", "root"]
wanted = json.loads(shiftkey("generate", *target))
assert "5 steps to do" in shiftkey("apply", *target, "--name", "team", "--member", "alice", "--member", "bob")
assert not iam.list_policies(Scope="Local")["Policies"], "a plan changes nothing"
assert "done: 5 steps" in apply(*target, "--name", "team", "--member", "alice", "--member", "bob")
assert "nothing to do" in apply(*target, "--name", "team", "--member", "alice", "--member", "bob")
arn = "arn:aws:iam::123456789012:policy/shiftkey/team/team"
assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == wanted
assert {it["UserName"] for it in iam.get_group(GroupName="team")["Users"]} == {"alice", "bob"}
assert [it["PolicyArn"] for it in iam.list_attached_group_policies(GroupName="team")["AttachedPolicies"]] == [arn]
assert "nothing was found" in shiftkey("lint", arn, "--admin-user", "root")

for n in range(7):
    assert "another document" in apply(*target, "-d", f"d{n}", "--name", "team", "--member", "alice", "--member", "bob")
assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) == 5

iam.add_user_to_group(GroupName="team", UserName="dave")
assert "others have put into it dave" in apply("--name", "team", "--destroy")
assert not iam.list_policies(Scope="Local")["Policies"]
assert {it["UserName"] for it in iam.get_group(GroupName="team")["Users"]} == {"dave"}

role = iam.create_role(RoleName="Engineer", AssumeRolePolicyDocument=json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}))["Role"]
text = shiftkey("generate", "cluster:analytics@us-east-1", "--for", "role:Engineer", "--account", "123456789012")
assert role["RoleId"] in text
apply("cluster:analytics@us-east-1", "--for", "role:Engineer", "--account", "123456789012", "--name", "engineers")
attached = iam.list_attached_role_policies(RoleName="Engineer")["AttachedPolicies"]
assert [it["PolicyName"] for it in attached] == ["engineers"]
assert "- policy engineers from role Engineer" in apply("--name", "engineers", "--destroy")
assert not iam.list_attached_role_policies(RoleName="Engineer")["AttachedPolicies"]
print("moto's IAM holds what was asked for, and nothing after it was removed")
