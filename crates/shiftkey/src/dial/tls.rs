//! TLS as a stream that reads, decrypts and writes many records at a time.
//!
//! rustls' buffered connection reads at most one record with each system call and copies it twice. Its unbuffered one works on
//! memory of ours: that of the thread, since what is idle should hold none. A stream keeps only what did not fit: the
//! beginning of a record, plaintext beyond what was asked for, bytes that the network does not take.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    ClientConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Paced;

/// What is read or encrypted at once, at the most.
const STRETCH: usize = 256 * 1024;
/// What is read at once at the least: a record and its header (RFC 8446 section 5.2).
const RECORD: usize = 16 * 1024 + 256 + 5;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An encrypted connection to a server whose certificate was verified.
///
/// A server that leaves without saying so in TLS is an `UnexpectedEof`.
pub struct Encrypted<S = Paced> {
    stream: S,
    tls: UnbufferedClientConnection,
    /// Received, and no whole record.
    incoming: Vec<u8>,
    /// Decrypted, and not read from `read` on.
    plain: Vec<u8>,
    read: usize,
    /// Encrypted, and not sent from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// The server said that it has said all.
    ended: bool,
    /// We did.
    parted: bool,
}

impl<S> fmt::Debug for Encrypted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").field("ended", &self.ended).field("parted", &self.parted).finish_non_exhaustive()
    }
}

/// What there is to say to the server.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Goodbye,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Encrypted<S> {
    /// Shakes hands.
    ///
    /// # Errors
    /// Those of the connection; those of TLS, the certificate's among them, hold a [`rustls::Error`].
    pub(super) async fn connect(stream: S, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let tls = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
        let (incoming, plain, outgoing) = (Vec::new(), Vec::new(), Vec::new());
        let mut stream = Self { stream, tls, incoming, plain, read: 0, outgoing, sent: 0, ended: false, parted: false };
        stream.say(Say::Nothing)?;
        while stream.tls.is_handshaking() {
            // Whoever only sends waits for ever for a server that does too.
            poll_fn(|cx| {
                let _ = stream.poll_send(cx)?;
                stream.poll_receive(cx, &mut ReadBuf::new(&mut []))
            })
            .await?;
            if stream.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        poll_fn(|cx| stream.poll_send(cx)).await?;
        Ok(stream)
    }

    /// The version of TLS that was agreed on.
    pub fn version(&self) -> Option<&'static str> {
        self.tls.protocol_version().and_then(|version| version.as_str())
    }

    /// Receives what is there and decrypts it into `buffer`; what does not fit is kept. It may have been no plaintext.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let received = ready!(self.poll_records(cx, buffer));
        if self.sent < self.outgoing.len() {
            // TLS has an answer of its own. If it cannot be sent at once, it goes with what is written next.
            let _ = self.poll_send(cx);
        }
        Poll::Ready(received)
    }

    fn poll_records(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let (begun, room) = (self.incoming.len(), buffer.remaining().clamp(RECORD, STRETCH));
            if scratch.len() < begun + room {
                scratch.resize(begun + room, 0);
            }
            let mut records = ReadBuf::new(&mut scratch[begun..begun + room]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut records))?;
            let received = records.filled().len();
            if received == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            scratch[..begun].copy_from_slice(&self.incoming);
            let records = &mut scratch[..begun + received];
            let used = self.work_off(records, Say::Nothing, buffer)?;
            self.keep(&records[used..]);
            Poll::Ready(Ok(()))
        })
    }

    /// Encrypts what there is to say, for [`Self::poll_send`].
    fn say(&mut self, say: Say<'_>) -> io::Result<()> {
        let mut records = std::mem::take(&mut self.incoming);
        let used = self.work_off(&mut records, say, &mut ReadBuf::new(&mut []))?;
        self.keep(&records[used..]);
        Ok(())
    }

    fn keep(&mut self, begun: &[u8]) {
        self.incoming.clear();
        if begun.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.extend_from_slice(begun);
        }
    }

    /// Works off the whole records in `records`, and says what there is to say; tells how many bytes were used.
    fn work_off(&mut self, records: &mut [u8], mut say: Say<'_>, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut records[used..]);
            let done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        let fits = if self.plain.is_empty() { record.payload.len().min(buffer.remaining()) } else { 0 };
                        buffer.put_slice(&record.payload[..fits]);
                        self.plain.extend_from_slice(&record.payload[fits..]);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(&mut self.outgoing, data)?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It stands in line.
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    false
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let encrypted = |result| match result {
                        Err(EncryptError::InsufficientSize(size)) => Ok(Err(size)),
                        Err(error) => Err(io::Error::other(error)),
                        Ok(length) => Ok(Ok(length)),
                    };
                    match std::mem::replace(&mut say, Say::Nothing) {
                        Say::Nothing => true,
                        Say::Bytes(bytes) => {
                            let guess = bytes.len() + (bytes.len() / RECORD + 2) * 64;
                            append(&mut self.outgoing, guess, |room| encrypted(traffic.encrypt(bytes, room)))?;
                            false
                        }
                        Say::Goodbye => {
                            append(&mut self.outgoing, 64, |room| encrypted(traffic.queue_close_notify(room)))?;
                            false
                        }
                    }
                }
                // The handshake waits for more; all was said; the rest is not for clients.
                Ok(_) => true,
                Err(error) => {
                    // What the server is told about it comes before what is left of the records, and once.
                    let UnbufferedStatus { state, .. } = self.tls.process_tls_records(&mut records[used + discard..]);
                    if let Ok(ConnectionState::EncodeTlsData(data)) = state {
                        encode(&mut self.outgoing, data)?;
                    }
                    return Err(invalid(error));
                }
            };
            used += discard;
            match say {
                _ if !done => {}
                Say::Bytes(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Say::Nothing | Say::Goodbye => return Ok(used),
            }
        }
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if self.sent > 0 {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

fn encode<D>(bytes: &mut Vec<u8>, mut data: EncodeTlsData<'_, D>) -> io::Result<()> {
    append(bytes, 0, |room| match data.encode(room) {
        Err(EncodeError::InsufficientSize(size)) => Ok(Err(size)),
        Err(error) => Err(io::Error::other(error)),
        Ok(length) => Ok(Ok(length)),
    })
}

/// Lengthens `bytes` by what `write` writes into as much room as it wants.
fn append(
    bytes: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> io::Result<Result<usize, InsufficientSizeError>>,
) -> io::Result<()> {
    let begin = bytes.len();
    loop {
        bytes.resize(begin + room, 0);
        match write(&mut bytes[begin..])? {
            Ok(length) => {
                bytes.truncate(begin + length);
                return Ok(());
            }
            Err(wanted) => room = wanted.required_size,
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.filled().len() == before && buffer.remaining() > 0 {
            if self.read < self.plain.len() {
                let length = buffer.remaining().min(self.plain.len() - self.read);
                buffer.put_slice(&self.plain[self.read..self.read + length]);
                self.read += length;
                if self.read == self.plain.len() {
                    (self.plain, self.read) = (Vec::new(), 0);
                }
            } else if self.ended {
                break;
            } else {
                ready!(self.poll_receive(cx, buffer))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let bytes = &bytes[..bytes.len().min(STRETCH)];
        self.say(Say::Bytes(bytes))?;
        // They count as written: what is not sent now is sent before anything else.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.parted, true) {
            self.say(Say::Goodbye)?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
