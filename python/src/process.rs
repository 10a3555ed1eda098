//! What belongs to one process and must not outlive a fork: a runtime's threads are not in the child, and its sockets are
//! watched through a descriptor that parent and child share.

use std::sync::{Mutex, PoisonError};

/// A value of the process that made it. Forked children have a copy, which is never dropped: dropping would reach through
/// the shared descriptor into the parent.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    process: u32,
    /// Taken when it is dropped.
    value: Option<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: std::process::id(), value: Some(value) }
    }

    /// The value, unless it is another process's.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.process == std::process::id())
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.value.take());
        }
    }
}

/// A place for one value for each process.
#[derive(Debug)]
pub(crate) struct PerProcess<T>(Mutex<Option<Owned<T>>>);

impl<T: Clone> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// This process's value if it is `good`, else what `make` makes. The caller holds the interpreter and keeps it, as does
    /// who forks: no child is born while this is locked.
    ///
    /// # Errors
    /// Those of `make`; then what was there stays.
    pub(crate) fn get<E>(&self, good: impl FnOnce(&T) -> bool, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.as_ref().and_then(Owned::get).filter(|value| good(value)) {
            return Ok(value.clone());
        }
        let value = make()?;
        *slot = Some(Owned::new(value.clone()));
        Ok(value)
    }
}
