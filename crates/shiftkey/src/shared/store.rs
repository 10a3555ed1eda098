//! The cache's directory, with a shrug: whatever cannot be read is a miss, whatever cannot be written is told once.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{
    disk::{Lock, PrivateDir},
    format,
};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::{Event, Observe},
};

/// How long a caller waits for another process that talks to AWS. Longer than such a talk may take.
pub(crate) const WAIT: Duration = Duration::from_secs(45);

/// So often the directory may be removed while somebody waits for a lock in it; then it is done without.
const REMOVALS: usize = 3;

/// So many accesses are done without after the file system did not answer: on a dead network mount each takes the mount's time-out.
const REST: usize = 100;

/// The directory, opened when it is first needed; or none, when nothing is to be kept on disk.
#[derive(Debug)]
pub(crate) struct Store {
    path: Option<PathBuf>,
    dir: Mutex<Option<Arc<PrivateDir>>>,
    observer: Arc<dyn Observe>,
    told: AtomicBool,
    rest: AtomicUsize,
}

/// The outcome of waiting for a lock.
#[derive(Debug)]
pub(crate) enum Waited {
    /// Ours now.
    Held(Lock),
    /// There are no locks here; everybody acts alone.
    Alone,
}

impl Store {
    pub(crate) fn new(path: Option<PathBuf>, observer: Arc<dyn Observe>) -> Self {
        Self { path, dir: Mutex::default(), observer, told: AtomicBool::new(false), rest: AtomicUsize::new(0) }
    }

    pub(crate) fn observer(&self) -> &dyn Observe {
        &*self.observer
    }

    /// A file's value, if it is there and whole.
    pub(crate) fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let dir = self.dir(PrivateDir::open).ok()??;
        format::decode(&self.noted(dir.read(name)).ok()??)
    }

    /// Keeps a value for good, power cuts included. When that fails, callers do without it.
    pub(crate) fn write(&self, name: &str, value: &impl Serialize) {
        self.attempt(|dir| dir.write(name, &format::encode(value)?));
    }

    /// Keeps a value that can be had again: a power cut may lose it, and its checksum tells.
    pub(crate) fn write_lightly(&self, name: &str, value: &impl Serialize) {
        self.attempt(|dir| dir.write_lightly(name, &format::encode(value)?));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.attempt(|dir| dir.remove(name));
    }

    /// Removes all files whose names begin so.
    pub(crate) fn remove_all(&self, prefix: &str) {
        for name in self.attempt(PrivateDir::names).unwrap_or_default() {
            if name.starts_with(prefix) {
                self.remove(&name);
            }
        }
    }

    /// Counts by a file's length; a count that is lost is no loss.
    pub(crate) fn count(&self, name: &str) {
        if let Ok(Some(dir)) = self.dir(PrivateDir::open) {
            let _ = dir.append(name, b".");
        }
    }

    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.dir(PrivateDir::open).ok().flatten().map_or(0, |dir| dir.size(name))
    }

    /// Tries something with the directory, which is made when it is missing. `None` when it failed, which is told once.
    pub(crate) fn attempt<T>(&self, work: impl Fn(&PrivateDir) -> io::Result<T>) -> Option<T> {
        let once = || self.dir(PrivateDir::create).and_then(|dir| self.noted(dir.map(|dir| work(&dir)).transpose()));
        let outcome = match once() {
            // The directory may have been removed, and made again, since it was opened.
            Err(error) if gone(&error) => {
                *self.slot() = None;
                once()
            }
            outcome => outcome,
        };
        outcome.unwrap_or_else(|error| {
            self.tell(&error);
            None
        })
    }

    /// A lock, unless another process holds it. `Alone` when there are no locks.
    pub(crate) fn try_lock(&self, name: &str) -> Option<Waited> {
        match self.attempt(|dir| dir.try_lock(name)) {
            Some(Some(lock)) => Some(Waited::Held(lock)),
            Some(None) => None,
            None => Some(Waited::Alone),
        }
    }

    /// Waits for a lock. `doing` says in the error what its holder does.
    pub(crate) async fn lock(&self, name: &str, doing: &str) -> Result<Waited> {
        self.lock_within(WAIT, name, doing).await
    }

    async fn lock_within(&self, patience: Duration, name: &str, doing: &str) -> Result<Waited> {
        for _ in 0..REMOVALS {
            // Most of the time nobody holds it, and then no thread is needed to wait.
            if let Some(waited) = self.try_lock(name) {
                return Ok(waited);
            }
            let Ok(Some(dir)) = self.dir(PrivateDir::create) else { return Ok(Waited::Alone) };
            match dir.lock(name, patience).await {
                Ok(Some(lock)) => return Ok(Waited::Held(lock)),
                Ok(None) => return Err(tired(&dir, patience, name, doing)),
                // The directory was removed meanwhile. All who waited meet again in the one that is made next.
                Err(error) if gone(&error) => *self.slot() = None,
                Err(error) => {
                    self.tell(&error);
                    return Ok(Waited::Alone);
                }
            }
        }
        Ok(Waited::Alone)
    }

    /// The directory; `None` when nothing is kept on disk.
    fn dir(&self, open: fn(&Path) -> io::Result<PrivateDir>) -> io::Result<Option<Arc<PrivateDir>>> {
        let Some(path) = &self.path else { return Ok(None) };
        let mut slot = self.slot();
        if self.rest.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Ok(None);
        }
        if slot.is_none() {
            *slot = Some(Arc::new(self.noted(open(path))?));
        }
        Ok(slot.clone())
    }

    /// Leaves the file system alone for a while when it did not answer, and says so.
    fn noted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && [Errno::IO, Errno::TIMEDOUT, Errno::HOSTDOWN].iter().any(|it| error.raw_os_error() == Some(it.raw_os_error()))
        {
            self.rest.store(REST, Ordering::Relaxed);
            self.tell(error);
        }
        outcome
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<PrivateDir>>> {
        self.dir.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, error: &io::Error) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let path = self.path.as_deref().unwrap_or_else(|| Path::new("")).display();
        let event = Error::config(format!(
            "the cache directory {path} cannot be used: {error}; credentials are not shared, and no MFA session is kept"
        ))
        .with_hint("it must be yours alone (mode 0700) and writable; SHIFTKEY_CACHE_DIR names another, SHIFTKEY_CACHE=off does without");
        self.observer.event(&Event::CacheOff(event));
    }
}

