//! Credentials that are renewed ahead of the clients that need them, while they are in use: a client that connects every few
//! minutes never waits for AWS, and a proxy that nobody uses asks for nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use shiftkey::{Clock, Error, Shiftkey, Target};

/// For how long after its last session a target counts as in use. As long as a credential lives at the most, so that one that is
/// renewed ahead is not the last of a row that never ends.
const IN_USE: Duration = Duration::from_secs(3600);

/// The targets in use.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<BTreeMap<Key, (Target, SystemTime)>>);

/// What tells targets apart that clients may choose: label, database, database user.
type Key = (String, String, Option<String>);

impl Recent {
    /// A session was opened.
    pub(crate) fn used(&self, target: &Target, now: SystemTime) {
        let key = (target.label.clone(), target.database.clone(), target.db_user.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (target.clone(), now));
    }

    /// Those that still are, and forgets the others. A clock that was set back makes none older.
    fn in_use(&self, now: SystemTime) -> Vec<Target> {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|_, (_, used)| now.duration_since(*used).is_ok_and(|age| age < IN_USE) || *used > now);
        targets.values().map(|(target, _)| target.clone()).collect()
    }
}

/// Asks for the credential of each target in use, again and again. The cache knows whether one is due, and which process renews it.
/// What goes wrong is given to `failed`: there is time to do something about it before a client comes.
pub(crate) async fn keep(recent: &Recent, shiftkey: &Shiftkey, clock: &dyn Clock, every: Duration, failed: impl Fn(&Error)) {
    loop {
        tokio::time::sleep(every).await;
        for target in recent.in_use(clock.now()) {
            if let Err(error) = shiftkey.credential(&target).await {
                failed(&error);
                tracing::info!(%error, "a credential could not be kept ready");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shiftkey::{Config, Env, Overrides};

    use super::*;

    #[test]
    fn a_target_is_in_use_for_an_hour() {
        let config = Config::load(&Env::default(), None).unwrap();
        let named = |database: &str| {
            let overrides = Overrides { db_user: Some("x".into()), database: Some(database.into()), ..Overrides::default() };
            config.resolve("cluster:c@us-east-1", &overrides).unwrap()
        };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let recent = Recent::default();
        recent.used(&named("a"), at(10_000));
        recent.used(&named("b"), at(11_000));
        recent.used(&named("b"), at(12_000));
        for (now, expected) in [(5_000, 2), (13_599, 2), (13_600, 1), (15_599, 1), (15_600, 0)] {
            assert_eq!(recent.in_use(at(now)).len(), expected, "{now}");
        }
    }
}
