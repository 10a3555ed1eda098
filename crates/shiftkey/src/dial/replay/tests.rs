use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const SSL_REQUEST: FirstPacket = FirstPacket::SslRequest;

/// A session that was opened with this welcome, and the warehouse's end of it.
fn session(welcome: &[u8], leftover: &[u8]) -> (Replay<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    (Replay::new(ours, welcome, leftover), theirs)
}

fn packet(packet: &FirstPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn startup(minor: u16, pairs: &[(&str, &str)]) -> Vec<u8> {
    packet(&FirstPacket::Startup(StartupMessage { minor, ..StartupMessage::new(pairs.iter().copied()) }))
}

fn messages(messages: &[Backend]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}

fn accepted() -> Backend {
    Backend::Authentication(Authentication::Ok)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_sign_in_is_answered_here_in_whatever_pieces_it_comes() {
    let startup = startup(0, &[("user", "nobody"), ("database", "elsewhere")]);
    let asked = [packet(&SSL_REQUEST), packet(&FirstPacket::GssEncRequest), startup, b"Q and more".to_vec()].concat();
    let expected = [b"NN".to_vec(), messages(&[accepted()]), b"welcome".to_vec(), b"leftover".to_vec()].concat();
    for piece in [1, 3, 8, 9, 20, asked.len()] {
        let (mut driver, mut warehouse) = session(b"welcome", b"leftover");
        for bytes in asked.chunks(piece) {
            driver.write_all(bytes).await.unwrap();
        }
        assert_eq!(read(&mut driver, expected.len()).await, expected, "pieces of {piece}");
        assert_eq!(read(&mut warehouse, 10).await, b"Q and more", "nothing of the sign-in, all that follows");
        warehouse.write_all(b"rows").await.unwrap();
        assert_eq!(read(&mut driver, 4).await, b"rows");
        driver.shutdown().await.unwrap();
        assert_eq!(warehouse.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn who_reads_before_it_asks_is_woken_by_the_answer() {
    let (driver, _warehouse) = session(b"welcome", b"");
    let (mut reader, mut writer) = tokio::io::split(driver);
    let expected = [messages(&[accepted()]), b"welcome".to_vec()].concat();
    let length = expected.len();
    let reading = tokio::spawn(async move { read(&mut reader, length).await });
    tokio::task::yield_now().await;
    writer.write_all(&startup(0, &[("user", "me")])).await.unwrap();
    assert_eq!(reading.await.unwrap(), expected);
}

#[tokio::test]
async fn a_newer_protocol_is_negotiated_down() {
    let (mut driver, _warehouse) = session(b"", b"");
    driver.write_all(&startup(2, &[("user", "me"), ("_pq_.compression", "lz4")])).await.unwrap();
    let expected = messages(&[Backend::NegotiateProtocolVersion(VERSION_3_0, vec!["_pq_.compression".into()]), accepted()]);
    assert_eq!(read(&mut driver, expected.len()).await, expected);
}

#[tokio::test]
async fn what_is_no_sign_in_is_refused_and_reaches_nobody() {
    let cancel = FirstPacket::Cancel(shiftkey_wire::startup::CancelRequest { process_id: 1, key: vec![0; 4] });
    for asked in [packet(&cancel), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let (mut driver, mut warehouse) = session(b"", b"");
        for bytes in [&asked[..], b"Q later or the same"] {
            assert_eq!(driver.write_all(bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        drop(driver);
        assert_eq!(warehouse.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_driver_that_we_did_not_write_takes_the_session_over() {
    let welcome = messages(&[
        Backend::ParameterStatus("server_version".into(), "8.0.2".into()),
        Backend::BackendKeyData { process_id: 7, key: vec![0, 0, 0, 9] },
        Backend::ReadyForQuery(b'I'),
    ]);
    let (session, mut warehouse) = session(&welcome, b"");
    let (client, connection) = tokio_postgres::Config::new().user("whoever").connect_raw(session, tokio_postgres::NoTls).await.unwrap();
    assert_eq!(connection.parameter("server_version"), Some("8.0.2"));
    let (asking, running) = (client.simple_query("select 1"), tokio::spawn(connection));
    let answering = async {
        assert_eq!(read(&mut warehouse, 14).await, b"Q\0\0\0\rselect 1\0");
        warehouse.write_all(&messages(&[Backend::CommandComplete("SELECT 0".into()), Backend::ReadyForQuery(b'I')])).await.unwrap();
    };
    assert_eq!(tokio::join!(asking, answering).0.unwrap().len(), 1);
    drop(client);
    running.await.unwrap().unwrap();
}
