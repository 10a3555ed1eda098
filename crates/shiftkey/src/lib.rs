//! From an AWS identity to a temporary Amazon Redshift credential to a signed-in connection.
//!
//! ```text
//! Config -> Target ─┐
//!                   ├─ Shiftkey ── identity ── issue ── cache ──> Login ── dial ──> Connection
//! Env ──── profile ─┘
//! ```
//!
//! Nothing here reads the process environment or the home directory, prints, exits or installs a global: the
//! caller passes an [`Env`], a [`Clock`] and, if a person may be asked for an MFA code, a [`Prompt`]. (The AWS
//! SDK's own provider chain reads what it documents.)
//!
//! Modules form a line; each may import only what stands to its left:
//! `error secret env clock observe backoff` · `shared` · `target credential` · `identity` · `discover issue` · `cache` · `dial`;
//! `dsn` and `policy` stand beside; of these `policy::iam` alone asks AWS, and the rest does no IO.

pub mod backoff;
pub mod cache;
pub mod clock;
pub mod credential;
pub mod dial;
pub mod discover;
pub mod dsn;
pub mod env;
pub mod error;
pub mod identity;
pub mod issue;
pub mod observe;
pub mod policy;
pub mod secret;
mod shared;
mod shiftkey;
pub mod target;
pub mod trust;

pub use self::{
    clock::{Clock, SystemClock},
    credential::{Credential, Endpoint, Login, Origin, Route},
    env::Env,
    error::{Error, ErrorKind, Result},
    identity::{Caller, Prompt},
    secret::Secret,
    shared::Pace,
    shiftkey::{Builder, Shiftkey},
    target::{
        Mapping, Target, Warehouse,
        config::{Config, Overrides},
    },
};
