//! Sessions that cost an MFA code, kept on disk until they expire so that the code is asked for once.
//!
//! Whatever goes wrong here is a miss: the person is asked again, nothing fails.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::shared::{Store, millis, time};

/// A session with less than this left is not worth starting with.
const FLOOR: Duration = Duration::from_secs(60);

#[derive(Deserialize, Serialize)]
struct Kept {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Zeroizing<String>,
    /// Milliseconds since 1970.
    expires: u64,
}

/// The session of this name, when it is there, ours, whole and lasting. `now` is AWS's time.
pub(super) fn read(store: &Store, name: &str, now: SystemTime) -> Option<Credentials> {
    let kept: Kept = store.read(&file(name))?;
    let expires = time(kept.expires);
    (expires >= now + FLOOR).then(|| {
        Credentials::new(
            kept.access_key_id,
            kept.secret_access_key.as_str(),
            Some(kept.session_token.to_string()),
            Some(expires),
            "shiftkey",
        )
    })
}

/// Keeps a session, where there is a place for it.
pub(super) fn write(store: &Store, name: &str, session: &Credentials) {
    let (Some(token), Some(expiry)) = (session.session_token(), session.expiry()) else { return };
    let kept = Kept {
        access_key_id: session.access_key_id().to_owned(),
        secret_access_key: Zeroizing::new(session.secret_access_key().to_owned()),
        session_token: Zeroizing::new(token.to_owned()),
        expires: millis(expiry),
    };
    store.write(&file(name), &kept);
}

fn file(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Begins the names of the files.
pub(crate) const PREFIX: &str = "session-";

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use super::*;
    use crate::observe::Log;

    #[test]
    fn a_session_comes_back_until_it_is_about_to_expire() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        let store = Store::new(Some(dir.clone()), Arc::new(Log));
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let session = Credentials::new("ASIA", "s", Some("t".into()), Some(now + Duration::from_secs(600)), "test");
        write(&store, "n", &session);
        assert_eq!(read(&store, "n", now).unwrap().access_key_id(), "ASIA");
        assert!(read(&store, "n", now + Duration::from_secs(541)).is_none(), "too little is left");
        assert!(read(&store, "other", now).is_none());
        std::fs::write(dir.join("session-n"), "{").unwrap();
        assert!(read(&store, "n", now).is_none(), "a torn file is a miss");
    }
}
