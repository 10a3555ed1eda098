//! What the file of one credential holds, and the file of a failure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Wish;
use crate::{
    clock::Moment,
    credential::Credential,
    error::{Error, ErrorKind},
    identity::Purpose,
    secret::Secret,
    shared::{millis, time},
};

/// A credential and what `cache list` says of it. Times are milliseconds since 1970.
#[derive(Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) target: String,
    pub(super) who: String,
    pub(super) region: String,
    pub(super) warehouse: String,
    pub(super) database: String,
    pub(super) db_user: String,
    password: Zeroizing<String>,
    issued: u64,
    uptime: Option<u64>,
    lifetime: u64,
    expires: u64,
    /// Answers that were given before this credential, by earlier ones of the key.
    pub(super) hits: u64,
}

impl Entry {
    pub(super) fn new(wish: &Wish, credential: &Credential, hits: u64) -> Self {
        Self {
            target: wish.target.clone(),
            who: wish.who.clone(),
            region: wish.key.region.clone(),
            warehouse: wish.key.request.name.clone(),
            database: wish.key.request.database.clone(),
            db_user: credential.db_user.clone(),
            password: Zeroizing::new(credential.password.expose().to_owned()),
            issued: millis(credential.issued.wall),
            uptime: credential.issued.uptime.map(|uptime| millis(UNIX_EPOCH + uptime)),
            lifetime: millis(UNIX_EPOCH + credential.lifetime),
            expires: millis(credential.expires_at),
            hits,
        }
    }

    pub(super) fn credential(&self) -> Credential {
        Credential {
            db_user: self.db_user.clone(),
            password: Secret::new(self.password.to_string()),
            issued: Moment { wall: time(self.issued), uptime: self.uptime.map(Duration::from_millis) },
            expires_at: time(self.expires),
            lifetime: Duration::from_millis(self.lifetime),
        }
    }
}

/// How the last attempt failed, for those who waited through it and for those who should not try again at once.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Failure {
    kind: String,
    message: String,
    hint: Option<String>,
    ended: u64,
    #[serde(default)]
    renewal: bool,
}

impl Failure {
    pub(super) fn new(error: &Error, purpose: Purpose, ended: SystemTime) -> Self {
        Self {
            kind: error.kind().name().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            ended: millis(ended),
            renewal: purpose == Purpose::Renewal,
        }
    }

    pub(super) fn error(&self) -> Error {
        let error = Error::new(ErrorKind::from_name(&self.kind).unwrap_or(ErrorKind::Unexpected), self.message.clone());
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }

    pub(super) fn is_denial(&self) -> bool {
        self.kind == ErrorKind::Denied.name()
    }

    pub(super) fn is_of_renewal(&self) -> bool {
        self.renewal
    }

    /// How long ago it was; `None` when the clock was set back meanwhile.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(time(self.ended)).ok()
    }

    /// Whether the attempt ended while somebody who came at `arrived` waited for it.
    pub(super) fn ended_after(&self, arrived: SystemTime) -> bool {
        self.ended >= millis(arrived)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cache::tests::{credential, wish},
        shared::{decode, encode},
    };

    #[test]
    fn a_credential_comes_back_to_the_letter() {
        let original = credential(r#"p:"\ü"#);
        let file = encode(&Entry::new(&wish("alice"), &original, 7)).unwrap();
        let entry: Entry = decode(&file).unwrap();
        assert_eq!(entry.credential(), original);
        assert_eq!((entry.hits, entry.target.as_str()), (7, "prod/analytics"));
    }

    #[test]
    fn a_newer_format_is_not_read() {
        let file = encode(&Entry::new(&wish("alice"), &credential("p"), 0)).unwrap();
        let newer = String::from_utf8(file.to_vec()).unwrap().replacen("cache 1", "cache 2", 1);
        assert!(decode::<Entry>(newer.as_bytes()).is_none());
    }

    #[test]
    fn an_error_comes_back_with_kind_message_and_hint() {
        let error = Error::new(ErrorKind::Denied, "no").with_hint("ask");
        let failure: Failure = decode(&encode(&Failure::new(&error, Purpose::First, time(5))).unwrap()).unwrap();
        let back = failure.error();
        assert_eq!((back.kind(), back.message(), back.hint()), (ErrorKind::Denied, "no", Some("ask")));
    }

    proptest! {
        /// No cut and no flipped bit passes for an entry.
        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>()) {
            let mut file = encode(&Entry::new(&wish("alice"), &credential("p"), 0)).unwrap().to_vec();
            let at = at.index(file.len());
            if cut { file.truncate(at); } else { file[at] ^= 1 << bit; }
            prop_assert!(decode::<Entry>(&file).is_none());
        }
    }
}
