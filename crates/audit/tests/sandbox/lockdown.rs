//! Lockdowns: in order, interrupted at every step, and surprised.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, path::Path};

use futures::FutureExt as _;
use shiftkey::{Clock, Result, Secret, SystemClock, Target, dial::Options};
use shiftkey_audit::{
    inventory,
    lockdown::{
        self, Lockdown, Progress, Stage,
        journal::{Event, Journal},
        plan::{Action, Choice, Wanted, plan},
        verify::{Verdict, verify},
    },
};
use shiftkey_sandbox::seed::analytics;

use crate::{World, engines};

const USERS: [&str; 5] = ["etl", "reporting", "one", "two", "we\"ird"];

struct Case<'a> {
    world: &'a World,
    target: Target,
    options: Options,
    journal: &'a Path,
}

impl<'a> Case<'a> {
    fn new(world: &'a World, journal: &'a Path) -> Self {
        let options = lockdown::options(&world.options.env);
        Self { world, target: world.target("prod/analytics", Some("awsuser")), options, journal }
    }

    fn lockdown(&self) -> Lockdown<'_> {
        Lockdown { shiftkey: &self.world.shiftkey, target: &self.target, options: &self.options, clock: &SystemClock, batch: 2 }
    }

    /// Writes the plan of all ordinary users down.
    async fn plan(&self, unproven: bool) {
        let mut session = self.world.session(&self.target).await;
        let wanted = Wanted {
            choice: Choice::AllExcept(BTreeSet::new()),
            inactive_since: None,
            include_superusers: false,
            lock_out_unproven: unproven,
            break_glass: None,
            gone: BTreeSet::new(),
            mapped: false,
        };
        let steps = plan(&inventory::read(&mut session, false, false).await.unwrap(), &wanted).unwrap().steps;
        let target = self.target.label.clone();
        Journal::open(self.journal).unwrap().record(SystemClock.now(), Event::Planned { target, steps }).unwrap();
    }

    /// Does what is left; panics at the step of this number, as if killed there: nothing more is written down or sent.
    async fn run(&self, until: usize) -> Result<()> {
        let mut session = self.world.session(&self.target).await;
        let mut journal = Journal::open(self.journal).unwrap();
        let mut steps = 0;
        let mut watch = |_: Progress<'_>| {
            steps += 1;
            assert!(steps != until, "killed");
        };
        self.lockdown().run(&mut session, &mut journal, &mut watch).await
    }

    async fn verdicts(&self) -> Vec<(String, Verdict)> {
        let mut session = self.world.session(&self.target).await;
        let seen = inventory::read(&mut session, false, false).await.unwrap();
        let journal = Journal::open(self.journal).unwrap();
        verify(journal.story(), &seen).into_iter().map(|it| (it.user, it.verdict)).collect()
    }
}

