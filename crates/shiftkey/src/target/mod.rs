//! What to log in to. A [`Target`] is fully resolved: no template of the configuration is left but the database
//! user's, which needs to know who asks.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub mod config;
pub mod host;
pub mod names;

/// The warehouse's kind and name, which decide the issuing API.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Warehouse {
    /// A provisioned cluster, by identifier.
    Cluster(String),
    /// A host name that AWS maps to a cluster or workgroup through a custom domain association.
    CustomDomain(String),
    /// A serverless workgroup, by name.
    Workgroup(String),
}

/// How the database user of a provisioned cluster is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Mapping {
    /// By AWS, from the IAM identity (`GetClusterCredentialsWithIAM`).
    Iam,
    /// By the caller (`GetClusterCredentials`).
    #[default]
    User,
}

/// With less than this left a credential is not handed out: signing in takes a moment.
pub const FLOOR: Duration = Duration::from_secs(60);

/// What to log in to, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// As the user named it: `prod/analytics`, `cluster:analytics@us-east-1`, a host name.
    pub label: String,
    /// What it is.
    pub warehouse: Warehouse,
    /// AWS region; when absent, the identity's.
    pub region: Option<String>,
    /// AWS profile; when absent, the default chain.
    pub profile: Option<String>,
    /// Overrides AWS endpoints (all services), for private control planes and the sandbox.
    pub endpoint_url: Option<String>,
    /// Database to open. `dev` unless told otherwise.
    pub database: String,
    /// Database user: a literal, or holding `{session_name}` / `{user_name}`.
    pub db_user: Option<String>,
    /// Groups to join for the session, sorted and unique.
    pub groups: Vec<String>,
    /// Create the database user at login when missing.
    pub auto_create: bool,
    /// Lifetime to ask for: 900 s to 3600 s.
    pub duration: Duration,
    /// How much of it must be left for a credential to be handed out; a minute at the least.
    pub min_remaining: Duration,
    /// Who picks the database user.
    pub mapping: Mapping,
    /// The database user that keeps its password whatever happens.
    pub break_glass: Option<String>,
    /// Host to dial; when absent, AWS is asked.
    pub host: Option<String>,
    /// Port to dial; 5439 when only the host is given.
    pub port: Option<u16>,
    /// Name on the server's certificate when it differs from `host` (tunnels, load balancers).
    pub server_name: Option<String>,
    /// Trust anchors (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
}
