//! When a credential may be handed out and when it is renewed: a pure function of its age and lifetime.

use std::time::Duration;

pub use crate::target::FLOOR;

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

/// The rule. `floor` is how much must be left, [`FLOOR`] at the least. `jitter` in 0..1 spreads the keys of a machine.
pub fn verdict(age: Duration, lifetime: Duration, jitter: f64, floor: Duration) -> Verdict {
    let left = lifetime.saturating_sub(age);
    if left <= floor.max(FLOOR) {
        Verdict::Expired
    } else if age < refresh_at(lifetime, jitter) {
        Verdict::Fresh
    } else {
        Verdict::RefreshAhead
    }
}

/// The age at which renewal starts: between 75 % and 85 % of the lifetime, 80 % on average.
pub fn refresh_at(lifetime: Duration, jitter: f64) -> Duration {
    lifetime.mul_f64(0.75 + 0.10 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let s = Duration::from_secs;
        for (sentence, age, lifetime, jitter, floor, expected) in [
            ("a new credential is fresh", 0, 3600, 0.5, 0, Verdict::Fresh),
            ("it is fresh just before 80 %", 2879, 3600, 0.5, 0, Verdict::Fresh),
            ("at 80 % it is renewed ahead", 2880, 3600, 0.5, 0, Verdict::RefreshAhead),
            ("an early key renews at 75 %", 2700, 3600, 0.0, 0, Verdict::RefreshAhead),
            ("a late key waits for 85 %", 3059, 3600, 1.0, 0, Verdict::Fresh),
            ("a minute and a second before the end it is still handed out", 3539, 3600, 0.5, 0, Verdict::RefreshAhead),
            ("a minute before the end it is not", 3540, 3600, 0.5, 0, Verdict::Expired),
            ("after the end it is not", 9999, 3600, 0.5, 0, Verdict::Expired),
            ("who needs half an hour gets it while it is there", 1799, 3600, 0.5, 1800, Verdict::Fresh),
            ("who needs half an hour does not get less", 1800, 3600, 0.5, 1800, Verdict::Expired),
            ("nobody may ask for less than the floor", 3540, 3600, 0.5, 1, Verdict::Expired),
            ("a short one is used while it lasts", 0, 90, 0.5, 0, Verdict::Fresh),
            ("one that is too short is not used at all", 0, 60, 0.5, 0, Verdict::Expired),
        ] {
            assert_eq!(verdict(s(age), s(lifetime), jitter, s(floor)), expected, "{sentence}");
        }
    }
}
