//! Bad times, by script: rules that make calls to the pretend AWS fail, wait, or give credentials that die early.

mod rule;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use rule::{Effect, Rule, When};

use crate::clock::Offset;
use crate::iam::matches_text;

/// The rules that are in force. Clones share them.
///
/// A rule counts every call that matches its action, whether or not another rule strikes first. Delays, early expiries and
/// moves of clock and warehouse come on top; of all other effects a call meets one, the oldest rule's.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    rules: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    shown: Listed,
    random: Random,
}

/// A rule in force and what it did so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Names the rule, for [`Faults::remove`].
    pub id: u64,
    /// The rule.
    pub rule: Rule,
    /// How many calls matched its action since it was added.
    pub calls: u64,
    /// How many of them it struck.
    pub struck: u64,
}

/// What happens to one call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Strike {
    pub(crate) delay: Duration,
    /// How long the credential really lives.
    pub(crate) life: Option<Duration>,
    /// By how much the clock moves after the call.
    pub(crate) clock: Option<Offset>,
    /// Whether the warehouse that the call names moves after it.
    pub(crate) moves: bool,
    /// None of those above.
    pub(crate) effect: Option<Effect>,
}

impl Faults {
    /// Puts a rule in force and gives its id. Its calls are counted from now on.
    pub fn add(&self, rule: Rule) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        let seed = if let When::Chance { seed, .. } = rule.when { seed } else { 0 };
        state.rules.push(Active { shown: Listed { id, rule, calls: 0, struck: 0 }, random: Random(seed) });
        id
    }

    /// The rules in force, oldest first.
    pub fn list(&self) -> Vec<Listed> {
        self.lock().rules.iter().map(|it| it.shown.clone()).collect()
    }

    /// Takes a rule out of force; `false` when there is none of this id.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.lock();
        let before = state.rules.len();
        state.rules.retain(|it| it.shown.id != id);
        state.rules.len() < before
    }

    /// Takes every rule out of force.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// Counts one call of `action` and says what happens to it.
    pub(crate) fn strike(&self, action: &str) -> Strike {
        let mut strike = Strike::default();
        for active in self.lock().rules.iter_mut().filter(|it| matches_text(&it.shown.rule.action, action)) {
            if !active.is_due() {
                continue;
            }
            match &active.shown.rule.effect {
                Effect::Delay(by) => strike.delay = strike.delay.saturating_add(*by),
                Effect::ExpireEarly(life) => strike.life = Some(strike.life.map_or(*life, |other| other.min(*life))),
                Effect::Clock(by) => strike.clock = Some(*by),
                Effect::Move => strike.moves = true,
                effect if strike.effect.is_none() => strike.effect = Some(effect.clone()),
                _ => continue,
            }
            active.shown.struck += 1;
        }
        strike
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    /// Counts a call and says whether the rule means it.
    fn is_due(&mut self) -> bool {
        self.shown.calls += 1;
        match self.shown.rule.when {
            When::Always => true,
            When::Calls { first, last } => (first..=last).contains(&self.shown.calls),
            When::Chance { probability, .. } => self.random.next() < probability,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): good enough for coins, and the same on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 up to, but not, 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // 32 bits fit a double exactly.
        f64::from(((mixed ^ (mixed >> 31)) >> 32) as u32) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: &[&str]) -> Faults {
        let faults = Faults::default();
        for rule in rules {
            faults.add(rule.parse().unwrap());
        }
        faults
    }

    /// Which of ten calls of an action are struck.
    fn struck(faults: &Faults) -> Vec<usize> {
        (1..=10).filter(|_| faults.strike("DescribeClusters").effect.is_some()).collect()
    }

    #[test]
    fn calls_are_counted_from_when_the_rule_was_added() {
        for (rule, expected) in [
            ("*:hang", (1..=10).collect()),
            ("*:hang@3", vec![3]),
            ("Describe*:hang@2..4", vec![2, 3, 4]),
            ("*:hang@9..", vec![9, 10]),
            ("AssumeRole:hang", vec![]),
            ("*:hang@0.0", vec![]),
            ("*:hang@1.0", (1..=10).collect()),
        ] {
            let faults = Faults::default();
            faults.strike("DescribeClusters");
            faults.add(rule.parse().unwrap());
            assert_eq!(struck(&faults), expected, "{rule}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let choices = |rule| struck(&faults(&[rule]));
        assert_eq!(choices("*:hang@0.5,seed=7"), choices("*:hang@0.5,seed=7"));
        assert_ne!(choices("*:hang@0.5,seed=7"), choices("*:hang@0.5,seed=8"));
        let many = faults(&["*:hang@0.5"]);
        let half = (0..1_000).filter(|_| many.strike("AssumeRole").effect.is_some()).count();
        assert!((450..550).contains(&half), "{half}");
    }

    #[test]
    fn the_oldest_rule_strikes_and_all_count() {
        let faults =
            faults(&["*:hang@1", "*:drop@..2", "*:delay=1s", "Get*:delay=2s", "GetCredentials:expire-early=9s", "*:expire-early=5s"]);
        let seconds = Duration::from_secs;
        let life = Some(seconds(5));
        for effect in [Some(Effect::Hang), Some(Effect::Drop), None] {
            assert_eq!(faults.strike("GetCredentials"), Strike { delay: seconds(3), life, effect, ..Strike::default() });
        }
        let seen: Vec<_> = faults.list().iter().map(|it| (it.id, it.calls, it.struck)).collect();
        assert_eq!(seen, [(1, 3, 1), (2, 3, 1), (3, 3, 3), (4, 3, 3), (5, 3, 3), (6, 3, 3)]);
        assert!(faults.remove(2) && !faults.remove(2));
        faults.clear();
        assert_eq!(faults.strike("GetCredentials"), Strike::default());
    }
}
