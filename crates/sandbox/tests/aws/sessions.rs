//! STS sessions: other accounts, tags and session policies.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::{PolicyDescriptorType, ProvidedContext, Tag};

use super::*;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

async fn alice(sandbox: &Sandbox) -> aws_sdk_sts::Client {
    aws_sdk_sts::Client::new(&user(sandbox, "alice").await)
}

fn assume(sts: &aws_sdk_sts::Client, account: &str, role: &str) -> AssumeRoleFluentBuilder {
    sts.assume_role().role_arn(format!("arn:aws:iam::{account}:role/{role}")).role_session_name("alice")
}

async fn as_session(sandbox: &Sandbox, request: AssumeRoleFluentBuilder) -> SdkConfig {
    let got = request.send().await.unwrap();
    config(sandbox, session(got.credentials().unwrap())).await
}

#[tokio::test]
async fn another_account_is_entered_by_a_role_that_trusts_the_caller() {
    let sandbox = sandbox().await;
    let sts = alice(&sandbox).await;
    let reader = as_session(&sandbox, assume(&sts, STAGING, "StagingReader")).await;
    let me = aws_sdk_sts::Client::new(&reader).get_caller_identity().send().await.unwrap();
    assert_eq!((me.account(), me.arn().unwrap().contains(":assumed-role/StagingReader/alice")), (Some(STAGING), true));
    let redshift = aws_sdk_redshift::Client::new(&reader);
    let listed = redshift.describe_clusters().send().await.unwrap();
    assert_eq!(listed.clusters().iter().filter_map(|it| it.cluster_identifier()).collect::<Vec<_>>(), ["analytics"], "staging's alone");
    redshift.get_cluster_credentials().cluster_identifier("analytics").db_user("alice").send().await.unwrap();
    let id = |account: &str| WarehouseId {
        kind: WarehouseKind::Cluster,
        account: account.into(),
        region: "us-east-1".into(),
        name: "analytics".into(),
    };
    let grants = |account| sandbox.world().grants(&id(account), "IAM:alice").len();
    assert_eq!((grants(STAGING), grants(PROD)), (1, 0), "the clusters have one name and are two");
    for who in ["stage", "security", "etl"] {
        let other = aws_sdk_sts::Client::new(&user(&sandbox, who).await);
        assert_eq!(code(&assume(&other, STAGING, "StagingReader").send().await.unwrap_err()), "AccessDenied", "{who}");
    }
}

#[tokio::test]
async fn a_session_policy_narrows_what_the_role_may() {
    let sandbox = sandbox().await;
    let sts = alice(&sandbox).await;
    let policy = |effect: &str, action: &str| {
        format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#)
    };
    for (policy, describe, words) in [
        (policy("Allow", "redshift:*"), true, ""),
        (policy("Allow", "sts:*"), false, "because no session policy allows the redshift:DescribeClusters action"),
        (policy("Deny", "redshift:*"), false, "with an explicit deny in a session policy"),
    ] {
        let narrowed = as_session(&sandbox, assume(&sts, PROD, "DataEngineer").policy(&policy)).await;
        let redshift = aws_sdk_redshift::Client::new(&narrowed);
        let answer = redshift.describe_clusters().send().await;
        assert_eq!(answer.is_ok(), describe, "{policy}");
        assert!(answer.err().is_none_or(|it| it.message().unwrap().ends_with(words)), "{policy}");
        let wider = redshift.get_cluster_credentials().cluster_identifier("analytics").db_user("bob").send().await;
        assert_eq!(code(&wider.unwrap_err()), "AccessDenied", "a session policy gives nothing: {policy}");
    }
    for malformed in ["{", "{}", &" ".repeat(2049)] {
        assert_eq!(code(&assume(&sts, PROD, "DataEngineer").policy(malformed).send().await.unwrap_err()), "MalformedPolicyDocument");
    }
}

