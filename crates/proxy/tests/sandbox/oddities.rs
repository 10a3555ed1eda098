use shiftkey_sandbox::pki::Pki;
use shiftkey_wire::backend::{Authentication, Backend};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// How far a warehouse goes before it leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    Accepting,
    OfferingTls,
    Encrypting,
    Asking,
    HalfAMessage,
    /// It stays, and sends back whatever it gets.
    TheEnd,
}

/// A warehouse that welcomes everybody with these bytes, and a proxy for it.
async fn world(welcome: Vec<u8>, until: Until) -> (World, JoinHandle<()>) {
    let pki = Pki::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(pki.server_config());
    let warehouse = tokio::spawn(async move {
        // A session that breaks is dialled once more.
        while let Ok((stream, _)) = listener.accept().await {
            let _ = serve(stream, &acceptor, &welcome, until).await;
        }
    });
    let overrides = Overrides { host: Some("localhost".into()), port: Some(port), ..Overrides::default() };
    let ca_pem = Some(pki.ca_pem().to_owned());
    (World::with(Choice { engine: Engine::Embedded, overrides, ca_pem, ..Choice::default() }).await, warehouse)
}

async fn serve(mut stream: TcpStream, acceptor: &TlsAcceptor, welcome: &[u8], until: Until) -> std::io::Result<()> {
    if until == Until::Accepting {
        return Ok(());
    }
    stream.read_exact(&mut [0; 8]).await?;
    if until == Until::OfferingTls {
        return Ok(());
    }
    stream.write_all(b"S").await?;
    if until == Until::Encrypting {
        return Ok(());
    }
    let mut stream = acceptor.accept(stream).await?;
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    if until == Until::Asking {
        return Ok(());
    }
    let end = if until == Until::HalfAMessage { welcome.len() - 2 } else { welcome.len() };
    stream.write_all(&welcome[..end]).await?;
    stream.flush().await?;
    if until == Until::HalfAMessage {
        return stream.shutdown().await;
    }
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}

fn messages(messages: &[Backend]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    shiftkey_wire::frame::write(&mut bytes, tag, |buffer| buffer.extend_from_slice(body));
    bytes
}

fn startup() -> Vec<u8> {
    let mut bytes = Vec::new();
    shiftkey_wire::startup::FirstPacket::Startup(shiftkey_wire::startup::StartupMessage::new([("user", "me")])).encode(&mut bytes);
    bytes
}

#[tokio::test]
async fn what_only_redshift_says_passes_byte_for_byte() {
    // No key, messages that PostgreSQL does not have, a value that is not UTF-8, a notice, and rows before any query.
    let entered = messages(&[Backend::Authentication(Authentication::Ok)]);
    let odd =
        [framed(b'S', b"padb\0\xff\xfe\x80xyz\0"), framed(b'z', b"\x01"), framed(b'k', b"lz4\0"), framed(b'N', b"SNOTICE\0Mhello\0\0")]
            .concat();
    let ready = messages(&[Backend::ReadyForQuery(b'I')]);
    let beyond = framed(b'm', b"\x01\x02");
    let (world, warehouse) = world([&entered[..], &odd, &ready, &beyond].concat(), Until::TheEnd).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&startup()).await.unwrap();
    let expected = [&entered[..], &odd, &ready, &beyond].concat();
    let mut seen = vec![0; expected.len()];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, expected);
    // From here on anything goes, and each side may end its half.
    client.write_all(b"\x00\xffanything").await.unwrap();
    client.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"\x00\xffanything");
    warehouse.abort();
    world.end().await;
}

#[tokio::test]
async fn a_warehouse_that_leaves_at_any_step_is_told_and_nothing_is_left() {
    let welcome = messages(&[Backend::Authentication(Authentication::Ok), Backend::ReadyForQuery(b'I')]);
    for until in [Until::Accepting, Until::OfferingTls, Until::Encrypting, Until::Asking, Until::HalfAMessage] {
        let (world, warehouse) = world(welcome.clone(), until).await;
        let error = connect(&world.tcp()).await.map(|_| ()).unwrap_err();
        let told = error.as_db_error().unwrap_or_else(|| panic!("{until:?}: {error:?}"));
        assert!(told.code().code() == "08001" && told.message().starts_with("shiftkey: prod/analytics: "), "{until:?}: {told:?}");
        let counts = world.proxy.stats().counts();
        assert_eq!((counts.open, counts.failed), (0, 1), "{until:?}");
        warehouse.abort();
        world.end().await;
    }
}

#[tokio::test]
async fn a_refusal_passes_byte_for_byte() {
    let refusal = framed(b'E', b"SFATAL\0C53300\0Mtoo many\0Xunknown field\0\0");
    let (world, warehouse) = world(refusal.clone(), Until::TheEnd).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&startup()).await.unwrap();
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, refusal);
    warehouse.abort();
    world.end().await;
}
