//! Every SQL text that this product can send, named. A text that changes anything will stand in a file of its own.

/// A text of ours. Only this module makes one, so no caller can send its own.
#[derive(Clone, Copy, Debug)]
pub struct Query(pub(crate) &'static str);

/// Who the session is, where, and on what.
pub const WHOAMI: Query = Query("select current_user, current_database(), version()");
