//! The layer that the processes of one user share: one file per key, and one process per key that talks to AWS.
//!
//! Reading needs no lock, since files are replaced whole. Who finds nothing takes the key's lock, looks again, asks AWS and
//! writes. The kernel frees the lock of a process that dies; a waiter has a deadline. Nobody is asked anything (a code, a
//! password of a key chain) while a key's lock is held.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    CacheKey, Wish,
    entry::{Entry, Failure},
    jitter,
    schedule::{self, Verdict},
};
use crate::{
    clock::{Clock, Moment},
    credential::{Credential, Origin},
    error::{Error, Result},
    identity::Purpose,
    observe::Event,
    shared::{LOCK, PrivateDir, Store, Waited},
};

/// How long a denial is repeated without asking again, so that a loop cannot hammer AWS.
const DENIAL_LIFETIME: Duration = Duration::from_secs(5);

/// How long after a failed renewal nobody tries the next one: the present credential is good meanwhile.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// How long after its end an entry is kept for `cache list` to show that it was there.
const KEPT: Duration = Duration::from_secs(3600);

const CREDENTIAL: &str = ".cred";
const FAILURE: &str = ".fail";
const HITS: &str = ".hits";

/// Credentials on disk.
#[derive(Debug)]
pub(crate) struct FileCache {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

/// What is there, by a look alone.
#[derive(Debug)]
pub(crate) enum Peek {
    /// A denial, moments ago.
    Denied(Error),
    /// One that needs no thought.
    Fresh(Arc<Credential>),
    /// Nothing that may be handed out.
    Miss,
    /// One that is good, but old enough that somebody should renew it.
    RefreshDue(Arc<Credential>),
}

/// One line of `cache list`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// The key, as a hash.
    pub digest: String,
    /// The target's label.
    pub target: String,
    /// Who asked.
    pub who: String,
    /// AWS region.
    pub region: String,
    /// Cluster or workgroup.
    pub warehouse: String,
    /// Database.
    pub database: String,
    /// Database user.
    pub db_user: String,
    /// When it ends, by AWS's clock.
    pub expires_at: SystemTime,
    /// How much longer it is handed out.
    pub usable_for: Duration,
    /// In how long it is renewed, if somebody asks.
    pub refreshes_in: Duration,
    /// How many callers were answered without a call to AWS.
    pub hits: u64,
}

impl FileCache {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Looks, and changes nothing but the count of hits.
    pub(crate) fn peek(&self, wish: &Wish) -> Peek {
        let digest = wish.key.digest();
        let found = self.look(&digest, wish.min_remaining);
        if matches!(found, Peek::Fresh(_)) {
            self.store.count(&name(&digest, HITS));
        }
        found
    }

    /// The credential of `wish`: the one that is there, or the one that `issue` obtains, called by one process at a time.
    ///
    /// # Errors
    /// What `issue` answers, to every process that waited for it; or that a waiter's patience ended.
    pub(crate) async fn get_or_issue<F, Fut>(&self, wish: &Wish, issue: F) -> Result<(Arc<Credential>, Origin)>
    where
        F: Fn(Purpose) -> Fut,
        Fut: Future<Output = Result<Arc<Credential>>>,
    {
        let arrived = self.clock.now();
        let digest = wish.key.digest();
        let hit = |credential| {
            self.store.count(&name(&digest, HITS));
            Ok((credential, Origin::File))
        };
        match self.look(&digest, wish.min_remaining) {
            Peek::Fresh(credential) => return hit(credential),
            Peek::Denied(error) => return Err(error),
            Peek::RefreshDue(present) => {
                // Whoever gets the lock renews; everybody else goes on with what there is.
                let Some(_lock) = self.store.try_lock(&name(&digest, LOCK)) else { return hit(present) };
                // It may have been renewed since the look.
                let Peek::RefreshDue(present) = self.look(&digest, wish.min_remaining) else {
                    return self.look(&digest, wish.min_remaining).into_hit().map_or(hit(present), hit);
                };
                match self.issue(&digest, wish, &issue, Purpose::Renewal).await {
                    Ok(renewed) => return Ok((renewed, Origin::Aws)),
                    Err(error) => self.store.observer().event(&Event::RenewalFailed(error)),
                }
                // The attempt took its time. If that was the last of the present one, it is a miss.
                if judge(&present, self.clock.moment(), &digest, wish.min_remaining) != Verdict::Expired {
                    return hit(present);
                }
            }
            Peek::Miss => {}
        }
        let _lock: Waited = self.store.lock(&name(&digest, LOCK), &format!("issuing a credential for {}", wish.target)).await?;
        if let Some(credential) = self.look(&digest, wish.min_remaining).into_hit() {
            return hit(credential);
        }
        if let Some(error) = self.failed_while_waiting(&digest, arrived) {
            return Err(error);
        }
        let issued = self.issue(&digest, wish, &issue, Purpose::First).await?;
        Ok((issued, Origin::Aws))
    }

