//! The sandbox's clock: real time plus an offset that a test moves. Every expiry in the sandbox is judged by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Real time, moved. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct SandboxClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    frozen: Option<SystemTime>,
    ahead: Duration,
}

impl SandboxClock {
    /// A clock that shows the real time.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that stands still at `start` until it is advanced.
    pub fn frozen(start: SystemTime) -> Self {
        Self { state: Arc::new(Mutex::new(State { frozen: Some(start), ahead: Duration::ZERO })) }
    }

    /// The sandbox's time.
    #[expect(clippy::disallowed_methods, reason = "the sandbox's clock is the one place that reads the real time")]
    pub fn now(&self) -> SystemTime {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let base = state.frozen.unwrap_or_else(SystemTime::now);
        base.checked_add(state.ahead).unwrap_or(base)
    }

    /// Moves time forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ahead = state.ahead.saturating_add(by);
    }

    /// Sets how far the sandbox is ahead of its base time.
    pub fn set_offset(&self, ahead: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ahead = ahead;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_one_clone_moves_all() {
        let clock = SandboxClock::frozen(SystemTime::UNIX_EPOCH);
        clock.clone().advance(Duration::from_secs(5));
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        clock.set_offset(Duration::ZERO);
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
    }
}
