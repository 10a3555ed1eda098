//! `proxy`: listeners until a signal, told in a way that can be pasted.

mod guards;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;
use shiftkey::{Config, Error, Overrides, Result, Target};
use shiftkey_proxy::{
    Admin, Attend, Ended, Listen, Listener, Proxy, Reason, Resolve, Routes, Serves, Users, listen::SOCKET_PORT, stats::Session,
    watch::Watch,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::guards::Guards;
use crate::{
    args::ProxyArgs,
    exit::Failure,
    output::Printer,
    settings::Settings,
    systemd::{self, Passed},
};

/// The target that stands for all.
const ANY: &str = "*";

/// The place that stands for the next socket that systemd passes.
const SYSTEMD: &str = "systemd";

/// What a socket's path may have at the most (`sockaddr_un`, unix(7)), its end included.
const PATH_LIMIT: usize = 107;

pub(crate) async fn proxy(args: &ProxyArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    // Listening before anything is printed: who reads the addresses may send a signal at once.
    let mut signals = Signals::listen()?;
    let configured = Arc::new(Configured::new(args, settings)?);
    let guards = Guards::load(args)?;
    let mut watch = Watch::new(|| [Config::files(&settings.env, settings.global.config.as_deref()), guards.files()].concat());
    let listeners = bind_all(args, settings, &configured, &guards, printer)?;
    let names: Vec<String> = listeners.iter().map(|(name, _)| name.clone()).collect();
    let proxy = Proxy::new(settings.shiftkey()?, limits(args, settings, printer));
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let admin = args.admin.map(|port| Admin::bind(address(port), guards::admitted(args))).transpose()?;
    announce(&listeners, admin.as_ref(), &configured, printer)?;
    systemd::notify(&settings.env, "READY=1");
    let told = tokio::sync::Notify::new();
    let listeners = listeners.into_iter().map(|(_, listener)| listener).collect();
    let running = async {
        let running = proxy.run(listeners, told.notified());
        match &admin {
            Some(admin) => admin.serve_during(&proxy, running).await,
            None => running.await,
        }
    };
    tokio::pin!(running);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = signals.hangup.recv() => reload(&configured, &guards, &names, &proxy, printer),
            () = watch.changed() => reload(&configured, &guards, &names, &proxy, printer),
            () = either(&mut signals.interrupt, &mut signals.terminate) => {
                let open = proxy.stats().open_sessions();
                if stopping {
                    // Dropping what runs cuts them.
                    break Ended { reason: Reason::Asked, cut: open };
                }
                stopping = true;
                systemd::notify(&settings.env, "STOPPING=1");
                told.notify_one();
                if !open.is_empty() {
                    let patience = humantime::format_duration(args.drain);
                    printer.say(&format!("Stopping: {} may finish within {patience}; Ctrl-C again cuts them", sessions(open.len())));
                }
            }
        }
    };
    finish(&ended, printer);
    Ok(ExitCode::SUCCESS)
}

/// A person who looks at the terminal, or at the journal.
#[derive(Debug)]
struct Person(Printer);

impl Attend for Person {
    fn wanted(&self, error: &Error) {
        self.0.warning(error);
    }
}

fn limits(args: &ProxyArgs, settings: &Settings, printer: &Printer) -> shiftkey_proxy::Settings {
    shiftkey_proxy::Settings {
        sessions: args.max_sessions,
        drain: args.drain,
        idle_exit: args.idle_exit,
        max_lifetime: args.max_lifetime,
        env: settings.env.clone(),
        attendant: Some(Arc::new(Person(*printer))),
        ..shiftkey_proxy::Settings::default()
    }
}

// === what is listened on ===

