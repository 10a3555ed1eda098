//! After the sign-in: bytes, both ways, unchanged. The one place to make faster.
//!
//! A session that is idle holds no buffer: what is read stands in a buffer of the thread until it is written, and only what
//! the other side does not take at once is kept. A stretch of TLS records is read together and written at once.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{reject, seat::Tail};

/// What is read before it is written. More was not faster on loopback; less costs a system call for each TLS record.
const STRETCH: usize = 256 * 1024;
/// A record of TLS that comes where there is less room would have to be kept in part.
const ROOM: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read from each side, and the last that were written to it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) from_client: AtomicU64,
    pub(crate) from_upstream: AtomicU64,
    pub(crate) to_client: Tail,
    pub(crate) to_upstream: Tail,
}

impl Traffic {
    /// Whether a client that loses its session can be told, and did not mean to end it.
    pub(crate) fn owes_a_word(&self) -> bool {
        self.to_client.is_ready_for_query() && !self.to_upstream.is_terminate()
    }
}

/// Relays until both sides have said all, or one breaks. A side that ends its half is told to the other, which may go on; a
/// client that the warehouse leaves is told so between two messages.
pub(crate) async fn relay<C, U>(client: &mut C, upstream: &mut U, traffic: &Traffic) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Pump::default(), Pump::default());
    poll_fn(|cx| {
        let sent = up.poll(cx, Pin::new(client), Pin::new(upstream), (&traffic.from_client, &traffic.to_upstream), || None)?;
        let left = up.end.is_some();
        let last_words = || (!left && traffic.owes_a_word()).then(|| reject::encode(reject::lost()));
        let received = down.poll(cx, Pin::new(upstream), Pin::new(client), (&traffic.from_upstream, &traffic.to_client), last_words)?;
        if sent.is_ready() && received.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
#[derive(Debug, Default)]
struct Pump {
    /// Read and not yet taken by the other side, from `taken` on.
    kept: Vec<u8>,
    taken: usize,
    /// Written and perhaps not flushed.
    unflushed: bool,
    /// How the reading ended.
    end: Option<io::Result<()>>,
    /// Whatever was to be said at the end was said.
    told: bool,
    done: bool,
}

impl Pump {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        (count, tail): (&AtomicU64, &Tail),
        last_words: impl Fn() -> Option<Vec<u8>>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        while !self.done {
            ready!(self.poll_kept(cx, writer.as_mut(), tail))?;
            match self.end.take() {
                Some(Ok(())) => {
                    self.end = Some(Ok(()));
                    if !std::mem::replace(&mut self.told, true)
                        && let Some(words) = last_words()
                    {
                        self.kept = words;
                        continue;
                    }
                    ready!(writer.as_mut().poll_shutdown(cx))?;
                    self.done = true;
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    let moved = SCRATCH
                        .with_borrow_mut(|scratch| self.poll_stretch(cx, reader.as_mut(), writer.as_mut(), scratch, (count, tail)))?;
                    if !moved && self.end.is_none() {
                        if self.unflushed && writer.as_mut().poll_flush(cx)?.is_ready() {
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was kept, and gives its memory back.
    fn poll_kept<W: AsyncWrite>(&mut self, cx: &mut Context<'_>, mut writer: Pin<&mut W>, tail: &Tail) -> Poll<io::Result<()>> {
        while self.taken < self.kept.len() {
            match ready!(writer.as_mut().poll_write(cx, &self.kept[self.taken..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    tail.passed(&self.kept[self.taken..self.taken + written]);
                    self.taken += written;
                }
            }
        }
        (self.kept, self.taken) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads what is there, up to a stretch, and writes as much of it as the other side takes. `false` when nothing was there.
    fn poll_stretch<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        scratch: &mut Vec<u8>,
        (count, tail): (&AtomicU64, &Tail),
    ) -> io::Result<bool>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        scratch.resize(STRETCH, 0);
        let mut stretch = ReadBuf::new(scratch);
        while stretch.remaining() >= ROOM {
            let before = stretch.filled().len();
            match reader.as_mut().poll_read(cx, &mut stretch) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if stretch.filled().len() > before => {}
                Poll::Ready(end) => {
                    // Servers may leave TLS without saying so; the protocol inside tells an end from a cut.
                    self.end = Some(end.or_else(|error| if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) }));
                    break;
                }
            }
        }
        let mut bytes = stretch.filled();
        if bytes.is_empty() {
            return Ok(false);
        }
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.unflushed = true;
        while !bytes.is_empty() {
            match writer.as_mut().poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    tail.passed(&bytes[..written]);
                    bytes = &bytes[written..];
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.kept.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A relay between two pipes this wide, and their far ends.
    fn start(width: usize) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<(io::Result<()>, Traffic)>) {
        let (client, mut near) = duplex(width);
        let (mut far, upstream) = duplex(width);
        let relaying = tokio::spawn(async move {
            let traffic = Traffic::default();
            (relay(&mut near, &mut far, &traffic).await, traffic)
        });
        (client, upstream, relaying)
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_at_once_through_pipes_of_any_width() {
        for width in [1, 3, 1000, 1 << 20] {
            let (client, upstream, relaying) = start(width);
            let bytes: Vec<u8> = (0..100_000u32).map(|number| (number % 251) as u8).collect();
            let both = [client, upstream].map(|end| {
                let bytes = bytes.clone();
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(end);
                    let writing = async { write.write_all(&bytes).await.and(write.shutdown().await) };
                    let mut seen = Vec::new();
                    let (read, written) = tokio::join!(read.read_to_end(&mut seen), writing);
                    assert!(read.is_ok() && written.is_ok() && seen == bytes);
                })
            });
            for end in both {
                end.await.unwrap();
            }
            let (outcome, traffic) = relaying.await.unwrap();
            outcome.unwrap();
            assert_eq!((traffic.from_client.into_inner(), traffic.from_upstream.into_inner()), (100_000, 100_000), "{width}");
        }
    }

    #[tokio::test]
    async fn a_side_that_has_said_all_still_hears_the_other() {
        let (mut client, mut upstream, relaying) = start(16);
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = Vec::new();
        upstream.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"question");
        upstream.write_all(b"answer").await.unwrap();
        drop(upstream);
        seen.clear();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"answer");
        relaying.await.unwrap().0.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_session() {
        let (client, mut upstream, relaying) = start(16);
        drop(client);
        let mut seen = Vec::new();
        upstream.read_to_end(&mut seen).await.unwrap();
        // The upstream goes on talking to nobody.
        upstream.write_all(b"x").await.unwrap();
        assert_eq!(relaying.await.unwrap().0.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
