//! Sessions through the gate, as clients open them, on every engine that this machine has.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use shiftkey_wire::auth::{SignIn, Step};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsConnector, client};

mod catalog;

use super::connection::Connection;
use super::*;
use crate::world::{DbUser, Grant, Warehouse, WarehouseId, WarehouseKind};
use shiftkey_wire::{
    backend::Backend,
    frontend::Frontend,
    startup::{CancelRequest, FirstPacket, StartupMessage},
};

struct Fixture {
    gate: Gate,
    world: World,
    clock: SandboxClock,
    id: WarehouseId,
    pki: Pki,
    port: u16,
}

type Client = Connection<client::TlsStream<tokio::net::TcpStream>>;

async fn fixture(engine: Engine, challenge: Challenge) -> Fixture {
    let id =
        WarehouseId { kind: WarehouseKind::Cluster, account: "111122223333".into(), region: "us-east-1".into(), name: "analytics".into() };
    let user = |name: &str, password: Option<&str>| {
        (name.to_owned(), DbUser { name: name.into(), password: password.map(str::to_owned), ..DbUser::default() })
    };
    let root = DbUser { superuser: true, ..user("root", Some("Root-Secret-1")).1 };
    let root = ("root".to_owned(), root);
    let world = World::new([Warehouse {
        id: id.clone(),
        uuid: String::new(),
        endpoint: None,
        databases: vec!["dev".into()],
        groups: vec!["analysts".into()],
        users: BTreeMap::from([user("bob", None), user("etl", Some("own password")), root]),
        admin: "awsuser".into(),
        tags: BTreeMap::new(),
        custom_domain: None,
        keeps_passwords: Vec::new(),
    }]);
    let clock = SandboxClock::new();
    let pki = Pki::generate().unwrap();
    let options = GateOptions { challenge, engine, ..GateOptions::default() };
    let gate = Gate::start(&world, &clock, &pki, &options).await.unwrap();
    let port = world.warehouse(&id).unwrap().endpoint.unwrap().1;
    let fixture = Fixture { gate, world, clock, id, pki, port };
    for (login, password, db_user, auto_create) in [
        ("IAM:bob", "first/+=", "bob", false),
        ("IAM:bob", "second/+=", "bob", false),
        ("IAMA:new", "new", "new", true),
        ("IAM:gone", "gone", "gone", false),
    ] {
        fixture.issue(login, password, db_user, auto_create);
    }
    fixture
}

impl Fixture {
    fn issue(&self, login: &str, password: &str, db_user: &str, auto_create: bool) {
        self.world.add_grant(
            &self.id,
            Grant {
                login_user: login.into(),
                password: password.into(),
                db_user: db_user.into(),
                groups: vec!["analysts".into()],
                database: None,
                auto_create,
                issued_at: self.clock.now(),
                expires_at: self.clock.now() + Duration::from_secs(900),
                guid: format!("guid-{password}"),
                caller_arn: "arn".into(),
            },
        );
    }

    async fn tcp(&self) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn tls(&self) -> Client {
        let mut tcp = self.tcp().await;
        tcp.write_all(&packet(&FirstPacket::SslRequest)).await.unwrap();
        assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut tcp).await.unwrap(), b'S');
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        Connection::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap())
    }

    /// Signs in, or gives the code and the text of the refusal.
    async fn sign_in(&self, login: &str, password: &str, database: &str) -> Result<(Client, Vec<Backend>), (String, String)> {
        let mut client = self.tls().await;
        let parameters = [("user", login), ("database", database), ("client_protocol_version", "2")];
        client.write(&packet(&FirstPacket::Startup(StartupMessage::new(parameters)))).await.unwrap();
        let mut sign_in = SignIn::new(login, password, *b"0123456789abcdefgh");
        let mut welcome = Vec::new();
        loop {
            match client.answer(Backend::parse).await.unwrap() {
                Backend::Authentication(request) => {
                    if let Step::Reply(reply) = sign_in.step(&request).unwrap() {
                        send(&mut client, &reply).await;
                    }
                }
                Backend::Error(error) => return Err((error.code, error.message)),
                Backend::ReadyForQuery(_) => return Ok((client, welcome)),
                other => welcome.push(other),
            }
        }
    }
}

fn packet(packet: &FirstPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

async fn send(client: &mut Client, message: &Frontend) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    client.write(&bytes).await.unwrap();
}

/// The first value of the first row, or the error's code.
async fn query(client: &mut Client, sql: &str) -> Result<String, String> {
    send(client, &Frontend::Query(sql.into())).await;
    let mut outcome = Ok(String::new());
    loop {
        match client.answer(Backend::parse).await.unwrap() {
            Backend::DataRow(row) => outcome = Ok(String::from_utf8(row[0].clone().unwrap_or_default()).unwrap()),
            Backend::Error(error) => outcome = Err(error.code),
            Backend::ReadyForQuery(_) => return outcome,
            _ => {}
        }
    }
}