#[tokio::test]
async fn session_tags_are_the_principals() {
    let sandbox = sandbox().await;
    let sts = alice(&sandbox).await;
    let by_tag = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"redshift:DescribeClusters","Resource":"*",
        "Condition":{"StringEquals":{"aws:PrincipalTag/team":"data"}}}}"#;
    for (value, allowed) in [("data", true), ("sales", false)] {
        let request = assume(&sts, PROD, "DataEngineer").tags(tag("Team", value)).policy(by_tag);
        let redshift = aws_sdk_redshift::Client::new(&as_session(&sandbox, request).await);
        assert_eq!(redshift.describe_clusters().send().await.is_ok(), allowed, "{value}");
    }
    let long = "x".repeat(257);
    for (tags, expected) in [
        (vec![tag("team", "*")], "ValidationError"),
        (vec![tag("team", &long)], "ValidationError"),
        (vec![tag("team", "a"), tag("TEAM", "b")], "InvalidParameterValue"),
    ] {
        let refused = assume(&sts, PROD, "DataEngineer").set_tags(Some(tags)).send().await.unwrap_err();
        assert_eq!(code(&refused), expected);
    }
    let untagged = assume(&sts, PROD, "Partner").external_id(EXTERNAL_ID);
    untagged.clone().send().await.unwrap();
    let refused = untagged.tags(tag("team", "data")).send().await.unwrap_err();
    assert!(refused.message().unwrap().contains("not authorized to perform: sts:TagSession"), "{refused:?}");
    // A session may go on to no role here, with tags or without.
    let engineer = aws_sdk_sts::Client::new(&as_session(&sandbox, assume(&sts, PROD, "DataEngineer")).await);
    assert_eq!(code(&assume(&engineer, PROD, "Partner").tags(tag("team", "data")).send().await.unwrap_err()), "AccessDenied");
}

#[tokio::test]
async fn what_is_not_played_is_refused_and_not_passed_over() {
    let sandbox = sandbox().await;
    let sts = alice(&sandbox).await;
    let ask = || assume(&sts, PROD, "DataEngineer");
    for request in [
        ask().policy_arns(PolicyDescriptorType::builder().arn("arn:aws:iam::aws:policy/ReadOnlyAccess").build()),
        ask().provided_contexts(ProvidedContext::builder().context_assertion("x").build()),
        ask().source_identity("alice"),
        ask().tags(tag("team", "data")).transitive_tag_keys("team"),
    ] {
        assert_eq!(code(&request.send().await.unwrap_err()), "NotImplemented");
    }
}

#[tokio::test]
async fn a_second_factor_is_proven_for_a_session_of_ones_own() {
    let sandbox = sandbox().await;
    let sts = alice(&sandbox).await;
    let device = |name: &str| format!("arn:aws:iam::{PROD}:mfa/{name}");
    let proven = sts.get_session_token().serial_number(device("alice")).token_code(MFA_CODE).send().await.unwrap();
    let proven = aws_sdk_sts::Client::new(&config(&sandbox, session(proven.credentials().unwrap())).await);
    assert_eq!(proven.get_caller_identity().send().await.unwrap().arn().unwrap(), format!("arn:aws:iam::{PROD}:user/alice"));
    assume(&proven, PROD, "Guarded").send().await.unwrap();
    let plain = sts.get_session_token().send().await.unwrap();
    let plain = aws_sdk_sts::Client::new(&config(&sandbox, session(plain.credentials().unwrap())).await);
    assert_eq!(code(&assume(&plain, PROD, "Guarded").send().await.unwrap_err()), "AccessDenied");
    assert_eq!(code(&plain.get_session_token().send().await.unwrap_err()), "AccessDenied");
    for (name, digits) in [("alice", "000000"), ("etl", MFA_CODE)] {
        let refused = sts.get_session_token().serial_number(device(name)).token_code(digits).send().await.unwrap_err();
        assert_eq!(code(&refused), "AccessDenied", "{name} {digits}");
    }
}
