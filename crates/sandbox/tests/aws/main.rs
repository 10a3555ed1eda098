//! The real AWS SDK against the pretend AWS.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may unwrap, and the SDK signs with the real time")]

mod bounds;
mod control;
mod domains;
mod faults;
mod sessions;

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_redshift::error::{ProvideErrorMetadata, SdkError};
use shiftkey_sandbox::clock::SandboxClock;
use shiftkey_sandbox::seed::{EXTERNAL_ID, MFA_CODE, PROD, STAGING};
use shiftkey_sandbox::world::{WarehouseId, WarehouseKind};
use shiftkey_sandbox::{RateLimit, Sandbox};

async fn sandbox() -> Sandbox {
    Sandbox::builder().start().await.unwrap()
}

async fn config(sandbox: &Sandbox, keys: Credentials) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(sandbox.endpoint_url())
        .region(Region::new("us-east-1"))
        .credentials_provider(keys)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .load()
        .await
}

async fn user(sandbox: &Sandbox, name: &str) -> SdkConfig {
    let environment = sandbox.environment_for(name).unwrap();
    let value = |key: &str| environment.iter().find(|(name, _)| name == key).unwrap().1.clone();
    config(sandbox, Credentials::new(value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), None, None, "test")).await
}

fn session(it: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::new(it.access_key_id(), it.secret_access_key(), Some(it.session_token().to_owned()), None, "test")
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.code().unwrap_or("no code")
}

#[tokio::test]
async fn a_cluster_credential_reaches_the_world() {
    let sandbox = sandbox().await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let ask = || redshift.get_cluster_credentials().cluster_identifier("analytics").db_user("alice").db_name("dev");
    let plain = ask().send().await.unwrap();
    assert_eq!(plain.db_user(), Some("IAM:alice"));
    let again = ask().auto_create(true).db_groups("analysts").duration_seconds(3600).send().await.unwrap();
    assert_eq!(again.db_user(), Some("IAMA:alice:analysts"));
    ask().send().await.unwrap();
    let id = WarehouseId { kind: WarehouseKind::Cluster, account: PROD.into(), region: "us-east-1".into(), name: "analytics".into() };
    let grants = sandbox.world().grants(&id, "IAM:alice");
    assert_eq!(grants.len(), 2, "an earlier credential stays valid");
    assert_eq!(Some(grants[0].password.as_str()), plain.db_password());
    assert_eq!(grants[0].expires_at.duration_since(grants[0].issued_at).unwrap(), Duration::from_secs(900));
    assert_eq!(sandbox.calls().count("GetClusterCredentials"), 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn refusals_carry_the_codes_of_aws() {
    let sandbox = sandbox().await;
    let cases = [
        ("intern", "analytics", "intern", 900, "AccessDenied"),
        ("alice", "analytics", "bob", 900, "AccessDenied"),
        ("alice", "analytics", "IAM:bob", 900, "AccessDenied"),
        ("security", "analytics", "IAM:bob", 900, "InvalidParameterValue"),
        ("security", "analytics", "PUBLIC", 900, "InvalidParameterValue"),
        ("alice", "analytics", "alice", 899, "InvalidParameterValue"),
        ("alice", "nowhere", "alice", 900, "ClusterNotFound"),
    ];
    for (who, cluster, db_user, seconds, expected) in cases {
        let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, who).await);
        let ask = redshift.get_cluster_credentials().cluster_identifier(cluster).db_user(db_user).duration_seconds(seconds);
        let error = ask.send().await.unwrap_err();
        assert_eq!(code(&error), expected, "{who} {cluster} {db_user} {seconds}");
        if db_user == "bob" {
            let arn = "redshift:GetClusterCredentials on resource: arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/bob";
            assert!(error.message().unwrap().contains(arn));
        }
    }
}

#[tokio::test]
async fn a_bad_signature_and_a_wrong_clock_are_refused() {
    let clock = SandboxClock::new();
    let sandbox = Sandbox::builder().clock(clock.clone()).start().await.unwrap();
    let environment = sandbox.environment();
    let key = &environment.iter().find(|(name, _)| name == "AWS_ACCESS_KEY_ID").unwrap().1;
    for (key, expected) in [(key.as_str(), "SignatureDoesNotMatch"), ("AKIANOBODY", "InvalidClientTokenId")] {
        let sts = aws_sdk_sts::Client::new(&config(&sandbox, Credentials::new(key, "wrong", None, None, "test")).await);
        assert_eq!(code(&sts.get_caller_identity().send().await.unwrap_err()), expected);
    }
    let alice = user(&sandbox, "alice").await;
    clock.advance(Duration::from_secs(600));
    let error = aws_sdk_sts::Client::new(&alice).get_caller_identity().send().await.unwrap_err();
    assert_eq!(code(&error), "SignatureDoesNotMatch");
}

