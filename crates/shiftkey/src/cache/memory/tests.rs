use std::{
    pin::pin,
    sync::atomic::AtomicUsize,
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::*;
use crate::{
    cache::tests::{start, wish},
    secret::Secret,
};

#[derive(Debug)]
struct Hand(Mutex<SystemTime>);

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(start())))
    }

    fn advance(&self, seconds: u64) {
        *lock(&self.0) += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *lock(&self.0)
    }
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<(Arc<Credential>, Origin)>> + Send>>;

/// An issuer that counts its calls and can be told to fail or to wait.
#[derive(Clone, Debug)]
struct Issuer {
    clock: Arc<Hand>,
    calls: Arc<AtomicUsize>,
    failure: Arc<Mutex<Option<ErrorKind>>>,
    gate: Option<Arc<Notify>>,
    lifetime: u64,
}

impl Issuer {
    fn new(clock: &Arc<Hand>) -> Self {
        Self { clock: Arc::clone(clock), calls: Arc::default(), failure: Arc::default(), gate: None, lifetime: 3600 }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn fail(&self, kind: Option<ErrorKind>) {
        *lock(&self.failure) = kind;
    }

    fn issue(&self) -> impl Fn() -> Answer + Send + Sync + 'static {
        let issuer = self.clone();
        move || {
            let issuer = issuer.clone();
            Box::pin(async move {
                let call = issuer.calls.fetch_add(1, Ordering::SeqCst) + 1;
                if let Some(gate) = &issuer.gate {
                    gate.notified().await;
                }
                if let Some(kind) = *lock(&issuer.failure) {
                    return Err(Error::new(kind, "no"));
                }
                let issued = issuer.clock.moment();
                let lifetime = Duration::from_secs(issuer.lifetime);
                let credential = Credential {
                    db_user: format!("IAM:user{call}"),
                    password: Secret::new("p".into()),
                    issued,
                    expires_at: issued.wall + lifetime,
                    lifetime,
                };
                Ok((Arc::new(credential), Origin::Aws))
            })
        }
    }
}

#[tokio::test]
async fn a_hundred_callers_cost_one_call() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = Arc::new(MemoryCache::new(clock));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (cache, issue) = (Arc::clone(&cache), issuer.issue());
        callers.spawn(async move { cache.get_or_issue(&wish("alice"), issue).await.unwrap().0.db_user.clone() });
    }
    let users = callers.join_all().await;
    assert!(users.iter().all(|user| user == "IAM:user1"));
    assert_eq!(issuer.calls(), 1);
    assert_eq!(cache.stats(), Stats { hits: 99, issued: 1 });
}

#[tokio::test]
async fn another_principal_never_shares() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(clock);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    let (bobs, origin) = cache.get_or_issue(&wish("bob"), issuer.issue()).await.unwrap();
    assert_eq!((bobs.db_user.as_str(), origin), ("IAM:user2", Origin::Aws));
}

#[tokio::test]
async fn an_old_credential_is_handed_out_while_one_caller_renews_it() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    clock.advance(3100);
    for _ in 0..10 {
        let (credential, origin) = cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
        assert_eq!((credential.db_user.as_str(), origin), ("IAM:user1", Origin::Memory));
    }
    tokio::task::yield_now().await;
    let (credential, _) = cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    assert_eq!(credential.db_user, "IAM:user2");
    assert_eq!(issuer.calls(), 2);
}

#[tokio::test]
async fn a_failed_renewal_never_discards_a_valid_credential() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    clock.advance(3100);
    issuer.fail(Some(ErrorKind::Throttled));
    for _ in 0..5 {
        assert!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap().1.is_cached());
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.calls(), 2, "a failed renewal is not repeated at once");
    clock.advance(6);
    issuer.fail(None);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap().0.db_user, "IAM:user3");
}

#[tokio::test]
async fn an_expired_credential_is_never_handed_out() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    clock.advance(3540);
    issuer.fail(Some(ErrorKind::Unreachable));
    assert_eq!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_denial_is_repeated_for_a_moment_and_a_throttle_is_not() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    issuer.fail(Some(ErrorKind::Denied));
    for _ in 0..50 {
        assert_eq!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(issuer.calls(), 1);
    clock.advance(6);
    issuer.fail(Some(ErrorKind::Throttled));
    assert!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.is_err());
    issuer.fail(None);
    assert!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.is_ok());
}

