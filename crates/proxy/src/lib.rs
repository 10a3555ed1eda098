//! The local listener that signs any PostgreSQL client in to Amazon Redshift.
//!
//! ```text
//! Listener (unix socket, loopback TCP) ── admit (whose process is it?) ── opening (first packets) ── route (which target?)
//!     ── session (Shiftkey::connect, welcome) ── relay (bytes, untouched)
//! ```
//!
//! A [`Listener`] is bound first, so that what is in the way is told before anything runs; a [`Proxy`] then serves listeners
//! until it is told to stop, and gives its sessions a bounded time to finish. Nothing here reads the process environment
//! or prints.

pub mod admin;
pub mod admit;
mod cancel;
pub mod listen;
mod opening;
mod parameters;
mod proxy;
pub mod reject;
mod relay;
pub mod route;
mod session;
mod sock_diag;
pub mod stats;
mod stream;
mod warm;

#[doc(hidden)]
pub use self::opening::first_packets;
pub use self::{
    admin::Admin,
    admit::Admission,
    listen::{Audience, Listen, Listener},
    proxy::{Ended, Proxy, Reason, Settings},
    route::{Resolve, Routes, Serves, Users},
    stats::Stats,
};
