//! The layer inside one process: single flight per key, renewal ahead of expiry, failures shared.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::task::AbortHandle;

use super::{
    CacheKey, Wish,
    file::judge,
    schedule::{FLOOR, Verdict},
};
use crate::{
    clock::{Clock, Moment},
    credential::{Credential, Origin},
    error::{Error, ErrorKind, Result},
};

/// How long a denial is repeated without asking again, so that a loop cannot hammer AWS; and how long after a renewal
/// that brought nothing newer the next one is tried.
const PAUSE: Duration = Duration::from_secs(5);

/// Credentials in memory. One caller per key talks to AWS while the others wait for its answer, good or bad.
#[derive(Debug)]
pub struct MemoryCache {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<CacheKey, Arc<Entry>>>,
    hits: AtomicU64,
    issued: AtomicU64,
}

/// What the cache did so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Answers that needed no call.
    pub hits: u64,
    /// Calls made, renewals included.
    pub issued: u64,
}

#[derive(Debug)]
struct Entry {
    /// Held by the one who issues; released when its future is dropped, so that the next waiter takes over.
    flight: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    digest: String,
}

#[derive(Debug, Default)]
struct State {
    credential: Option<Arc<Credential>>,
    /// Attempts that ended, well or not. Who waited through one shares its outcome.
    attempts: u64,
    failure: Option<(Error, SystemTime)>,
    renewal: Option<AbortHandle>,
    /// When the last renewal ended.
    renewed: Option<SystemTime>,
}

// === impl MemoryCache ===

impl MemoryCache {
    /// An empty cache.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default(), hits: AtomicU64::new(0), issued: AtomicU64::new(0) }
    }

    /// The credential of `wish`, and where it came from. `issue` is called by at most one caller of a key at a time.
    ///
    /// # Errors
    /// What `issue` answers, to everyone who waited for that call.
    pub async fn get_or_issue<F, Fut>(&self, wish: &Wish, issue: F) -> Result<(Arc<Credential>, Origin)>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(Arc<Credential>, Origin)>> + Send + 'static,
    {
        let entry = self.entry(&wish.key);
        let arrived = match self.look(&entry, wish.min_remaining, &issue) {
            Look::Hit(credential) => return Ok((credential, Origin::Memory)),
            Look::Denied(error) => return Err(error),
            Look::Miss { attempts } => attempts,
        };
        let _flight = entry.flight.lock().await;
        if let Some(credential) = self.shared(&entry, arrived, wish.min_remaining)? {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok((credential, Origin::Memory));
        }
        self.issued.fetch_add(1, Ordering::Relaxed);
        let mut outcome = issue().await;
        if outcome.as_ref().is_ok_and(|(credential, _)| self.is_overtaken(credential, &entry.digest)) {
            outcome = issue().await;
        }
        lock(&entry.state).settle(outcome, self.clock.moment(), &entry.digest)
    }

    /// Forgets `credential` if it is still the one of `key`; a newer one stays.
    pub fn invalidate(&self, key: &CacheKey, credential: &Credential) {
        let entry = self.entry(key);
        let mut state = lock(&entry.state);
        if state.credential.as_ref().is_some_and(|present| present.is_same(credential)) {
            state.credential = None;
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        Stats { hits: self.hits.load(Ordering::Relaxed), issued: self.issued.load(Ordering::Relaxed) }
    }

    /// Whether a credential was good when it was obtained and is not any more: the machine slept meanwhile, or its clock was
    /// set, or that was the credential's last moment.
    fn is_overtaken(&self, credential: &Credential, digest: &str) -> bool {
        credential.lifetime > FLOOR && judge(credential, self.clock.moment(), digest, Duration::ZERO) == Verdict::Expired
    }

    /// What the attempts after the `arrived`-th left for a caller that waited. A credential outranks a failure: the
    /// failure may be that of a later renewal.
    fn shared(&self, entry: &Entry, arrived: u64, min_remaining: Duration) -> Result<Option<Arc<Credential>>> {
        let state = lock(&entry.state);
        match (state.usable(self.clock.moment(), &entry.digest, min_remaining), &state.failure) {
            (Some(credential), _) => Ok(Some(credential)),
            (None, Some((error, _))) if state.attempts > arrived => Err(error.clone()),
            (None, _) => Ok(None),
        }
    }

    fn look<F, Fut>(&self, entry: &Arc<Entry>, min_remaining: Duration, issue: &F) -> Look
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(Arc<Credential>, Origin)>> + Send + 'static,
    {
        let now = self.clock.moment();
        let mut state = lock(&entry.state);
        if let Some(credential) = state.usable(now, &entry.digest, min_remaining) {
            if state.wants_renewal(now, &entry.digest) {
                self.issued.fetch_add(1, Ordering::Relaxed);
                let (entry, clock, renewed) = (Arc::clone(entry), Arc::clone(&self.clock), issue());
                let task = tokio::spawn(async move {
                    let outcome = renewed.await;
                    let mut state = lock(&entry.state);
                    state.renewed = Some(clock.now());
                    if let Err(error) = state.settle(outcome, clock.moment(), &entry.digest) {
                        tracing::debug!(%error, "a renewal failed; the present credential stays");
                    }
                });
                state.renewal = Some(task.abort_handle());
            }
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Look::Hit(credential);
        }
        match &state.failure {
            Some((error, at)) if error.kind() == ErrorKind::Denied && is_recent(now.wall, *at) => Look::Denied(error.clone()),
            // Counted under the same lock: an attempt that ends between looking and waiting is not missed.
            _ => Look::Miss { attempts: state.attempts },
        }
    }

    fn entry(&self, key: &CacheKey) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(key) {
            return Arc::clone(entry);
        }
        // Growth is bounded by what is alive: a new key sweeps out what nobody holds and nobody could use.
        let now = self.clock.moment();
        entries.retain(|_, entry| Arc::strong_count(entry) > 1 || lock(&entry.state).is_worth_keeping(now, &entry.digest));
        let entry = Arc::new(Entry { flight: tokio::sync::Mutex::default(), state: Mutex::default(), digest: key.digest() });
        entries.insert(key.clone(), Arc::clone(&entry));
        entry
    }
}

