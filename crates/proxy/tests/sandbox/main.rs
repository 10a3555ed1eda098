//! The proxy, by its public interface, between real clients and the sandbox.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod admin; // what who watches is told
mod failures; // what a client is told
mod faults; // networks that cut, reset, stall and dribble
mod lifecycle; // stopping, limits, who is left
mod oddities; // warehouses that say what the sandbox does not, or leave in the middle
mod opening; // first packets, byte for byte
mod queries; // signing in, queries, COPY, cancel
mod tls; // TLS and a secret on the client's side
mod users; // who gets in

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use shiftkey::{Clock, Config, Env, Overrides, Shiftkey, Target};
use shiftkey_proxy::{Admission, Audience, Ended, Listen, Listener, Proxy, Routes, Settings};
use shiftkey_sandbox::{
    Sandbox,
    clock::SandboxClock,
    engine::Engine,
    seed::PROD,
    world::{WarehouseId, WarehouseKind},
};
use tempfile::TempDir;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_postgres::{Client, NoTls};

/// What a test may choose.
#[derive(Default)]
struct Choice {
    caller: Option<&'static str>,
    engine: Engine,
    overrides: Overrides,
    settings: Settings,
    admission: Option<Admission>,
    faults: &'static [&'static str],
    ca_pem: Option<String>,
}

/// The sandbox's time, so that hours pass at once for everybody.
#[derive(Debug)]
struct Moved(SandboxClock);

impl Clock for Moved {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// A proxy for `prod/analytics` on a unix socket and on TCP, and the sandbox behind it.
struct World {
    sandbox: Sandbox,
    proxy: Proxy,
    target: Target,
    directory: PathBuf,
    address: SocketAddr,
    stop: Arc<Notify>,
    running: JoinHandle<Ended>,
    _place: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(Choice { engine: Engine::Embedded, ..Choice::default() }).await
    }

    /// The engine that knows COPY and cancel, where it is installed.
    async fn postgres() -> Option<Self> {
        Self::postgres_with(Settings::default()).await
    }

    async fn postgres_with(settings: Settings) -> Option<Self> {
        if !Engine::postgres_is_installed() {
            return None;
        }
        Some(Self::with(Choice { engine: Engine::Postgres, settings, ..Choice::default() }).await)
    }

    async fn with(choice: Choice) -> Self {
        let mut builder = Sandbox::builder().engine(choice.engine);
        for rule in choice.faults {
            builder = builder.fault(rule.parse().unwrap());
        }
        let sandbox = builder.start().await.unwrap();
        let caller = choice.caller.unwrap_or("alice");
        let env = Env { vars: sandbox.environment_for(caller).unwrap().into_iter().collect(), ..Env::default() };
        let mut target = Config::load(&env, None).unwrap().resolve("prod/analytics", &choice.overrides).unwrap();
        let place = tempfile::tempdir().unwrap();
        if let Some(pem) = choice.ca_pem {
            let file = place.path().join("ca.pem");
            std::fs::write(&file, pem).unwrap();
            target.ca_file = Some(file);
        }
        let directory = place.path().join("socket");
        let admission = choice.admission.unwrap_or_else(Admission::same_user);
        let bind = |listen: &Listen| Listener::bind(listen, Audience::users(admission.clone()), Routes::to(&target)).unwrap();
        let unix = bind(&Listen::Unix { directory: directory.clone(), port: 5432 });
        let tcp = bind(&"0".parse().unwrap());
        let Listen::Tcp(address) = *tcp.address() else { panic!("TCP was asked for") };
        let clock = Arc::new(Moved(sandbox.clock().clone()));
        let settings = Settings { env: env.clone(), clock: clock.clone(), ..choice.settings };
        let proxy = Proxy::new(Shiftkey::builder().env(env).clock(clock).build(), settings);
        let stop = Arc::new(Notify::new());
        let running = tokio::spawn({
            let (proxy, stop) = (proxy.clone(), Arc::clone(&stop));
            async move { proxy.run(vec![unix, tcp], stop.notified()).await }
        });
        Self { sandbox, proxy, target, directory, address, stop, running, _place: place }
    }

    /// How a client that knows nothing but the address would connect.
    fn tcp(&self) -> tokio_postgres::Config {
        at(self.address)
    }

    fn unix(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.directory).user("whoever");
        config
    }

    fn issued(&self) -> usize {
        self.sandbox.calls().count("GetClusterCredentials")
    }

    fn warehouse(&self) -> WarehouseId {
        WarehouseId { kind: WarehouseKind::Cluster, account: PROD.into(), region: "us-east-1".into(), name: "analytics".into() }
    }

    /// Stops and waits: for every task, socket and file.
    async fn end(self) -> Ended {
        self.stop.notify_one();
        let ended = self.running.await.unwrap();
        assert!(!self.directory.join(".s.PGSQL.5432").exists());
        self.sandbox.stop().await;
        ended
    }
}

fn at(address: SocketAddr) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("whoever");
    config
}

/// A session whose connection is driven in the background.
async fn connect(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn one(client: &Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap();
    messages
        .into_iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap().to_owned()),
            _ => None,
        })
        .unwrap()
}
