use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::*;
use crate::{
    cache::tests::{credential, key, start, wish},
    error::ErrorKind,
    observe::Observe,
    secret::Secret,
};

/// A clock of two hands that the test moves.
#[derive(Debug)]
struct Hands(Mutex<Moment>);

impl Clock for Hands {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap().wall
    }

    fn uptime(&self) -> Option<Duration> {
        self.0.lock().unwrap().uptime
    }
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Observe for Told {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// A directory, and what the processes that share it have in common.
struct Machine {
    root: tempfile::TempDir,
    clock: Arc<Hands>,
    told: Arc<Told>,
    calls: Arc<AtomicUsize>,
}

impl Machine {
    fn new() -> Self {
        // Finer than what a file keeps.
        let hands = Moment { wall: start() + Duration::from_nanos(123), uptime: Some(Duration::from_nanos(500_000_000_123)) };
        Self { root: tempfile::tempdir().unwrap(), clock: Arc::new(Hands(Mutex::new(hands))), told: Arc::default(), calls: Arc::default() }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    /// Another process: nothing but the directory is shared.
    fn process(&self) -> FileCache {
        self.process_in(self.dir())
    }

    fn process_in(&self, dir: PathBuf) -> FileCache {
        FileCache::new(Arc::new(Store::new(Some(dir), Arc::clone(&self.told) as _)), Arc::clone(&self.clock) as _)
    }

    fn pass(&self, seconds: u64) {
        let mut hands = self.clock.0.lock().unwrap();
        hands.wall += Duration::from_secs(seconds);
        hands.uptime = hands.uptime.map(|uptime| uptime + Duration::from_secs(seconds));
    }

    /// Sets the wall clock, as a person or NTP does.
    fn set_clock(&self, seconds: i64) {
        let mut hands = self.clock.0.lock().unwrap();
        let by = Duration::from_secs(seconds.unsigned_abs());
        hands.wall = if seconds < 0 { hands.wall - by } else { hands.wall + by };
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// AWS: the n-th call's password is `password-n`, good for an hour.
    fn aws(&self) -> impl Fn(Purpose) -> std::future::Ready<Result<Arc<Credential>>> + use<> {
        let (clock, calls) = (Arc::clone(&self.clock), Arc::clone(&self.calls));
        move |_| {
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            let issued = clock.moment();
            let secret = Secret::new(format!("password-{call}"));
            let expires_at = issued.wall + Duration::from_secs(3600);
            std::future::ready(Ok(Arc::new(Credential { password: secret, issued, expires_at, ..credential("") })))
        }
    }

    fn broken_aws(&self, kind: ErrorKind) -> impl Fn(Purpose) -> std::future::Ready<Result<Arc<Credential>>> + use<> {
        let calls = Arc::clone(&self.calls);
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err(Error::new(kind, "no").with_hint("ask")))
        }
    }

    async fn get(&self) -> (String, Origin) {
        let (credential, origin) = self.process().get_or_issue(&wish("alice"), self.aws()).await.unwrap();
        (credential.password.expose().to_owned(), origin)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dir().join(name(&key("alice").digest(), ending))
    }

    fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }
}

fn first() -> (String, Origin) {
    ("password-1".to_owned(), Origin::File)
}

#[tokio::test]
async fn one_process_asks_and_the_next_ones_find() {
    let machine = Machine::new();
    assert_eq!(machine.get().await, ("password-1".to_owned(), Origin::Aws));
    for _ in 0..5 {
        assert_eq!(machine.get().await, first());
    }
    assert!(matches!(machine.process().peek(&wish("alice")), Peek::Fresh(_)));
    assert_eq!(machine.calls(), 1);
    let other = machine.process().get_or_issue(&wish("bob"), machine.aws()).await.unwrap();
    assert_eq!(other.1, Origin::Aws, "another principal never shares");
}

#[tokio::test]
async fn fifty_processes_that_start_cold_make_one_call() {
    let machine = Machine::new();
    let open = Arc::new(Notify::new());
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (process, open) = (machine.process(), Arc::clone(&open));
        let aws = machine.aws();
        processes.spawn(async move {
            let slow = |purpose| {
                let answer = aws(purpose);
                let open = Arc::clone(&open);
                async move {
                    open.notified().await;
                    answer.await
                }
            };
            process.get_or_issue(&wish("alice"), slow).await.unwrap().0.password.expose().to_owned()
        });
    }
    tokio::task::yield_now().await;
    open.notify_one();
    let passwords = processes.join_all().await;
    assert!(passwords.iter().all(|password| password == "password-1"));
    assert_eq!(machine.calls(), 1);
}

#[tokio::test]
async fn in_the_window_one_process_renews_while_the_others_go_on() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_100);
    // One holds the lock and talks to AWS; whoever comes meanwhile gets what there is.
    let held = machine.process().store.try_lock(&name(&key("alice").digest(), LOCK)).unwrap();
    assert_eq!(machine.get().await, first());
    assert_eq!(machine.calls(), 1);
    drop(held);
    assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::Aws), "the next one renews");
    assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::File));
    assert_eq!(machine.calls(), 2);
}