#[tokio::test]
async fn those_who_wait_share_a_failure() {
    let clock = Hand::new();
    let gate = Arc::new(Notify::new());
    let issuer = Issuer { gate: Some(Arc::clone(&gate)), ..Issuer::new(&clock) };
    issuer.fail(Some(ErrorKind::Throttled));
    let cache = Arc::new(MemoryCache::new(clock));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (cache, issue) = (Arc::clone(&cache), issuer.issue());
        callers.spawn(async move { cache.get_or_issue(&wish("alice"), issue).await.is_err() });
    }
    tokio::task::yield_now().await;
    gate.notify_one();
    assert!(callers.join_all().await.into_iter().all(|failed| failed));
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_at_any_poll_leaves_nothing_locked() {
    let clock = Hand::new();
    for polls in 0..4 {
        let issuer = Issuer { gate: Some(Arc::new(Notify::new())), ..Issuer::new(&clock) };
        let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
        {
            let key = wish("alice");
            let mut leader = pin!(cache.get_or_issue(&key, issuer.issue()));
            for _ in 0..polls {
                assert!(matches!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            }
        }
        let next = Issuer::new(&clock);
        assert!(cache.get_or_issue(&wish("alice"), next.issue()).await.is_ok(), "after {polls} polls");
        assert_eq!(next.calls(), 1);
    }
}

#[tokio::test]
async fn only_the_credential_that_was_refused_is_forgotten() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(clock);
    let (first, _) = cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    cache.invalidate(&wish("alice").key, &first);
    let (second, origin) = cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    assert!(!origin.is_cached() && second.db_user == "IAM:user2");
    cache.invalidate(&wish("alice").key, &first);
    assert!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap().1.is_cached(), "a newer one stays");
}

#[tokio::test]
async fn a_dead_credential_replaces_nothing_and_is_not_handed_out() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let first_dead = Issuer { lifetime: 5, ..Issuer::new(&clock) };
    let error = cache.get_or_issue(&wish("alice"), first_dead.issue()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    clock.advance(3100);
    let dead = Issuer { lifetime: 5, ..issuer.clone() };
    for _ in 0..3 {
        let (credential, origin) = cache.get_or_issue(&wish("alice"), dead.issue()).await.unwrap();
        assert_eq!((credential.db_user.as_str(), origin), ("IAM:user1", Origin::Memory));
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.calls(), 2, "the dead answer was asked for once");
}

#[tokio::test]
async fn a_credential_that_ends_on_its_way_is_obtained_anew() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let obtain = issuer.issue();
    let asleep = move || {
        let (obtained, clock) = (obtain(), Arc::clone(&clock));
        async move {
            let obtained = obtained.await?;
            if obtained.0.db_user == "IAM:user1" {
                clock.advance(3_550);
            }
            Ok(obtained)
        }
    };
    let (credential, origin) = cache.get_or_issue(&wish("alice"), asleep).await.unwrap();
    assert_eq!((credential.db_user.as_str(), origin, issuer.calls()), ("IAM:user2", Origin::Aws, 2));
}

/// The order that two threads can produce: the second looks before the first settles, and waits after it.
#[tokio::test]
async fn an_attempt_that_ends_between_looking_and_waiting_is_shared() {
    let clock = Hand::new();
    let issuer = Issuer::new(&clock);
    let cache = MemoryCache::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let entry = cache.entry(&wish("alice").key);
    let Look::Miss { attempts } = cache.look(&entry, Duration::ZERO, &issuer.issue()) else { panic!("nothing is there yet") };
    issuer.fail(Some(ErrorKind::Throttled));
    assert!(cache.get_or_issue(&wish("alice"), issuer.issue()).await.is_err());
    assert_eq!(cache.shared(&entry, attempts, Duration::ZERO).unwrap_err().kind(), ErrorKind::Throttled);
    issuer.fail(None);
    let (issued, _) = cache.get_or_issue(&wish("alice"), issuer.issue()).await.unwrap();
    assert_eq!(cache.shared(&entry, attempts, Duration::ZERO).unwrap(), Some(issued), "a credential outranks an older failure");
}
