use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    clock::SystemClock,
    env::Env,
    identity::Skew,
    observe::Log,
    shared::{Buckets, Pace, Store},
};

const CONFIG: &str = "
[default]
region = us-east-1
[profile alice]
aws_access_key_id = AKIAALICE
aws_secret_access_key = of-alice
[profile alice-again]
aws_access_key_id = AKIAALICE
aws_secret_access_key = of-alice
[profile alice-guessed]
aws_access_key_id = AKIAALICE
aws_secret_access_key = guessed
[profile bob]
aws_access_key_id = AKIABOB
aws_secret_access_key = of-bob
[profile engineer]
role_arn = arn:aws:iam::111122223333:role/Engineer
role_session_name = alice
source_profile = alice
[profile engineer-again]
role_arn = arn:aws:iam::111122223333:role/Engineer
role_session_name = alice
source_profile = alice-again
[profile engineer-as-carol]
role_arn = arn:aws:iam::111122223333:role/Engineer
role_session_name = carol
source_profile = alice
[profile analyst]
role_arn = arn:aws:iam::111122223333:role/Analyst
role_session_name = alice
source_profile = alice
[profile engineer-elsewhere]
role_arn = arn:aws:iam::444455556666:role/Engineer
role_session_name = alice
source_profile = alice
[profile unnamed]
role_arn = arn:aws:iam::111122223333:role/Engineer
source_profile = alice
[profile guarded]
role_arn = arn:aws:iam::111122223333:role/Engineer
role_session_name = alice
source_profile = alice
mfa_serial = arn:aws:iam::111122223333:mfa/alice
[profile pod]
role_arn = arn:aws:iam::111122223333:role/Pod
web_identity_token_file = /var/run/token
role_session_name = job
[profile sso]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = ReadOnly
[sso-session corp]
sso_start_url = https://corp.example.com
sso_region = us-east-1
[profile tool]
credential_process = vault-tool get prod
[profile tool-behind-a-role]
role_arn = arn:aws:iam::111122223333:role/Engineer
role_session_name = alice
source_profile = tool
[profile console]
login_session = arn:aws:iam::111122223333:user/alice
";

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config"), CONFIG).unwrap();
        Self { dir }
    }

    async fn source(&self, profile: Option<&str>, variables: &[(&str, &str)]) -> Source {
        let mut vars: BTreeMap<String, String> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        vars.insert("AWS_CONFIG_FILE".into(), self.dir.path().join("config").display().to_string());
        vars.insert("AWS_SHARED_CREDENTIALS_FILE".into(), "/nonexistent".into());
        let surroundings = surroundings(Env { vars, ..Env::default() });
        let scope = Scope { profile: profile.map(str::to_owned), ..Scope::default() };
        let profiles = Profiles::load(&surroundings.env, profile).await.unwrap();
        of(&surroundings, &scope, &profiles).unwrap()
    }

    async fn profile(&self, name: &str) -> Source {
        self.source(Some(name), &[]).await
    }
}

pub(crate) fn surroundings(env: Env) -> Arc<Surroundings> {
    let (store, clock) = (Arc::new(Store::new(None, Arc::new(Log))), Arc::new(SystemClock));
    let buckets = Arc::new(Buckets::new(Pace::default(), Arc::clone(&store), Arc::clone(&clock) as _));
    Arc::new(Surroundings { env, skew: Skew::new(Arc::clone(&clock) as _), clock, prompt: None, store, buckets })
}

#[tokio::test]
async fn no_two_principals_have_the_same_source() {
    let place = Place::new();
    let names = [
        "alice",
        "alice-guessed",
        "bob",
        "engineer",
        "engineer-as-carol",
        "analyst",
        "engineer-elsewhere",
        "unnamed",
        "guarded",
        "pod",
        "sso",
        "tool",
        "tool-behind-a-role",
        "console",
    ];
    let mut seen = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(place.profile(name).await.digest, name) {
            panic!("{name} and {other} would share");
        }
    }
}

#[tokio::test]
async fn one_principal_is_known_again_however_it_is_named() {
    let place = Place::new();
    let alice = place.profile("alice").await;
    assert_eq!(place.profile("alice-again").await.digest, alice.digest);
    assert_eq!(place.source(None, &[("AWS_PROFILE", "alice")]).await.digest, alice.digest);
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAALICE"), ("AWS_SECRET_ACCESS_KEY", "of-alice")];
    assert_eq!(place.source(None, &keys).await.digest, alice.digest);
    assert_eq!(place.profile("engineer-again").await.digest, place.profile("engineer").await.digest);
    let session = place.source(None, &[keys[0], keys[1], ("AWS_SESSION_TOKEN", "t")]).await;
    assert_ne!(session.digest, alice.digest, "a session may have fewer rights");
}

#[tokio::test]
async fn what_the_configuration_decides_needs_no_call() {
    let place = Place::new();
    for (profile, pinned, asks, nameless, account) in [
        ("alice", true, false, false, None),
        ("engineer", true, false, false, Some("111122223333")),
        ("engineer-elsewhere", true, false, false, Some("444455556666")),
        ("unnamed", true, false, true, Some("111122223333")),
        ("guarded", true, true, false, Some("111122223333")),
        ("pod", true, false, false, Some("111122223333")),
        ("sso", false, true, false, Some("111122223333")),
        ("tool", false, true, false, None),
        ("tool-behind-a-role", true, true, false, Some("111122223333")),
        ("console", true, true, false, Some("111122223333")),
    ] {
        let source = place.profile(profile).await;
        assert_eq!(
            (source.pinned, source.asks, source.nameless, source.account.as_deref()),
            (pinned, asks, nameless, account),
            "{profile}"
        );
    }
}

#[tokio::test]
async fn the_order_is_that_of_the_aws_chain() {
    let place = Place::new();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIABOB"), ("AWS_SECRET_ACCESS_KEY", "of-bob")];
    let described = |source: Source| source.description;
    assert_eq!(described(place.source(Some("alice"), &keys).await), "access key AKIAALICE", "a profile that was asked for");
    assert_eq!(described(place.source(None, &[keys[0], keys[1], ("AWS_PROFILE", "alice")]).await), "access key AKIABOB");
    let pod = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/Pod")];
    assert_eq!(described(place.source(None, &pod).await), "arn:aws:iam::111122223333:role/Pod");
    assert!(place.source(None, &pod).await.nameless);
    assert_eq!(described(place.source(None, &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c")]).await), "the container's role");
    let machine = place.source(None, &[]).await;
    assert_eq!((machine.description.as_str(), machine.pinned), ("the machine's role", false));
}

#[tokio::test]
async fn no_secret_can_be_read_off_a_source() {
    let source = Place::new().profile("alice").await;
    assert!(!format!("{source:?}").contains("of-alice"));
}