/// Binds what can be bound. What cannot, and targets that cannot be served, are told, and stop the others only when nothing is
/// left. A target that is wrong is listened for all the same: its clients are told why, until a reload corrects it.
fn bind_all(
    args: &ProxyArgs,
    settings: &Settings,
    configured: &Arc<Configured>,
    guards: &Guards,
    printer: &Printer,
) -> Result<Vec<(String, Listener)>> {
    let any = [ANY.to_owned()];
    let wanted = if args.targets.is_empty() { &any[..] } else { &args.targets };
    let (mut bound, mut failures, mut served) = (Vec::new(), Vec::new(), 0);
    let mut passed = Passed::capture();
    for text in wanted {
        let (name, place) = text.rsplit_once('=').map_or((text.as_str(), None), |(name, place)| (name, Some(place)));
        let understood = configured.understands(name);
        match bind(name, place, args, settings, configured, guards, &mut passed) {
            Ok(mut listeners) => {
                served += usize::from(understood.is_ok());
                bound.append(&mut listeners);
            }
            Err(error) => failures.push(error),
        }
        failures.extend(understood.err());
    }
    if served == 0 {
        let first = failures.remove(0);
        failures.iter().for_each(|error| printer.warning(error));
        return Err(first);
    }
    failures.iter().for_each(|error| printer.warning(error));
    Ok(bound)
}

fn bind(
    name: &str,
    place: Option<&str>,
    args: &ProxyArgs,
    settings: &Settings,
    configured: &Arc<Configured>,
    guards: &Guards,
    passed: &mut Passed,
) -> Result<Vec<(String, Listener)>> {
    let serves = if name == ANY { Serves::ByDatabase } else { Serves::One(name.to_owned()) };
    let users = match args.map_user.as_slice() {
        [] => Users::Ignored,
        pairs => Users::Mapped(pairs.iter().cloned().collect()),
    };
    let routes = Routes { serves, users, resolver: Arc::clone(configured) as Arc<dyn Resolve> };
    let audience = |listen: &Listen| guards.audience(args, listen);
    if place == Some(SYSTEMD) {
        let listener = Listener::adopt(passed.take()?, audience, routes).map_err(|error| error.with_target(name))?;
        return Ok(vec![(name.to_owned(), listener)]);
    }
    let listens = match place {
        Some(place) => vec![absolute(place.parse()?, settings)],
        None => {
            let tcp = "0".parse()?;
            match default_directory(settings, name) {
                Some(directory) => vec![Listen::Unix { directory, port: SOCKET_PORT }, tcp],
                None => vec![tcp],
            }
        }
    };
    let listen = |listen: &Listen| Listener::bind(listen, audience(listen), routes.clone()).map(|listener| (name.to_owned(), listener));
    listens.iter().map(listen).collect::<Result<_>>().map_err(|error| error.with_target(name))
}

/// libpq takes a host for a directory when it begins with a slash.
fn absolute(listen: Listen, settings: &Settings) -> Listen {
    match (listen, &settings.env.cwd) {
        (Listen::Unix { directory, port }, Some(cwd)) => Listen::Unix { directory: cwd.join(directory), port },
        (listen, _) => listen,
    }
}

/// Beside what is shared: `RUNTIME/shiftkey/proxy/prod.analytics`. `None` when there is no such place, or the path is too long
/// for a socket.
fn default_directory(settings: &Settings, name: &str) -> Option<PathBuf> {
    let plain = |char: char| if char.is_ascii_alphanumeric() || "-_@.".contains(char) { char } else { '.' };
    let name: String = if name == ANY { "any".to_owned() } else { name.chars().map(plain).collect() };
    let directory = settings.env.cache_dir()?.join("proxy").join(name);
    let file = Listen::Unix { directory: directory.clone(), port: SOCKET_PORT }.socket_file()?;
    (file.as_os_str().len() <= PATH_LIMIT).then_some(directory)
}

// === what names mean ===

/// The configuration, which may be read anew while sessions go on.
#[derive(Debug)]
struct Configured {
    settings: Settings,
    overrides: Overrides,
    config: RwLock<Arc<Config>>,
}

impl Configured {
    fn new(args: &ProxyArgs, settings: &Settings) -> Result<Self> {
        let config = RwLock::new(Arc::new(settings.config()?));
        Ok(Self { settings: settings.clone(), overrides: settings.overrides(&args.options), config })
    }

    /// Whether clients of a listener of this name can be served at present.
    fn understands(&self, name: &str) -> Result<()> {
        if name == ANY { Ok(()) } else { self.resolve(name, None, None).map(drop) }
    }

