use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicUsize, Ordering},
};

use shiftkey::{Origin, Prompt, Target};
use shiftkey_sandbox::{clock::Offset, seed::MFA_CODE};

use super::*;

const ISSUE: &str = "GetClusterCredentials";

/// The target as the profile named here would ask for it.
fn through(world: &World, profile: &str, db_user: &str) -> Target {
    let overrides =
        Overrides { profile: Some(profile.into()), db_user: Some(db_user.into()), auto_create: Some(true), ..Overrides::default() };
    world.config.resolve("prod/analytics", &overrides).unwrap()
}

#[tokio::test]
async fn the_same_identity_in_two_processes_shares_and_asks_nobody_on_the_warm_path() {
    let world = World::new().await;
    let target = world.target("prod/analytics");
    assert_eq!(world.process(&[]).login(&target).await.unwrap().origin, Origin::Aws);
    let calls = world.sandbox.calls().list().len();
    for variables in [&[][..], &[("AWS_PROFILE", "alice"), ("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]] {
        let process = world.process(variables);
        assert_eq!(process.login(&target).await.unwrap().origin, Origin::File);
        assert_eq!(process.cached_login(&target).unwrap().credential.db_user, "IAM:alice");
    }
    assert_eq!(world.sandbox.calls().list().len(), calls, "neither STS nor Redshift was asked");
}

#[tokio::test]
async fn a_hundred_callers_of_one_process_make_each_call_once() {
    let world = World::new().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (shiftkey, target) = (world.shiftkey.clone(), world.target("prod/analytics"));
        callers.spawn(async move { shiftkey.login(&target).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.len(), 100);
    assert_eq!((world.calls(ISSUE), world.calls("DescribeClusters"), world.calls("GetCallerIdentity")), (1, 1, 1));
}

#[tokio::test]
async fn two_profiles_two_roles_and_two_sessions_of_a_role_never_share() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("config");
    let ready = fs::read_to_string(world.env.var("AWS_CONFIG_FILE").unwrap()).unwrap();
    let carol = ready.lines().skip_while(|line| *line != "[profile engineer]").take(5).collect::<Vec<_>>().join("\n");
    let carol = carol.replace("engineer]", "carol]").replace("role_session_name = alice", "role_session_name = carol");
    fs::write(&named, format!("{ready}\n{carol}\n")).unwrap();
    let variables = [("AWS_CONFIG_FILE", named.to_str().unwrap())];
    let mut passwords = Vec::new();
    for (profile, db_user) in [("alice", "alice"), ("security", "alice"), ("engineer", "alice"), ("partner", "alice"), ("carol", "carol")] {
        let target = through(&world, profile, db_user);
        let login = world.process(&variables).login(&target).await.unwrap();
        assert_eq!(login.origin, Origin::Aws, "{profile}");
        passwords.push(login.credential.password.expose().to_owned());
        assert_eq!(world.process(&variables).login(&target).await.unwrap().origin, Origin::File, "{profile}");
    }
    passwords.sort();
    passwords.dedup();
    assert_eq!((passwords.len(), world.calls(ISSUE)), (5, 5));
    let guess = [variables[0], ("AWS_ACCESS_KEY_ID", "AKIAALICE00000000000"), ("AWS_SECRET_ACCESS_KEY", "guessed")];
    let error = world.process(&guess).login(&world.target("prod/analytics")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoIdentity, "the right access key without its secret is nobody");
}

#[tokio::test]
async fn a_program_that_gives_keys_is_run_once_for_all_processes() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).display().to_string();
    let var = |name: &str| world.env.var(name).unwrap().to_owned();
    let keys = serde_json::json!({
        "Version": 1, "AccessKeyId": var("AWS_ACCESS_KEY_ID"), "SecretAccessKey": var("AWS_SECRET_ACCESS_KEY"),
    });
    fs::write(place("tool"), format!("#!/bin/sh\necho run >>{}\necho '{keys}'\n", place("runs"))).unwrap();
    fs::set_permissions(place("tool"), PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(place("config"), format!("[profile tool]\nregion = us-east-1\ncredential_process = {}\n", place("tool"))).unwrap();
    let config = place("config");
    let target = through(&world, "tool", "alice");
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (process, target) = (world.process(&[("AWS_CONFIG_FILE", config.as_str())]), target.clone());
        processes.spawn(async move { process.login(&target).await.unwrap().credential.password.expose().to_owned() });
    }
    let mut passwords = processes.join_all().await;
    passwords.dedup();
    assert_eq!(passwords.len(), 1);
    assert_eq!((world.calls(ISSUE), world.calls("GetCallerIdentity"), world.calls("DescribeClusters")), (1, 1, 1));
    assert_eq!(fs::read_to_string(place("runs")).unwrap().lines().count(), 1, "one browser tab, not twenty");
}

#[tokio::test]
async fn a_denial_is_asked_for_once_by_many() {
    let world = World::new().await;
    let target = through(&world, "intern", "intern");
    for _ in 0..10 {
        let error = world.process(&[]).credential(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint().unwrap().contains("dbuser:analytics/intern"), "{:?}", error.hint());
    }
    assert_eq!(world.calls(ISSUE), 1);
}

#[tokio::test]
async fn whatever_aws_answers_instead_is_tried_again() {
    for fault in ["500", "503", "drop", "truncate", "garbage", "throttle"] {
        let world = World::with(&[&format!("{ISSUE}:{fault}@1")]).await;
        let login = world.process(&[]).login(&world.target("prod/analytics")).await.unwrap();
        assert_eq!((login.origin, world.calls(ISSUE)), (Origin::Aws, 2), "{fault}");
    }
}

