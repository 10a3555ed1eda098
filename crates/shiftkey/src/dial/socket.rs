//! A socket that does not wake its reader for each piece of a long stream.
//!
//! A server sends a large result in pieces of 8 KiB, and being woken for each costs more than decrypting it. So when much has
//! come and nothing was said in between, the socket is taken off the system's watch and looked at by the clock.

use std::{
    future::Future as _,
    io::{self, Read as _},
    net,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// What must have come since anything was sent: so much that [`TICK`], which the end of a stream may wait, does not show.
const LONG: usize = 8 << 20;
/// What must come in each tick. With less there are few pieces, and waiting for them is cheap.
const FAST: usize = 32 << 10;
/// What must have come when that was not so, for the next tick. A server that stops for a moment goes on as before.
const AGAIN: usize = 128 << 10;
/// As short as the timer allows.
const TICK: Duration = Duration::from_millis(1);

/// A socket that is waited for in both ways.
#[derive(Debug)]
pub struct Paced {
    state: State,
    /// Bytes that came since anything was sent.
    run: usize,
    /// Somebody waits to write, which only the system's watch can end.
    full: bool,
}

#[derive(Debug)]
enum State {
    /// Bytes wake.
    Watched(TcpStream),
    /// The clock does.
    Paced { socket: net::TcpStream, tick: Pin<Box<Sleep>>, got: usize, reader: Option<Waker> },
    /// In between: the last change failed.
    Broken,
}

impl Paced {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { state: State::Watched(socket), run: 0, full: false }
    }

    /// All that came is read. Waits for the next tick, or for bytes when they have become few.
    fn rest(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Paced { tick, got, .. } if *got >= FAST => {
                *got = 0;
                tick.as_mut().reset(Instant::now() + TICK);
                Ok(())
            }
            _ => {
                self.watch()?;
                self.run = LONG - AGAIN;
                Ok(())
            }
        }
    }

    fn pace(&mut self) -> io::Result<()> {
        if let State::Watched(socket) = std::mem::replace(&mut self.state, State::Broken) {
            self.state = State::Paced { socket: socket.into_std()?, tick: Box::pin(sleep(TICK)), got: 0, reader: None };
        }
        Ok(())
    }

    /// Lets bytes wake the reader. Whoever is answered expects the next ones at once.
    fn watch(&mut self) -> io::Result<&mut TcpStream> {
        self.run = 0;
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Paced { socket, reader, .. } => {
                // Who waited for the clock waits for bytes now.
                reader.inspect(Waker::wake_by_ref);
                State::Watched(TcpStream::from_std(socket)?)
            }
            state => state,
        };
        match &mut self.state {
            State::Watched(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            match &mut self.state {
                State::Watched(socket) => match Pin::new(socket).poll_read(cx, buffer)? {
                    Poll::Ready(()) => {
                        self.run = self.run.saturating_add(buffer.filled().len() - before);
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending if self.run < LONG || self.full => return Poll::Pending,
                    Poll::Pending => self.pace()?,
                },
                State::Paced { socket, tick, got, reader } => {
                    if tick.as_mut().poll(cx).is_pending() {
                        *reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    let room = buffer.initialize_unfilled();
                    match socket.read(room) {
                        Ok(length) => {
                            *got += length;
                            // Less than was asked for is all that there is.
                            if length > 0 && length < room.len() {
                                self.rest()?;
                            }
                            buffer.advance(length);
                            return Poll::Ready(Ok(()));
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.rest()?,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                State::Broken => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.watch()?).poll_write(cx, bytes);
        self.full = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.watch()?).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
