//! A client's first packets, up to what it wants.

use std::{sync::LazyLock, time::Duration};

use shiftkey_wire::{
    WireError,
    error_fields::{ErrorFields, sqlstate},
    startup::{CancelRequest, FirstPacket, StartupMessage},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::client_secret::ClientSecret;

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Opening {
    Cancel(CancelRequest),
    /// TLS, which it was promised.
    Encryption,
    /// Nothing: it left. Health checks do.
    Nothing,
    /// To sign in. What it sent beyond its packet comes along.
    Startup(StartupMessage, Vec<u8>),
}

/// Why it cannot be served: what it is told.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) ErrorFields);

/// How it stands with TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tls {
    /// There is none.
    Declined,
    /// It begins when the client asks for it.
    Offered,
    /// It has begun.
    Begun,
}

/// Reads the first packets. Requests for encryption are answered, each kind once, in any order: GSSAPI is declined (`N`), TLS
/// as well or promised (`S`). What comes together with such a request, before the answer, may be anyone's and is refused
/// (CVE-2021-3935).
///
/// # Errors
/// What the client is to be told, when it breaks the protocol or the connection.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, offer: Tls) -> Result<Opening, Broken> {
    let mut ahead = Vec::with_capacity(1024);
    let (mut tls, mut gss) = (offer == Tls::Begun, offer == Tls::Begun);
    loop {
        let Some(packet) = packet(client, &mut ahead).await? else { return Ok(Opening::Nothing) };
        let (asked, promised) = match packet {
            FirstPacket::Cancel(cancel) => return Ok(Opening::Cancel(cancel)),
            FirstPacket::Startup(startup) => return Ok(Opening::Startup(startup, ahead)),
            FirstPacket::GssEncRequest => (&mut gss, false),
            FirstPacket::SslRequest => (&mut tls, offer == Tls::Offered),
        };
        if std::mem::replace(asked, true) {
            return Err(violation("encryption was answered already"));
        }
        if !ahead.is_empty() {
            return Err(violation("unencrypted data was sent together with a request for encryption"));
        }
        let answered = async {
            client.write_all(if promised { b"S" } else { b"N" }).await?;
            client.flush().await
        };
        if answered.await.is_err() {
            return Ok(Opening::Nothing);
        }
        if promised {
            return Ok(Opening::Encryption);
        }
    }
}

