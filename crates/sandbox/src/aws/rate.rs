//! The rate limit: a token bucket per account, region and action, filled by the sandbox's clock.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A token bucket per account, region and action. The text form is `N/s[,burst=B]`, for example `2/s` or `0.5/s,burst=10`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Tokens added per second.
    pub per_second: f64,
    /// The most tokens that gather; 5 unless the text form says otherwise.
    pub burst: f64,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let positive = |text: &str, least: f64| text.parse::<f64>().ok().filter(|it| it.is_finite() && *it > 0.0 && *it >= least);
        let parse = || {
            let (rate, burst) = match text.split_once(",burst=") {
                Some((rate, burst)) => (rate, positive(burst, 1.0)?),
                None => (text, 5.0),
            };
            Some(Self { per_second: positive(rate.strip_suffix("/s")?, 0.0)?, burst })
        };
        parse().ok_or_else(|| format!("'{text}' is no rate such as 2/s or 0.5/s,burst=10"))
    }
}

/// The buckets and when each was looked at last.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets {
    levels: Arc<Mutex<BTreeMap<String, (f64, SystemTime)>>>,
}

impl Buckets {
    /// Takes a token, if there is one.
    pub(super) fn take(&self, limit: RateLimit, key: &str, now: SystemTime) -> bool {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = levels.entry(key.to_owned()).or_insert((limit.burst, now));
        // A clock that was moved back adds nothing.
        let passed = now.duration_since(*at).unwrap_or(Duration::ZERO);
        *tokens = (*tokens + passed.as_secs_f64() * limit.per_second).min(limit.burst);
        *at = now;
        let enough = *tokens >= 1.0;
        if enough {
            *tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_that_passes_fills_a_bucket() {
        let (buckets, limit) = (Buckets::default(), RateLimit { per_second: 0.5, burst: 2.0 });
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (second, key, taken) in [
            (100, "a", true),
            (100, "a", true),
            (100, "a", false),
            (100, "b", true),
            (50, "a", false),
            (51, "a", false),
            (52, "a", true),
            (9_000, "a", true),
            (9_000, "a", true),
            (9_000, "a", false),
        ] {
            assert_eq!(buckets.take(limit, key, at(second)), taken, "{second} {key}");
        }
    }

    #[test]
    fn a_rate_is_read_or_refused() {
        for (text, per_second, burst) in [("2/s", 2.0, 5.0), ("0.5/s,burst=10", 0.5, 10.0), ("1/s,burst=1", 1.0, 1.0)] {
            assert_eq!(text.parse(), Ok(RateLimit { per_second, burst }), "{text}");
        }
        for text in ["", "2", "2/m", "0/s", "-1/s", "inf/s", "NaN/s", "2/s,burst=0", "2/s,burst=0.5", "2/s,burst=", "2/s, burst=3"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }
}
