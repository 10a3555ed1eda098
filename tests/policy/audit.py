"""An audit that reads an IAM which we did not write: a managed policy by way of a group, versions, roles, a boundary, AWS's own."""
import json
import os
import subprocess

import boto3

iam = boto3.client("iam", endpoint_url=os.environ["MOTO"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})
EVERYBODY = ["alice", "awsuser", "etl", "reporting", "stage"]


def policy(*names, sid="Any"):
    resources = [f"arn:aws:redshift:*:*:dbuser:analytics/{name}" for name in names]
    statement = {"Sid": sid, "Effect": "Allow", "Action": "redshift:GetClusterCredentials", "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def findings():
    audit = ["audit", "cluster:analytics@us-east-1", "--db-user", "awsuser", "-d", "dev", "--json", "--no-cache"]
    env = os.environ | {"AWS_ENDPOINT_URL_IAM": os.environ["MOTO"], "SHIFTKEY_RATE": "1000:1000"}
    ran = subprocess.run([os.environ["SHIFTKEY"], *audit], capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    global pathless
    pathless = {user["name"]: it["severity"] for user in told["users"] for it in user["findings"] if it["code"] == "no_iam_path"}
    found = {(it["severity"], it["code"], it["policy"]["policy"]): it["policy"] for it in told["findings"] if "policy" in it}
    return found, [it["what"] for it in told["unseen"]]


pathless = {}
before, unseen = findings()
assert unseen == [], unseen
assert pathless == dict.fromkeys(["awsuser", "etl", "reporting"], "medium"), pathless

wide = iam.create_policy(PolicyName="wide", PolicyDocument=policy("nobody"))["Policy"]["Arn"]
iam.create_policy_version(PolicyArn=wide, PolicyDocument=policy("re*"), SetAsDefault=True)
iam.create_policy_version(PolicyArn=wide, PolicyDocument=policy("*"), SetAsDefault=False)
iam.create_group(GroupName="wide-team")
iam.attach_group_policy(GroupName="wide-team", PolicyArn=wide)
found, _ = findings()
assert found == before and len(pathless) == 3, "a group without members lets nobody in"

iam.create_user(UserName="ann")
iam.add_user_to_group(GroupName="wide-team", UserName="ann")
bound = iam.create_policy(PolicyName="bound", PolicyDocument=policy("etl"))["Policy"]["Arn"]
iam.create_role(RoleName="bounded", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=bound)
iam.put_role_policy(RoleName="bounded", PolicyName="all", PolicyDocument=policy("*"))
iam.create_role(RoleName="loader", AssumeRolePolicyDocument=TRUST)
iam.put_role_policy(RoleName="loader", PolicyName="load", PolicyDocument=policy("etl", "aws*"))
iam.create_user(UserName="cat")
iam.attach_user_policy(UserName="cat", PolicyArn="arn:aws:iam::aws:policy/AmazonRedshiftFullAccess")
iam.create_user(UserName="erin")
iam.attach_user_policy(UserName="erin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
found, unseen = findings()
mine = {key: (it["statement"], it["holders"], it["reaches"]) for key, it in found.items() if key not in before}
assert mine == {
    ("medium", "policy_wider_than_users", "wide"): (1, ["user ann"], ["reporting"]),
    ("high", "policy_reaches_superuser", "load of role loader"): (1, ["role loader"], ["awsuser"]),
    ("high", "policy_reaches_anybody", "AmazonRedshiftFullAccess"): (1, ["user cat"], EVERYBODY),
    ("medium", "policy_joins_groups", "AmazonRedshiftFullAccess"): (1, ["user cat"], ["analysts", "engineers"]),
    ("medium", "policy_reaches_anybody", "AdministratorAccess"): (1, ["user erin"], EVERYBODY),
    ("medium", "policy_joins_groups", "AdministratorAccess"): (1, ["user erin"], ["analysts", "engineers"]),
}, mine
assert found["medium", "policy_wider_than_users", "wide"]["arn"] == wide and unseen == [], unseen
assert pathless == {}, "etl by the loader's policy and in the boundary, reporting by the group's"
iam.remove_user_from_group(GroupName="wide-team", UserName="ann")
assert findings() and pathless == {"reporting": "low"}, pathless
print("moto's IAM is read as it stands: versions, groups, roles and boundaries")
