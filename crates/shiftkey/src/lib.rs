//! From an AWS identity to a temporary Amazon Redshift credential to a signed-in connection.
//!
//! ```text
//! Config -> Target ─┐
//!                   ├─ Shiftkey ── identity ── issue ── cache ──> Login ── dial ──> Connection
//! Env ──── profile ─┘
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use shiftkey::{Config, Env, Overrides, Shiftkey};
//!
//! let env = Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok());
//! let target = Config::load(&env, None)?.resolve("prod/analytics", &Overrides::default())?;
//! let shiftkey = Shiftkey::builder().env(env).as_the_environment_says(true)?.build();
//!
//! let login = shiftkey.login(&target).await?; // user, password and endpoint, from the cache or from AWS
//! println!("{} at {}", login.credential.db_user, login.endpoint.host);
//!
//! let (connection, _) = shiftkey.connect(&target, &shiftkey.options()).await?; // or signed in, its certificate verified
//! let stream = connection.replay(); // for `tokio_postgres::Config::connect_raw`
//! # Ok(())
//! # }
//! ```
//!
//! Examples for tokio-postgres, deadpool and sqlx stand beside the crate, and `docs/rust.md` explains them.
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
