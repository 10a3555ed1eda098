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
    disk::LOCK,
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

/// When it was learned, and the fact.
type Known = (Moment, Arc<dyn Any + Send + Sync>);

/// Facts in memory, and in files that other processes read too.
#[derive(Debug)]
pub(crate) struct Facts {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<String, Known>>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Facts {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, known: Mutex::default(), flights: Mutex::default() }
    }

    /// What is known, if it is not too old. Does not wait for anybody.
    pub(crate) fn recall<F: Fact>(&self, about: &str) -> Option<F> {
        let name = name::<F>(about);
        self.in_memory(&name).or_else(|| self.in_file(&name)).map(|(fact, _)| fact)
    }

    fn in_memory<F: Fact>(&self, name: &str) -> Option<(F, Duration)> {
        let (learned, fact) = lock(&self.known).get(name).cloned()?;
        self.if_true(fact.downcast_ref::<F>()?.clone(), learned)
    }

    /// What this process or another one has written, which may be newer than what is in memory.
    fn in_file<F: Fact>(&self, name: &str) -> Option<(F, Duration)> {
        let Written { learned, uptime, fact } = self.store.read::<Written<F>>(name)?;
        let learned = Moment { wall: time(learned), uptime: uptime.map(Duration::from_millis) };
        let found = self.if_true(fact, learned)?;
        lock(&self.known).insert(name.to_owned(), (learned, Arc::new(found.0.clone())));
        Some(found)
    }

    /// The fact and its age, if it is still believed.
    fn if_true<F: Fact>(&self, fact: F, learned: Moment) -> Option<(F, Duration)> {
        let now = self.clock.moment();
        let age = now.since(learned).filter(|age| *age < F::LIFETIME && fact.holds(now.wall))?;
        Some((fact, age))
    }

    /// Remembers, and tells the other processes.
    pub(crate) fn learn<F: Fact>(&self, about: &str, fact: &F) {
        let now = self.clock.moment();
        let name = name::<F>(about);
        let uptime = now.uptime.map(|uptime| millis(UNIX_EPOCH + uptime));
        self.store.write_lightly(&name, &Written { learned: millis(now.wall), uptime, fact });
        lock(&self.known).insert(name, (now, Arc::new(fact.clone())));
    }

    /// What is known, or what `ask` answers, called by one caller of one process at a time. A failure is not remembered.
    pub(crate) async fn once<F: Fact, Fut: Future<Output = Result<F>>>(&self, about: &str, ask: impl FnOnce() -> Fut) -> Result<F> {
        match self.recall(about) {
            Some(known) => Ok(known),
            None => self.single(about, |_| self.recall(about), ask).await,
        }
    }

    /// The same after what was known turned out to be `stale`: another process may have learned better meanwhile. What was
    /// learned moments ago is the truth, stale or not.
    pub(crate) async fn renew<F: Fact, Fut: Future<Output = Result<F>>>(
        &self,
        about: &str,
        stale: impl Fn(&F) -> bool,
        ask: impl FnOnce() -> Fut,
    ) -> Result<F> {
        let better = |name: &str| {
            let present = self.in_file(name).or_else(|| self.in_memory(name))?;
            Some(present).filter(|(fact, age)| *age < MOMENTS || !stale(fact)).map(|(fact, _)| fact)
        };
        self.single(about, better, ask).await
    }

    async fn single<F: Fact, Fut: Future<Output = Result<F>>>(
        &self,
        about: &str,
        known: impl Fn(&str) -> Option<F>,
        ask: impl FnOnce() -> Fut,
    ) -> Result<F> {
        let name = name::<F>(about);
        let flight = Arc::clone(lock(&self.flights).entry(name.clone()).or_default());
        let _flight = flight.lock().await;
        let _lock = match known(&name) {
            Some(known) => return Ok(known),
            None => self.store.lock(&format!("{name}{LOCK}"), "asking AWS").await?,
        };
        if let Some(known) = known(&name) {
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

/// So young is a fact that nobody asks again.
const MOMENTS: Duration = Duration::from_secs(5);

fn name<F: Fact>(about: &str) -> String {
    format!("{PREFIX}{}-{about}", F::KIND)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{error::Error, observe::Log};

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    struct Place(u32);

    impl Fact for Place {
        const KIND: &'static str = "place";
        const LIFETIME: Duration = Duration::from_secs(3_600);
    }

    #[derive(Debug)]
    struct Hand(Mutex<SystemTime>);

    impl Clock for Hand {
        fn now(&self) -> SystemTime {
            *lock(&self.0)
        }
    }

    struct Machine {
        root: tempfile::TempDir,
        clock: Arc<Hand>,
        calls: AtomicUsize,
    }

    impl Machine {
        fn new() -> Self {
            let clock = Arc::new(Hand(Mutex::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000))));
            Self { root: tempfile::tempdir().unwrap(), clock, calls: AtomicUsize::new(0) }
        }

        fn process(&self) -> Facts {
            let store = Store::new(Some(self.root.path().join("cache")), Arc::new(Log));
            Facts::new(Arc::new(store), Arc::clone(&self.clock) as _)
        }

        fn pass(&self, seconds: u64) {
            *lock(&self.clock.0) += Duration::from_secs(seconds);
        }

        async fn ask(&self, place: u32) -> Result<Place> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            Ok(Place(place))
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn one_process_asks_and_all_remember_for_a_while() {
        let machine = Machine::new();
        let first = machine.process();
        assert_eq!(first.once("a", || machine.ask(1)).await.unwrap(), Place(1));
        assert_eq!(machine.process().recall::<Place>("a"), Some(Place(1)));
        assert_eq!(machine.process().once("a", || machine.ask(2)).await.unwrap(), Place(1));
        machine.pass(3_600);
        assert_eq!((first.recall::<Place>("a"), machine.calls()), (None, 1), "memory grows old as files do");
        assert_eq!(first.once("a", || machine.ask(3)).await.unwrap(), Place(3));
    }

    #[tokio::test]
    async fn many_that_find_out_the_same_ask_once() {
        let machine = Machine::new();
        let processes: Vec<Facts> = (0..5).map(|_| machine.process()).collect();
        for process in &processes {
            process.once("a", || machine.ask(1)).await.unwrap();
        }
        machine.pass(100);
        for process in &processes {
            let renewed = process.renew("a", |place: &Place| *place == Place(1), || machine.ask(2)).await.unwrap();
            assert_eq!(renewed, Place(2));
        }
        assert_eq!(machine.calls(), 2, "the first of the five");
        for process in &processes {
            process.renew("a", |place: &Place| *place == Place(2), || machine.ask(2)).await.unwrap();
        }
        assert_eq!(machine.calls(), 2, "moments ago it was true, so that is not why it fails");
        machine.pass(5);
        processes[0].renew("a", |place: &Place| *place == Place(2), || machine.ask(2)).await.unwrap();
        assert_eq!(machine.calls(), 3);
    }

    #[tokio::test]
    async fn without_a_directory_one_caller_asks_for_all_of_its_process() {
        let machine = Machine::new();
        let alone = Facts::new(Arc::new(Store::new(None, Arc::new(Log))), Arc::clone(&machine.clock) as _);
        let slow = || async {
            tokio::task::yield_now().await;
            machine.ask(1).await
        };
        let (first, second) = tokio::join!(alone.once("a", slow), alone.once("a", slow));
        assert_eq!((first.unwrap(), second.unwrap(), machine.calls()), (Place(1), Place(1), 1));
        let renewed = alone.renew("a", |place: &Place| *place == Place(1), || machine.ask(2)).await.unwrap();
        assert_eq!((renewed, machine.calls()), (Place(1), 1), "moments ago it was true");
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let machine = Machine::new();
        let fails = || async { Err::<Place, _>(Error::config("no")) };
        assert!(machine.process().once("a", fails).await.is_err());
        assert_eq!(machine.process().once("a", || machine.ask(1)).await.unwrap(), Place(1));
    }
}
