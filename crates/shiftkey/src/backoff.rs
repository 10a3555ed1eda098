//! When to try again: which answers are throttles, and how long to wait.

use std::time::Duration;

/// Codes by which AWS services say "slow down": botocore's `standard` retry mode, documented in "Retries" of the
/// boto3 guide. Redshift's throttle is a generic error of the query protocol, so only the code tells.
const THROTTLES: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Whether an error code or HTTP status asks to slow down.
pub fn is_throttle(code: &str, status: u16) -> bool {
    THROTTLES.contains(&code) || matches!(status, 429 | 509)
}

/// Full-jitter exponential backoff ("Exponential Backoff And Jitter", AWS Architecture Blog) inside one deadline.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first ceiling; it doubles with each attempt.
    pub base: Duration,
    /// The last ceiling.
    pub cap: Duration,
    /// How long all waits together may take.
    pub deadline: Duration,
}

impl Backoff {
    /// How long to wait before attempt `attempt + 1`, given `unit` drawn uniformly from 0..1; `None` when the wait
    /// would pass the deadline, of which `spent` is used up.
    pub fn wait(&self, attempt: u32, spent: Duration, unit: f64) -> Option<Duration> {
        let ceiling = self.base.saturating_mul(2u32.saturating_pow(attempt)).min(self.cap);
        let wait = ceiling.mul_f64(unit.clamp(0.0, 1.0));
        (spent + wait <= self.deadline).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_are_known_by_code_or_status() {
        assert!(is_throttle("Throttling", 400) && is_throttle("SlowDown", 503) && is_throttle("", 429) && is_throttle("", 509));
        assert!(!is_throttle("AccessDenied", 403) && !is_throttle("", 500) && !is_throttle("throttling", 400));
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end_at_the_deadline() {
        let ms = Duration::from_millis;
        let backoff = Backoff { base: ms(100), cap: ms(1_000), deadline: ms(5_000) };
        for (attempt, spent, unit, expected) in [
            (0, ms(0), 1.0, Some(ms(100))),
            (3, ms(0), 1.0, Some(ms(800))),
            (4, ms(0), 1.0, Some(ms(1_000))),
            (99, ms(0), 0.5, Some(ms(500))),
            (4, ms(4_000), 1.0, Some(ms(1_000))),
            (4, ms(4_001), 1.0, None),
            (0, ms(0), 0.0, Some(ms(0))),
        ] {
            assert_eq!(backoff.wait(attempt, spent, unit), expected, "{attempt} {spent:?} {unit}");
        }
    }
}
