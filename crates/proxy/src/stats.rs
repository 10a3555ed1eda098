//! What the proxy did so far, and what it is doing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use shiftkey::Origin;

use crate::relay::Traffic;

/// How many failures are remembered for a person to look at.
const REMEMBERED: usize = 20;

/// Counters since the start, and the sessions that are open. Shared by the proxy and whoever watches it.
#[derive(Debug, Default)]
pub struct Stats {
    accepted: AtomicU64,
    signed_in: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    cancels: AtomicU64,
    issued: AtomicU64,
    saved: AtomicU64,
    /// Of sessions that have ended.
    from_clients: AtomicU64,
    to_clients: AtomicU64,
    sessions: Mutex<Sessions>,
    failures: Mutex<VecDeque<Failure>>,
}

#[derive(Debug, Default)]
struct Sessions {
    last: u64,
    open: BTreeMap<u64, (Session, Arc<Traffic>)>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Sessions that were signed in.
    pub signed_in: u64,
    /// Sessions that are open.
    pub open: u64,
    /// Sign-ins that failed.
    pub failed: u64,
    /// Connections of other users that were refused.
    pub refused: u64,
    /// Cancel requests that were passed on.
    pub cancels: u64,
    /// Sessions whose credential AWS was asked for.
    pub issued: u64,
    /// Sessions whose credential was there already: calls to AWS that were saved.
    pub saved: u64,
    /// Bytes from clients.
    pub from_clients: u64,
    /// Bytes to clients.
    pub to_clients: u64,
}

/// An open session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// The target's label.
    pub target: String,
    /// Database.
    pub database: String,
    /// Database user.
    pub db_user: String,
    /// The user id of the client's process; `None` where anybody may connect.
    pub uid: Option<u32>,
    /// What the client calls itself.
    pub application: String,
    /// Since when.
    pub since: SystemTime,
    /// Bytes from the client so far.
    pub from_client: u64,
    /// Bytes to the client so far.
    pub to_client: u64,
}

/// A sign-in that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// When.
    pub at: SystemTime,
    /// SQLSTATE.
    pub code: String,
    /// What the client was told.
    pub message: String,
}

/// A session in the books, as long as this lives.
#[derive(Debug)]
pub(crate) struct Open {
    stats: Arc<Stats>,
    number: u64,
    pub(crate) traffic: Arc<Traffic>,
}

impl Stats {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sessions = self.sessions();
        let open = |of: fn(&Traffic) -> &AtomicU64| sessions.open.values().map(|(_, traffic)| read(of(traffic))).sum::<u64>();
        Counts {
            accepted: read(&self.accepted),
            signed_in: read(&self.signed_in),
            open: sessions.open.len() as u64,
            failed: read(&self.failed),
            refused: read(&self.refused),
            cancels: read(&self.cancels),
            issued: read(&self.issued),
            saved: read(&self.saved),
            from_clients: read(&self.from_clients) + open(|traffic| &traffic.from_client),
            to_clients: read(&self.to_clients) + open(|traffic| &traffic.from_upstream),
        }
    }

    /// The sessions that are open, oldest first.
    pub fn open_sessions(&self) -> Vec<Session> {
        let sessions = self.sessions();
        let now = |(session, traffic): &(Session, Arc<Traffic>)| Session {
            from_client: traffic.from_client.load(Ordering::Relaxed),
            to_client: traffic.from_upstream.load(Ordering::Relaxed),
            ..session.clone()
        };
        sessions.open.values().map(now).collect()
    }

    /// The last failures, newest first.
    pub fn failures(&self) -> Vec<Failure> {
        self.remembered().iter().rev().cloned().collect()
    }

    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cancelled(&self) {
        self.cancels.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, failure: Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut remembered = self.remembered();
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(failure);
    }

    /// Counts a session that was signed in with a credential from there.
    pub(crate) fn open(self: &Arc<Self>, session: Session, origin: Origin) -> Open {
        self.signed_in.fetch_add(1, Ordering::Relaxed);
        let counter = if origin.is_cached() { &self.saved } else { &self.issued };
        counter.fetch_add(1, Ordering::Relaxed);
        let traffic = Arc::<Traffic>::default();
        let mut sessions = self.sessions();
        sessions.last += 1;
        let number = sessions.last;
        sessions.open.insert(number, (session, Arc::clone(&traffic)));
        Open { stats: Arc::clone(self), number, traffic }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, VecDeque<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Under the lock, so that no byte is counted twice or not at all.
        let mut sessions = self.stats.sessions();
        sessions.open.remove(&self.number);
        self.stats.from_clients.fetch_add(self.traffic.from_client.load(Ordering::Relaxed), Ordering::Relaxed);
        self.stats.to_clients.fetch_add(self.traffic.from_upstream.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
