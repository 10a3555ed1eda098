//! Cancelling a session's query: a connection of its own, encrypted like the session's.

use shiftkey_wire::startup::{CancelRequest, FirstPacket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{BackendKey, Options};
use crate::{
    credential::Route,
    error::{Error, ErrorKind, Result},
};

/// Asks the warehouse to cancel what `key`'s session runs. The server never answers whether it did.
///
/// # Errors
/// When the warehouse cannot be reached.
pub async fn cancel(route: &Route, options: &Options, key: &BackendKey) -> Result<()> {
    let mut stream = super::encrypted(route, options).await?;
    let mut bytes = Vec::new();
    FirstPacket::Cancel(CancelRequest { process_id: key.process_id, key: key.key.clone() }).encode(&mut bytes);
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        // The server closes when it has read the request; leaving earlier could lose it.
        let _ = stream.read(&mut [0; 1]).await;
        Ok::<(), std::io::Error>(())
    };
    sent.await.map_err(|error| Error::new(ErrorKind::Unreachable, format!("the cancel request was not sent: {error}")).with_source(error))
}