    fn reload(&self) -> Result<()> {
        let fresh = Arc::new(self.settings.config()?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl Resolve for Configured {
    fn resolve(&self, name: &str, database: Option<&str>, db_user: Option<&str>) -> Result<Target> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let own = |text: Option<&str>, typed: &Option<String>| text.map(str::to_owned).or_else(|| typed.clone());
        let overrides = Overrides {
            database: own(database, &self.overrides.database),
            db_user: own(db_user, &self.overrides.db_user),
            ..self.overrides.clone()
        };
        config.resolve(name, &overrides)
    }
}

/// What cannot be read leaves what was read before.
fn reload(configured: &Configured, guards: &Guards, names: &[String], proxy: &Proxy, printer: &Printer) {
    guards.reload().iter().for_each(|error| printer.warning(error));
    match configured.reload() {
        Ok(()) => {
            proxy.reload();
            printer.say("The configuration was read anew; sessions that are open stay as they are");
            let mut wrong: Vec<_> =
                names.iter().filter_map(|name| configured.understands(name).err()).map(|error| (error.to_string(), error)).collect();
            wrong.dedup_by(|a, b| a.0 == b.0);
            wrong.iter().for_each(|(_, error)| printer.warning(error));
        }
        Err(error) => printer.warning(&error),
    }
}

// === what is told ===

/// One listener, as `--json` prints it.
#[derive(Serialize)]
struct Told {
    /// `*` for all.
    target: String,
    /// A directory or an address: libpq's `host`.
    host: String,
    port: u16,
    /// libpq's `dbname`; absent where clients choose.
    database: Option<String>,
    /// Whether clients may use TLS, or must.
    tls: bool,
}

impl Told {
    fn new(name: &str, listener: &Listener, configured: &Configured) -> Self {
        let (host, port) = match listener.address() {
            Listen::Tcp(address) => (address.ip().to_string(), address.port()),
            Listen::Unix { directory, port } => (directory.display().to_string(), *port),
        };
        let database = configured.resolve(name, None, None).ok().map(|target| target.database);
        Self { target: name.to_owned(), host, port, database, tls: listener.offers_tls() }
    }

    /// What libpq's clients take.
    fn line(&self) -> String {
        let database = self.database.as_deref().unwrap_or("environment/name");
        let port = if self.port == SOCKET_PORT { String::new() } else { format!(" port={}", self.port) };
        let host = if self.host.contains([' ', '\'', '\\']) {
            format!("'{}'", self.host.replace('\\', "\\\\").replace('\'', "\\'"))
        } else {
            self.host.clone()
        };
        // A user's PGSSLMODE is meant for servers beyond this machine; unix sockets pay no heed to it.
        let mode = match self.tls {
            _ if self.host.starts_with('/') => "",
            true => " sslmode=require",
            false => " sslmode=disable",
        };
        format!("psql \"host={host}{port} dbname={database}{mode}\"")
    }
}

fn announce(listeners: &[(String, Listener)], admin: Option<&Admin>, configured: &Configured, printer: &Printer) -> Result<(), Failure> {
    let page = admin.map(|admin| format!("http://{}/", admin.address()));
    let told: Vec<Told> = listeners.iter().map(|(name, listener)| Told::new(name, listener, configured)).collect();
    if printer.json {
        printer.json(&serde_json::json!({ "listeners": told, "admin": page }))?;
    } else {
        for (place, listener) in told.iter().enumerate() {
            if place == 0 || told[place - 1].target != listener.target {
                printer.line(&listener.target)?;
            }
            printer.line(&format!("  {}", listener.line()))?;
        }
    }
    if let Some(page) = page.filter(|_| !printer.json) {
        printer.say(&format!("Status page: {page}"));
    }
    printer.say("No password is needed. The proxy runs until Ctrl-C; sessions may finish then.");
    Ok(())
}

/// Says what was cut. It ended as it should in any case.
fn finish(ended: &Ended, printer: &Printer) {
    if ended.reason != Reason::Asked {
        printer.say(&format!("The proxy ends: {}", ended.reason));
    }
    for Session { target, database, db_user, application, .. } in &ended.cut {
        let client = if application.is_empty() { "a client" } else { application };
        printer.say(&format!("cut: {client} as {db_user} in {database} of {target}"));
    }
}

fn sessions(count: usize) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

/// The signals that concern a proxy.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
