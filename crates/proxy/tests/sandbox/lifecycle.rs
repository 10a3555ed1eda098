use std::{pin::pin, time::Duration};

use shiftkey_proxy::Reason;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use super::*;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_drain_lets_sessions_finish_and_nobody_new_in() {
    let settings = Settings { drain: LONG, ..Settings::default() };
    let mut world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let client = connect(&world.tcp()).await.unwrap();
    world.stop.notify_one();
    // The sockets are closed first; then the session is all that is waited for.
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(UnixStream::connect(world.directory.join(".s.PGSQL.5432")).await.is_err());
    assert_eq!(one(&client, "select current_user").await, "alice");
    assert!(!world.running.is_finished());
    drop(client);
    let ended = (&mut world.running).await.unwrap();
    assert!(ended.reason == Reason::Asked && ended.cut.is_empty(), "{ended:?}");
    world.sandbox.stop().await;
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_told() {
    let settings = Settings { drain: Duration::ZERO, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let mut half_open = TcpStream::connect(world.address).await.unwrap();
    half_open.write_all(&[0, 0, 0]).await.unwrap();
    let (client, connection) = world.tcp().application_name("report").connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let stats = Arc::clone(world.proxy.stats());
    let ended = world.end().await;
    let cut: Vec<_> = ended.cut.iter().map(|session| session.application.as_str()).collect();
    assert_eq!(cut, ["report"]);
    let error = connection.await.unwrap().unwrap_err();
    let told = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((told.severity(), told.code().code()), ("FATAL", "57P01"));
    assert!(client.simple_query("select 1").await.is_err());
    assert!(half_open.read(&mut [0; 1]).await.map_or(true, |length| length == 0));
    assert_eq!(stats.counts().open, 0);
}

/// Sends its startup packet and this, and gives what it reads until `enough` of it is there.
async fn session_that_sent(world: &World, sent: &[u8], enough: impl Fn(&[u8]) -> bool) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let mut first = Vec::new();
    let startup = shiftkey_wire::startup::StartupMessage::new([("user", "me")]);
    shiftkey_wire::startup::FirstPacket::Startup(startup).encode(&mut first);
    stream.write_all(&[&first[..], sent].concat()).await.unwrap();
    let mut seen = Vec::new();
    while !enough(&seen) {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{seen:?}");
    }
    (stream, seen)
}

#[tokio::test]
async fn who_is_cut_while_a_query_runs_is_told_and_within_a_row_is_not() {
    let settings = Settings { drain: Duration::ZERO, ..Settings::default() };
    let Some(world) = World::postgres_with(settings).await else { return };
    let query = |sql: &str| {
        let mut bytes = Vec::new();
        shiftkey_wire::frontend::Frontend::Query(sql.into()).encode(&mut bytes);
        bytes
    };
    let ready = |seen: &[u8]| seen.ends_with(b"Z\0\0\0\x05I");
    let (waiting, _) = session_that_sent(&world, &query("select pg_sleep(3600)"), ready).await;
    // More than fits in between, so that the relay stops within a row.
    let long = query("select repeat('y', 100000) from generate_series(1, 1000)");
    let (reading, mut seen) = session_that_sent(&world, &long, |seen| seen.windows(50).any(|part| part == [b'y'; 50])).await;
    world.end().await;
    for (mut stream, told) in [(waiting, true), (reading, false)] {
        seen.clear();
        let _ = stream.read_to_end(&mut seen).await;
        assert_eq!(seen.windows(6).any(|part| part == b"C57P01"), told, "{}", seen.len());
    }
}

#[tokio::test]
async fn who_waits_to_be_let_in_is_told_that_the_proxy_ends() {
    let settings = Settings { drain: Duration::ZERO, ..Settings::default() };
    let choice = Choice { engine: Engine::Embedded, settings, faults: &["*:hang"], ..Choice::default() };
    let world = World::with(choice).await;
    let waiting = tokio::spawn({
        let config = world.tcp();
        async move { connect(&config).await.map(|_| ()) }
    });
    while world.sandbox.calls().list().is_empty() {
        tokio::task::yield_now().await;
    }
    world.end().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("57P01"), "{error:?}");
}

#[tokio::test]
async fn nobody_is_turned_away_without_a_word_however_many_there_are() {
    let settings = Settings { sessions: 0, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    for (sent, expected) in [(&[][..], &b"E"[..]), (&[0, 0, 0, 8, 4, 210, 22, 47], b"NE"), (&[22, 3, 1, 0, 1], &[21, 3, 3, 0, 2, 2, 40])] {
        // What is sent may come after the answer, which is then the one for who says nothing.
        let mut stream = UnixStream::connect(world.directory.join(".s.PGSQL.5432")).await.unwrap();
        let _ = stream.write_all(sent).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        assert!(told.starts_with(expected) || told.starts_with(b"E"), "{told:?}");
        assert!(expected[0] == 21 && told == expected || told.windows(6).any(|part| part == b"C53300"), "{told:?}");
    }
    let error = connect(&world.unix()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("53300"), "{error:?}");
    assert!(world.proxy.stats().failures().iter().any(|failure| failure.code == "53300"), "who watches is told as well");
    drop(silent);
    world.end().await;
}

#[tokio::test]
async fn half_open_clients_are_in_nobodys_way() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let client = connect(&world.tcp()).await.unwrap();
    assert_eq!(one(&client, "select 1").await, "1");
    drop((client, silent));
    world.end().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_told_after_its_time() {
    let settings = Settings { first_packet: Duration::ZERO, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    assert!(told.starts_with(b"E") && String::from_utf8_lossy(&told).contains("startup packet in time"));
    world.end().await;
}

/// A proxy that nobody comes to: its time is a pretend one.
fn idle(settings: Settings, dir: &TempDir) -> (Proxy, Vec<Listener>) {
    let listen = Listen::Unix { directory: dir.path().to_owned(), port: 1 };
    let config = Config::load(&Env::default(), None).unwrap();
    let target = config.resolve("cluster:c@us-east-1", &Overrides { db_user: Some("x".into()), ..Overrides::default() }).unwrap();
    let listener = Listener::bind(&listen, Audience::users(Admission::same_user()), Routes::to(&target)).unwrap();
    (Proxy::new(Shiftkey::builder().build(), settings), vec![listener])
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_comes_or_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    for (idle_exit, max_lifetime, expected) in
        [(Some(5), None, Reason::Idle), (Some(5), Some(3), Reason::Lifetime), (None, Some(7), Reason::Lifetime)]
    {
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let settings = Settings { idle_exit: seconds(idle_exit), max_lifetime: seconds(max_lifetime), ..Settings::default() };
        let (proxy, listeners) = idle(settings, &dir);
        let started = tokio::time::Instant::now();
        let ended = proxy.run(listeners, std::future::pending()).await;
        assert_eq!(ended.reason, expected);
        let after = idle_exit.into_iter().chain(max_lifetime).min().unwrap();
        assert_eq!(started.elapsed().as_secs(), after);
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_proxy_is_dropped_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (proxy, listeners) = idle(Settings::default(), &dir);
    let file = dir.path().join(".s.PGSQL.1");
    {
        let mut running = pin!(proxy.run(listeners, std::future::pending()));
        // Polled once, so that its tasks exist.
        assert!(futures::poll!(running.as_mut()).is_pending());
        assert!(file.exists());
    }
    while file.exists() {
        tokio::task::yield_now().await;
    }
}
