//! A client's or an engine's channel while it still exchanges messages: a stream and what was read ahead from it.

use std::io;

use shiftkey_wire::{
    WireError,
    backend::Backend,
    frame::{self, Frame},
    startup::FirstPacket,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::engine::Channel;

/// A stream and the bytes that were read from it and not yet used.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    pub(super) ahead: Vec<u8>,
}

impl<S: Channel> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The first packet; `None` when the peer leaves instead.
    pub(super) async fn first_packet(&mut self) -> io::Result<Option<FirstPacket>> {
        loop {
            if let Some((packet, size)) = FirstPacket::parse(&self.ahead).map_err(io::Error::other)? {
                self.ahead.drain(..size);
                return Ok(Some(packet));
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message, as `read` takes it.
    pub(super) async fn answer<T>(&mut self, read: impl FnOnce(Frame<'_>) -> Result<T, WireError>) -> io::Result<T> {
        loop {
            if let Some((message, size)) = frame::parse(&self.ahead, frame::SIGN_IN_CEILING).map_err(io::Error::other)? {
                let value = read(message).map_err(io::Error::other)?;
                self.ahead.drain(..size);
                return Ok(value);
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(super) async fn send(&mut self, message: &Backend) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.write(&bytes).await
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}
