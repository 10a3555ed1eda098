//! What an issuing API returns, and where to sign in with it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{clock::Moment, secret::Secret, target::Target};

/// A temporary database credential. Expiry concerns signing in only: an open session outlives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// The database user as AWS returned it, opaque, prefix (`IAM:`, `IAMA:`, `IAMR:`) kept.
    pub db_user: String,
    /// The temporary password.
    pub password: Secret,
    /// When it was issued, by this machine's clocks.
    pub issued: Moment,
    /// Until when it opens a session, by AWS's clock.
    pub expires_at: SystemTime,
    /// How long after `issued` it opens a session: both ends by AWS's clock, so that this machine's may be wrong.
    pub lifetime: Duration,
}

impl Credential {
    /// Whether it is the same one, by what AWS issued. (What a file keeps of its times is rounded.)
    pub fn is_same(&self, other: &Self) -> bool {
        self.db_user == other.db_user && self.password == other.password
    }

    /// How much longer it opens a session. Nothing when its age cannot be told.
    pub fn left(&self, now: Moment) -> Duration {
        now.since(self.issued).map_or(Duration::ZERO, |age| self.lifetime.saturating_sub(age))
    }
}

/// Where a credential came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// AWS issued it for this call.
    Aws,
    /// Another process of this user was issued it.
    File,
    /// It was in this process.
    Memory,
}

impl Origin {
    /// Whether no call to AWS was made for it.
    pub fn is_cached(self) -> bool {
        self != Self::Aws
    }
}

/// Where a warehouse listens.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Endpoint {
    /// Host name to dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The way to a target's warehouse: everything about it but who signs in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The target's label.
    pub target: String,
    /// Where to dial.
    pub endpoint: Endpoint,
    /// The name to verify when it differs from the host dialled.
    pub server_name: Option<String>,
    /// Extra trust anchors (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Route {
    /// The way to `target`, which listens at `endpoint`.
    pub fn new(target: &Target, endpoint: Endpoint) -> Self {
        Self { target: target.label.clone(), endpoint, server_name: target.server_name.clone(), ca_file: target.ca_file.clone() }
    }
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
    /// Where the credential came from.
    pub origin: Origin,
    /// Extra trust anchors (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Login {
    /// Puts together what a client of `target` needs.
    pub fn new(target: &Target, endpoint: Endpoint, credential: Arc<Credential>, origin: Origin) -> Self {
        Self {
            target: target.label.clone(),
            endpoint,
            server_name: target.server_name.clone(),
            database: target.database.clone(),
            credential,
            origin,
            ca_file: target.ca_file.clone(),
        }
    }
    /// The way there, without the secret.
    pub fn route(&self) -> Route {
        Route {
            target: self.target.clone(),
            endpoint: self.endpoint.clone(),
            server_name: self.server_name.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}
