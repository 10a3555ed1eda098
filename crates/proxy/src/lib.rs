//! The local listener that signs any PostgreSQL client in. Of it, what stands today is who may use it and how failures are
//! told to a client; the listener itself is not written yet.

pub mod admit;
pub mod reject;
