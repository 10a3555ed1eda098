use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use shiftkey_proxy::{Certificate, ClientSecret};
use shiftkey_wire::startup::{FirstPacket, StartupMessage};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::*;

const SECRET: &str = "correct horse battery staple";

/// A listener of TLS on the world's proxy, and what its clients trust.
struct Encrypted {
    address: SocketAddr,
    certificate: Arc<Certificate>,
    files: TempDir,
    stop: Arc<Notify>,
    running: JoinHandle<Ended>,
}

/// A certificate for `localhost` in two files.
fn write(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    let key = dir.join("tls.key");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
}

impl Encrypted {
    fn listen(world: &World, audience: impl FnOnce(Arc<Certificate>, Arc<ClientSecret>) -> Audience) -> Self {
        let files = tempfile::tempdir().unwrap();
        write(files.path());
        let certificate = Arc::new(Certificate::load(&files.path().join("tls.crt"), &files.path().join("tls.key")).unwrap());
        let file = files.path().join("secret");
        std::fs::write(&file, SECRET).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let secret = Arc::new(ClientSecret::load(&file).unwrap());
        let audience = audience(Arc::clone(&certificate), secret);
        let listener = Listener::bind(&"0".parse().unwrap(), audience, Routes::to(&world.target)).unwrap();
        let Listen::Tcp(address) = *listener.address() else { panic!("TCP was asked for") };
        let (proxy, stop) = (world.proxy.clone(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(async move { proxy.run(vec![listener], stopped.notified()).await });
        Self { address, certificate, files, stop, running }
    }

    /// The listener that most are: for the same user, with TLS for those who want it.
    fn optional(world: &World) -> Self {
        Self::listen(world, |certificate, _| Audience::users(Admission::same_user()).with_certificate(Some(certificate)))
    }

    /// TLS on this stream, chain and name verified.
    async fn begin<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, alpn: &[&str]) -> std::io::Result<TlsStream<S>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.files.path().join("tls.crt")).unwrap()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// A stream that has asked for TLS and got it.
    async fn requested(&self) -> TlsStream<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&bytes(&FirstPacket::SslRequest)).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'S');
        self.begin(stream, &[]).await.unwrap()
    }

    async fn end(self) {
        self.stop.notify_one();
        self.running.await.unwrap();
    }
}

