//! What must be known of an identity to find its credentials in the cache. Whoever works it out writes it down under a
//! hash of everything that it follows from, so that the next process needs to parse and ask nothing.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Identity, Scope, chain::Surroundings, profiles::Profiles, source};
use crate::{
    error::Result,
    shared::{Fact, digest, hex, millis, time},
};

/// A principal that AWS named is believed for as long as the keys are good that it was asked with, and no longer than this.
const BELIEVED: Duration = Duration::from_secs(3600);

/// Who asks, and of which AWS.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Standing {
    /// AWS region.
    pub(crate) region: String,
    /// A hash of the endpoints that stand in for the public ones; empty for none.
    pub(crate) endpoints: String,
    /// Differs between principals.
    pub(crate) who: String,
    /// For people.
    pub(crate) description: String,
    /// The account, when it is known.
    pub(crate) account: Option<String>,
    /// Whether getting keys may ask a person.
    pub(crate) asks: bool,
    /// Whether the session's name is made up anew each time, so that its caller is nobody else's.
    pub(crate) nameless: bool,
    /// Until when the principal is believed, in milliseconds since 1970.
    until: Option<u64>,
}

/// By the hash of what it follows from. Nothing in it outlives a change of that.
impl Fact for Standing {
    const KIND: &'static str = "standing";
    const LIFETIME: Duration = Duration::from_secs(12 * 3600);

    fn holds(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < time(until))
    }
}

impl Surroundings {
    /// A hash of all that decides `scope`'s identity, region and endpoints: the variables of AWS, its files to the byte,
    /// and the state of what `aws sso login` and `aws login` leave behind.
    pub(crate) fn fingerprint(&self, scope: &Scope) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for value in [&scope.profile, &scope.region, &scope.endpoint_url] {
            part(value.as_deref().unwrap_or_default().as_bytes());
        }
        for (name, value) in self.env.vars.range("AWS_".to_owned()..).take_while(|(name, _)| name.starts_with("AWS_")) {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        let mut signs_in = false;
        for path in Profiles::paths(&self.env) {
            let bytes = contents(&path);
            signs_in |= [b"sso_".as_slice(), b"login_session"].iter().any(|word| contains(&bytes, word));
            part(path.as_os_str().as_encoded_bytes());
            part(&bytes);
        }
        if signs_in && let Some(home) = &self.env.home {
            for cache in [".aws/sso/cache", ".aws/login/cache"] {
                part(&state(&home.join(cache)));
            }
        }
        hex(&hash.finalize())
    }

    /// Works out the standing of `scope`. AWS is asked, by keys that `identify` obtains, only where the configuration does
    /// not decide.
    pub(crate) async fn standing<Fut>(self: &Arc<Self>, scope: &Scope, identify: impl Fn() -> Fut) -> Result<Standing>
    where
        Fut: Future<Output = Result<Identity>>,
    {
        let profiles = Profiles::load(&self.env, scope.profile.as_deref()).await?;
        let source = source::of(self, scope, &profiles)?;
        let region = match self.region(scope).or_else(|| profiles.region()) {
            Some(region) => region,
            None => identify().await?.region,
        };
        let mut standing = Standing {
            region,
            endpoints: self.endpoints(scope, &profiles),
            who: source.digest,
            description: source.description,
            account: source.account,
            asks: source.asks,
            nameless: source.nameless,
            until: None,
        };
        if !source.pinned {
            let identity = identify().await?;
            let caller = identity.caller().await?;
            let believed = self.clock.now() + BELIEVED;
            standing.who = digest(&["principal", &caller.arn, &caller.user_id]);
            standing.until = Some(millis(identity.expiry().map_or(believed, |expiry| expiry.min(believed))));
            standing.description = caller.arn;
            standing.account = Some(caller.account);
        }
        Ok(standing)
    }

    fn endpoints(&self, scope: &Scope, profiles: &Profiles) -> String {
        let profile = |key: &str| profiles.get(profiles.selected()).and_then(|profile| profile.get(key)).unwrap_or_default();
        let mut parts = vec![scope.endpoint_url.clone().unwrap_or_default(), profile("endpoint_url").to_owned()];
        let variables = self
            .env
            .vars
            .iter()
            .filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL") || name.as_str() == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        parts.extend(variables.map(|(name, value)| format!("{name}={value}")));
        if !profile("services").is_empty() {
            // The section's contents are the SDK's to read; any change of the files counts.
            parts.extend(Profiles::paths(&self.env).map(|path| hex(&Sha256::digest(contents(&path)))));
        }
        if parts.iter().all(String::is_empty) {
            return String::new();
        }
        digest(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// A file's bytes; nothing when it is not a file, which the SDK does not read either.
fn contents(path: &Path) -> Vec<u8> {
    if path.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() }
}

/// The names, sizes and times of a directory's files.
fn state(dir: &Path) -> Vec<u8> {
    let mut files: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let written = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(format!("{:?} {} {}", entry.file_name(), metadata.len(), written.as_nanos()))
        })
        .collect();
    files.sort();
    files.join("\n").into_bytes()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests;
