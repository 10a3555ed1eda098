use proptest::prelude::*;
use rustls::{
    AlertDescription, ContentType, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
    pki_types::{CertificateDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use shiftkey_sandbox::pki::Pki;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime,
};
use tokio_rustls::{Accept, TlsAcceptor};

use super::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn client_config(pki: &Pki, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::new(builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots).with_no_client_auth())
}

fn accept(config: Arc<ServerConfig>, stream: DuplexStream) -> Accept<DuplexStream> {
    TlsAcceptor::from(config).accept(stream)
}

type Pair = (Encrypted<DuplexStream>, DuplexStream, ServerConnection);

/// A client of ours, and its server's two halves, at the ends of a pipe of this width.
async fn pair(version: &'static SupportedProtocolVersion, width: usize) -> Pair {
    let pki = Pki::generate().unwrap();
    let mut config = (*pki.server_config()).clone();
    if width < 4096 {
        // The server writes tickets when the client has shaken hands and does not read: a narrow pipe would never take them.
        config.send_tls13_tickets = 0;
    }
    pair_with(&pki, Arc::new(config), version, width).await
}

async fn pair_with(pki: &Pki, config: Arc<ServerConfig>, version: &'static SupportedProtocolVersion, width: usize) -> Pair {
    let (near, far) = duplex(width);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(Encrypted::connect(near, client_config(pki, version), name), accept(config, far));
    let (pipe, tls) = server.unwrap().into_inner();
    let client = client.unwrap();
    assert_eq!(client.version(), version.version.as_str());
    (client, pipe, tls)
}

/// What the server has to send, as bytes of TLS.
fn said(tls: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// These bytes as one record.
fn record(tls: &mut ServerConnection, bytes: &[u8]) -> Vec<u8> {
    io::Write::write_all(&mut tls.writer(), bytes).unwrap();
    said(tls)
}

/// Plaintext that the server gets from `pipe`, until there are so many bytes of it.
async fn heard(tls: &mut ServerConnection, pipe: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    while plain.len() < count {
        let mut bytes = [0; 4096];
        let length = pipe.read(&mut bytes).await.unwrap();
        assert!(length > 0, "the client left");
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            let state = tls.process_new_packets().unwrap();
            let mut part = vec![0; state.plaintext_bytes_to_read()];
            io::Read::read_exact(&mut tls.reader(), &mut part).unwrap();
            plain.append(&mut part);
        }
    }
    plain
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

fn within<T>(work: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_records_in_any_pieces_are_read_in_any_steps(
        records in prop::collection::vec(1..=16_384usize, 1..20),
        width in 1..50_000usize,
        step in 1..300_000usize,
        version in prop::sample::select(&BOTH[..]),
    ) {
        within(async {
            let (mut client, mut pipe, mut tls) = pair(version, width).await;
            let expected = pattern(records.iter().sum());
            let mut wire = Vec::new();
            let mut rest = &expected[..];
            for length in records {
                wire.extend(record(&mut tls, &rest[..length]));
                rest = &rest[length..];
            }
            tls.send_close_notify();
            wire.extend(said(&mut tls));
            let writing = tokio::spawn(async move { pipe.write_all(&wire).await });
            let (mut seen, mut buffer) = (Vec::new(), vec![0; step]);
            while let length @ 1.. = client.read(&mut buffer).await.unwrap() {
                seen.extend_from_slice(&buffer[..length]);
            }
            assert!(seen == expected);
            writing.await.unwrap().unwrap();
            assert!(holds_nothing(&client));
        });
    }

    #[test]
    fn what_is_written_arrives_through_a_pipe_of_any_width(
        length in 1..600_000usize,
        width in 1..50_000usize,
        version in prop::sample::select(&BOTH[..]),
    ) {
        within(async {
            let (mut client, mut pipe, mut tls) = pair(version, width).await;
            let bytes = pattern(length);
            let (written, seen) = tokio::join!(
                async { client.write_all(&bytes).await.and(client.flush().await) },
                heard(&mut tls, &mut pipe, length),
            );
            written.unwrap();
            assert!(seen == bytes);
            assert!(holds_nothing(&client));
        });
    }
}

fn holds_nothing<S>(stream: &Encrypted<S>) -> bool {
    [&stream.incoming, &stream.plain, &stream.outgoing].iter().all(|buffer| buffer.capacity() == 0)
}

#[test]
fn records_without_content_are_no_end() {
    within(async {
        let pki = Pki::generate().unwrap();
        let mut config = (*pki.server_config()).clone();
        (config.enable_secret_extraction, config.send_tls13_tickets) = (true, 0);
        let (mut client, mut pipe, tls) = pair_with(&pki, Arc::new(config), &TLS13, 1 << 16).await;
        let suite = tls.negotiated_cipher_suite().unwrap().tls13().unwrap();
        let (sequence, secrets) = tls.dangerous_extract_secrets().unwrap().tx;
        let rustls::ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("{}", suite.common.suite.as_str().unwrap()) };
        let mut encrypter: Box<dyn MessageEncrypter> = suite.aead_alg.encrypter(key, iv);
        let mut wire = Vec::new();
        for (place, bytes) in [&b""[..], b"", b"some", b"", b"thing"].into_iter().enumerate() {
            let message = OutboundPlainMessage {
                typ: ContentType::ApplicationData,
                version: ProtocolVersion::TLSv1_2,
                payload: OutboundChunks::Single(bytes),
            };
            wire.extend(encrypter.encrypt(message, sequence + place as u64).unwrap().encode());
        }
        pipe.write_all(&wire).await.unwrap();
        let mut seen = [0; 9];
        client.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"something");
    });
}

