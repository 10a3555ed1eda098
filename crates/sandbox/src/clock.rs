//! The sandbox's clock: real time plus an offset that a test moves. Every expiry in the sandbox is judged by it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Real time, moved. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct SandboxClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    frozen: Option<SystemTime>,
    offset: Offset,
}

/// How far a clock stands from its base time. The text form is a duration, with a minus for a clock that is behind: `1h`, `-20m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// It shows a later time.
    Ahead(Duration),
    /// It shows an earlier time.
    Behind(Duration),
}

impl SandboxClock {
    /// A clock that shows the real time.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that stands still at `start` until it is moved.
    pub fn frozen(start: SystemTime) -> Self {
        Self { state: Arc::new(Mutex::new(State { frozen: Some(start), offset: Offset::default() })) }
    }

    /// The sandbox's time.
    #[expect(clippy::disallowed_methods, reason = "the sandbox's clock is the one place that reads the real time")]
    pub fn now(&self) -> SystemTime {
        let state = self.lock();
        let base = state.frozen.unwrap_or_else(SystemTime::now);
        let moved = match state.offset {
            Offset::Ahead(by) => base.checked_add(by),
            Offset::Behind(by) => base.checked_sub(by),
        };
        moved.unwrap_or(base)
    }

    /// Moves time forward, from wherever it stands.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.offset = match state.offset {
            Offset::Ahead(ahead) => Offset::Ahead(ahead.saturating_add(by)),
            Offset::Behind(behind) if behind > by => Offset::Behind(behind - by),
            Offset::Behind(behind) => Offset::Ahead(by - behind),
        };
    }

    /// Moves time by this much, forward or back, from wherever it stands.
    pub fn shift(&self, by: Offset) {
        let by = match by {
            Offset::Ahead(by) => return self.advance(by),
            Offset::Behind(by) => by,
        };
        let mut state = self.lock();
        state.offset = match state.offset {
            Offset::Ahead(ahead) if ahead >= by => Offset::Ahead(ahead - by),
            Offset::Ahead(ahead) => Offset::Behind(by - ahead),
            Offset::Behind(behind) => Offset::Behind(behind.saturating_add(by)),
        };
    }

    /// How far the sandbox stands from its base time.
    pub fn offset(&self) -> Offset {
        self.lock().offset
    }

    /// Sets how far the sandbox stands from its base time, forgetting what moved it before.
    pub fn set_offset(&self, offset: Offset) {
        self.lock().offset = offset;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Offset {
    fn default() -> Self {
        Self::Ahead(Duration::ZERO)
    }
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (make, digits): (fn(Duration) -> Self, &str) = match text.strip_prefix('-') {
            Some(rest) => (Self::Behind, rest),
            None => (Self::Ahead, text),
        };
        humantime::parse_duration(digits).map(make).map_err(|_| format!("'{text}' is no offset such as 1h, 90s or -20m"))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead(by) => write!(f, "{}", humantime::format_duration(*by)),
            Self::Behind(by) => write!(f, "-{}", humantime::format_duration(*by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn moving_one_clone_moves_all() {
        let start = SystemTime::UNIX_EPOCH + seconds(1_000);
        let clock = SandboxClock::frozen(start);
        let clone = clock.clone();
        clone.advance(seconds(5));
        assert_eq!(clock.now(), start + seconds(5));
        clone.set_offset(Offset::Behind(seconds(20)));
        assert_eq!(clock.now(), start - seconds(20));
        for (by, offset) in [(5, Offset::Behind(seconds(15))), (15, Offset::default()), (5, Offset::Ahead(seconds(5)))] {
            clone.advance(seconds(by));
            assert_eq!(clock.offset(), offset, "{by}");
        }
        clone.set_offset(Offset::Behind(seconds(20)));
        clone.advance(seconds(50));
        assert_eq!(clock.now(), start + seconds(30));
    }

    #[test]
    fn an_offset_is_read_and_written_back() {
        for (text, offset) in
            [("1h", Offset::Ahead(seconds(3600))), ("-20m", Offset::Behind(seconds(1200))), ("-1m 30s", Offset::Behind(seconds(90)))]
        {
            assert_eq!((text.parse(), offset.to_string().as_str()), (Ok(offset), text));
        }
        for text in ["", "-", "soon", "+5m", "--5m", "5"] {
            assert!(text.parse::<Offset>().unwrap_err().contains("such as"), "{text}");
        }
    }

    #[test]
    fn a_shift_adds_to_what_moved_the_clock_before() {
        let clock = SandboxClock::frozen(SystemTime::UNIX_EPOCH + seconds(1_000));
        for (by, expected) in [("10s", 1_010), ("-30s", 980), ("-5s", 975), ("1m", 1_035), ("-20s", 1_015)] {
            clock.shift(by.parse().unwrap());
            assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + seconds(expected), "{by}");
        }
    }
}
