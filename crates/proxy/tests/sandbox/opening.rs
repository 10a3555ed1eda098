use shiftkey_wire::{
    backend::{Authentication, Backend},
    frame,
    startup::{CancelRequest, FirstPacket, StartupMessage},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use super::*;

fn bytes(packet: &FirstPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    bytes(&FirstPacket::Startup(StartupMessage { minor, ..StartupMessage::new(parameters.iter().copied()) }))
}

/// Everything up to the first ReadyForQuery or error.
async fn welcome(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<Backend> {
    let (mut buffer, mut seen) = (Vec::new(), Vec::new());
    loop {
        while let Some((message, length)) = frame::parse(&buffer, frame::SIGN_IN_CEILING).unwrap() {
            let message = Backend::parse(message).unwrap();
            buffer.drain(..length);
            let last = matches!(message, Backend::ReadyForQuery(_) | Backend::Error(_));
            seen.push(message);
            if last {
                return seen;
            }
        }
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "closed after {seen:?}");
    }
}

fn error(messages: &[Backend]) -> (&str, &str) {
    match messages.last() {
        Some(Backend::Error(fields)) => (&fields.code, &fields.message),
        other => panic!("an error was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn the_welcome_is_the_warehouses_with_a_key_of_ours() {
    let world = World::new().await;
    let mut stream = UnixStream::connect(world.directory.join(".s.PGSQL.5432")).await.unwrap();
    // The users and settings of real drivers: nobody, and what Redshift refuses.
    let parameters = [
        ("user", ""),
        ("database", "dev"),
        ("extra_float_digits", "3"),
        ("IntervalStyle", "iso_8601"),
        ("standard_conforming_strings", "on"),
        ("_pq_.compression", "lz4"),
        ("driver_version", "x"),
    ];
    for byte in startup(0, &parameters) {
        stream.write_all(&[byte]).await.unwrap();
    }
    let messages = welcome(&mut stream).await;
    assert_eq!(messages[0], Backend::Authentication(Authentication::Ok));
    assert!(messages.iter().any(|message| matches!(message, Backend::ParameterStatus(name, _) if name == "padb_revision")));
    let keys: Vec<_> = messages.iter().filter(|message| matches!(message, Backend::BackendKeyData { .. })).collect();
    assert!(matches!(keys[..], [Backend::BackendKeyData { process_id, key }] if *process_id > 0 && key.len() == 4), "{keys:?}");
    assert!(!messages.iter().any(|message| matches!(message, Backend::NegotiateProtocolVersion(..))));
    drop(stream);
    world.end().await;
}

#[tokio::test]
async fn encryption_is_declined_and_protocol_3_2_negotiated_down() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    for request in [FirstPacket::GssEncRequest, FirstPacket::SslRequest] {
        stream.write_all(&bytes(&request)).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
    }
    stream.write_all(&startup(2, &[("user", "me"), ("_pq_.new_thing", "1")])).await.unwrap();
    let messages = welcome(&mut stream).await;
    assert_eq!(
        messages[..2],
        [Backend::NegotiateProtocolVersion(3 << 16, vec!["_pq_.new_thing".into()]), Backend::Authentication(Authentication::Ok)]
    );
    drop(stream);
    world.end().await;
}

#[tokio::test]
async fn a_query_that_came_with_the_startup_packet_is_answered() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let mut hasty = startup(0, &[("user", "me")]);
    shiftkey_wire::frontend::Frontend::Query("select 7".into()).encode(&mut hasty);
    stream.write_all(&hasty).await.unwrap();
    welcome(&mut stream).await;
    assert!(welcome(&mut stream).await.contains(&Backend::DataRow(vec![Some(b"7".to_vec())])));
    drop(stream);
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_is_told_with_a_code() {
    let world = World::new().await;
    for (packet, code, needle) in [
        (startup(0, &[("user", "me"), ("replication", "database")]), "0A000", "replication"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01", "not a startup packet"),
        ([bytes(&FirstPacket::SslRequest), startup(0, &[("user", "me")])].concat(), "08P01", "encryption"),
        (vec![0, 0, 0, 8, 0, 2, 0, 0], "0A000", "version 2.0"),
        (vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0], "08P01", "not a startup packet"),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(&packet).await.unwrap();
        let messages = welcome(&mut stream).await;
        let (told, message) = error(&messages);
        assert!(told == code && message.contains(needle), "{messages:?}");
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    }
    assert_eq!(world.issued(), 0, "AWS was not asked for any of them");
    world.end().await;
}

#[tokio::test]
async fn a_cancel_request_with_a_wrong_key_reaches_nobody() {
    let world = World::new().await;
    let client = connect(&world.tcp()).await.unwrap();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(&bytes(&FirstPacket::Cancel(CancelRequest { process_id: 1, key: vec![0; 4] }))).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "closed without an answer, as a server does");
    assert_eq!(world.proxy.stats().counts().cancels, 0);
    drop(client);
    world.end().await;
}
