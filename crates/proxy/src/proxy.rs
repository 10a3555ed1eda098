//! Serving listeners until told to stop.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use shiftkey::{
    Clock, Env, Error, ErrorKind, Result, Shiftkey, SystemClock, Target,
    cache::Listed,
    dial::{self, Options},
    trust::Configs,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    cancel::Keys,
    client,
    listen::Listener,
    reject,
    route::Routes,
    session,
    stats::{Session, Stats},
    warm::{self, Recent},
};

/// What may be chosen. Times are bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sessions at a time.
    pub sessions: usize,
    /// For a client's first packets.
    pub first_packet: Duration,
    /// From then until the client is in: credential, connection, sign-in.
    pub sign_in: Duration,
    /// What a wrong client secret costs.
    pub pause: Duration,
    /// For sessions to finish once the proxy is told to stop.
    pub drain: Duration,
    /// How often credentials in use are looked at, to renew them ahead of their clients.
    pub renew_every: Duration,
    /// Ends the proxy when it has had no connection for this long.
    pub idle_exit: Option<Duration>,
    /// Ends the proxy after this long, as if it had been told to.
    pub max_lifetime: Option<Duration>,
    /// The environment, for the system's trust anchors (`SSL_CERT_FILE`).
    pub env: Env,
    /// Tells when sessions began.
    pub clock: Arc<dyn Clock>,
    /// Is told what only a person can do.
    pub attendant: Option<Arc<dyn Attend>>,
}

/// Somebody whom the proxy can turn to, besides its clients: they are tools, and what they are told is often not shown.
pub trait Attend: fmt::Debug + Send + Sync {
    /// An AWS identity is missing or has expired: sessions fail, or soon will. At most once a minute for the same reason.
    fn wanted(&self, error: &Error);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            first_packet: Duration::from_secs(30),
            // A resumed serverless workgroup takes a minute.
            sign_in: Duration::from_secs(120),
            pause: Duration::from_secs(1),
            drain: Duration::from_secs(30),
            renew_every: Duration::from_secs(60),
            idle_exit: None,
            max_lifetime: None,
            env: Env::default(),
            clock: Arc::new(SystemClock),
            attendant: None,
        }
    }
}

/// Signs clients in. Clones share sessions and counters.
#[derive(Clone, Debug)]
pub struct Proxy(Arc<Shared>);

/// What all sessions know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) shiftkey: Shiftkey,
    pub(crate) settings: Settings,
    pub(crate) tls: Configs,
    pub(crate) keys: Arc<Keys>,
    pub(crate) places: Arc<Semaphore>,
    /// For those who are about to be told that they may not: few, so that they are in nobody's way.
    pub(crate) strangers: Semaphore,
    pub(crate) stats: Arc<Stats>,
    pub(crate) recent: Recent,
    listening: Mutex<Vec<Listening>>,
    /// What the attendant was told last, and when.
    wanted: Mutex<Option<(String, SystemTime)>>,
    /// Told to stop.
    draining: AtomicBool,
}

impl Shared {
    /// Tells the attendant, when it takes a person to go on.
    pub(crate) fn ask_for_help(&self, error: &Error) {
        let Some(attendant) = &self.settings.attendant else { return };
        if !matches!(error.kind(), ErrorKind::IdentityExpired | ErrorKind::NoIdentity) {
            return;
        }
        let (text, now) = (error.to_string(), self.settings.clock.now());
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < REMIND);
        if !wanted.as_ref().is_some_and(|(told, at)| *told == text && lately(*at)) {
            attendant.wanted(error);
            *wanted = Some((text, now));
        }
    }
}

/// A listener, as a person is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// What it serves.
    pub(crate) target: String,
    /// Where.
    pub(crate) address: String,
    /// Whom.
    pub(crate) lets_in: String,
    /// How its clients find their target.
    pub(crate) routes: Routes,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It was told to.
    Asked,
    /// Nobody came for as long as [`Settings::idle_exit`] says.
    Idle,
    /// [`Settings::max_lifetime`] was over.
    Lifetime,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub reason: Reason,
    /// Sessions that did not finish in time and were cut.
    pub cut: Vec<Session>,
}

/// Connections beyond the sessions' limit: those that are about to be turned away, cancel requests, half-open clients.
const BEYOND: usize = 256;

/// Connections of other users at a time.
const STRANGERS: usize = 32;

/// How often the attendant is told the same.
const REMIND: Duration = Duration::from_secs(60);

/// What out of file descriptors costs.
const BREATH: Duration = Duration::from_millis(50);

impl Proxy {
    /// A proxy that nobody reaches yet.
    pub fn new(shiftkey: Shiftkey, settings: Settings) -> Self {
        let places = Arc::new(Semaphore::new(settings.sessions));
        Self(Arc::new(Shared {
            shiftkey,
            settings,
            tls: Configs::default(),
            keys: Arc::default(),
            places,
            strangers: Semaphore::new(STRANGERS),
            stats: Arc::default(),
            recent: Recent::default(),
            listening: Mutex::default(),
            wanted: Mutex::default(),
            draining: AtomicBool::new(false),
        }))
    }