#[tokio::test]
async fn roles_are_assumed_only_as_their_trust_policy_says() {
    let sandbox = sandbox().await;
    let sts = aws_sdk_sts::Client::new(&user(&sandbox, "alice").await);
    let assume = |role: &str| sts.assume_role().role_arn(format!("arn:aws:iam::{PROD}:role/{role}")).role_session_name("alice");
    let device = format!("arn:aws:iam::{PROD}:mfa/alice");
    let engineer = assume("DataEngineer").send().await.unwrap();
    for refused in [
        assume("Partner"),
        assume("Partner").external_id("other"),
        assume("Guarded"),
        assume("Guarded").serial_number(&device).token_code("000000"),
        assume("Nobody"),
    ] {
        assert_eq!(code(&refused.send().await.unwrap_err()), "AccessDenied");
    }
    assume("Partner").external_id(EXTERNAL_ID).send().await.unwrap();
    assume("Guarded").serial_number(&device).token_code(MFA_CODE).send().await.unwrap();

    let engineer = config(&sandbox, session(engineer.credentials().unwrap())).await;
    let me = aws_sdk_sts::Client::new(&engineer).get_caller_identity().send().await.unwrap();
    assert_eq!(me.arn().unwrap(), format!("arn:aws:sts::{PROD}:assumed-role/DataEngineer/alice"));
    let redshift = aws_sdk_redshift::Client::new(&engineer);
    let ask = |db_user: &str| redshift.get_cluster_credentials().cluster_identifier("analytics").db_user(db_user).db_name("dev");
    ask("alice").send().await.unwrap();
    assert_eq!(code(&ask("bob").send().await.unwrap_err()), "AccessDenied");
    let mapped = redshift.get_cluster_credentials_with_iam().cluster_identifier("analytics").db_name("dev").send().await.unwrap();
    assert_eq!(mapped.db_user(), Some("IAMR:DataEngineer"));
}

#[tokio::test]
async fn an_expired_session_is_named_as_such() {
    // The token's expiry is judged before the request's date, so the skew that this makes does not hide it.
    let clock = SandboxClock::frozen(SystemTime::now());
    let sandbox = Sandbox::builder().clock(clock.clone()).start().await.unwrap();
    let sts = aws_sdk_sts::Client::new(&user(&sandbox, "alice").await);
    let token = sts.get_session_token().duration_seconds(900).send().await.unwrap();
    clock.advance(Duration::from_secs(901));
    let session = config(&sandbox, session(token.credentials().unwrap())).await;
    let error = aws_sdk_sts::Client::new(&session).get_caller_identity().send().await.unwrap_err();
    assert_eq!(code(&error), "ExpiredToken");
}

#[tokio::test]
async fn serverless_issues_for_the_mapped_identity() {
    let sandbox = sandbox().await;
    let alice = aws_sdk_redshiftserverless::Client::new(&user(&sandbox, "alice").await);
    let before = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let got = alice.get_credentials().workgroup_name("adhoc").db_name("dev").duration_seconds(3600).send().await.unwrap();
    assert_eq!(got.db_user(), Some("IAM:alice"));
    assert!(got.expiration().unwrap().secs() >= before + 3600);
    let first = alice.list_workgroups().max_results(1).send().await.unwrap();
    assert_eq!(first.workgroups()[0].workgroup_name(), Some("adhoc"));
    let second = alice.list_workgroups().max_results(1).next_token(first.next_token().unwrap()).send().await.unwrap();
    assert_eq!((second.workgroups()[0].workgroup_name(), second.next_token()), (Some("reports"), None));
    assert_eq!(code(&alice.get_workgroup().workgroup_name("nowhere").send().await.unwrap_err()), "ResourceNotFoundException");
    let intern = aws_sdk_redshiftserverless::Client::new(&user(&sandbox, "intern").await);
    assert_eq!(code(&intern.get_credentials().workgroup_name("adhoc").send().await.unwrap_err()), "AccessDeniedException");
}

#[tokio::test]
async fn clusters_are_described_once_they_listen() {
    let sandbox = sandbox().await;
    let id = WarehouseId { kind: WarehouseKind::Cluster, account: PROD.into(), region: "us-east-1".into(), name: "finance".into() };
    sandbox.world().set_endpoint(&id, "localhost", 5439);
    let creating = WarehouseId { name: "analytics".into(), ..id };
    sandbox.world().update(&creating, |warehouse| warehouse.endpoint = None);
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let all = redshift.describe_clusters().send().await.unwrap();
    let names: Vec<_> = all.clusters().iter().filter_map(|it| it.cluster_identifier()).collect();
    assert_eq!(names, ["analytics", "finance"]);
    let endpoint = all.clusters()[1].endpoint().unwrap();
    assert_eq!((endpoint.address(), endpoint.port()), (Some("localhost"), Some(5439)));
    assert!(all.clusters()[0].endpoint().is_none());
    let error = redshift.describe_clusters().max_records(19).send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidParameterValue");
}

#[tokio::test]
async fn calls_beyond_the_rate_are_throttled_until_time_passes() {
    let clock = SandboxClock::frozen(SystemTime::now());
    let limit = RateLimit { per_second: 1.0, burst: 2.0 };
    let sandbox = Sandbox::builder().clock(clock.clone()).rate_limit(limit).start().await.unwrap();
    let sts = aws_sdk_sts::Client::new(&user(&sandbox, "alice").await);
    for _ in 0..2 {
        sts.get_caller_identity().send().await.unwrap();
    }
    let error = sts.get_caller_identity().send().await.unwrap_err();
    assert_eq!((code(&error), error.message()), ("Throttling", Some("Rate exceeded")));
    clock.advance(Duration::from_secs(1));
    sts.get_caller_identity().send().await.unwrap();
}

#[tokio::test]
async fn no_secret_is_printed_and_the_files_go_with_the_sandbox() {
    let sandbox = Sandbox::builder().nasty_passwords().start().await.unwrap();
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let got = redshift.get_cluster_credentials().cluster_identifier("analytics").db_user("alice").send().await.unwrap();
    let password = got.db_password().unwrap();
    assert!(password.ends_with(r#":@\% '"é"#));
    assert!(!format!("{sandbox:?}").contains(password));
    let environment = sandbox.environment();
    let file = &environment.iter().find(|(name, _)| name == "AWS_CONFIG_FILE").unwrap().1;
    assert!(std::path::Path::new(file).exists());
    sandbox.stop().await;
    assert!(!std::path::Path::new(file).exists());
}
