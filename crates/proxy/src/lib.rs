//! The local listener that signs any PostgreSQL client in to Amazon Redshift.
//!
//! ```text
//! Listener (unix socket, TCP) ── admit (whose process is it?) ── client, opening (TLS, first packets) ── client_secret
//!     ── route (which target?) ── session (Shiftkey::connect, welcome) ── relay (bytes, untouched)
//! ```
//!
//! A [`Listener`] is bound first, so that what is in the way is told before anything runs; a [`Proxy`] then serves listeners
//! until it is told to stop, and gives its sessions a bounded time to finish. Nothing here reads the process environment
//! or prints.

pub mod admin;
pub mod admit;
mod cancel;
mod certificate;
mod client;
mod client_secret;
pub mod listen;
mod opening;
mod options;
mod parameters;
mod private_file;
mod proxy;
mod random;
pub mod reject;
mod relay;
pub mod route;
mod seat;
mod session;
mod sock_diag;
pub mod stats;
mod stream;
mod warm;
pub mod watch;

#[doc(hidden)]
pub use self::opening::first_packets;
pub use self::{
    admin::Admin,
    admit::Admission,
    certificate::Certificate,
    client_secret::ClientSecret,
    listen::{Audience, Listen, Listener},
    proxy::{Attend, Ended, Proxy, Reason, Settings},
    route::{Resolve, Routes, Serves, Users},
    stats::Stats,
};
