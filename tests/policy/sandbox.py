"""The sandbox's IAM speaks the protocol that botocore reads: every call is made once, and what comes back is what went in."""
import json
import os
import subprocess

import boto3
from botocore.exceptions import ClientError

iam = boto3.client("iam")
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Allow",
        "Action": "redshift:GetClusterCredentials",
        "Resource": ["arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/${aws:username}",
                     "arn:aws:redshift:us-east-1:111122223333:dbname:analytics/dev"],
    }],
}


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected")


arn = iam.create_policy(PolicyName="p", Path="/x/", PolicyDocument=json.dumps(DOCUMENT), Tags=[{"Key": "k", "Value": "a b"}])["Policy"]["Arn"]
assert arn == "arn:aws:iam::111122223333:policy/x/p", arn
refused("EntityAlreadyExists", iam.create_policy, PolicyName="P", PolicyDocument=json.dumps(DOCUMENT))
refused("MalformedPolicyDocument", iam.create_policy, PolicyName="q", PolicyDocument="{}")
refused("LimitExceeded", iam.create_policy, PolicyName="q", PolicyDocument=json.dumps({**DOCUMENT, "Id": "x" * 6200}))
policy = iam.get_policy(PolicyArn=arn)["Policy"]
assert policy["Tags"] == [{"Key": "k", "Value": "a b"}] and policy["DefaultVersionId"] == "v1" and policy["CreateDate"].year >= 2024
assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == DOCUMENT
for _ in range(4):
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(DOCUMENT), SetAsDefault=True)
refused("LimitExceeded", iam.create_policy_version, PolicyArn=arn, PolicyDocument=json.dumps(DOCUMENT))
refused("DeleteConflict", iam.delete_policy_version, PolicyArn=arn, VersionId="v5")
refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
assert [it["VersionId"] for it in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v5", "v4", "v3", "v2", "v1"]
iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
assert [it["PolicyName"] for it in iam.list_policies(Scope="Local", PathPrefix="/x/")["Policies"]] == ["p"]
iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "j", "Value": ""}])
iam.untag_policy(PolicyArn=arn, TagKeys=["k"])
assert iam.get_policy(PolicyArn=arn)["Policy"]["Tags"] == [{"Key": "j", "Value": ""}]

group = iam.create_group(GroupName="g", Path="/x/")["Group"]
assert group["Arn"] == "arn:aws:iam::111122223333:group/x/g" and group["GroupId"].startswith("AGPA") and len(group["GroupId"]) == 21
iam.add_user_to_group(GroupName="g", UserName="intern")
iam.attach_group_policy(GroupName="g", PolicyArn=arn)
assert [it["UserName"] for it in iam.get_group(GroupName="g")["Users"]] == ["intern"]
assert [it["GroupName"] for it in iam.list_groups_for_user(UserName="intern")["Groups"]] == ["g"]
assert iam.list_attached_group_policies(GroupName="g")["AttachedPolicies"] == [{"PolicyName": "p", "PolicyArn": arn}]
assert [it["GroupName"] for it in iam.list_entities_for_policy(PolicyArn=arn)["PolicyGroups"]] == ["g"]
pages = list(iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2}))
assert len(pages) > 3 and all(sum(len(page[it]) for it in page if isinstance(page[it], list)) <= 2 for page in pages)
told = {it: [entry for page in pages for entry in page[it]] for it in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")}
intern = next(it for it in told["UserDetailList"] if it["UserName"] == "intern")
assert intern["GroupList"] == ["g"] and intern["UserPolicyList"][0]["PolicyDocument"]["Version"] == "2012-10-17"
assert told["GroupDetailList"][0]["AttachedManagedPolicies"] == [{"PolicyName": "p", "PolicyArn": arn}]
assert {it["RoleName"] for it in told["RoleDetailList"]} >= {"DataEngineer", "Guarded"} and told["RoleDetailList"][0]["RolePolicyList"]
versions = {it["VersionId"]: it for it in told["Policies"][0]["PolicyVersionList"]}
assert versions["v2"]["IsDefaultVersion"] and not versions["v5"]["IsDefaultVersion"] and versions["v2"]["Document"] == DOCUMENT
only = iam.get_account_authorization_details(Filter=["Group"])
assert only["GroupDetailList"] and not only["UserDetailList"] and not only["Policies"] and not only["IsTruncated"]
refused("DeleteConflict", iam.delete_group, GroupName="g")
refused("NoSuchEntity", iam.add_user_to_group, GroupName="g", UserName="nobody")
refused("NoSuchEntity", iam.get_policy, PolicyArn=arn + "x")

user = iam.get_user(UserName="intern")["User"]
assert user["UserId"].startswith("AIDA") and iam.get_user()["User"]["UserName"] == "security"
role = iam.get_role(RoleName="DataEngineer")["Role"]
assert role["RoleId"].startswith("AROA") and role["AssumeRolePolicyDocument"]["Version"] == "2012-10-17"
iam.put_user_policy(UserName="intern", PolicyName="own", PolicyDocument=json.dumps(DOCUMENT))
assert "own" in iam.list_user_policies(UserName="intern")["PolicyNames"]
assert iam.get_user_policy(UserName="intern", PolicyName="own")["PolicyDocument"] == DOCUMENT
iam.delete_user_policy(UserName="intern", PolicyName="own")
iam.tag_user(UserName="intern", Tags=[{"Key": "RedshiftDbUser", "Value": "etl"}])
iam.attach_role_policy(RoleName="DataEngineer", PolicyArn=arn)
assert [it["RoleName"] for it in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == ["DataEngineer"]
iam.detach_role_policy(RoleName="DataEngineer", PolicyArn=arn)

entries = [{"ContextKeyName": "aws:username", "ContextKeyType": "string", "ContextKeyValues": ["intern"]}]
users = [f"arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/{name}" for name in ("intern", "alice")]
results = iam.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["redshift:GetClusterCredentials"], ResourceArns=users,
                                        ContextEntries=entries)["EvaluationResults"]
assert [it["EvalDecision"] for it in results] == ["implicitDeny"], results
results = results[0]["ResourceSpecificResults"]
assert [it["EvalResourceDecision"] for it in results] == ["allowed", "implicitDeny"], results
assert results[0]["MatchedStatements"][0]["SourcePolicyId"] == "p"
without = iam.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["redshift:GetClusterCredentials"], ResourceArns=users)
assert without["EvaluationResults"][0]["ResourceSpecificResults"][0]["MissingContextValues"] == ["aws:username"], without
iam.put_user_permissions_boundary(UserName="intern", PermissionsBoundary=arn)
iam.put_role_permissions_boundary(RoleName="DataEngineer", PermissionsBoundary=arn)
for bounded in (iam.get_user(UserName="intern")["User"], iam.get_role(RoleName="DataEngineer")["Role"],
                next(it for it in iam.get_account_authorization_details(Filter=["User"])["UserDetailList"] if it["UserName"] == "intern")):
    assert bounded["PermissionsBoundary"] == {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn}, bounded
