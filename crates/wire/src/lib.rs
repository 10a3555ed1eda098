//! The PostgreSQL wire protocol, version 3, as bytes and values.
//!
//! No IO, no clock, no randomness: nonces and salts are arguments, and "more bytes are needed" is a value. That is what
//! makes the parsers of hostile bytes testable by vectors and fuzzing. Both sides are here, since the product is a client
//! of warehouses and a server to local clients.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol"; the additions of Amazon Redshift are marked.

pub mod auth;
pub mod backend;
pub mod error_fields;
pub mod frame;
pub mod frontend;
mod read;
pub mod startup;

use std::fmt;

/// What is wrong with a peer's bytes. Never shows them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WireError {
    /// A length that no honest message has.
    Length(u32),
    /// A message of this tag that ends too early or too late, or holds what it may not.
    Malformed(u8),
    /// A first packet that is neither a startup message nor one of the known requests.
    NotPostgres,
    /// A protocol version other than 3: major, minor.
    Version(u16, u16),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a message of {length} bytes is out of bounds"),
            Self::Malformed(tag) => write!(f, "a message '{}' is malformed", tag.escape_ascii()),
            Self::NotPostgres => f.write_str("this is not the PostgreSQL protocol"),
            Self::Version(major, minor) => write!(f, "protocol version {major}.{minor} is not supported"),
        }
    }
}

impl std::error::Error for WireError {}
