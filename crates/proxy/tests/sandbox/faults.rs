use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use shiftkey_wire::startup::{FirstPacket, StartupMessage};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;

/// More than anything here takes; what is not over by then never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is waited for when nothing will come.
const MOMENT: Duration = Duration::from_millis(200);

/// What a network does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Cut,
    Reset,
    /// Nothing passes any more, and nothing ends.
    Stall,
    /// Everything passes, a byte at a time.
    Dribble,
}

/// Whose bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Client,
    Server,
}

/// A relay of TCP that does harm once `limit` bytes have come from one side of a connection, or when it is told to.
struct Faulty {
    address: SocketAddr,
    /// Bytes of that side on the connection that was opened last.
    passed: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
    now: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Faulty {
    async fn before(to: SocketAddr, fault: Fault, from: From, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (passed, limit, now) = (Arc::<AtomicUsize>::default(), Arc::new(AtomicUsize::new(limit)), Arc::<Notify>::default());
        let task = tokio::spawn({
            let (passed, limit, now) = (Arc::clone(&passed), Arc::clone(&limit), Arc::clone(&now));
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(to).await.unwrap();
                    passed.store(0, Ordering::SeqCst);
                    let (passed, limit, now) = (Arc::clone(&passed), Arc::clone(&limit), Arc::clone(&now));
                    connections.spawn(async move { carry(client, server, (fault, from), &passed, &limit, &now).await });
                }
            }
        });
        Self { address, passed, limit, now, task }
    }

    /// Does harm after so many bytes more.
    fn harm_after(&self, more: usize) {
        self.limit.store(self.passed.load(Ordering::SeqCst) + more, Ordering::SeqCst);
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    (fault, from): (Fault, From),
    passed: &AtomicUsize,
    limit: &AtomicUsize,
    now: &Notify,
) {
    client.set_nodelay(true).and(server.set_nodelay(true)).unwrap();
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    let harm = loop {
        let (source, length) = tokio::select! {
            read = client.read(&mut up) => (From::Client, read),
            read = server.read(&mut down) => (From::Server, read),
            () = now.notified() => break true,
        };
        let Ok(length) = length else { break false };
        let (bytes, to) = if source == From::Client { (&up[..length], &mut server) } else { (&down[..length], &mut client) };
        if length == 0 {
            break false;
        }
        let mut whole = bytes;
        if source == from && fault != Fault::Dribble {
            let left = limit.load(Ordering::SeqCst).saturating_sub(passed.load(Ordering::SeqCst));
            whole = &bytes[..length.min(left)];
        }
        let pieces = whole.chunks(if fault == Fault::Dribble { 1 } else { 4096 });
        for piece in pieces {
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
        if source == from {
            passed.fetch_add(whole.len(), Ordering::SeqCst);
        }
        if whole.len() < length {
            break true;
        }
    };
    match fault {
        Fault::Stall if harm => std::future::pending().await,
        Fault::Reset if harm => {
            for stream in [&client, &server] {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
            }
        }
        // Either side has left, or is to believe that the other has.
        _ => {
            let _ = tokio::join!(client.shutdown(), server.shutdown());
        }
    }
}

/// A way for clients through the proxy, and what stands in it.
struct Way {
    world: World,
    faulty: Faulty,
    proxied: SocketAddr,
    stop: Arc<Notify>,
    running: JoinHandle<Ended>,
}

impl Way {
    /// Harm between the proxy and the warehouse.
    async fn upstream(fault: Fault, from: From, limit: usize) -> Self {
        let (sign_in, drain) = if fault == Fault::Stall { (MOMENT, MOMENT) } else { (PATIENCE, PATIENCE) };
        let settings = Settings { sign_in, drain, ..Settings::default() };
        let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
        let (host, port) = world.sandbox.world().warehouse(&world.warehouse()).unwrap().endpoint.unwrap();
        let real = tokio::net::lookup_host((host.as_str(), port)).await.unwrap().find(SocketAddr::is_ipv4).unwrap();
        let faulty = Faulty::before(real, fault, from, limit).await;
        let mut target = world.target.clone();
        (target.host, target.port, target.server_name) = (Some("127.0.0.1".into()), Some(faulty.address.port()), Some("localhost".into()));
        Self::through(world, faulty, &target)
    }

    /// Harm between clients and the proxy.
    async fn downstream(fault: Fault, from: From, settings: Settings) -> Self {
        let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
        let target = world.target.clone();
        let mut way = Self::through(world, Faulty::before(at_nothing(), fault, from, 0).await, &target);
        way.faulty = Faulty::before(way.proxied, fault, from, 0).await;
        way
    }

    fn through(world: World, faulty: Faulty, target: &Target) -> Self {
        let listener = Listener::bind(&"0".parse().unwrap(), Audience::users(Admission::same_user()), Routes::to(target)).unwrap();
        let Listen::Tcp(proxied) = *listener.address() else { panic!("TCP was asked for") };
        let (proxy, stop) = (world.proxy.clone(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(async move { proxy.run(vec![listener], stopped.notified()).await });
        Self { world, faulty, proxied, stop, running }
    }

    /// What becomes of a client, up to the end of its connection: SQLSTATE and message, or why there is none.
    async fn outcome(&self) -> Result<(), (String, String)> {
        let told = |error: &tokio_postgres::Error| {
            let error = error.as_db_error().unwrap_or_else(|| panic!("no words: {error:?}"));
            (error.code().code().to_owned(), error.message().to_owned())
        };
        match timeout(PATIENCE, at(self.proxied).connect(NoTls)).await.expect("it ends") {
            Ok(_) => Ok(()),
            Err(error) => Err(told(&error)),
        }
    }

    /// Nothing is left of any session: no task (or the drain would not end), nothing in the books, no connection.
    async fn end(self) {
        let ports = [self.proxied.port(), self.faulty.address.port()];
        // What has stalled holds on to its ends.
        self.faulty.task.abort();
        let nothing_left = async {
            while self.world.proxy.stats().counts().open > 0 || connected(&ports) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, nothing_left).await.expect("every session ends");
        self.stop.notify_one();
        let ended = timeout(PATIENCE, self.running).await.expect("every task ends").unwrap();
        assert!(ended.cut.is_empty(), "{ended:?}");
        self.world.end().await;
    }
}

/// Connections with one of these ports that somebody still holds, both ends counted (proc_net_tcp(5): established, closing).
fn connected(ports: &[u16]) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
    let live = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (ports.contains(&port(fields[1])) || ports.contains(&port(fields[2]))) && ["01", "08"].contains(&fields[3])
    };
    table.lines().skip(1).filter(live).count()
}

#[tokio::test]
async fn a_warehouse_that_is_cut_off_or_reset_at_any_byte_of_the_sign_in_is_told() {
    for fault in [Fault::Cut, Fault::Reset] {
        for from in [From::Server, From::Client] {
            let way = Way::upstream(fault, from, 0).await;
            let mut told = 0;
            // Each step of the handshake and of TLS's records is met in the end.
            for limit in (0..5).chain((5..).step_by(101)) {
                way.faulty.limit.store(limit, Ordering::SeqCst);
                let Err((code, message)) = way.outcome().await else { break };
                assert!(
                    code == "08001" && message.starts_with("shiftkey: prod/analytics: "),
                    "{fault:?} {from:?} {limit}: {code} {message}"
                );
                told += 1;
            }
            assert!(told > 9, "{told} limits were met before a client got in");
            assert_eq!(way.world.proxy.stats().counts().failed, told);
            way.end().await;
        }
    }
}

#[tokio::test]
async fn a_warehouse_that_falls_silent_in_the_sign_in_is_told() {
    for (from, limits) in [(From::Server, [0, 1, 700, 2000]), (From::Client, [0, 8, 300, 700])] {
        let way = Way::upstream(Fault::Stall, from, 0).await;
        for limit in limits {
            way.faulty.limit.store(limit, Ordering::SeqCst);
            let (code, message) = way.outcome().await.unwrap_err();
            assert!(code == "08001" && message.contains("in time"), "{from:?} {limit}: {code} {message}");
        }
        way.end().await;
    }
}

#[tokio::test]
async fn a_byte_at_a_time_is_enough_on_either_side() {
    let long = "y".repeat(20_000);
    let upstream = Way::upstream(Fault::Dribble, From::Server, 0).await;
    let downstream = Way::downstream(Fault::Dribble, From::Client, Settings::default()).await;
    for (way, address) in [(&upstream, upstream.proxied), (&downstream, downstream.faulty.address)] {
        let client = connect(&at(address)).await.unwrap();
        assert_eq!(one(&client, &format!("select '{long}'")).await, long);
        drop(client);
        assert!(way.faulty.passed.load(Ordering::SeqCst) > 20_000);
    }
    upstream.end().await;
    downstream.end().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_in_its_first_packets_is_told() {
    let settings = Settings { first_packet: MOMENT, drain: PATIENCE, ..Settings::default() };
    let way = Way::downstream(Fault::Stall, From::Client, settings).await;
    let mut bytes = Vec::new();
    FirstPacket::Startup(StartupMessage::new([("user", "me"), ("database", "dev")])).encode(&mut bytes);
    for sent in [0, 1, 7, 8, 9, bytes.len() - 1] {
        let mut client = TcpStream::connect(way.proxied).await.unwrap();
        client.write_all(&bytes[..sent]).await.unwrap();
        let mut told = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut told)).await.expect("it ends").unwrap();
        assert!(String::from_utf8_lossy(&told).contains("startup packet in time"), "{sent}: {told:?}");
    }
    way.end().await;
}

