//! Sessions on the sandbox's warehouses: the path from a target to an answered query, and how each refusal reads.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use shiftkey::{
    Config, Env, ErrorKind, Overrides, Shiftkey, Target,
    dial::{self, Options},
};
use shiftkey_audit::{Session, queries::WHOAMI};
use shiftkey_sandbox::Sandbox;

async fn world() -> (Sandbox, Env, Config, Shiftkey) {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let env = Env { vars: sandbox.environment().into_iter().collect(), ..Env::default() };
    let named = env.var("SHIFTKEY_CONFIG").map(std::path::PathBuf::from);
    let config = Config::load(&env, named.as_deref()).unwrap();
    let shiftkey = Shiftkey::builder().env(env.clone()).build();
    (sandbox, env, config, shiftkey)
}

fn target(config: &Config) -> Target {
    config.resolve("prod/analytics", &Overrides::default()).unwrap()
}

#[tokio::test]
async fn a_target_becomes_a_session_that_answers() {
    let (sandbox, env, config, shiftkey) = world().await;
    let options = Options { env, ..Options::default() };
    for cached in [false, true] {
        let mut session = Session::open(&shiftkey, &target(&config), &options).await.unwrap();
        assert_eq!(session.login().origin.is_cached(), cached);
        let rows = session.query(WHOAMI).await.unwrap();
        assert_eq!(rows[0][1].as_deref(), Some("dev"));
        assert!(session.login().credential.db_user.ends_with(rows[0][0].as_deref().unwrap().trim_start_matches("IAM:")));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_credential_that_the_warehouse_forgot_is_issued_anew_once() {
    let (sandbox, env, config, shiftkey) = world().await;
    let options = Options { env, ..Options::default() };
    let target = target(&config);
    let (first, _) = shiftkey.credential(&target).await.unwrap();
    // The warehouse's clock moves and ours does not: what we hold looks valid and is refused.
    sandbox.clock().advance(std::time::Duration::from_secs(2 * 3600));
    let mut session = Session::open(&shiftkey, &target, &options).await.unwrap();
    assert_ne!(session.login().credential, first);
    assert!(session.query(WHOAMI).await.is_ok());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_certificate_must_be_trusted_and_carry_the_name() {
    let (sandbox, env, config, shiftkey) = world().await;
    let options = Options { env, ..Options::default() };
    let login = shiftkey.login(&target(&config)).await.unwrap();
    let mut other_name = login.clone();
    other_name.server_name = Some("elsewhere.example.com".into());
    let mut other_anchors = login;
    other_anchors.ca_file = None;
    let error = dial::connect(&other_name, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.hint().unwrap().contains("server_name"));
    // A machine without any anchors of its own says so instead, which is the same kind.
    let error = dial::connect(&other_anchors, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_its_sqlstate_and_is_not_told() {
    let (sandbox, env, config, shiftkey) = world().await;
    let options = Options { env, ..Options::default() };
    let mut login = shiftkey.login(&target(&config)).await.unwrap();
    let mut credential = (*login.credential).clone();
    credential.password = shiftkey::Secret::new("canary-5d1f".into());
    login.credential = credential.into();
    let error = dial::connect(&login, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused);
    assert!(matches!(error.sqlstate(), Some("28000" | "28P01")));
    assert!(!format!("{error} {error:?}").contains("canary-5d1f"));
    sandbox.stop().await;
}
