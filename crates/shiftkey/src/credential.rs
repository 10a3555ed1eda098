//! What an issuing API returns, and where to sign in with it.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use crate::secret::Secret;

/// A temporary database credential. Expiry concerns signing in only: an open session outlives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// The database user as AWS returned it, opaque, prefix (`IAM:`, `IAMA:`, `IAMR:`) kept.
    pub db_user: String,
    /// The temporary password.
    pub password: Secret,
    /// When it was issued, by our clock.
    pub issued_at: SystemTime,
    /// Until when it opens a session.
    pub expires_at: SystemTime,
}

/// Where a warehouse listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// Host name to dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Everything that a client needs to sign in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The target's label.
    pub target: String,
    /// Where to dial.
    pub endpoint: Endpoint,
    /// The name to verify when it differs from the host dialled.
    pub server_name: Option<String>,
    /// The database.
    pub database: String,
    /// User and password.
    pub credential: Arc<Credential>,
    /// Whether the credential came out of the cache.
    pub cached: bool,
    /// Extra trust anchors (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
}