#[tokio::test]
async fn passwords_go_and_everybody_still_comes_in() {
    for engine in engines() {
        let world = World::start(engine).await;
        world.add(&USERS);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let case = Case::new(&world, &path);
        case.plan(true).await;
        case.run(0).await.unwrap();
        assert!(USERS.iter().all(|user| !world.has_password(user)) && world.has_password("awsuser"));
        assert_eq!(case.verdicts().await, ["etl", "one", "reporting", "two", "we\"ird"].map(|user| (user.to_owned(), Verdict::Refused)));
        let users = world.sandbox.world().warehouse(&analytics()).unwrap().users;
        assert!(!users.keys().any(|user| user.contains("canary")), "our own user is gone");
        // Each was signed in as before and after, by one credential.
        let log = world.sandbox.world().connection_log(&analytics());
        for user in ["etl", "one"] {
            let logins: Vec<_> = log.iter().filter(|it| it.user == format!("IAM:{user}") && it.event == "authenticated").collect();
            assert!(logins.len() == 2 && logins[0].guid == logins[1].guid, "{user}");
        }
        let mut session = world.session(&case.target).await;
        let seen = inventory::read(&mut session, false, false).await.unwrap();
        assert_eq!(seen.user("etl").unwrap().last_iam_login, None, "a proof is not the user's own sign-in");
        // The password that was right is refused, and an invented one proves nothing more.
        let lockdown = case.lockdown();
        let known = lockdown.try_known(session.login(), "etl", &Secret::new("Sandbox-Etl-1".into())).await.unwrap();
        assert_eq!(known.0, Verdict::Refused);
        let known = lockdown.try_known(session.login(), "awsuser", &Secret::new("Sandbox-Admin-1".into())).await.unwrap();
        assert_eq!(known.0, Verdict::Open);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("md5") && !text.contains("Sandbox-"), "{text}");
        world.sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_lockdown_that_is_killed_at_any_step_is_taken_up_again() {
    let stages = 4 * 5;
    for until in 1..=stages {
        let world = World::start(shiftkey_sandbox::engine::Engine::Embedded).await;
        world.add(&USERS);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let case = Case::new(&world, &path);
        case.plan(true).await;
        let killed = AssertUnwindSafe(case.run(until)).catch_unwind().await;
        // One user's proof is left out, since there is no way in to prove.
        assert_eq!(killed.is_err(), until < stages, "{until}");
        case.run(0).await.unwrap();
        assert!(USERS.iter().all(|user| !world.has_password(user)), "{until}");
        assert!(case.verdicts().await.iter().all(|(_, verdict)| *verdict == Verdict::Refused), "{until}");
        assert!(Journal::open(&path).unwrap().story().finished);
        let users = world.sandbox.world().warehouse(&analytics()).unwrap().users;
        assert!(!users.keys().any(|user| user.contains("canary")), "{until}");
        world.sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_canary_that_was_left_behind_is_dropped() {
    let world = World::start(shiftkey_sandbox::engine::Engine::Embedded).await;
    world.add(&["shiftkey_canary_0"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let case = Case::new(&world, &path);
    case.plan(false).await;
    Journal::open(&path).unwrap().record(SystemClock.now(), Event::CanaryBegun { user: "shiftkey_canary_0".into() }).unwrap();
    // It stands in the plan, since it was a user like others; so the run ends in a surprise, after it was dropped.
    assert!(case.run(0).await.is_err());
    assert!(world.sandbox.world().db_user(&analytics(), "shiftkey_canary_0").is_none());
    world.sandbox.stop().await;
}

#[tokio::test]
async fn a_surprise_stops_before_anybody_of_the_batch_is_touched() {
    let world = World::start(shiftkey_sandbox::engine::Engine::Embedded).await;
    world.add(&USERS);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let case = Case::new(&world, &path);
    case.plan(false).await;
    // The operator's own credential, then etl's and one's, then reporting's.
    world.sandbox.faults().add("GetClusterCredentials:deny@3".parse().unwrap());
    let error = case.run(0).await.unwrap_err();
    assert!(error.message().starts_with("reporting: ") && error.hint().unwrap().contains("--resume"), "{error}");
    assert!(!world.has_password("etl") && !world.has_password("one"), "the batch before is done");
    assert!(world.has_password("reporting") && world.has_password("two"));
    let journal = Journal::open(&path).unwrap();
    assert!(journal.story().stopped.as_ref().unwrap().starts_with("reporting: ") && journal.story().is_open());
    drop(journal);
    world.sandbox.faults().clear();
    // Another process, since this one remembers the denial for a moment.
    let world = World { shiftkey: World::library(&world.options.env), ..world };
    Case::new(&world, &path).run(0).await.unwrap();
    assert!(!world.has_password("two"));
    world.sandbox.stop().await;
}

/// A warehouse that says that it took the password away, and did not.
#[tokio::test]
async fn a_password_that_stays_stops_everything() {
    for engine in engines() {
        for (liar, starts, touched) in [
            // Seen on a user of our own, before anybody is touched.
            ("shiftkey_canary_*", "the trial with a user of our own: the warehouse still takes a password that was disabled", vec![]),
            // Of the second of a batch: the first is done, the next batch not begun.
            ("one", "one: the warehouse took the statement, and the catalog still shows a password", vec!["etl"]),
        ] {
            let world = World::start(engine.clone()).await;
            world.add(&["one", "two"]);
            let lie = |names: Vec<String>| world.sandbox.world().update(&analytics(), |it| it.keeps_passwords = names).unwrap();
            lie(vec![liar.to_owned()]);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let case = Case::new(&world, &path);
            case.plan(false).await;
            let error = case.run(0).await.unwrap_err();
            assert!(error.message().starts_with(starts), "{error}");
            let gone: Vec<&str> = ["etl", "one", "reporting", "two"].into_iter().filter(|user| !world.has_password(user)).collect();
            assert_eq!(gone, touched, "{liar}");
            let journal = Journal::open(&path).unwrap();
            assert!(journal.story().is_open() && journal.story().stopped.as_ref().unwrap().starts_with(starts));
            drop(journal);
            let users = world.sandbox.world().warehouse(&analytics()).unwrap().users;
            assert!(!users.keys().any(|user| user.contains("canary")), "our own user is gone");
            // Mended, it goes on.
            lie(Vec::new());
            case.run(0).await.unwrap();
            assert!(case.verdicts().await.iter().all(|(_, verdict)| *verdict == Verdict::Refused));
            world.sandbox.stop().await;
        }
    }
}

#[tokio::test]
async fn who_is_enabled_again_gets_in_by_password_and_the_journal_knows() {
    for engine in engines() {
        let world = World::start(engine).await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let case = Case::new(&world, &path);
        case.plan(false).await;
        case.run(0).await.unwrap();
        let mut session = world.session(&case.target).await;
        let mut journal = Journal::open(&path).unwrap();
        let password = case.lockdown().reenable(&mut session, &mut journal, "etl").await.unwrap();
        let known = case.lockdown().try_known(session.login(), "etl", &password).await.unwrap();
        assert_eq!(known.0, Verdict::Open);
        assert!(!journal.story().disabled.contains_key("etl") && !std::fs::read_to_string(&path).unwrap().contains(password.expose()));
        let stored = world.sandbox.world().db_user(&analytics(), "etl").unwrap().password.unwrap();
        assert!(stored.starts_with("md5") && stored.len() == 35, "the password itself is not sent");
        assert!(case.lockdown().reenable(&mut session, &mut journal, "nobody").await.is_err());
        world.sandbox.stop().await;
    }
}

/// What the configuration says now counts, not what it said when the plan was made.
#[tokio::test]
async fn the_break_glass_user_is_not_touched_by_an_old_plan_either() {
    let world = World::start(shiftkey_sandbox::engine::Engine::Embedded).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut case = Case::new(&world, &path);
    case.plan(false).await;
    case.target.break_glass = Some("reporting".into());
    assert!(case.run(0).await.unwrap_err().message().contains("break-glass"));
    assert!(world.has_password("reporting"));
    world.sandbox.stop().await;
}

#[tokio::test]
async fn superusers_get_a_password_that_nobody_knows() {
    let world = World::start(shiftkey_sandbox::engine::Engine::Embedded).await;
    world.sandbox.world().update(&analytics(), |it| it.users.get_mut("etl").unwrap().superuser = true);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let case = Case::new(&world, &path);
    let mut session = world.session(&case.target).await;
    let seen = inventory::read(&mut session, false, false).await.unwrap();
    let wanted = Wanted {
        choice: Choice::Users(["etl".to_owned()].into()),
        inactive_since: None,
        include_superusers: true,
        lock_out_unproven: false,
        break_glass: None,
        gone: BTreeSet::new(),
        mapped: false,
    };
    let steps = plan(&seen, &wanted).unwrap().steps;
    assert_eq!(steps[0].action, Action::Substitute);
    let mut journal = Journal::open(&path).unwrap();
    journal.record(SystemClock.now(), Event::Planned { target: case.target.label.clone(), steps }).unwrap();
    let mut stages = Vec::new();
    case.lockdown().run(&mut session, &mut journal, &mut |it: Progress<'_>| stages.push(it.stage)).await.unwrap();
    assert_eq!(stages, [Stage::Proven, Stage::Announced, Stage::Changed, Stage::Done]);
    let known = case.lockdown().try_known(session.login(), "etl", &Secret::new("Sandbox-Etl-1".into())).await.unwrap();
    assert_eq!(known.0, Verdict::Refused);
    drop(journal);
    assert_eq!(case.verdicts().await, [("etl".to_owned(), Verdict::Unproven)], "a superuser always has a password");
    world.sandbox.stop().await;
}
