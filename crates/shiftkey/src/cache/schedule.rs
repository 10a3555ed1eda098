//! When a credential may be handed out and when it is renewed: a pure function of (now, issued, expiry).

use std::time::{Duration, SystemTime};

/// With less than this left a credential is not handed out: signing in takes a moment.
pub const FLOOR: Duration = Duration::from_secs(60);

/// What to do with a credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Hand it out.
    Fresh,
    /// Hand it out, and let one caller renew it meanwhile.
    RefreshAhead,
    /// Do not hand it out.
    Expired,
}

/// The rule. `jitter` in 0..1 spreads the processes of a machine: renewal starts between 75 % and 85 % of the
/// lifetime, 80 % on average, and never later than the floor allows.
pub fn verdict(now: SystemTime, issued: SystemTime, expires: SystemTime, jitter: f64) -> Verdict {
    let Some(usable_until) = expires.checked_sub(FLOOR) else { return Verdict::Expired };
    if now >= usable_until {
        return Verdict::Expired;
    }
    // A clock that was set back, or an answer that expires before it was issued, has no lifetime to divide.
    let Ok(lifetime) = expires.duration_since(issued) else { return Verdict::Expired };
    let Ok(age) = now.duration_since(issued) else { return Verdict::Fresh };
    let refresh_at = lifetime.mul_f64(0.75 + 0.10 * jitter.clamp(0.0, 1.0));
    if age < refresh_at { Verdict::Fresh } else { Verdict::RefreshAhead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let (issued, expires) = (at(0), at(3600));
        for (sentence, now, jitter, expected) in [
            ("a new credential is fresh", at(0), 0.5, Verdict::Fresh),
            ("it is fresh just before 80 %", at(2879), 0.5, Verdict::Fresh),
            ("at 80 % it is renewed ahead", at(2880), 0.5, Verdict::RefreshAhead),
            ("an early process renews at 75 %", at(2700), 0.0, Verdict::RefreshAhead),
            ("a late process waits for 85 %", at(3059), 1.0, Verdict::Fresh),
            ("a minute and a second before the end it is still handed out", at(3539), 0.5, Verdict::RefreshAhead),
            ("a minute before the end it is not", at(3540), 0.5, Verdict::Expired),
            ("after the end it is not", at(9999), 0.5, Verdict::Expired),
        ] {
            assert_eq!(verdict(now, issued, expires, jitter), expected, "{sentence}");
        }
        let before = issued - Duration::from_secs(7200);
        assert_eq!(verdict(before, issued, expires, 0.5), Verdict::Fresh, "a clock set back does not discard it");
        assert_eq!(verdict(at(0), at(10), at(5), 0.5), Verdict::Expired, "an impossible lifetime is no lifetime");
        assert_eq!(verdict(at(0), at(0), at(90), 0.5), Verdict::Fresh, "a short one is used while it lasts");
    }
}