assert iam.get_policy(PolicyArn=arn)["Policy"]["PermissionsBoundaryUsageCount"] == 2
simulated = iam.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["redshift:DescribeClusters"])["EvaluationResults"][0]
assert simulated["EvalDecision"] == "implicitDeny" and not simulated["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"], simulated
iam.delete_user_permissions_boundary(UserName="intern")
iam.delete_role_permissions_boundary(RoleName="DataEngineer")
assert "PermissionsBoundary" not in iam.get_user(UserName="intern")["User"]
refused("NoSuchEntity", iam.delete_user_permissions_boundary, UserName="intern")
refused("NoSuchEntity", iam.put_user_permissions_boundary, UserName="intern", PermissionsBoundary=arn + "x")
refused("InvalidInput", iam.simulate_principal_policy, PolicySourceArn="arn:aws:sts::111122223333:assumed-role/DataEngineer/x",
        ActionNames=["redshift:GetClusterCredentials"])
refused("SignatureDoesNotMatch", boto3.client("iam", region_name="eu-west-1").get_user)

# A name that is taken elsewhere: what others made is not touched.
iam.create_policy(PolicyName="taken", PolicyDocument=json.dumps(DOCUMENT))
command = [os.environ["SHIFTKEY"], "policy", "apply", "prod/analytics", "--name", "taken", "--apply"]
ran = subprocess.run(command, capture_output=True, text=True)
assert ran.returncode == 2 and "this one is taken by a policy that shiftkey did not make" in ran.stderr, ran
subprocess.run([os.environ["SHIFTKEY"], "policy", "apply", "--name", "taken", "--destroy", "--apply"], check=True, capture_output=True)
assert [it["PolicyName"] for it in iam.list_policies(Scope="Local", PathPrefix="/")["Policies"]] == ["p", "taken"]
iam.delete_policy(PolicyArn="arn:aws:iam::111122223333:policy/taken")

iam.create_user(UserName="new")
assert "new" in [it["UserName"] for it in iam.list_users()["Users"]] and [it["GroupName"] for it in iam.list_groups()["Groups"]] == ["g"]
iam.delete_user(UserName="new")
iam.remove_user_from_group(GroupName="g", UserName="intern")
refused("NoSuchEntity", iam.remove_user_from_group, GroupName="g", UserName="intern")
iam.detach_group_policy(GroupName="g", PolicyArn=arn)
iam.delete_group(GroupName="g")
for number in (1, 3, 4, 5):
    iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
iam.delete_policy(PolicyArn=arn)
refused("NoSuchEntity", iam.get_policy, PolicyArn=arn)
print("every call is read by botocore")