async fn packet<S: AsyncRead + Unpin>(client: &mut S, ahead: &mut Vec<u8>) -> Result<Option<FirstPacket>, Broken> {
    loop {
        if let Some((packet, length)) = FirstPacket::parse(ahead).map_err(malformed)? {
            ahead.drain(..length);
            return Ok(Some(packet));
        }
        // The parser refuses a packet by its first bytes when it is too large, so this is bounded.
        match client.read_buf(ahead).await {
            Ok(0) if ahead.is_empty() => return Ok(None),
            Ok(0) => return Err(violation("the connection was closed inside the startup packet")),
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Puts any bytes through everything that reads a client's first packets, as if they arrived in pieces of `width`. For fuzzing.
///
/// # Panics
/// When the proxy would answer what it must not.
#[doc(hidden)]
pub fn first_packets(bytes: &[u8], width: usize) {
    static SECRET: LazyLock<ClientSecret> = LazyLock::new(|| ClientSecret::of("correct horse battery staple"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
    let (mut client, mut server) = tokio::io::duplex(width);
    let answers = runtime.block_on(async {
        let talk = async {
            // A server that has heard enough does not listen any more.
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
            answers
        };
        let listen = async move {
            // What comes after a promise is TLS's to read, and stands for what has come through it here.
            let opened = match open(&mut server, Tls::Offered).await {
                Ok(Opening::Encryption) => open(&mut server, Tls::Begun).await,
                opened => opened,
            };
            if let Ok(Opening::Startup(startup, mut ahead)) = opened {
                let _ = crate::parameters::read(&startup);
                let proven = SECRET.ask(&mut server, &mut ahead, Duration::ZERO).await;
                assert!(!matches!(proven, Ok(Ok(()))), "nobody knows the secret");
            }
        };
        tokio::join!(talk, listen).0
    });
    let answered = answers.iter().take_while(|byte| b"NS".contains(byte)).count();
    assert!(answered <= 2 && matches!(answers[answered..], [] | [b'R', ..]), "{answers:?}");
}

fn malformed(error: WireError) -> Broken {
    match error {
        WireError::Version(major, minor) => {
            let message = format!("shiftkey: protocol version {major}.{minor} is not supported, 3.0 is");
            Broken(ErrorFields::fatal(sqlstate::NOT_SUPPORTED, message))
        }
        _ => {
            let Broken(fields) = violation("this is not a startup packet of the PostgreSQL protocol");
            let hint = "clients of PostgreSQL and of Amazon Redshift connect here";
            Broken(ErrorFields { hint: Some(hint.to_owned()), ..fields })
        }
    }
}

fn violation(what: &str) -> Broken {
    Broken(ErrorFields::fatal(sqlstate::PROTOCOL_VIOLATION, format!("shiftkey: {what}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    const SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    const GSS: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

    fn startup() -> Vec<u8> {
        let mut bytes = Vec::new();
        FirstPacket::Startup(StartupMessage::new([("user", "")])).encode(&mut bytes);
        bytes
    }

    /// What comes of these bytes, each piece sent once the one before was answered; and what was answered.
    async fn opened(pieces: &[&[u8]], width: usize) -> (Result<Opening, Broken>, Vec<u8>) {
        opened_with(Tls::Declined, pieces, width).await
    }

    async fn opened_with(offer: Tls, pieces: &[&[u8]], width: usize) -> (Result<Opening, Broken>, Vec<u8>) {
        let (mut client, mut server) = duplex(width);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let talking = tokio::spawn(async move {
            let mut answers = Vec::new();
            for (place, piece) in pieces.iter().enumerate() {
                // A server that has heard enough does not listen any more.
                if client.write_all(piece).await.is_err() {
                    break;
                }
                if place + 1 < pieces.len() && client.read_buf(&mut answers).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answers).await;
            answers
        });
        let outcome = open(&mut server, offer).await;
        drop(server);
        (outcome, talking.await.unwrap())
    }

    #[tokio::test]
    async fn encryption_is_declined_in_any_order_and_byte_by_byte() {
        let startup = startup();
        for (before, answers) in [(&[][..], &b""[..]), (&[SSL], b"N"), (&[GSS], b"N"), (&[GSS, SSL], b"NN"), (&[SSL, GSS], b"NN")] {
            for width in [1, 4096] {
                let pieces: Vec<&[u8]> = before.iter().copied().chain([startup.as_slice()]).collect();
                let (outcome, seen) = opened(&pieces, width).await;
                assert!(
                    matches!(outcome, Ok(Opening::Startup(ref message, ref ahead)) if message.get("user") == Some("") && ahead.is_empty())
                );
                assert_eq!(seen, answers);
            }
        }
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_told() {
        let startup = startup();
        for (pieces, code, needle) in [
            (vec![SSL, SSL], "08P01", "answered already"),
            (vec![GSS, SSL, GSS], "08P01", "answered already"),
            (vec![&[SSL, &startup].concat()[..]], "08P01", "together with a request for encryption"),
            (vec![&[GSS, SSL].concat()[..]], "08P01", "together with a request for encryption"),
            (vec![b"GET / HTTP/1.1\r\n\r\n"], "08P01", "not a startup packet"),
            (vec![&[0x16, 3, 1, 2, 0, 1, 0, 1][..]], "08P01", "not a startup packet"),
            (vec![&[0, 0, 0x27, 0x11, 0, 3, 0, 0][..]], "08P01", "not a startup packet"),
            (vec![&[0, 0, 0, 9, 0, 2, 0, 0, 0][..]], "0A000", "version 2.0"),
            (vec![&startup[..9]], "08P01", "inside the startup packet"),
        ] {
            let (outcome, _) = opened(&pieces, 4096).await;
            let Err(Broken(fields)) = outcome else { panic!("{pieces:?}: {outcome:?}") };
            assert!(fields.code == code && fields.message.contains(needle), "{fields:?}");
        }
    }

    #[tokio::test]
    async fn tls_is_promised_once_and_nothing_comes_before_it() {
        let startup = startup();
        for (before, answers) in [(&[SSL][..], &b"S"[..]), (&[GSS, SSL], b"NS")] {
            for width in [1, 4096] {
                let (outcome, seen) = opened_with(Tls::Offered, before, width).await;
                assert!(matches!(outcome, Ok(Opening::Encryption)) && seen == answers, "{outcome:?} {seen:?}");
            }
        }
        assert!(matches!(opened_with(Tls::Offered, &[GSS, &startup], 64).await.0, Ok(Opening::Startup(..))));
        let (outcome, seen) = opened_with(Tls::Offered, &[&[SSL, &startup].concat()], 4096).await;
        assert!(matches!(outcome, Err(Broken(fields)) if fields.message.contains("together with")) && seen.is_empty());
        for again in [SSL, GSS] {
            let (outcome, seen) = opened_with(Tls::Begun, &[again], 64).await;
            assert!(matches!(outcome, Err(Broken(fields)) if fields.message.contains("answered already")) && seen.is_empty());
        }
    }

    #[tokio::test]
    async fn who_leaves_or_cancels_is_no_failure() {
        assert!(matches!(opened(&[], 64).await.0, Ok(Opening::Nothing)));
        assert!(matches!(opened(&[SSL, b""], 64).await.0, Ok(Opening::Nothing)));
        let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4];
        assert!(matches!(opened(&[&cancel], 1).await.0, Ok(Opening::Cancel(cancel)) if cancel.process_id == 7));
        assert!(matches!(opened(&[SSL, &cancel], 64).await.0, Ok(Opening::Cancel(_))));
    }

    #[tokio::test]
    async fn what_a_hasty_client_sends_ahead_is_kept() {
        let bytes = [&startup()[..], b"Q\0\0\0\x05\0"].concat();
        assert!(matches!(opened(&[&bytes], 4096).await.0, Ok(Opening::Startup(_, ahead)) if ahead == b"Q\0\0\0\x05\0"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_hang(bytes in prop::collection::vec(any::<u8>(), 0..64), width in 1..64usize) {
            first_packets(&bytes, width);
        }
    }
}
