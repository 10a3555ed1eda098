//! The only crate that sends SQL to a warehouse: who can still use a password, and taking it away.
//!
//! Texts that read stand in [`queries`], texts that change anything in [`changes`].
//!
//! ```text
//! Session ── inventory ──> findings ──> report          (reads)
//! IAM ────── policies ──────┘
//!                 └──────> lockdown: plan -> run -> verify, with a journal
//! ```

pub mod changes;
pub mod cloudtrail;
pub mod findings;
pub mod inventory;
pub mod lockdown;
mod logins;
pub mod policies;
pub mod queries;
mod random;
pub mod report;
mod session;

pub use self::session::{Rows, Session};