/// Whether the directory is not there any more; `ESTALE` is how NFS says so.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn tired(dir: &PrivateDir, patience: Duration, name: &str, doing: &str) -> Error {
    let holder = dir.holder(name).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    let waited = patience.as_secs();
    Error::new(ErrorKind::Unreachable, format!("{holder} is {doing} and has not finished in {waited} s"))
        .with_hint("look at that process; if it is stuck, end it, and the next one takes its place")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Log;

    #[test]
    fn a_file_system_that_does_not_answer_is_left_alone_for_a_while() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(Some(root.path().join("cache")), Arc::new(Log));
        let failing = |errno: Errno| store.attempt(|_| -> io::Result<()> { Err(io::Error::from(errno)) });
        failing(Errno::NOSPC);
        assert_eq!(store.attempt(|_| Ok(())), Some(()), "a full disk answers");
        failing(Errno::IO);
        for access in 0..REST {
            assert_eq!(store.attempt(|_| Ok(())), None, "{access}");
        }
        assert_eq!(store.attempt(|_| Ok(())), Some(()));
    }

    #[test]
    fn a_directory_that_went_stale_is_opened_anew() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(Some(root.path().join("cache")), Arc::new(Log));
        let tries = std::cell::Cell::new(0);
        let done = store.attempt(|_| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err(io::Error::from(Errno::STALE)) } else { Ok(tries.get()) }
        });
        assert_eq!(done, Some(2));
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_names_the_holder() {
        let root = tempfile::tempdir().unwrap();
        let process = || Store::new(Some(root.path().join("cache")), Arc::new(Log));
        let _held = process().try_lock("key.lock").unwrap();
        let error = process().lock_within(Duration::ZERO, "key.lock", "issuing a credential").await.unwrap_err();
        let expected = format!("process {} is issuing a credential and has not finished in 0 s", std::process::id());
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unreachable, expected.as_str()));
    }
}
