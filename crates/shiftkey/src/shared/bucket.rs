//! One token bucket per account, region and service for all processes of the user: the pace at which AWS is asked.
//!
//! Calls that somebody waits for take a token, or a place in the queue. Look-ups, for which many wait at once, have a queue
//! of their own in front of that one. Renewals take no token: they have a turn of their own,
//! and only while nobody waits, so that the first caller of a cold key never waits behind them.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    format::{digest, millis},
    store::Store,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
};

/// Makes a place in the queue later than the arithmetic says: AWS's bucket fills from the moment when the first calls
/// arrive there, which is late when many processes start at once on a busy machine.
const MARGIN: u64 = 250;

/// The pace: what AWS is believed to bear. It publishes no number for these calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Calls per second in the long run.
    pub per_second: f64,
    /// Calls that may be made at once after a pause.
    pub burst: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { per_second: 1.0, burst: 5.0 }
    }
}

/// `CALLS_PER_SECOND[:BURST]`, as `SHIFTKEY_RATE` has it.
impl FromStr for Pace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let pace = number(rate).zip(burst.map_or(Some(Self::default().burst), |burst| number(burst).filter(|burst| *burst >= 1.0)));
        pace.map(|(per_second, burst)| Self { per_second, burst }).ok_or_else(|| {
            Error::config(format!("SHIFTKEY_RATE is '{text}'")).with_hint("write CALLS_PER_SECOND or CALLS_PER_SECOND:BURST, as 1:5")
        })
    }
}

/// STS bears far more (600 calls a second for each account and region, AWS's quota page); only its throttles matter.
const STS: Pace = Pace { per_second: 20.0, burst: 50.0 };

/// Whose calls a bucket counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale<'a> {
    /// Callers whose account is not known yet share one bucket, which is the careful side.
    pub(crate) account: Option<&'a str>,
    pub(crate) region: &'a str,
    /// Begins the names of actions. Provisioned and serverless Redshift are taken for one, since nobody says that they are two.
    pub(crate) service: &'a str,
}

/// The buckets of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Buckets {
    pace: Pace,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    /// Where there is no directory, the pace is that of this process alone.
    alone: Mutex<HashMap<String, Bucket>>,
}

/// Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Bucket {
    /// Below zero: that many callers have a place in the queue.
    tokens: f64,
    /// The same of those that go first.
    front: f64,
    /// When `tokens` and `front` were true.
    at: u64,
    /// When the last renewal had its turn.
    renewal: u64,
    /// Until when AWS asked to be left alone.
    closed: u64,
}

impl Buckets {
    pub(crate) fn new(pace: Pace, store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { pace, store, clock, alone: Mutex::default() }
    }

    /// Takes a place for a call that somebody waits for, and says how long to wait for it; `None` when that would be
    /// longer than `patience`, and then no place is taken.
    pub(crate) async fn take(&self, scale: Scale<'_>, patience: Duration) -> Result<Option<Duration>> {
        self.with(scale, |bucket, now, pace| bucket.take(now, pace, patience)).await
    }

    /// The same for a call that goes first.
    pub(crate) async fn take_first(&self, scale: Scale<'_>, patience: Duration) -> Result<Option<Duration>> {
        self.with(scale, |bucket, now, pace| bucket.take_first(now, pace, patience)).await
    }

    /// Whether a renewal may call now.
    pub(crate) async fn take_turn(&self, scale: Scale<'_>) -> Result<bool> {
        self.with(scale, Bucket::take_turn).await
    }

    /// AWS asked to slow down: nobody calls for `pause`, and nothing has been saved up after it.
    pub(crate) async fn throttled(&self, scale: Scale<'_>, pause: Duration) -> Result<()> {
        self.with(scale, |bucket, now, _| bucket.throttled(now, pause)).await
    }