fn engines() -> Vec<Engine> {
    let postgres = Engine::postgres_is_installed().then_some(Engine::Postgres);
    [Engine::Embedded].into_iter().chain(postgres).collect()
}

#[tokio::test]
async fn every_challenge_lets_every_live_password_in_and_no_other() {
    for challenge in [Challenge::Cleartext, Challenge::Digest, Challenge::Md5, Challenge::Scram] {
        let fixture = fixture(Engine::Embedded, challenge).await;
        for (login, password) in [("IAM:bob", "first/+="), ("IAM:bob", "second/+="), ("etl", "own password")] {
            assert!(fixture.sign_in(login, password, "dev").await.is_ok(), "{challenge} {login}");
        }
        for (login, password) in [("IAM:bob", "invented"), ("IAM:nobody", "first/+="), ("bob", ""), ("etl", "wrong")] {
            let error = fixture.sign_in(login, password, "dev").await.err().unwrap();
            let expected = format!("password authentication failed for user \"{login}\"");
            assert_eq!(error, ("28P01".to_owned(), expected), "{challenge}");
        }
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn refusals_say_what_redshift_says() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let code = |outcome: Result<_, (String, String)>| outcome.map(|_| ()).unwrap_err().0;
        assert_eq!(code(fixture.sign_in("IAM:bob", "first/+=", "nowhere").await), "3D000");
        assert_eq!(code(fixture.sign_in("IAM:gone", "gone", "dev").await), "42704");
        fixture.clock.advance(Duration::from_secs(901));
        let error = fixture.sign_in("IAM:bob", "first/+=", "dev").await.err().unwrap();
        assert_eq!(error, ("28000".to_owned(), "IAM Authentication token has expired".to_owned()));
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn a_warehouse_moves_to_another_port_with_all_that_it_holds() {
    for engine in engines() {
        let mut fixture = fixture(engine, Challenge::Cleartext).await;
        let (mut client, _) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
        assert!(query(&mut client, "CREATE TABLE t (n int)").await.is_ok());
        let old = fixture.port;
        let new = fixture.gate.move_endpoint(&fixture.id).await.unwrap();
        assert_ne!(old, new);
        assert_eq!(fixture.world.warehouse(&fixture.id).unwrap().endpoint, Some(("localhost".to_owned(), new)));
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", old)).await.is_err(), "the old port still answers");
        assert!(client.answer(Backend::parse).await.is_err(), "the old session is still open");
        let log = fixture.world.connection_log(&fixture.id);
        assert_eq!(log.last().map(|it| it.event.as_str()), Some("disconnecting session"));
        fixture.port = new;
        let (mut client, _) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
        assert_eq!(query(&mut client, "SELECT count(*) FROM t").await.as_deref(), Ok("0"));
        let nowhere = WarehouseId { name: "nowhere".into(), ..fixture.id.clone() };
        assert_eq!(fixture.gate.move_endpoint(&nowhere).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn a_revoked_password_opens_nothing_and_a_clock_that_goes_back_lets_an_expired_one_in_again() {
    let fixture = fixture(Engine::Embedded, Challenge::Cleartext).await;
    let code = |outcome: Result<_, (String, String)>| outcome.map(|_| ()).map_err(|(code, _)| code);
    let refused = |code: &str| Err(code.to_owned());
    fixture.clock.advance(Duration::from_secs(901));
    assert_eq!(code(fixture.sign_in("IAM:bob", "first/+=", "dev").await), refused("28000"));
    fixture.clock.set_offset("-1h".parse().unwrap());
    assert_eq!(code(fixture.sign_in("IAM:bob", "first/+=", "dev").await), Ok(()));
    assert_eq!((fixture.world.revoke_grants(&fixture.id), fixture.world.revoke_grants(&fixture.id)), (4, 0));
    assert_eq!(code(fixture.sign_in("IAM:bob", "first/+=", "dev").await), refused("28P01"));
    fixture.gate.stop().await;
}

#[tokio::test]
async fn sessions_are_the_database_user() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        for (login, password, user) in [("IAM:bob", "first/+=", "bob"), ("IAMA:new", "new", "new")] {
            let (mut client, welcome) = fixture.sign_in(login, password, "dev").await.unwrap();
            assert!(welcome.contains(&Backend::ParameterStatus("server_version".into(), "8.0.2".into())));
            assert!(welcome.iter().any(|it| matches!(it, Backend::ParameterStatus(name, _) if name == "padb_revision")));
            assert_eq!(query(&mut client, "SELECT current_user").await.as_deref(), Ok(user));
            assert_eq!(query(&mut client, "SELECT 40 + 2").await.as_deref(), Ok("42"));
            assert_eq!(query(&mut client, "SELECT * FROM missing").await, Err("42P01".to_owned()));
            assert_eq!(query(&mut client, "SELEC 1").await, Err("42601".to_owned()));
        }
        let log = fixture.world.connection_log(&fixture.id);
        assert_eq!((log[0].event.as_str(), log[0].auth_method.as_str()), ("authenticated", "IAM AssumeUser"));
        assert_eq!(log[0].guid.as_deref(), Some("guid-first/+="));
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn what_is_rolled_back_is_gone_and_sessions_share_what_is_committed() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let (mut first, _) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
        let (mut second, _) = fixture.sign_in("IAM:bob", "second/+=", "dev").await.unwrap();
        for sql in ["CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "BEGIN", "INSERT INTO t VALUES (2)"] {
            assert!(query(&mut first, sql).await.is_ok(), "{sql}");
        }
        assert_eq!(query(&mut first, "SELECT * FROM missing").await, Err("42P01".to_owned()));
        assert_eq!(query(&mut first, "SELECT 1").await, Err("25P02".to_owned()));
        assert!(query(&mut first, "COMMIT").await.is_ok());
        assert_eq!(query(&mut second, "SELECT count(*) FROM t").await.as_deref(), Ok("1"));
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn a_cancel_request_reaches_the_query() {
    if !Engine::postgres_is_installed() {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    }
    let fixture = fixture(Engine::Postgres, Challenge::Cleartext).await;
    let (mut client, welcome) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
    let key = welcome.into_iter().find_map(|it| match it {
        Backend::BackendKeyData { process_id, key } => Some(CancelRequest { process_id, key }),
        _ => None,
    });
    // A cancel that arrives before the query does nothing, so it is sent until the query has ended.
    let cancel = packet(&FirstPacket::Cancel(key.unwrap()));
    let outcome = query(&mut client, "SELECT pg_sleep(600)");
    tokio::pin!(outcome);
    let outcome = loop {
        let again = async {
            let mut tcp = fixture.tcp().await;
            tcp.write_all(&cancel).await.unwrap();
            let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut [0; 1]).await;
        };
        tokio::select! {
            outcome = &mut outcome => break outcome,
            () = again => {}
        }
    };
    assert_eq!(outcome, Err("57014".to_owned()));
    fixture.gate.stop().await;
}

#[tokio::test]
async fn a_server_that_somebody_else_runs_is_used_and_goes_on() {
    if !Engine::postgres_is_installed() {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    }
    // Its warehouse has no databases, so that all that is found later was made through the second gate. It is reached by TCP.
    let own = fixture(Engine::Embedded, Challenge::Cleartext).await;
    let mut bare = own.world.warehouse(&own.id).unwrap();
    (bare.databases, bare.groups, bare.users) = (Vec::new(), Vec::new(), BTreeMap::new());
    let server = Arc::new(crate::engine::Running::start(&Engine::Postgres, &World::new([bare]), &own.id).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("postgres://rdsdb@{}", listener.local_addr().unwrap());
    let reached = Arc::clone(&server);
    let bridge = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = reached.dial().await.unwrap();
            open.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop) });
        }
    }));
    for sql in ["CREATE TABLE kept AS SELECT getdate() AS since", "SELECT count(*) FROM kept"] {
        let fixture = fixture(dsn.parse().unwrap(), Challenge::Cleartext).await;
        let (mut client, _) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
        assert_eq!(query(&mut client, "SELECT current_user").await.as_deref(), Ok("bob"));
        assert!(query(&mut client, sql).await.is_ok(), "{sql}");
        drop(client);
        fixture.gate.stop().await;
    }
    drop(bridge);
    own.gate.stop().await;
}

#[tokio::test]
async fn nothing_is_said_in_plain_text() {
    let fixture = fixture(Engine::Embedded, Challenge::Cleartext).await;
    let mut plain = Connection::new(fixture.tcp().await);
    plain.write(&packet(&FirstPacket::GssEncRequest)).await.unwrap();
    assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut plain.stream).await.unwrap(), b'N');
    let startup = StartupMessage::new([("user", "IAM:bob"), ("database", "dev")]);
    plain.write(&packet(&FirstPacket::Startup(startup))).await.unwrap();
    let Backend::Error(error) = plain.answer(Backend::parse).await.unwrap() else { panic!("a refusal was expected") };
    let expected = "no pg_hba.conf entry for host \"127.0.0.1\", user \"IAM:bob\", database \"dev\", SSL off";
    assert_eq!((error.code.as_str(), error.message.as_str()), ("28000", expected));

    let mut stuffed = Connection::new(fixture.tcp().await);
    let mut bytes = packet(&FirstPacket::SslRequest);
    bytes.extend_from_slice(b"more");
    stuffed.write(&bytes).await.unwrap();
    assert!(stuffed.first_packet().await.map_or(true, |it| it.is_none()));
    fixture.gate.stop().await;
}