#[tokio::test]
async fn a_failed_renewal_hands_out_the_present_credential_and_is_not_repeated_at_once() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_100);
    for _ in 0..10 {
        let broken = machine.broken_aws(ErrorKind::Throttled);
        let (credential, origin) = machine.process().get_or_issue(&wish("alice"), broken).await.unwrap();
        assert_eq!((credential.password.expose(), origin), ("password-1", Origin::File));
    }
    assert_eq!(machine.calls(), 2, "one attempt for all ten");
    assert!(machine.told()[0].contains("RenewalFailed"));
    machine.pass(31);
    assert_eq!(machine.get().await.0, "password-3", "after a pause it is tried again");
}

#[tokio::test]
async fn an_expired_credential_is_never_handed_out() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_540);
    let gone = machine.process().get_or_issue(&wish("alice"), machine.broken_aws(ErrorKind::Unreachable)).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Unreachable);
    machine.pass(1);
    assert_eq!(machine.get().await.0, "password-3");
}

#[tokio::test]
async fn who_needs_more_time_gets_a_new_one_for_everybody() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(1_500);
    let patient = Wish { min_remaining: Duration::from_secs(2_400), ..wish("alice") };
    assert_eq!(machine.process().get_or_issue(&patient, machine.aws()).await.unwrap().1, Origin::Aws);
    assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::File));
}

#[tokio::test]
async fn a_denial_is_remembered_for_a_few_seconds() {
    let machine = Machine::new();
    for _ in 0..10 {
        let denied = machine.process().get_or_issue(&wish("alice"), machine.broken_aws(ErrorKind::Denied)).await.unwrap_err();
        assert_eq!((denied.kind(), denied.hint()), (ErrorKind::Denied, Some("ask")));
    }
    assert_eq!(machine.calls(), 1);
    machine.pass(6);
    assert_eq!(machine.get().await.1, Origin::Aws, "somebody may have got the right meanwhile");
}

/// What a caller gets through whose wait for the lock an attempt failed as `kind`.
async fn waited_through(machine: &Machine, kind: ErrorKind, purpose: Purpose) -> Result<(Arc<Credential>, Origin)> {
    let digest = key("alice").digest();
    let held = machine.process().store.try_lock(&name(&digest, LOCK)).unwrap();
    let process = machine.process();
    let (aws, waiting) = (machine.aws(), wish("alice"));
    let waiter = tokio::spawn(async move { process.get_or_issue(&waiting, aws).await });
    tokio::task::yield_now().await;
    let failure = Failure::new(&Error::new(kind, "down"), purpose, machine.clock.now());
    machine.process().store.write(&name(&digest, FAILURE), &failure);
    drop(held);
    waiter.await.unwrap()
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_waited_for_it_alone() {
    let machine = Machine::new();
    let failed = waited_through(&machine, ErrorKind::Unreachable, Purpose::First).await;
    assert_eq!(failed.unwrap_err().message(), "down");
    assert_eq!(machine.calls(), 0);
    machine.pass(1);
    assert_eq!(machine.get().await.1, Origin::Aws, "who comes later tries anew");
}

#[tokio::test]
async fn a_failed_renewal_is_no_answer_to_those_who_have_nothing() {
    let machine = Machine::new();
    let (_, origin) = waited_through(&machine, ErrorKind::Throttled, Purpose::Renewal).await.unwrap();
    assert_eq!((origin, machine.calls()), (Origin::Aws, 1), "they try longer than a renewal does");
    let machine = Machine::new();
    let denied = waited_through(&machine, ErrorKind::Denied, Purpose::Renewal).await;
    assert_eq!((denied.unwrap_err().kind(), machine.calls()), (ErrorKind::Denied, 0), "a denial is one");
}

#[tokio::test]
async fn a_credential_that_ends_during_its_renewal_is_replaced() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_530);
    let aws = machine.aws();
    let slow = |purpose| {
        let answer = match purpose {
            Purpose::First | Purpose::Lookup => Some(aws(purpose)),
            Purpose::Renewal => None,
        };
        machine.pass(20);
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Err(Error::new(ErrorKind::Unreachable, "too late")),
            }
        }
    };
    let (credential, origin) = machine.process().get_or_issue(&wish("alice"), slow).await.unwrap();
    assert_eq!((credential.password.expose(), origin), ("password-2", Origin::Aws));
}

#[tokio::test]
async fn a_clock_that_is_set_makes_nothing_younger() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_000);
    machine.set_clock(-3_600);
    assert_eq!(machine.get().await.0, "password-2", "set back an hour: still old enough to be renewed");
    let machine = Machine::new();
    machine.get().await;
    machine.pass(3_590);
    machine.set_clock(-600);
    assert_eq!(machine.get().await.0, "password-2", "set back: expired all the same");
    let machine = Machine::new();
    machine.get().await;
    machine.set_clock(3_600);
    assert_eq!(machine.get().await.0, "password-2", "set ahead, or slept past the end: not trusted");
}

