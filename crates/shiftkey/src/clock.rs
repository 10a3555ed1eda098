//! Time as a value that tests can move.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Where "now" comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment by the wall clock.
    fn now(&self) -> SystemTime;

    /// How long the machine has been up, sleep included; nobody can set it. `None` where that cannot be told.
    fn uptime(&self) -> Option<Duration> {
        None
    }

    /// Both clocks at once.
    fn moment(&self) -> Moment {
        Moment { wall: self.now(), uptime: self.uptime() }
    }
}

/// A point in time by two clocks. The wall clock goes on while a machine is off, but may be set; uptime cannot be set,
/// but knows nothing of a suspended virtual machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// The wall clock.
    pub wall: SystemTime,
    /// Time since boot, sleep included.
    pub uptime: Option<Duration>,
}

impl Moment {
    /// How much time has passed since `earlier`: what the more pessimistic of the two clocks says, so that a clock that
    /// was set back makes nothing younger. `None` when neither can tell.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let wall = self.wall.duration_since(earlier.wall).ok();
        // After a reboot the uptime starts over; then it says nothing, or too little, which the wall clock makes up for.
        let uptime = self.uptime.zip(earlier.uptime).and_then(|(now, then)| now.checked_sub(then));
        wall.max(uptime)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Option<Duration> {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_pessimistic_clock_counts() {
        let at = |wall: u64, uptime: Option<u64>| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            uptime: uptime.map(Duration::from_secs),
        };
        let issued = at(10_000, Some(500));
        for (sentence, now, expected) in [
            ("both clocks agree", at(10_600, Some(1_100)), Some(600)),
            ("the wall clock was set back an hour", at(7_000, Some(1_100)), Some(600)),
            ("the wall clock was set ahead an hour", at(14_200, Some(1_100)), Some(4_200)),
            ("the machine slept as a suspended guest", at(14_200, Some(560)), Some(4_200)),
            ("the machine was restarted", at(10_900, Some(20)), Some(900)),
            ("restarted, with the clock at its beginning", at(0, Some(20)), None),
            ("nothing but a wall clock that was set back", at(7_000, None), None),
        ] {
            assert_eq!(now.since(issued), expected.map(Duration::from_secs), "{sentence}");
        }
    }

    #[test]
    fn the_machines_uptime_does_not_go_back() {
        let first = SystemClock.moment();
        assert!(SystemClock.moment().since(first).is_some());
    }
}