    /// Changes a bucket, under its lock.
    async fn with<T>(&self, scale: Scale<'_>, change: impl FnOnce(&mut Bucket, u64, Pace) -> T) -> Result<T> {
        let (service, pace) = match scale.service {
            "sts" => ("sts", STS),
            _ => ("redshift", self.pace),
        };
        let name = format!("bucket-{}", digest(&[scale.account.unwrap_or_default(), scale.region, service]));
        let _lock = self.store.lock(&format!("{name}.lock"), "counting calls").await?;
        let now = millis(self.clock.now());
        let kept = self.store.read::<Bucket>(&name);
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bucket = kept.or_else(|| alone.get(&name).copied()).unwrap_or_else(|| Bucket::full(now, pace));
        bucket.refill(now, pace);
        let outcome = change(&mut bucket, now, pace);
        self.store.write_lightly(&name, &bucket);
        alone.insert(name, bucket);
        Ok(outcome)
    }
}

impl Bucket {
    fn full(now: u64, pace: Pace) -> Self {
        Self { tokens: pace.burst, front: pace.burst, at: now, renewal: 0, closed: 0 }
    }

    fn refill(&mut self, now: u64, pace: Pace) {
        // A clock that was set back, or a damaged file: nobody is to wait for that.
        if !self.tokens.is_finite() || !self.front.is_finite() || now < self.at || self.closed > now.saturating_add(60_000) {
            *self = Self::full(now, pace);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds that a bucket takes to fill are far below 2^52")]
        let seconds = (now - self.at).min(1_000_000) as f64 / 1000.0;
        let refill = |tokens: f64| (tokens + seconds * pace.per_second).min(pace.burst);
        (self.tokens, self.front) = (refill(self.tokens), refill(self.front));
        self.at = now;
        self.renewal = self.renewal.min(now);
    }

    fn take(&mut self, now: u64, pace: Pace, patience: Duration) -> Option<Duration> {
        let wait = self.wait(self.tokens, now, pace, patience)?;
        self.tokens -= 1.0;
        Some(wait)
    }

    /// Waits behind its like alone, and lets the others wait behind it.
    fn take_first(&mut self, now: u64, pace: Pace, patience: Duration) -> Option<Duration> {
        let wait = self.wait(self.front, now, pace, patience)?;
        self.front -= 1.0;
        self.tokens -= 1.0;
        Some(wait)
    }

    /// The wait of the next one of a queue with so many tokens, if there is patience for it.
    fn wait(&self, tokens: f64, now: u64, pace: Pace, patience: Duration) -> Option<Duration> {
        let left = tokens - 1.0;
        let queued = if left >= 0.0 { Duration::ZERO } else { pace.wait(-left) + Duration::from_millis(MARGIN) };
        let wait = queued.max(Duration::from_millis(self.closed.saturating_sub(now)));
        (wait <= patience).then_some(wait)
    }

    fn take_turn(&mut self, now: u64, pace: Pace) -> bool {
        let idle = self.tokens >= pace.burst && self.closed <= now;
        let due = Duration::from_millis(now - self.renewal) >= pace.wait(1.0);
        if idle && due {
            self.renewal = now;
        }
        idle && due
    }

    fn throttled(&mut self, now: u64, pause: Duration) {
        (self.tokens, self.front) = (self.tokens.min(0.0), self.front.min(0.0));
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).min(60_000);
        self.closed = self.closed.max(now.saturating_add(pause));
    }
}

impl Pace {
    /// How long `tokens` take to gather.
    fn wait(self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64(tokens / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(20);
    const START: u64 = 1_800_000_000_000;

    fn ms(wait: Option<Duration>) -> Option<u128> {
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn a_rate_is_calls_a_second_and_perhaps_a_burst() {
        for (text, expected) in [
            ("2", Some((2.0, 5.0))),
            ("0.5:1", Some((0.5, 1.0))),
            ("0", None),
            ("-1", None),
            ("1:0", None),
            ("inf", None),
            ("fast", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Pace>().ok().map(|pace| (pace.per_second, pace.burst)), expected, "{text}");
        }
    }

    fn bucket() -> Bucket {
        Bucket::full(START, Pace::default())
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_one_a_second() {
        let mut bucket = bucket();
        let waits: Vec<_> = (0..8).map(|_| ms(bucket.take(START, Pace::default(), PATIENT))).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1250, 2250, 3250].map(Some));
    }

    #[test]
    fn a_look_up_goes_before_those_who_wait_and_they_wait_for_it() {
        let mut bucket = bucket();
        (0..7).for_each(|_| assert!(bucket.take(START, Pace::default(), PATIENT).is_some()));
        let waits: Vec<_> = (0..6).map(|_| ms(bucket.take_first(START, Pace::default(), PATIENT))).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1250].map(Some), "before the two who wait, but not without bound");
        assert_eq!(ms(bucket.take(START, Pace::default(), PATIENT)), Some(9_250), "the pace of all is kept");
    }

