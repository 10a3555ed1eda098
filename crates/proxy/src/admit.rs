//! Who may use the proxy: by default only the user that runs it. A session is a login as that user, so anyone else on
//! the machine who reached the socket would be signed in under a borrowed name.
//!
//! The kernel is asked who the peer is; nothing that the peer says counts.

use std::io;

/// The user ids that get in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admission {
    uids: Vec<u32>,
}

/// Why a peer stays out.
#[derive(Debug)]
pub enum Refusal {
    /// The peer runs as this user id, which is not admitted.
    OtherUser(u32),
    /// The kernel did not say who the peer is, so it is not admitted: a peer in a container, or gone already.
    Unknown(io::Error),
}

impl Admission {
    /// The user that this process acts as, and nobody else.
    pub fn same_user() -> Self {
        Self { uids: vec![rustix::process::geteuid().as_raw()] }
    }

    /// These users alone.
    pub fn of(uids: impl IntoIterator<Item = u32>) -> Self {
        Self { uids: uids.into_iter().collect() }
    }

    /// Admits `uid` too.
    #[must_use]
    pub fn allow(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Whether anybody but this process's own user gets in.
    pub fn is_wide(&self) -> bool {
        self.uids.iter().any(|uid| *uid != rustix::process::geteuid().as_raw())
    }

    /// Whether a peer gets in, of whom the kernel says this.
    ///
    /// # Errors
    /// The reason to stay out.
    pub fn judge(&self, uid: io::Result<u32>) -> Result<u32, Refusal> {
        match uid {
            Ok(uid) if self.uids.contains(&uid) => Ok(uid),
            Ok(uid) => Err(Refusal::OtherUser(uid)),
            Err(error) => Err(Refusal::Unknown(error)),
        }
    }
}

impl std::fmt::Display for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let me = rustix::process::geteuid().as_raw();
        let others: Vec<String> = self.uids.iter().filter(|uid| **uid != me).map(u32::to_string).collect();
        match (self.uids.contains(&me), others.as_slice()) {
            (true, []) => f.write_str("your own processes"),
            (true, others) => write!(f, "your own processes and those of user id {}", others.join(", ")),
            (false, others) => write!(f, "processes of user id {}", others.join(", ")),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherUser(uid) => write!(f, "user id {uid} may not use this proxy"),
            Self::Unknown(error) => write!(f, "the system does not say whose process this is ({error}), so it may not use this proxy"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_user_gets_in_and_another_does_not() {
        let me = rustix::process::geteuid().as_raw();
        assert!(matches!(Admission::same_user().judge(Ok(me)), Ok(uid) if uid == me));
        let other = me.wrapping_add(1);
        assert!(matches!(Admission::same_user().judge(Ok(other)), Err(Refusal::OtherUser(uid)) if uid == other));
        assert!(Admission::same_user().allow(other).judge(Ok(other)).is_ok());
        assert!(!Admission::same_user().allow(me).is_wide() && Admission::same_user().allow(other).is_wide());
    }

    #[test]
    fn a_peer_that_the_kernel_does_not_know_stays_out() {
        assert!(matches!(Admission::same_user().judge(Err(io::ErrorKind::Unsupported.into())), Err(Refusal::Unknown(_))));
    }
}