impl Drop for MemoryCache {
    fn drop(&mut self) {
        for entry in lock(&self.entries).values() {
            if let Some(renewal) = lock(&entry.state).renewal.take() {
                renewal.abort();
            }
        }
    }
}

enum Look {
    Hit(Arc<Credential>),
    Denied(Error),
    Miss { attempts: u64 },
}

// === impl State ===

impl State {
    fn usable(&self, now: Moment, digest: &str, min_remaining: Duration) -> Option<Arc<Credential>> {
        self.credential.clone().filter(|credential| judge(credential, now, digest, min_remaining) != Verdict::Expired)
    }

    fn wants_renewal(&self, now: Moment, digest: &str) -> bool {
        let verdict = self.credential.as_ref().map(|credential| judge(credential, now, digest, Duration::ZERO));
        let running = self.renewal.as_ref().is_some_and(|renewal| !renewal.is_finished());
        // A renewal that failed, or that left it to another process, is not tried again at once.
        let recent = self.renewed.is_some_and(|at| is_recent(now.wall, at));
        verdict == Some(Verdict::RefreshAhead) && !running && !recent
    }

    /// Takes an attempt's outcome in. Neither a failure nor a dead answer discards a credential that can be used.
    fn settle(&mut self, outcome: Result<(Arc<Credential>, Origin)>, now: Moment, digest: &str) -> Result<(Arc<Credential>, Origin)> {
        self.attempts += 1;
        let outcome = outcome.and_then(|(credential, origin)| match judge(&credential, now, digest, Duration::ZERO) {
            Verdict::Expired => Err(Error::new(ErrorKind::Unexpected, "AWS issued a credential that has already expired")
                .with_hint("is this machine's clock right?")),
            Verdict::Fresh | Verdict::RefreshAhead => Ok((credential, origin)),
        });
        match &outcome {
            Ok((credential, _)) => {
                self.credential = Some(Arc::clone(credential));
                self.failure = None;
            }
            Err(error) => self.failure = Some((error.clone(), now.wall)),
        }
        outcome
    }

    fn is_worth_keeping(&self, now: Moment, digest: &str) -> bool {
        let recent = self.failure.as_ref().is_some_and(|(_, at)| is_recent(now.wall, *at));
        recent || self.usable(now, digest, Duration::ZERO).is_some()
    }
}

fn is_recent(now: SystemTime, at: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|age| age < PAUSE)
}

/// A poisoned lock guards plain values that are whole at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
