//! Who may use the proxy: by default only the user that runs it. A session is a login as that user, so anyone else on
//! the machine who reached the socket would be signed in under a borrowed name.
//!
//! The kernel is asked who the peer is; nothing that the peer says counts. Unix sockets only: a peer on loopback TCP
//! cannot be admitted yet, and there is no function that would.

use std::io;

use tokio::net::UnixStream;

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
    /// The kernel did not say who the peer is, so it is not admitted.
    Unknown(io::Error),
}

impl Admission {
    /// The user that this process acts as, and nobody else.
    pub fn same_user() -> Self {
        Self { uids: vec![rustix::process::geteuid().as_raw()] }
    }

    /// Admits `uid` too.
    #[must_use]
    pub fn allow(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Whether the process that connected `stream` gets in (`SO_PEERCRED`, unix(7)): its user at the time of `connect`.
    ///
    /// # Errors
    /// The reason to stay out.
    pub fn admit(&self, stream: &UnixStream) -> Result<(), Refusal> {
        self.judge(stream.peer_cred().map(|peer| peer.uid()))
    }

    fn judge(&self, uid: io::Result<u32>) -> Result<(), Refusal> {
        match uid {
            Ok(uid) if self.uids.contains(&uid) => Ok(()),
            Ok(uid) => Err(Refusal::OtherUser(uid)),
            Err(error) => Err(Refusal::Unknown(error)),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherUser(uid) => write!(f, "user id {uid} may not use this proxy"),
            Self::Unknown(error) => write!(f, "the peer's user is not known: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_user_gets_in_and_another_does_not() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let me = rustix::process::geteuid().as_raw();
        assert!(Admission::same_user().admit(&stream).is_ok());
        let others = Admission { uids: vec![me.wrapping_add(1)] };
        assert!(matches!(others.admit(&stream), Err(Refusal::OtherUser(uid)) if uid == me));
        assert!(others.allow(me).admit(&stream).is_ok());
    }

    #[test]
    fn a_peer_that_the_kernel_does_not_know_stays_out() {
        assert!(matches!(Admission::same_user().judge(Err(io::ErrorKind::Unsupported.into())), Err(Refusal::Unknown(_))));
    }
}
