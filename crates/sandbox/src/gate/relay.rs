//! Between a client and an engine that does not know Redshift's catalog: statements that concern it are put into the engine's words,
//! so that the engine answers them in its turn. All else passes as bytes.

use std::io;

use shiftkey_wire::frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::watch::{Seen, Watch};

use crate::catalog::Catalog;
use crate::engine::Running;

/// What one message may weigh.
const CEILING: usize = 1 << 30;

/// Passes the client's bytes on until it has no more.
pub(super) async fn interpreted(
    client: &mut (impl AsyncRead + Unpin),
    engine: &mut (impl AsyncWrite + Unpin),
    catalog: &Catalog,
    running: &Running,
) -> io::Result<()> {
    let mut ahead = Vec::new();
    loop {
        while let Some((message, size)) = frame::parse(&ahead, CEILING).map_err(io::Error::other)? {
            match rewritten(message, catalog, running).await {
                Some(bytes) => engine.write_all(&bytes).await?,
                None => engine.write_all(&ahead[..size]).await?,
            }
            ahead.drain(..size);
        }
        engine.flush().await?;
        if client.read_buf(&mut ahead).await? == 0 {
            return engine.shutdown().await;
        }
    }
}

/// The message that the engine gets instead; `None` leaves it.
async fn rewritten(message: frame::Frame<'_>, catalog: &Catalog, running: &Running) -> Option<Vec<u8>> {
    let (before, rest) = match message.tag {
        b'Q' => (&[][..], message.body),
        b'P' => message.body.split_at(message.body.iter().position(|byte| *byte == 0)? + 1),
        _ => return None,
    };
    let (text, after) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
    let sql = running.interpret(catalog, std::str::from_utf8(text).ok()?).await?;
    let mut bytes = Vec::new();
    frame::write(&mut bytes, message.tag, |body| {
        body.extend_from_slice(before);
        body.extend_from_slice(sql.as_bytes());
        body.extend_from_slice(after);
    });
    Some(bytes)
}

/// Passes the engine's bytes on until it has no more. Before a client hears that its transaction has ended, what it changed of users
/// and groups has taken effect, or is forgotten.
pub(super) async fn watched(
    engine: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    buffer: usize,
    catalog: &Catalog,
    running: &Running,
) -> io::Result<()> {
    let mut bytes = vec![0; buffer];
    let (mut watch, mut failed) = (Watch::default(), false);
    loop {
        let size = engine.read(&mut bytes).await?;
        if size == 0 {
            return client.shutdown().await;
        }
        for seen in watch.see(&bytes[..size]) {
            match seen {
                Seen::Failed => failed = true,
                Seen::Ended { kept } => running.settle(catalog, kept).await,
                Seen::Ready { status } => {
                    // Without BEGIN, a message's statements are one transaction.
                    if status != b'T' || failed {
                        running.settle(catalog, status == b'I' && !failed).await;
                    }
                    failed = false;
                }
            }
        }
        client.write_all(&bytes[..size]).await?;
        client.flush().await?;
    }
}
