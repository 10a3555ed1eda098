//! A session that is open already, for a driver that wants to open one.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use shiftkey_wire::{
    backend::{Authentication, Backend},
    startup::{FirstPacket, StartupMessage, VERSION_3_0},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Encrypted;

/// A stream on which a driver's sign-in is answered here: a request for encryption is declined, since the stream is encrypted,
/// and any startup message accepted without a password, with what the warehouse said of itself when it opened the session.
/// From there on the bytes are the session's.
///
/// Whom the driver names, which database and which settings it asks for does not reach the warehouse: the user and the
/// database are the login's, and settings are [`Options::parameters`](super::Options::parameters). Nor does the driver's own
/// way of cancelling work, since it does not know where to dial: [`cancel`](super::cancel::cancel) does it, by the session's key.
pub struct Replay<S = Encrypted> {
    stream: S,
    /// What the driver has said, until its startup message is whole.
    asked: Option<Vec<u8>>,
    /// What it is answered, and not read from `read` on.
    answer: Vec<u8>,
    read: usize,
    /// What comes after the answer's first message.
    welcome: Vec<u8>,
    /// The driver's reader, who waits for the answer to what was not asked yet.
    reader: Option<Waker>,
}

impl<S> Replay<S> {
    pub(super) fn new(stream: S, welcome: &[u8], leftover: &[u8]) -> Self {
        let welcome = [welcome, leftover].concat();
        Self { stream, asked: Some(Vec::new()), answer: Vec::new(), read: 0, welcome, reader: None }
    }

    /// Takes in what a driver says first, and says how much of `bytes` that was.
    fn take(&mut self, mut asked: Vec<u8>, bytes: &[u8]) -> io::Result<usize> {
        asked.extend_from_slice(bytes);
        loop {
            let parsed = FirstPacket::parse(&asked).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Some((packet, length)) = parsed else { break };
            asked.drain(..length);
            match packet {
                FirstPacket::SslRequest | FirstPacket::GssEncRequest => self.answer.push(b'N'),
                FirstPacket::Startup(startup) => {
                    self.accept(&startup);
                    return Ok(bytes.len() - asked.len());
                }
                FirstPacket::Cancel(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a session is no place to cancel another"));
                }
            }
        }
        self.asked = Some(asked);
        Ok(bytes.len())
    }

    fn accept(&mut self, startup: &StartupMessage) {
        if startup.minor > 0 {
            let names = startup.parameters.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
            let extensions = names.filter(|name| name.starts_with("_pq_.")).collect();
            Backend::NegotiateProtocolVersion(VERSION_3_0, extensions).encode(&mut self.answer);
        }
        Backend::Authentication(Authentication::Ok).encode(&mut self.answer);
        self.answer.append(&mut self.welcome);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let answer = &this.answer[this.read..];
        if !answer.is_empty() {
            let length = answer.len().min(buffer.remaining());
            buffer.put_slice(&answer[..length]);
            this.read += length;
            if this.read == this.answer.len() {
                (this.answer, this.read) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        if this.asked.is_some() {
            this.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(asked) = this.asked.take() else { return Pin::new(&mut this.stream).poll_write(cx, bytes) };
        let taken = this.take(asked, bytes);
        if taken.is_err() {
            // What comes after garbage is no part of the session either.
            this.asked = Some(Vec::new());
        }
        if let Some(reader) = this.reader.take() {
            reader.wake();
        }
        Poll::Ready(taken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Replay<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("begun", &self.asked.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
