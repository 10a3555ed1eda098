//! One time for all processes: the real one, and what the driver puts on top of it.
//!
//! Two readings, as the library wants them: the wall clock of the pretend machine, which somebody may set, and its uptime,
//! which nobody can. The sandbox's time goes with the uptime: setting the machine's clock does not move AWS's.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use shiftkey::{Clock, SystemClock, clock::Moment};
use shiftkey_sandbox::clock::SandboxClock;

/// The clock of a process: the machine's, moved as the file says.
#[derive(Debug)]
pub(crate) struct FileClock(pub(crate) PathBuf);

impl FileClock {
    /// Milliseconds by which time has been moved, and by which the wall clock is ahead besides.
    fn moved(&self) -> (u64, i64) {
        let bytes = fs::read(&self.0).unwrap();
        let number = |at: usize| bytes[at..at + 8].try_into().unwrap();
        (u64::from_be_bytes(number(0)), i64::from_be_bytes(number(8)))
    }

    /// Milliseconds of sandbox time, from an arbitrary beginning.
    pub(crate) fn true_time(&self) -> u64 {
        millis(self.moment().uptime.unwrap())
    }
}

impl Clock for FileClock {
    fn now(&self) -> SystemTime {
        self.moment().wall
    }

    fn uptime(&self) -> Option<Duration> {
        self.moment().uptime
    }

    fn moment(&self) -> Moment {
        let (moved, ahead) = self.moved();
        let real = SystemClock.moment();
        let (by, ahead_by) = (Duration::from_millis(moved), Duration::from_millis(ahead.unsigned_abs()));
        let right = real.wall + by;
        let wall = if ahead < 0 { right - ahead_by } else { right + ahead_by };
        Moment { wall, uptime: Some(real.uptime.unwrap() + by) }
    }
}

/// The driver's hand on the clocks.
#[derive(Debug)]
pub(crate) struct Time {
    clock: FileClock,
    sandbox: SandboxClock,
    began: Moment,
    moved: u64,
    ahead: i64,
}

impl Time {
    /// Starts the clock in a file of `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let clock = FileClock(dir.join("clock"));
        let time = Self { clock, sandbox: SandboxClock::new(), began: SystemClock.moment(), moved: 0, ahead: 0 };
        time.write();
        time
    }

    /// The clock that the sandbox goes by.
    pub(crate) fn sandbox(&self) -> SandboxClock {
        self.sandbox.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.clock.0
    }

    /// Milliseconds of sandbox time, from the same beginning for all processes.
    pub(crate) fn now(&self) -> u64 {
        self.clock.true_time()
    }

    /// Milliseconds since the beginning of the storm.
    pub(crate) fn age(&self) -> u64 {
        self.age_at(self.now())
    }

    /// The same at another moment.
    pub(crate) fn age_at(&self, now: u64) -> u64 {
        now - millis(self.began.uptime.unwrap())
    }

    /// What AWS calls `at`, as [`Self::now`] would have said then.
    pub(crate) fn by_uptime(&self, at: SystemTime) -> u64 {
        millis(self.began.uptime.unwrap()) + millis(at.duration_since(self.began.wall).unwrap_or_default())
    }

    /// Time passes, for the processes first: none is ever behind the sandbox, so what it saw is never later than it says.
    pub(crate) fn advance(&mut self, by: u64) {
        self.moved += by;
        self.write();
        self.sandbox.advance(Duration::from_millis(by));
    }

    /// Somebody sets the machine's clock; AWS's goes on as before.
    pub(crate) fn set_ahead(&mut self, by: i64) {
        self.ahead = by;
        self.write();
    }

    pub(crate) fn ahead(&self) -> i64 {
        self.ahead
    }

    /// Replaces the file: nobody reads half of it.
    fn write(&self) {
        let bytes = [self.moved.to_be_bytes(), self.ahead.to_be_bytes()].concat();
        let staged = self.path().with_extension("staged");
        fs::write(&staged, bytes).unwrap();
        fs::rename(staged, self.path()).unwrap();
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
