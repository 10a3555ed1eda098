//! Hands out issued credentials, and sees to it that AWS is asked as seldom as can be.
//!
//! ```text
//! caller -> memory (this process) -> file (processes of this user) -> fleet (machines; not there yet) -> AWS
//! ```
//!
//! Each layer is the next one's issuer: a miss goes one layer down, by one caller, while the others wait for its answer.
//! What a caller may get is decided by [`CacheKey`], when by [`schedule`], how often AWS may be asked by
//! the token bucket of the shared state.

mod entry;
mod file;
mod memory;
pub mod schedule;

use std::time::Duration;

pub(crate) use self::file::{FileCache, Peek};
pub use self::{
    file::Listed,
    memory::{MemoryCache, Stats},
};
use crate::{issue::Request, shared::digest};

/// What decides whether two callers may share a credential. Holds no secret.
///
/// AWS partition and account are not parts of their own: a principal lives in one account of one partition, so `who`
/// decides both.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CacheKey {
    /// AWS region.
    pub region: String,
    /// Which AWS: the endpoints that were chosen in place of the public ones, or nothing.
    pub endpoints: String,
    /// Who asks: a hash that differs between principals.
    pub who: String,
    /// What is asked for.
    pub request: Request,
}

/// A wish for a credential: the key, and what does not divide callers.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Who asks for what.
    pub key: CacheKey,
    /// How long the credential must be good for at least.
    pub min_remaining: Duration,
    /// The target's label, for people.
    pub target: String,
    /// Who asks, for people.
    pub who: String,
}

impl CacheKey {
    /// A name for files and logs: 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let request = &self.request;
        let seconds = request.duration.as_secs().to_string();
        let mut parts = vec![
            "shiftkey-1",
            &self.region,
            &self.endpoints,
            &self.who,
            request.api.action(),
            &request.name,
            request.db_user.as_deref().unwrap_or_default(),
            &request.database,
            if request.auto_create { "create" } else { "" },
            &seconds,
        ];
        parts.extend(request.groups.iter().map(String::as_str));
        digest(&parts)
    }
}

/// A key's place in 0..1, by which the keys of a machine are spread over the time in which they are renewed. All
/// processes agree on it, so that they see the same moment.
pub(crate) fn jitter(digest: &str) -> f64 {
    let draw = digest.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default();
    f64::from(draw) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{clock::Moment, credential::Credential, issue::Api, secret::Secret};

    /// When the tests begin.
    pub(super) fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// An hour's credential, issued at the start.
    pub(super) fn credential(password: &str) -> Credential {
        Credential {
            db_user: "IAM:alice".into(),
            password: Secret::new(password.into()),
            issued: Moment { wall: start(), uptime: Some(Duration::from_secs(500)) },
            expires_at: start() + Duration::from_secs(3600),
            lifetime: Duration::from_secs(3600),
        }
    }

    pub(super) fn wish(who: &str) -> Wish {
        Wish { key: key(who), min_remaining: Duration::ZERO, target: "prod/analytics".into(), who: who.into() }
    }

    pub(super) fn key(who: &str) -> CacheKey {
        CacheKey {
            region: "us-east-1".into(),
            endpoints: String::new(),
            who: who.into(),
            request: Request {
                api: Api::Cluster,
                name: "analytics".into(),
                db_user: Some("alice".into()),
                database: "dev".into(),
                groups: vec!["a".into(), "b".into()],
                auto_create: false,
                duration: Duration::from_secs(3600),
            },
        }
    }

    #[test]
    fn keys_are_spread_evenly() {
        let jitters: Vec<f64> = (0..200).map(|n| jitter(&key(&n.to_string()).digest())).collect();
        let early = jitters.iter().filter(|jitter| **jitter < 0.5).count();
        assert!((70..130).contains(&early) && jitters.iter().all(|jitter| (0.0..=1.0).contains(jitter)), "{jitters:?}");
    }

    #[test]
    fn every_part_of_the_key_tells_callers_apart() {
        let base = key("alice");
        let changes: [fn(&mut CacheKey); 11] = [
            |key| key.region = "eu-west-1".into(),
            |key| key.endpoints = "http://x".into(),
            |key| key.who = "bob".into(),
            |key| key.request.api = Api::ClusterWithIam,
            |key| key.request.name = "finance".into(),
            |key| key.request.db_user = None,
            |key| key.request.database = "prod".into(),
            |key| key.request.groups = vec!["ab".into()],
            |key| key.request.groups.clear(),
            |key| key.request.auto_create = true,
            |key| key.request.duration = Duration::from_secs(900),
        ];
        let mut digests = vec![base.digest()];
        for change in changes {
            let mut other = base.clone();
            change(&mut other);
            digests.push(other.digest());
        }
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 12);
    }
}
