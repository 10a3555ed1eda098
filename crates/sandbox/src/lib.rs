//! A pretend AWS and a pretend Amazon Redshift on loopback, for the demo, the tests and users' own CI.
//! It is the independent oracle: of our crates it knows only `shiftkey-wire`, so a client's misunderstanding cannot be shared.

mod aws;
pub mod calls;
pub mod clock;
mod control;
pub mod engine;
pub mod faults;
pub mod gate;
mod http;
pub mod iam;
pub mod pki;
mod sandbox;
pub mod seed;
pub mod world;

pub use aws::RateLimit;
pub use sandbox::{Builder, Sandbox};