#[tokio::test]
async fn whatever_is_not_an_entry_is_a_miss_and_is_healed() {
    type Damage = fn(&PathBuf);
    let damages: [(&str, Damage); 7] = [
        ("empty", |path| fs::write(path, "").unwrap()),
        ("truncated", |path| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap()),
        ("trailing bytes of another writer", |path| fs::write(path, [fs::read(path).unwrap(), b"}}".to_vec()].concat()).unwrap()),
        ("a newer format", |path| fs::write(path, fs::read_to_string(path).unwrap().replacen("cache 1", "cache 9", 1)).unwrap()),
        ("readable by others", |path| fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap()),
        ("a symbolic link", |path| {
            fs::rename(path, path.with_extension("away")).unwrap();
            std::os::unix::fs::symlink(path.with_extension("away"), path).unwrap();
        }),
        ("a hard link", |path| fs::hard_link(path, path.with_extension("second")).unwrap()),
    ];
    for (sentence, damage) in damages {
        let machine = Machine::new();
        machine.get().await;
        damage(&machine.file(CREDENTIAL));
        assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::Aws), "{sentence} is a miss");
        assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::File), "{sentence} is healed");
        assert!(machine.told().is_empty(), "{sentence} is nothing that a user should hear of: {:?}", machine.told());
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_told_once_and_done_without() {
    let machine = Machine::new();
    fs::create_dir(machine.dir()).unwrap();
    fs::set_permissions(machine.dir(), PermissionsExt::from_mode(0o755)).unwrap();
    let process = machine.process();
    for call in 1..4 {
        let (credential, _) = process.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
        assert_eq!(credential.password.expose(), format!("password-{call}"));
    }
    assert_eq!(machine.told().len(), 1);
    assert!(machine.told()[0].contains("is open to other users (mode 755)"), "{:?}", machine.told());
    assert_eq!(fs::read_dir(machine.dir()).unwrap().count(), 0, "nothing was written there");
}

#[tokio::test]
async fn without_a_directory_nothing_is_shared_and_nothing_is_told() {
    let machine = Machine::new();
    let alone = FileCache::new(Arc::new(Store::new(None, Arc::clone(&machine.told) as _)), Arc::clone(&machine.clock) as _);
    alone.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
    alone.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
    assert_eq!((machine.calls(), machine.told().len()), (2, 0));
}

#[tokio::test]
async fn a_directory_removed_meanwhile_is_made_again() {
    let machine = Machine::new();
    let process = machine.process();
    process.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
    fs::remove_dir_all(machine.dir()).unwrap();
    process.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
    assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::File));
    assert!(machine.told().is_empty(), "{:?}", machine.told());
}

#[tokio::test]
async fn only_the_credential_that_was_refused_is_forgotten() {
    let machine = Machine::new();
    let process = machine.process();
    let (old, _) = process.get_or_issue(&wish("alice"), machine.aws()).await.unwrap();
    process.invalidate(&key("alice"), &old).await;
    assert_eq!(machine.get().await.1, Origin::Aws);
    process.invalidate(&key("alice"), &old).await;
    assert_eq!(machine.get().await, ("password-2".to_owned(), Origin::File), "the newer one stays");
}

#[tokio::test]
async fn the_list_tells_hits_and_times_and_no_secret() {
    let machine = Machine::new();
    machine.get().await;
    machine.get().await;
    machine.get().await;
    machine.pass(600);
    let list = machine.process().list();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].target.as_str(), list[0].who.as_str(), list[0].hits), ("prod/analytics", "alice", 2));
    assert_eq!(list[0].usable_for.as_secs().div_ceil(10), 294);
    let refresh = list[0].refreshes_in.as_secs();
    assert!((2_100..=2_460).contains(&refresh), "{refresh}");
    assert!(!format!("{list:?}").contains("password-1"));
    machine.pass(2_500);
    machine.get().await;
    assert_eq!(machine.process().list()[0].hits, 2, "a renewal keeps the count");
    assert_eq!(machine.process().clear(|listed| listed.target == "other"), 0);
    assert_eq!(machine.process().clear(|_| true), 1);
    assert!(machine.process().list().is_empty());
    assert_eq!(fs::read_dir(machine.dir()).unwrap().count(), 0, "not even the lock's file is left");
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_when_something_new_is_written() {
    let machine = Machine::new();
    machine.get().await;
    machine.pass(2 * 3_600 + 1);
    machine.process().get_or_issue(&wish("bob"), machine.aws()).await.unwrap();
    let left = fs::read_dir(machine.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let bob = key("bob").digest();
    assert!(left.into_iter().all(|name| name.starts_with(&bob)), "alice's files are gone");
}

#[tokio::test]
async fn what_another_process_writes_at_this_moment_is_not_taken_for_dead() {
    let machine = Machine::new();
    machine.pass(10);
    machine.get().await;
    // A process that read its clocks before alice's credential was written.
    {
        let mut hands = machine.clock.0.lock().unwrap();
        hands.wall -= Duration::from_secs(10);
        hands.uptime = hands.uptime.map(|uptime| uptime - Duration::from_secs(10));
    }
    machine.process().get_or_issue(&wish("bob"), machine.aws()).await.unwrap();
    machine.pass(10);
    assert_eq!(machine.get().await, first());
}