    /// Forgets `credential` if it is still the one of `key`; a newer one, perhaps of another process, stays.
    pub(crate) async fn invalidate(&self, key: &CacheKey, credential: &Credential) {
        let digest = key.digest();
        // Without the lock nothing is forgotten; the sign-in after this one tries again.
        let Ok(_lock) = self.store.lock(&name(&digest, LOCK), "issuing a credential").await else { return };
        let present: Option<Entry> = self.store.read(&name(&digest, CREDENTIAL));
        if present.is_some_and(|entry| entry.credential().is_same(credential)) {
            self.store.remove(&name(&digest, CREDENTIAL));
        }
    }

    /// Every credential that is kept, by target. No secret is among it.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let now = self.clock.moment();
        let digests = self.digests();
        let mut list: Vec<Listed> = digests.into_iter().filter_map(|digest| self.listed(digest, now)).collect();
        list.sort_by(|a, b| (&a.target, &a.db_user, &a.who).cmp(&(&b.target, &b.db_user, &b.who)));
        list
    }

    /// Forgets the credentials that `chosen` picks, and says how many there were.
    pub(crate) fn clear(&self, chosen: impl Fn(&Listed) -> bool) -> usize {
        let now = self.clock.moment();
        let digests = self.digests().into_iter();
        digests
            .filter(|digest| self.listed(digest.clone(), now).is_some_and(|listed| chosen(&listed)))
            .map(|digest| self.drop_key(&digest))
            .count()
    }

    /// Asks AWS under the key's lock, and keeps the answer, good or bad.
    async fn issue<F, Fut>(&self, digest: &str, wish: &Wish, issue: &F, purpose: Purpose) -> Result<Arc<Credential>>
    where
        F: Fn(Purpose) -> Fut,
        Fut: Future<Output = Result<Arc<Credential>>>,
    {
        let outcome = issue(purpose).await;
        let (present, failure) = (name(digest, CREDENTIAL), name(digest, FAILURE));
        match &outcome {
            Ok(credential) => {
                let hits = name(digest, HITS);
                let earlier = self.store.read::<Entry>(&present).map_or(0, |entry| entry.hits) + self.store.counted(&hits);
                self.store.write_lightly(&present, &Entry::new(wish, credential, earlier));
                self.store.remove(&hits);
                self.store.remove(&failure);
                self.prune(digest);
            }
            Err(error) => self.store.write_lightly(&failure, &Failure::new(error, purpose, self.clock.now())),
        }
        outcome
    }

    fn look(&self, digest: &str, min_remaining: Duration) -> Peek {
        let now = self.clock.moment();
        let entry: Option<Entry> = self.store.read(&name(digest, CREDENTIAL));
        if let Some(entry) = entry {
            let credential = Arc::new(entry.credential());
            match judge(&credential, now, digest, min_remaining) {
                Verdict::Fresh => return Peek::Fresh(credential),
                Verdict::RefreshAhead if self.failure_is_younger_than(RENEWAL_PAUSE, digest, now).is_some() => {
                    return Peek::Fresh(credential);
                }
                Verdict::RefreshAhead => return Peek::RefreshDue(credential),
                Verdict::Expired => {}
            }
        }
        match self.failure_is_younger_than(DENIAL_LIFETIME, digest, now) {
            Some(failure) if failure.is_denial() => Peek::Denied(failure.error()),
            _ => Peek::Miss,
        }
    }

    fn failure_is_younger_than(&self, limit: Duration, digest: &str, now: Moment) -> Option<Failure> {
        let failure: Failure = self.store.read(&name(digest, FAILURE))?;
        failure.age(now.wall).is_some_and(|age| age < limit).then_some(failure)
    }

    fn failed_while_waiting(&self, digest: &str, arrived: SystemTime) -> Option<Error> {
        let failure: Failure = self.store.read(&name(digest, FAILURE))?;
        // A renewal gives up at the first refusal, which is right for those who have a credential and for nobody else.
        let final_word = failure.is_denial() || !failure.is_of_renewal();
        let concerns_us = final_word && failure.ended_after(arrived) && failure.age(self.clock.now()).is_some();
        concerns_us.then(|| failure.error())
    }

    fn listed(&self, digest: String, now: Moment) -> Option<Listed> {
        let entry: Entry = self.store.read(&name(&digest, CREDENTIAL))?;
        let credential = entry.credential();
        let age = now.since(credential.issued).unwrap_or(credential.lifetime);
        Some(Listed {
            target: entry.target,
            who: entry.who,
            region: entry.region,
            warehouse: entry.warehouse,
            database: entry.database,
            db_user: entry.db_user,
            expires_at: credential.expires_at,
            usable_for: credential.left(now).saturating_sub(schedule::FLOOR),
            refreshes_in: schedule::refresh_at(credential.lifetime, jitter(&digest)).saturating_sub(age),
            hits: entry.hits + self.store.counted(&name(&digest, HITS)),
            digest,
        })
    }

    /// Removes what ended long ago, so that a directory does not grow with each short-lived identity.
    fn prune(&self, current: &str) {
        self.store.attempt(|dir| {
            dir.sweep(&name(current, CREDENTIAL));
            Ok(())
        });
        for digest in self.digests().into_iter().filter(|digest| digest != current) {
            let Some(entry) = self.store.read::<Entry>(&name(&digest, CREDENTIAL)) else { continue };
            let credential = entry.credential();
            // The time after reading: another process may have written it just now. What has no age is left to the sweep.
            let age = self.clock.moment().since(credential.issued);
            if age.is_some_and(|age| age > credential.lifetime + KEPT) {
                self.drop_key(&digest);
            }
        }
    }

    /// Removes a key's files, unless somebody is at work on it.
    fn drop_key(&self, digest: &str) {
        let Some(lock) = self.store.try_lock(&name(digest, LOCK)) else { return };
        for ending in [CREDENTIAL, FAILURE, HITS] {
            self.store.remove(&name(digest, ending));
        }
        if let Waited::Held(lock) = &lock {
            self.store.attempt(|dir| dir.remove_lock(&name(digest, LOCK), lock));
        }
    }

    fn digests(&self) -> Vec<String> {
        let names = self.store.attempt(PrivateDir::names).unwrap_or_default();
        names.iter().filter_map(|name| name.strip_suffix(CREDENTIAL)).map(str::to_owned).collect()
    }
}

impl Peek {
    fn into_hit(self) -> Option<Arc<Credential>> {
        match self {
            Self::Fresh(credential) | Self::RefreshDue(credential) => Some(credential),
            Self::Denied(_) | Self::Miss => None,
        }
    }
}

/// The schedule's verdict on a credential of the key with this digest.
pub(super) fn judge(credential: &Credential, now: Moment, digest: &str, min_remaining: Duration) -> Verdict {
    match now.since(credential.issued) {
        Some(age) => schedule::verdict(age, credential.lifetime, jitter(digest), min_remaining),
        // Neither clock can tell how old it is: the wall clock was set back and the machine restarted.
        None => Verdict::Expired,
    }
}

fn name(digest: &str, ending: &str) -> String {
    format!("{digest}{ending}")
}

#[cfg(test)]
mod tests;
