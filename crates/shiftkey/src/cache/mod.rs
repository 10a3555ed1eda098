//! Hands out issued credentials. The key says who asks for what; layers below answer by key.
//!
//! The memory layer is here; a file layer (processes of one user) and a fleet layer (machines) join behind
//! [`MemoryCache::get_or_issue`]'s `issue` argument: each layer is the next one's issuer.

mod memory;
pub mod schedule;

use sha2::{Digest, Sha256};

pub use self::memory::{MemoryCache, Stats};
use crate::issue::Request;

/// What decides whether two callers may share a credential. Holds no secret.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CacheKey {
    /// AWS region.
    pub region: String,
    /// Endpoint override: the same name elsewhere is another warehouse.
    pub endpoint_url: Option<String>,
    /// Who asks: a hash that differs between principals.
    pub who: String,
    /// What is asked for.
    pub request: Request,
}

impl CacheKey {
    /// A name for files and logs: 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let request = &self.request;
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        for text in [
            "shiftkey-1",
            &self.region,
            self.endpoint_url.as_deref().unwrap_or_default(),
            &self.who,
            request.api.action(),
            &request.name,
            request.db_user.as_deref().unwrap_or_default(),
            &request.database,
            if request.auto_create { "create" } else { "" },
            &request.duration.as_secs().to_string(),
        ] {
            part(text);
        }
        request.groups.iter().for_each(|group| part(group));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::issue::Api;

    pub(super) fn key(who: &str) -> CacheKey {
        CacheKey {
            region: "us-east-1".into(),
            endpoint_url: None,
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
    fn every_part_of_the_key_tells_callers_apart() {
        let base = key("alice");
        let changes: [fn(&mut CacheKey); 11] = [
            |key| key.region = "eu-west-1".into(),
            |key| key.endpoint_url = Some("http://x".into()),
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