    /// What it did and does.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.0.stats
    }

    /// Why no new session is taken, when none is: the proxy is about to end, or full.
    pub fn unready(&self) -> Option<&'static str> {
        if self.0.draining.load(Ordering::Relaxed) {
            Some("the proxy is about to end")
        } else if self.0.places.available_permits() == 0 {
            Some("the proxy has as many sessions as it may")
        } else {
            None
        }
    }

    /// Where it listens, or did until it was told to stop.
    pub(crate) fn listening(&self) -> Vec<Listening> {
        self.0.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds a credential and reaches the warehouse by TLS, without signing in.
    pub(crate) async fn reach(&self, target: &Target) -> Result<()> {
        let login = self.0.shiftkey.login(target).await?;
        let options = Options { env: self.0.settings.env.clone(), tls: self.0.tls.clone(), ..Options::default() };
        dial::encrypted(&login.route(), &options).await.map(drop)
    }

    /// The time that the proxy goes by.
    pub(crate) fn now(&self) -> SystemTime {
        self.0.settings.clock.now()
    }

    /// The credentials that sessions are signed in with, as far as they are shared with other processes.
    pub(crate) fn cached(&self) -> Vec<Listed> {
        self.0.shiftkey.cached()
    }

    /// Reads trust anchors anew from the next session on. (Targets are resolved for each session by the listener's resolver.)
    pub fn reload(&self) {
        self.0.tls.forget();
    }

    /// Serves until `stop` is ready, and then lets the sessions finish. Every task of it has ended when this returns; when
    /// it is dropped, they are cut.
    pub async fn run(&self, listeners: Vec<Listener>, stop: impl Future<Output = ()>) -> Ended {
        // The accepting tasks own the listeners, so that aborting them closes the sockets.
        let told = listeners.iter().map(Listener::told);
        self.0.listening.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
        let (sender, mut arrivals) = mpsc::channel(64);
        let mut accepting = JoinSet::new(); // and what else ends when nobody new is let in
        for listener in listeners {
            accepting.spawn(accept(listener, sender.clone()));
        }
        drop(sender);
        accepting.spawn(keep_warm(Arc::clone(&self.0)));
        let mut sessions = JoinSet::new();
        let started = Instant::now();
        let mut idle_since = started;
        tokio::pin!(stop);
        let reason = loop {
            let idle = self.0.settings.idle_exit.filter(|_| sessions.is_empty()).map(|after| idle_since + after);
            let lifetime = self.0.settings.max_lifetime.map(|after| started + after);
            tokio::select! {
                () = &mut stop => break Reason::Asked,
                () = at(idle) => break Reason::Idle,
                () = at(lifetime) => break Reason::Lifetime,
                Some(_) = sessions.join_next() => idle_since = Instant::now(),
                Some(arrival) = arrivals.recv() => {
                    self.0.stats.accepted();
                    let Arrival { stream, audience, routes } = arrival;
                    if sessions.len() < self.0.settings.sessions.saturating_add(BEYOND) {
                        sessions.spawn(session::serve(stream, audience, routes, Arc::clone(&self.0)));
                    } else {
                        let full = reject::full(self.0.settings.sessions);
                        session::note(&full, &self.0);
                        client::turn_away_unheard(&stream, &reject::encode(full));
                    }
                }
            }
        };
        self.0.draining.store(true, Ordering::Relaxed);
        accepting.shutdown().await;
        // Who was let in before is served.
        while let Ok(Arrival { stream, audience, routes }) = arrivals.try_recv() {
            sessions.spawn(session::serve(stream, audience, routes, Arc::clone(&self.0)));
        }
        let deadline = Instant::now() + self.0.settings.drain;
        let finished = timeout_at(deadline, async { while sessions.join_next().await.is_some() {} }).await;
        let cut = if finished.is_ok() { Vec::new() } else { self.0.stats.open_sessions() };
        sessions.shutdown().await;
        Ended { reason, cut }
    }
}

/// A connection that was accepted, and by whose rules.
struct Arrival {
    stream: crate::stream::Stream,
    audience: crate::listen::Audience,
    routes: Routes,
}

async fn keep_warm(shared: Arc<Shared>) {
    let Settings { clock, renew_every, .. } = &shared.settings;
    warm::keep(&shared.recent, &shared.shiftkey, &**clock, *renew_every, |error| shared.ask_for_help(error)).await;
}

async fn accept(listener: Listener, arrivals: mpsc::Sender<Arrival>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let arrival = Arrival { stream, audience: listener.audience.clone(), routes: listener.routes.clone() };
                if arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: let some sessions end.
                tracing::warn!(%error, listener = %listener.address(), "a connection could not be accepted");
                sleep(BREATH).await;
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "told to stop",
            Self::Idle => "nobody came",
            Self::Lifetime => "the time is over",
        })
    }
}