#[tokio::test]
async fn what_aws_keeps_answering_is_said() {
    for (fault, kind, words) in [
        ("garbage", ErrorKind::Unreachable, "portal"),
        ("503", ErrorKind::Unreachable, "try again"),
        // More than the deadline holds: not tried again at all.
        ("throttle,retry-after=60s", ErrorKind::Throttled, "slow down"),
    ] {
        let world = World::with(&[&format!("{ISSUE}:{fault}")]).await;
        let error = world.process(&[]).credential(&world.target("prod/analytics")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().unwrap().contains(words), "{fault}: {:?}", error.hint());
        assert_eq!(world.calls(ISSUE), if kind == ErrorKind::Throttled { 1 } else { 4 }, "{fault}");
    }
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_changes_nothing() {
    for offset in [Offset::Ahead(Duration::from_secs(3_600)), Offset::Behind(Duration::from_secs(3_600))] {
        let world = World::new().await;
        world.sandbox.clock().set_offset(offset);
        let target = world.target("prod/analytics");
        let login = world.process(&[]).login(&target).await.unwrap();
        let lifetime = login.credential.lifetime.as_secs();
        assert!((3_500..=3_600).contains(&lifetime), "{offset}: {lifetime}");
        world.connect(&login).await.unwrap();
        assert_eq!(world.process(&[]).login(&target).await.unwrap().origin, Origin::File);
    }
}

#[tokio::test]
async fn a_session_opens_though_the_credential_died_or_the_warehouse_moved() {
    let world = World::with(&["GetClusterCredentials:expire-early=0s@1"]).await;
    let target = world.target("prod/analytics");
    let options = dial::Options { env: world.env.clone(), ..dial::Options::default() };
    // Another process has put a dead credential into the cache.
    let dead = world.process(&[]).login(&target).await.unwrap();
    let process = world.process(&[]);
    let (_, login) = process.connect(&target, &options).await.unwrap();
    assert!(!login.credential.is_same(&dead.credential));
    let others = world.process(&[]).login(&target).await.unwrap();
    assert!(others.credential.is_same(&login.credential), "the others have the new one");
    assert_eq!(world.calls(ISSUE), 2);
    world.sandbox.move_endpoint(&warehouse(WarehouseKind::Cluster, "analytics")).await.unwrap();
    let (_, moved) = world.later(10).connect(&target, &options).await.unwrap();
    assert_ne!(moved.endpoint, login.endpoint);
    assert_eq!(world.later(20).endpoint(&target).await.unwrap(), moved.endpoint, "the others know where it went");
    assert_eq!((world.calls(ISSUE), world.calls("DescribeClusters")), (2, 2));
}

#[tokio::test]
async fn a_fresh_credential_that_is_refused_is_not_issued_for_ever() {
    let world = World::with(&["GetClusterCredentials:expire-early=0s"]).await;
    let options = dial::Options { env: world.env.clone(), ..dial::Options::default() };
    let error = world.process(&[]).connect(&world.target("prod/analytics"), &options).await.unwrap_err();
    assert_eq!((error.kind(), world.calls(ISSUE)), (ErrorKind::LoginRefused, 1), "what AWS just issued is not the cache's fault");
}

/// A person who takes note of every lock that is held while she is asked.
#[derive(Debug, Default)]
struct Person {
    dir: PathBuf,
    asked: AtomicUsize,
    held: AtomicUsize,
}

impl Prompt for Person {
    fn mfa_code(&self, _device: &str) -> Result<String, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let is_key = name.len() == 64 + ".lock".len() && name.ends_with(".lock");
            if is_key && fs::File::open(entry.path()).unwrap().try_lock().is_err() {
                self.held.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(MFA_CODE.to_owned())
    }
}

#[tokio::test]
async fn a_person_is_asked_once_and_while_no_key_is_locked() {
    let world = World::new().await;
    let target = through(&world, "mfa", "alice");
    let person = Arc::new(Person { dir: world.cache_dir(), ..Person::default() });
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let builder = Shiftkey::builder().env(world.env.clone()).cache_dir(world.cache_dir());
        let (process, target) = (builder.prompt(Arc::clone(&person) as _).build(), target.clone());
        processes.spawn(async move { process.credential(&target).await.unwrap() });
    }
    assert_eq!(processes.join_all().await.len(), 10);
    assert_eq!((person.asked.load(Ordering::SeqCst), person.held.load(Ordering::SeqCst)), (1, 0));
    assert_eq!((world.calls(ISSUE), world.calls("AssumeRole")), (1, 1));
    // The session is gone and the credential is old, but good: that is no reason to ask.
    for entry in fs::read_dir(world.cache_dir()).unwrap().flatten() {
        if entry.file_name().to_str().unwrap().starts_with("session-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let builder =
        Shiftkey::builder().env(world.env.clone()).cache_dir(world.cache_dir()).clock(Arc::new(Later(Duration::from_secs(3_100))));
    let process = builder.prompt(Arc::clone(&person) as _).build();
    assert_eq!(process.credential(&target).await.unwrap().1, Origin::File);
    assert_eq!(person.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_aws_said_is_told_when_there_is_no_time_for_another_attempt() {
    let world = World::with(&["GetClusterCredentials:throttle"]).await;
    let target = world.target("prod/analytics");
    // A pace so slow that the second place is beyond the deadline.
    let pace = shiftkey::Pace { per_second: 0.001, burst: 1.0 };
    let process = Shiftkey::builder().env(world.env.clone()).cache_dir(world.cache_dir()).pace(pace).build();
    let error = process.credential(&target).await.unwrap_err();
    assert_eq!((error.kind(), world.calls(ISSUE)), (ErrorKind::Throttled, 1));
    assert!(error.message().contains("Rate exceeded"), "{error}");
}