#[test]
fn keys_may_change_at_any_time() {
    within(async {
        let (mut client, mut pipe, mut tls) = pair(&TLS13, 1 << 16).await;
        for round in 0..3 {
            let before = record(&mut tls, b"before");
            tls.refresh_traffic_keys().unwrap();
            let wire = [before, record(&mut tls, b"after")].concat();
            pipe.write_all(&wire).await.unwrap();
            let mut seen = [0; 11];
            client.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen, b"beforeafter");
            // The server asked for new keys of ours too.
            client.write_all(b"answer").await.unwrap();
            client.flush().await.unwrap();
            assert_eq!(heard(&mut tls, &mut pipe, 6).await, b"answer", "{round}");
        }
    });
}

#[test]
fn an_end_is_told_from_a_cut_and_is_half_an_end() {
    within(async {
        for version in BOTH {
            let (mut client, mut pipe, mut tls) = pair(version, 1 << 16).await;
            let mut wire = record(&mut tls, b"last");
            tls.send_close_notify();
            wire.extend(said(&mut tls));
            pipe.write_all(&wire).await.unwrap();
            let mut seen = Vec::new();
            client.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, b"last");
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "it stays at its end");
            client.write_all(b"not yet").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(heard(&mut tls, &mut pipe, 7).await, b"not yet");
            let mut rest = Vec::new();
            pipe.read_to_end(&mut rest).await.unwrap();
            tls.read_tls(&mut &rest[..]).unwrap();
            assert!(rest.is_empty() || tls.process_new_packets().unwrap().peer_has_closed());
            assert_eq!(client.write(b"too late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

            for cut in [0, 3] {
                let (mut client, mut pipe, mut tls) = pair(version, 1 << 16).await;
                let wire = [record(&mut tls, b"whole"), record(&mut tls, b"half")[..cut].to_vec()].concat();
                pipe.write_all(&wire).await.unwrap();
                drop(pipe);
                let mut seen = Vec::new();
                let error = client.read_to_end(&mut seen).await.unwrap_err();
                assert_eq!((&seen[..], error.kind()), (&b"whole"[..], io::ErrorKind::UnexpectedEof));
            }
        }
    });
}

#[test]
fn a_changed_record_is_an_error_and_the_server_is_told() {
    within(async {
        for version in BOTH {
            let (mut client, mut pipe, mut tls) = pair(version, 1 << 16).await;
            let mut wire = record(&mut tls, b"true");
            *wire.last_mut().unwrap() ^= 1;
            pipe.write_all(&wire).await.unwrap();
            let error = client.read(&mut [0; 16]).await.unwrap_err();
            assert!(error.kind() == io::ErrorKind::InvalidData && error.get_ref().unwrap().is::<rustls::Error>(), "{error:?}");
            drop(client);
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).await.unwrap();
            tls.read_tls(&mut &bytes[..]).unwrap();
            let told = tls.process_new_packets().unwrap_err();
            assert_eq!(told, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
        }
    });
}

#[test]
fn a_certificate_that_is_not_the_right_one_ends_the_handshake() {
    within(async {
        let (theirs, ours) = (Pki::generate().unwrap(), Pki::generate().unwrap());
        for (trusted, name) in [(&ours, "localhost"), (&theirs, "elsewhere.test")] {
            for version in BOTH {
                let (near, far) = duplex(1 << 16);
                let name = ServerName::try_from(name).unwrap();
                let connecting = async move {
                    let outcome = Encrypted::connect(near, client_config(trusted, version), name).await;
                    outcome.map(|_| ()).unwrap_err()
                };
                let (error, served) = tokio::join!(connecting, accept(theirs.server_config(), far));
                assert!(error.get_ref().unwrap().is::<rustls::Error>(), "{error:?}");
                // TLS 1.3 lets the server finish first.
                let told = match served {
                    Err(error) => error,
                    Ok(mut stream) => stream.read(&mut [0; 1]).await.unwrap_err(),
                };
                assert!(told.to_string().contains("fatal alert"), "{told}");
            }
        }
    });
}

#[test]
fn a_server_that_leaves_in_the_handshake_is_cut() {
    within(async {
        let pki = Pki::generate().unwrap();
        for garbage in [&b""[..], b"\x16\x03\x03\x40"] {
            let (near, mut far) = duplex(1 << 16);
            far.write_all(garbage).await.unwrap();
            far.shutdown().await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let error = Encrypted::connect(near, client_config(&pki, &TLS13), name).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    });
}
#[test]
fn hands_are_shaken_through_the_narrowest_pipe() {
    for version in BOTH {
        for width in 1..8 {
            within(pair(version, width));
        }
    }
}
