//! Sessions that cost an MFA code, kept on disk until they expire so that the code is asked for once.
//!
//! Whatever goes wrong here is a miss: the person is asked again, nothing fails.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::private_file;

/// A session with less than this left is not worth starting with.
const FLOOR: Duration = Duration::from_secs(60);

#[derive(Deserialize, Serialize)]
struct Kept {
    version: u32,
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Zeroizing<String>,
    expires: u64,
}

/// The session of this name, when it is there, ours, whole and lasting.
pub(super) fn read(dir: &Path, name: &str, now: SystemTime) -> Option<Credentials> {
    let bytes = private_file::read(&path(dir, name)).ok()??;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    let expires = UNIX_EPOCH.checked_add(Duration::from_secs(kept.expires))?;
    if kept.version != 1 || expires < now + FLOOR {
        return None;
    }
    Some(Credentials::new(
        kept.access_key_id,
        kept.secret_access_key.as_str(),
        Some(kept.session_token.to_string()),
        Some(expires),
        "shiftkey",
    ))
}

/// Keeps a session; a failure is logged and forgotten.
pub(super) fn write(dir: &Path, name: &str, session: &Credentials) {
    let (Some(token), Some(expiry)) = (session.session_token(), session.expiry()) else { return };
    let kept = Kept {
        version: 1,
        access_key_id: session.access_key_id().to_owned(),
        secret_access_key: Zeroizing::new(session.secret_access_key().to_owned()),
        session_token: Zeroizing::new(token.to_owned()),
        expires: expiry.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let written = serde_json::to_vec(&kept)
        .map_err(std::io::Error::other)
        .and_then(|bytes| private_file::write(&path(dir, name), &Zeroizing::new(bytes)));
    if let Err(error) = written {
        tracing::warn!(%error, "the AWS session could not be kept; the MFA code will be asked for again");
    }
}

fn path(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join(format!("session-{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_comes_back_until_it_is_about_to_expire() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let session = Credentials::new("ASIA", "s", Some("t".into()), Some(now + Duration::from_secs(600)), "test");
        write(&dir, "n", &session);
        assert_eq!(read(&dir, "n", now).unwrap().access_key_id(), "ASIA");
        assert!(read(&dir, "n", now + Duration::from_secs(541)).is_none(), "too little is left");
        assert!(read(&dir, "other", now).is_none());
        std::fs::write(path(&dir, "n"), "{").unwrap();
        assert!(read(&dir, "n", now).is_none(), "a torn file is a miss");
    }
}