#[tokio::test]
async fn a_session_whose_warehouse_falls_silent_waits_and_ends_with_the_drain() {
    for from in [From::Server, From::Client] {
        let way = Way::upstream(Fault::Stall, from, usize::MAX).await;
        let (client, connection) = at(way.proxied).connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        way.faulty.harm_after(3);
        let asked = tokio::spawn(async move { client.simple_query("select 1").await });
        // The harm was done: what came of that side is held.
        while way.faulty.passed.load(Ordering::SeqCst) < way.faulty.limit.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        way.stop.notify_one();
        let error = timeout(PATIENCE, asked).await.expect("it ends").unwrap().unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("57P01"), "{from:?}: {error:?}");
        let _ = timeout(PATIENCE, connection).await.expect("it ends").unwrap();
        let ended = timeout(PATIENCE, way.running).await.expect("every task ends").unwrap();
        assert_eq!(ended.cut.len(), 1, "{from:?}: {ended:?}");
        way.faulty.task.abort();
        timeout(PATIENCE, async {
            while connected(&[way.proxied.port(), way.faulty.address.port()]) > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("no connection is left");
        way.world.end().await;
    }
}

#[tokio::test]
async fn a_client_whose_warehouse_is_lost_is_told_unless_it_is_within_a_row() {
    for fault in [Fault::Cut, Fault::Reset] {
        // Between two messages while nothing is asked; before the answer; within its first record, which nobody can read yet;
        // within its rows.
        for (more, told) in [(None, true), (Some(0), true), (Some(3), true), (Some(100_000), false)] {
            let way = Way::upstream(fault, From::Server, usize::MAX).await;
            let (client, connection) = at(way.proxied).connect(NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let asked = match more {
                None => {
                    way.faulty.now.notify_one();
                    None
                }
                Some(more) => {
                    way.faulty.harm_after(more);
                    let long = "y".repeat(400_000);
                    Some(timeout(PATIENCE, client.simple_query(&format!("select '{long}'"))).await.expect("it ends").unwrap_err())
                }
            };
            let error = timeout(PATIENCE, connection).await.expect("it ends").unwrap().err();
            // Who asked is told there.
            let error = asked.or(error);
            let code = error.as_ref().and_then(tokio_postgres::Error::code).map(tokio_postgres::error::SqlState::code);
            assert_eq!(code, told.then_some("08006"), "{fault:?} {more:?}: {error:?}");
            drop(client);
            way.end().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_is_lost_at_any_byte_leaves_nothing() {
    for fault in [Fault::Cut, Fault::Reset] {
        for from in [From::Client, From::Server] {
            let way = Way::downstream(fault, from, Settings { drain: PATIENCE, ..Settings::default() }).await;
            for limit in (0..).step_by(if from == From::Client { 3 } else { 41 }) {
                way.faulty.limit.store(limit, Ordering::SeqCst);
                if timeout(PATIENCE, at(way.faulty.address).connect(NoTls)).await.expect("it ends").is_ok() {
                    assert!(limit > 20, "{from:?} {limit}");
                    break;
                }
            }
            // Then within a query.
            let client = connect(&at(way.faulty.address)).await.unwrap();
            way.faulty.harm_after(3);
            client.simple_query("select 1").await.unwrap_err();
            drop(client);
            way.end().await;
        }
    }
}

/// Nobody listens there.
fn at_nothing() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}
