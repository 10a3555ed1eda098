//! The local listener that signs any PostgreSQL client in. Of it, what stands today is how failures are told to a client;
//! the listener itself is not written yet.

pub mod reject;