fn bytes(packet: &FirstPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn startup() -> Vec<u8> {
    bytes(&FirstPacket::Startup(StartupMessage::new([("user", "me")])))
}

/// A session of a real client on a stream that is encrypted already.
async fn signed_in(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, password: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.user("whoever").password(password);
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What is read until the end.
async fn told(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_client_that_asks_for_tls_gets_it_in_both_ways_and_others_need_none() {
    let world = World::new().await;
    let encrypted = Encrypted::optional(&world);
    let requested = signed_in(encrypted.requested().await, "").await.unwrap();
    assert_eq!(one(&requested, "select current_user").await, "alice");
    let direct = encrypted.begin(TcpStream::connect(encrypted.address).await.unwrap(), &["postgresql"]).await.unwrap();
    let direct = signed_in(direct, "").await.unwrap();
    let long = "y".repeat(300_000);
    assert_eq!(one(&direct, &format!("select '{long}'")).await, long);
    let plain = connect(&at(encrypted.address)).await.unwrap();
    assert_eq!(one(&plain, "select current_user").await, "alice");
    drop((requested, direct, plain));
    encrypted.end().await;
    world.end().await;
}

#[tokio::test]
async fn tls_from_the_start_needs_the_protocols_name() {
    let world = World::new().await;
    let encrypted = Encrypted::optional(&world);
    let stream = encrypted.begin(TcpStream::connect(encrypted.address).await.unwrap(), &[]).await.unwrap();
    let text = told(stream).await;
    assert!(text.contains("C08P01") && text.contains("ALPN"), "{text}");
    let error = encrypted.begin(TcpStream::connect(encrypted.address).await.unwrap(), &["http/1.1"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    encrypted.end().await;
    world.end().await;
}

#[tokio::test]
async fn where_there_is_no_certificate_tls_fails_as_tls_does() {
    let world = World::new().await;
    let plain = Encrypted::listen(&world, |_, _| Audience::users(Admission::same_user()));
    let error = plain.begin(TcpStream::connect(plain.address).await.unwrap(), &["postgresql"]).await.unwrap_err();
    assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    // It has ended by the time that the client has left.
    while world.proxy.stats().counts().failed == 0 {
        tokio::task::yield_now().await;
    }
    assert!(world.proxy.stats().failures()[0].message.contains("does not have"));
    plain.end().await;
    world.end().await;
}

#[tokio::test]
async fn nothing_is_read_that_came_before_tls_and_nothing_begins_twice() {
    let world = World::new().await;
    let encrypted = Encrypted::optional(&world);
    let mut stream = TcpStream::connect(encrypted.address).await.unwrap();
    stream.write_all(&[bytes(&FirstPacket::SslRequest), startup()].concat()).await.unwrap();
    let text = told(stream).await;
    assert!(text.starts_with('E') && text.contains("C08P01"), "{text}");
    let mut stream = encrypted.requested().await;
    stream.write_all(&bytes(&FirstPacket::SslRequest)).await.unwrap();
    let text = told(stream).await;
    assert!(text.contains("C08P01") && text.contains("answered already"), "{text}");
    // Bytes that are no TLS after the promise: an alert, and no words in the clear.
    let mut stream = TcpStream::connect(encrypted.address).await.unwrap();
    stream.write_all(&bytes(&FirstPacket::SslRequest)).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S');
    stream.write_all(&startup()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    assert_eq!(world.issued(), 0);
    encrypted.end().await;
    world.end().await;
}

#[tokio::test]
async fn a_certificate_is_replaced_without_dropping_a_session() {
    let world = World::new().await;
    let encrypted = Encrypted::optional(&world);
    let before = signed_in(encrypted.requested().await, "").await.unwrap();
    write(encrypted.files.path());
    // Clients trust the new one, which is not served yet.
    let stream = TcpStream::connect(encrypted.address).await.unwrap();
    encrypted.begin(stream, &["postgresql"]).await.unwrap_err();
    encrypted.certificate.reload().unwrap();
    let after = signed_in(encrypted.requested().await, "").await.unwrap();
    for client in [&before, &after] {
        assert_eq!(one(client, "select current_user").await, "alice");
    }
    drop((before, after));
    encrypted.end().await;
    world.end().await;
}

#[tokio::test]
async fn who_comes_from_elsewhere_proves_a_secret_over_tls() {
    let settings = Settings { pause: Duration::ZERO, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let encrypted = Encrypted::listen(&world, |certificate, secret| Audience::holders(secret, certificate));
    let client = signed_in(encrypted.requested().await, SECRET).await.unwrap();
    assert_eq!(one(&client, "select current_user").await, "alice");
    assert_eq!(world.proxy.stats().open_sessions()[0].uid, None);
    let error = signed_in(encrypted.requested().await, "a guess that is wrong").await.map(|_| ()).unwrap_err();
    let told = error.as_db_error().unwrap();
    assert!(told.code().code() == "28P01" && told.hint().unwrap().contains("client secret"), "{told:?}");
    let error = connect(at(encrypted.address).password(SECRET)).await.map(|_| ()).unwrap_err();
    let told = error.as_db_error().unwrap();
    assert!(told.code().code() == "28000" && told.hint().unwrap().contains("sslmode"), "{told:?}");
    let counts = world.proxy.stats().counts();
    assert_eq!((counts.signed_in, counts.failed, world.issued()), (1, 2, 1));
    drop(client);
    encrypted.end().await;
    world.end().await;
}

#[tokio::test]
async fn on_this_machine_the_secret_is_asked_for_as_well_and_never_sent() {
    let settings = Settings { pause: Duration::ZERO, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let asking = Encrypted::listen(&world, |_, secret| Audience::users(Admission::same_user()).with_secret(Some(secret)));
    let client = connect(at(asking.address).password(SECRET)).await.unwrap();
    assert_eq!(one(&client, "select current_user").await, "alice");
    let mut stream = TcpStream::connect(asking.address).await.unwrap();
    stream.write_all(&startup()).await.unwrap();
    let mut offer = [0; 24];
    stream.read_exact(&mut offer).await.unwrap();
    assert_eq!(&offer[..], b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", "and nothing weaker");
    drop((client, stream));
    asking.end().await;
    world.end().await;
}

#[tokio::test]
async fn a_session_through_tls_that_is_cut_is_told() {
    let settings = Settings { drain: Duration::ZERO, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let encrypted = Encrypted::optional(&world);
    let mut stream = encrypted.requested().await;
    stream.write_all(&startup()).await.unwrap();
    let mut welcome = Vec::new();
    while !welcome.ends_with(b"Z\0\0\0\x05I") {
        assert!(stream.read_buf(&mut welcome).await.unwrap() > 0);
    }
    encrypted.end().await;
    let text = told(stream).await;
    assert!(text.contains("SFATAL") && text.contains("C57P01"), "{text}");
    world.end().await;
}
