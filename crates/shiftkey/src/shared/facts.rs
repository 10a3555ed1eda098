//! What AWS told and is believed for a while: where a warehouse listens, who a caller is. One process asks, all remember.

use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    format::{millis, time},
    store::Store,
};
use crate::{
    clock::{Clock, Moment},
    error::Result,
};

/// A kind of fact. Holds no secret.
pub(crate) trait Fact: Clone + DeserializeOwned + Send + Serialize + Sync + 'static {
    /// Begins the names of its files.
    const KIND: &'static str;
    /// How long it is believed.
    const LIFETIME: Duration;

    /// Whether it is still true at `now`, where it says so itself.
    fn holds(&self, _now: SystemTime) -> bool {
        true
    }
}

#[derive(Deserialize, Serialize)]
struct Written<F> {
    learned: u64,
    uptime: Option<u64>,
    fact: F,
}

/// Facts in memory, and in files that other processes read too.
#[derive(Debug)]
pub(crate) struct Facts {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<String, (Moment, Arc<dyn Any + Send + Sync>)>>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Facts {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, known: Mutex::default(), flights: Mutex::default() }
    }

    /// What is known, if it is not too old. Does not wait for anybody.
    pub(crate) fn recall<F: Fact>(&self, about: &str) -> Option<F> {
        let now = self.clock.moment();
        let name = name::<F>(about);
        let is_young = |learned: Moment| now.since(learned).is_some_and(|age| age < F::LIFETIME);
        if let Some((learned, fact)) = lock(&self.known).get(&name)
            && is_young(*learned)
        {
            return fact.downcast_ref().filter(|fact: &&F| fact.holds(now.wall)).cloned();
        }
        let written: Written<F> = self.store.read(&name)?;
        let learned = Moment { wall: time(written.learned), uptime: written.uptime.map(Duration::from_millis) };
        (is_young(learned) && written.fact.holds(now.wall)).then(|| {
            lock(&self.known).insert(name, (learned, Arc::new(written.fact.clone())));
            written.fact
        })
    }

    /// Remembers, and tells the other processes.
    pub(crate) fn learn<F: Fact>(&self, about: &str, fact: &F) {
        let now = self.clock.moment();
        let name = name::<F>(about);
        let uptime = now.uptime.map(|uptime| millis(UNIX_EPOCH + uptime));
        self.store.write_lightly(&name, &Written { learned: millis(now.wall), uptime, fact });
        lock(&self.known).insert(name, (now, Arc::new(fact.clone())));
    }

    /// Forgets, here and for the other processes.
    pub(crate) fn forget<F: Fact>(&self, about: &str) {
        let name = name::<F>(about);
        lock(&self.known).remove(&name);
        self.store.remove(&name);
    }

    /// What is known, or what `ask` answers, called by one caller of one process at a time. A failure is not remembered.
    pub(crate) async fn once<F: Fact, Fut: Future<Output = Result<F>>>(&self, about: &str, ask: impl FnOnce() -> Fut) -> Result<F> {
        if let Some(known) = self.recall(about) {
            return Ok(known);
        }
        let name = name::<F>(about);
        let flight = Arc::clone(lock(&self.flights).entry(name.clone()).or_default());
        let _flight = flight.lock().await;
        if let Some(known) = self.recall(about) {
            return Ok(known);
        }
        let _lock = self.store.lock(&format!("{name}.lock"), "asking AWS").await?;
        if let Some(known) = self.recall(about) {
            return Ok(known);
        }
        let fact = ask().await?;
        self.learn(about, &fact);
        Ok(fact)
    }

    /// Forgets all facts of all processes.
    pub(crate) fn clear(&self) {
        lock(&self.known).clear();
        self.store.remove_all(PREFIX);
    }
}

const PREFIX: &str = "fact-";

fn name<F: Fact>(about: &str) -> String {
    format!("{PREFIX}{}-{about}", F::KIND)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
