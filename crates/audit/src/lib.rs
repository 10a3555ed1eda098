//! The only crate that sends SQL to a warehouse. Every text stands in [`queries`]; none of them changes anything.

pub mod queries;
mod session;

pub use self::session::{Rows, Session};
