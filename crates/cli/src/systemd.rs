//! What systemd passes to a service, and what it is told (sd_listen_fds(3), sd_notify(3)).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use listenfd::ListenFd;
use shiftkey::{Env, Error, Result};
use shiftkey_proxy::listen::Adopted;

/// The sockets that were passed, in the order of the unit's `ListenStream=` lines.
pub(crate) struct Passed {
    sockets: ListenFd,
    next: usize,
}

impl Passed {
    /// Those that are meant for this process. None when systemd did not start it.
    pub(crate) fn capture() -> Self {
        Self { sockets: ListenFd::from_env(), next: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// When there is none left, or it is no listening stream socket.
    pub(crate) fn take(&mut self) -> Result<Adopted> {
        let none = || {
            Error::config("systemd has passed no further socket")
                .with_hint("the .socket unit needs a ListenStream= for each TARGET=systemd, in their order")
        };
        let place = self.next;
        self.next += 1;
        if let Ok(Some(socket)) = self.sockets.take_unix_listener(place) {
            return Ok(Adopted::Unix(socket));
        }
        match self.sockets.take_tcp_listener(place) {
            Ok(socket) => socket.map(Adopted::Tcp).ok_or_else(none),
            Err(error) => Err(Error::config(format!("a socket that systemd has passed cannot be used: {error}")).with_source(error)),
        }
    }
}

/// Tells the service manager, if one wants to know: `READY=1`, `STOPPING=1`.
pub(crate) fn notify(env: &Env, state: &str) {
    let Some(path) = env.var("NOTIFY_SOCKET") else { return };
    let told = || -> io::Result<()> {
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
    };
    if let Err(error) = told() {
        tracing::debug!(%error, "the service manager was not told");
    }
}
