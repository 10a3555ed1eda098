//! A client's connection with what protects it: nothing on this machine unless it asks, TLS where there is a certificate.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::{RecvFlags, SendFlags};
use shiftkey_wire::error_fields::{ErrorFields, sqlstate};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    certificate::Certificate,
    opening::{self, Broken, Opening, Tls},
    stream::Stream,
};

/// What a client that was told why it fails may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// The first byte of TLS, which no packet of PostgreSQL begins with: a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A fatal alert of TLS, `handshake_failure`, as it stands before there is encryption (RFC 8446, section 6).
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// How a request for TLS begins: its length and code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// With or without TLS.
#[derive(Debug)]
pub(crate) enum Client {
    Plain(Stream),
    Encrypted(Box<TlsStream<Stream>>),
}

/// Reads the first packets; TLS begins when the client asks for it, in either way, and there is a certificate. `None` is left
/// of a client that cannot be told anything any more.
///
/// # Errors
/// What the client is to be told.
pub(crate) async fn open(client: &mut Option<Client>, certificate: Option<&Certificate>) -> Result<Opening, Broken> {
    // Left in its place while it can be told when this is cut short.
    let Some(Client::Plain(stream)) = client else { return Ok(Opening::Nothing) };
    let direct = begins_with_tls(stream).await;
    if !direct {
        let offer = if certificate.is_some() { Tls::Offered } else { Tls::Declined };
        match opening::open(stream, offer).await? {
            Opening::Encryption => {}
            opening => return Ok(opening),
        }
    }
    let Some(Client::Plain(mut stream)) = client.take() else { return Ok(Opening::Nothing) };
    let Some(certificate) = certificate else {
        let _ = turn_away(&mut stream, &ALERT).await;
        return Err(broken("the client began with TLS, which this address does not have"));
    };
    let encrypted = TlsAcceptor::from(certificate.config()).accept(stream).await;
    let encrypted = encrypted.map_err(|error| broken(&format!("the client broke off TLS: {error}")))?;
    let named = encrypted.get_ref().1.alpn_protocol().is_some();
    let client = client.insert(Client::Encrypted(Box::new(encrypted)));
    if direct && !named {
        return Err(broken("TLS from the start needs the protocol's name (ALPN), which this client does not send"));
    }
    opening::open(client, Tls::Begun).await
}

fn broken(what: &str) -> Broken {
    Broken(ErrorFields::fatal(sqlstate::PROTOCOL_VIOLATION, format!("shiftkey: {what}")))
}

/// libpq's `sslnegotiation=direct`. There is none of it on unix sockets.
async fn begins_with_tls(stream: &Stream) -> bool {
    let mut first = [0; 1];
    match stream {
        Stream::Tcp(stream) => {
            let begins = matches!(stream.peek(&mut first).await, Ok(1)) && first[0] == HANDSHAKE;
            // The last word of a handshake that fails is not waited for, so that it must be known that it can be written.
            begins && stream.writable().await.is_ok()
        }
        Stream::Unix(_) => false,
    }
}

/// Tells the client why, and waits until it has left: what it had still to say would reset the connection, and the reason
/// would be lost.
pub(crate) async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.shutdown().await?;
    let mut rest = [0; 1024];
    let leaving = async { while client.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
    let _ = timeout(FAREWELL, leaving).await;
    Ok(())
}

/// Tells a client that there is no place even to hear it out. It is told in what it has begun with, as far as that is there.
pub(crate) fn turn_away_unheard(stream: &Stream, bytes: &[u8]) {
    let mut begun = [0; 8];
    let heard = rustix::net::recv(descriptor(stream), &mut begun, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    let heard = heard.map_or(0, |(length, _)| length);
    let told = match &begun[..heard] {
        [HANDSHAKE, ..] => ALERT.to_vec(),
        // Without an answer to its question a client does not show what else it is told (CVE-2024-10977).
        begun if *begun == SSL_REQUEST => [b"N", bytes].concat(),
        _ => bytes.to_vec(),
    };
    send(stream, &told);
}

/// As much as goes without waiting: a few hundred bytes do.
fn send(stream: &Stream, bytes: &[u8]) {
    // Who does not take them cannot be told.
    let _ = rustix::net::send(descriptor(stream), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

fn descriptor(stream: &Stream) -> BorrowedFd<'_> {
    match stream {
        Stream::Tcp(stream) => stream.as_fd(),
        Stream::Unix(stream) => stream.as_fd(),
    }
}

impl Client {
    /// Whether TLS has begun.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// Says this at once or not at all, for who is about to be cut.
    pub(crate) fn say_at_once(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(stream) => send(stream, bytes),
            Self::Encrypted(stream) => {
                let (stream, tls) = stream.get_mut();
                let mut records = Vec::new();
                let written = tls.writer().write_all(bytes);
                tls.send_close_notify();
                while written.is_ok() && tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
                send(stream, &records);
            }
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($stream) => $call,
            Self::Encrypted($stream) => $call,
        }
    };
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