    #[test]
    fn who_would_wait_too_long_takes_no_place() {
        let mut bucket = bucket();
        while bucket.take(START, Pace::default(), PATIENT).is_some() {}
        let tokens = bucket.tokens;
        assert_eq!(bucket.take(START, Pace::default(), PATIENT), None);
        assert!((bucket.tokens - tokens).abs() < f64::EPSILON, "the place is still free");
        assert!((tokens + 19.0).abs() < 1e-9, "19 places of a second each, and a margin: {tokens}");
    }

    #[test]
    fn tokens_gather_up_to_the_burst() {
        let mut bucket = bucket();
        (0..5).for_each(|_| assert_eq!(ms(bucket.take(START, Pace::default(), PATIENT)), Some(0)));
        bucket.refill(START + 2_500, Pace::default());
        assert!((bucket.tokens - 2.5).abs() < 1e-9);
        bucket.refill(START + 3_600_000, Pace::default());
        assert!((bucket.tokens - 5.0).abs() < 1e-9);
    }

    #[test]
    fn renewals_have_their_own_turn_and_only_while_nobody_waits() {
        let mut bucket = bucket();
        let pace = Pace::default();
        assert!(bucket.take_turn(START, pace), "nobody waits");
        assert!(!bucket.take_turn(START + 999, pace), "one a second");
        assert!(bucket.take_turn(START + 1_000, pace));
        let waits: Vec<_> = (0..5).map(|_| ms(bucket.take(START + 1_000, pace, PATIENT))).collect();
        assert_eq!(waits, [Some(0); 5], "two renewals cost the first callers nothing");
        bucket.refill(START + 3_000, pace);
        assert!(!bucket.take_turn(START + 3_000, pace), "somebody called moments ago");
    }

    #[test]
    fn a_throttle_closes_the_bucket_and_empties_it() {
        let mut bucket = bucket();
        bucket.throttled(START, Duration::from_secs(3));
        assert_eq!(ms(bucket.take(START, Pace::default(), PATIENT)), Some(3_000));
        assert_eq!(ms(bucket.take(START, Pace::default(), PATIENT)), Some(3_000), "its place in the queue comes sooner");
        assert!(!bucket.take_turn(START, Pace::default()));
        bucket.throttled(START, Duration::from_secs(1));
        assert_eq!(bucket.closed, START + 3_000, "a later, shorter pause does not shorten the first");
        bucket.throttled(START, Duration::ZERO);
        bucket.refill(START + 3_000, Pace::default());
        let waits: Vec<_> = (0..4).map(|_| ms(bucket.take(START + 3_000, Pace::default(), PATIENT))).collect();
        assert_eq!(waits, [0, 1_250, 2_250, 3_250].map(Some), "what gathered before the throttle is gone");
    }

    #[test]
    fn a_clock_set_back_or_nonsense_in_the_file_makes_nobody_wait() {
        for (sentence, broken) in [
            ("set back by an hour", Bucket { at: START + 3_600_000, tokens: -3.0, ..bucket() }),
            ("not a number", Bucket { tokens: f64::NAN, ..bucket() }),
            ("closed for ever", Bucket { closed: u64::MAX, ..bucket() }),
        ] {
            let mut bucket = broken;
            bucket.refill(START, Pace::default());
            assert_eq!(ms(bucket.take(START, Pace::default(), PATIENT)), Some(0), "{sentence}");
        }
    }
}
