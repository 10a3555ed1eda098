//! Time as a value that tests can move.

use std::{fmt, time::SystemTime};

/// Where "now" comes from. Wall time, not monotonic: a laptop sleeps and credentials expire meanwhile.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
