//! What the processes of one user share through a directory: files, locks, facts, and the pace at which AWS is asked.
//!
//! Across users nothing is shared: a place that several users may write to is a place where one can deceive the others.

mod bucket;
mod disk;
mod facts;
mod format;
mod store;

pub use self::bucket::Pace;
#[cfg(test)]
pub(crate) use self::format::{decode, encode};
pub(crate) use self::{
    bucket::{Buckets, Scale},
    disk::{LOCK, PrivateDir},
    facts::{Fact, Facts},
    format::{digest, hex, millis, time},
    store::{Store, Waited},
};
