//! What bounds the policies of users and roles: permissions boundaries and service control policies.

use serde_json::{Value, json};

use super::*;

fn document(effect: &str, actions: &Value, resource: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": { "Effect": effect, "Action": actions, "Resource": resource } })
}

fn everything() -> Value {
    json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } })
}

/// Issued, or the words of the refusal after who and what.
async fn asked(config: &SdkConfig, user: &str) -> Result<(), String> {
    let redshift = aws_sdk_redshift::Client::new(config);
    let got = redshift.get_cluster_credentials().cluster_identifier("analytics").db_user(user).send().await;
    got.map(drop).map_err(|error| {
        assert_eq!(code(&error), "AccessDenied");
        error.message().unwrap_or_default().split_once("GetClusterCredentials ").unwrap().1.to_owned()
    })
}

async fn engineer(sandbox: &Sandbox, policy: Option<&Value>) -> SdkConfig {
    let sts = aws_sdk_sts::Client::new(&user(sandbox, "alice").await);
    let request = sts.assume_role().role_arn(format!("arn:aws:iam::{PROD}:role/DataEngineer")).role_session_name("alice");
    let got = request.set_policy(policy.map(ToString::to_string)).send().await.unwrap();
    config(sandbox, session(got.credentials().unwrap())).await
}

#[tokio::test]
async fn all_that_bounds_a_caller_must_allow_and_none_may_deny() {
    let sandbox = sandbox().await;
    let issue = json!("redshift:GetClusterCredentials");
    let alice = "arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/alice";
    let free = everything();
    let (other, never) = (document("Allow", &json!("sts:*"), "*"), document("Deny", &issue, "*"));
    let both = json!({ "Version": "2012-10-17", "Statement": [free["Statement"], never["Statement"]] });
    let only = document("Allow", &issue, alice);
    let none = |what: &str| Err(format!("because no {what} allows the redshift:GetClusterCredentials action"));
    let deny = |what: &str| Err(format!("with an explicit deny in a {what}"));
    let on = |tail: Result<(), String>| tail.map_err(|it| format!("on resource: {alice} {it}"));
    for (sentence, organization, boundary, session, expected) in [
        ("nothing bounds", None, None, None, Ok(())),
        ("all allow", Some(&free), Some(&free), Some(&free), Ok(())),
        ("a boundary that allows this alone", None, Some(&only), None, Ok(())),
        ("a boundary that allows something else", None, Some(&other), None, on(none("permissions boundary"))),
        ("a boundary that denies", None, Some(&both), None, on(deny("permissions boundary"))),
        ("an organization that allows something else", Some(&other), None, None, none("service control policy")),
        ("an organization that denies", Some(&both), None, None, deny("service control policy")),
        ("a session policy that allows something else", None, Some(&free), Some(&other), on(none("session policy"))),
        ("within a boundary, beyond the session's policy", None, Some(&only), Some(&other), on(none("session policy"))),
        ("a deny is told before what is missing", Some(&other), Some(&both), None, on(deny("permissions boundary"))),
        ("the organization's before the boundary's", Some(&both), Some(&both), None, deny("service control policy")),
    ] {
        let role = engineer(&sandbox, session).await;
        sandbox.put_service_control_policy(PROD, organization);
        for whom in ["user/alice", "role/DataEngineer"] {
            sandbox.put_boundary(whom, boundary);
        }
        // The session is open already, and is decided by what is in force now.
        assert_eq!(asked(&role, "alice").await, expected, "{sentence}, of a role");
        if session.is_none() {
            assert_eq!(asked(&user(&sandbox, "alice").await, "alice").await, expected, "{sentence}, of a user");
        }
        sandbox.put_service_control_policy(PROD, None);
        sandbox.put_boundary("user/alice", None);
        sandbox.put_boundary("role/DataEngineer", None);
    }
}

#[tokio::test]
async fn what_bounds_allows_nothing_by_itself_and_bounds_its_own_account_only() {
    let sandbox = sandbox().await;
    sandbox.put_boundary("user/intern", Some(&everything()));
    sandbox.put_service_control_policy(PROD, Some(&everything()));
    let refused = asked(&user(&sandbox, "intern").await, "intern").await.unwrap_err();
    assert!(refused.contains("because no identity-based policy allows"), "{refused}");
    sandbox.put_service_control_policy(PROD, Some(&document("Deny", &json!("*"), "*")));
    assert!(asked(&user(&sandbox, "security").await, "etl").await.is_err(), "whoever administers the account, too");
    assert_eq!(asked(&user(&sandbox, "stage").await, "stage").await, Ok(()), "another account");
}
