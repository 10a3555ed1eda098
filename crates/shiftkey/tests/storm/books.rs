//! What happened, in order, and what must be true of it by the sandbox's own books.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use shiftkey::cache::schedule::refresh_at;
use shiftkey_sandbox::{Sandbox, world::Grant};

use crate::{
    crew::{Flight, Handed, Report},
    keys::{KEYS, Key, grants},
    time::{Time, millis},
    worker::hash,
};

/// A credential with less left is not to be handed out.
const FLOOR: u64 = 60_000;

/// What the workers ask for.
const LIFETIME: Duration = Duration::from_secs(900);

/// How many more credentials may be issued than the ideal says.
const TOLERANCE: f64 = 1.2;

/// A line of the books.
#[derive(Clone, Debug)]
enum Event {
    Handed(usize, Flight, Report, Handed),
    Failed(Flight, Report, String),
    /// From now on these keys' credentials cannot be found any more, or cannot be told to be good.
    Lost(u64, Vec<usize>),
    /// From now on nobody knows who asks, or at what pace; the credentials are still there.
    Unknown,
}

/// All that happened.
#[derive(Debug, Default)]
pub(crate) struct Books {
    events: Vec<Event>,
    digests: BTreeMap<usize, String>,
}

/// What the books say in the end.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) problems: Vec<String>,
    iterations: usize,
    /// By what was said: how many, and the age of the storm at the first, in seconds.
    failures: BTreeMap<String, (usize, u64)>,
    /// Of them, those for whose keys somebody held a good credential.
    while_valid: usize,
    /// Of those, the ones that could have found it.
    while_found: usize,
    /// The shortest time that a credential had left when it was asked for, in milliseconds.
    least: u64,
    issued: usize,
    /// Issued, but never handed to anyone: killed before that, or the answer was cut.
    wasted: usize,
    natural: usize,
    forced: usize,
    /// What there would be by time if nobody refreshed ahead.
    least_natural: usize,
}

/// A grant as the judgement needs it.
struct Issued {
    key: Option<usize>,
    grant: Grant,
    from: u64,
    until: u64,
}

impl Books {
    /// How much has been entered.
    pub(crate) fn page(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn report(&mut self, worker: usize, flight: Flight, report: Report) {
        let outcome = report.outcome.clone();
        self.events.push(match outcome {
            Ok(handed) => Event::Handed(worker, flight, report, handed),
            Err(error) => Event::Failed(flight, report, error),
        });
    }

    /// The credentials of these keys are lost, at this moment.
    pub(crate) fn lost(&mut self, at: u64, found: &[(usize, String)]) {
        self.learn(found);
        self.events.push(Event::Lost(at, found.iter().map(|(key, _)| *key).collect()));
    }

    pub(crate) fn unknown(&mut self) {
        self.events.push(Event::Unknown);
    }

    /// Which files are whose.
    pub(crate) fn learn(&mut self, found: &[(usize, String)]) {
        self.digests.extend(found.iter().cloned());
    }

    /// Judges everything, the storm having just ended.
    pub(crate) fn judge(&self, sandbox: &Sandbox, time: &Time) -> Verdict {
        let issued: HashMap<String, Issued> = grants(sandbox.world())
            .into_iter()
            .map(|(key, grant)| {
                let (from, until) = (time.by_uptime(grant.issued_at), time.by_uptime(grant.expires_at));
                (hash(&grant.password), Issued { key, grant, from, until })
            })
            .collect();
        let mut verdict = Verdict { least: u64::MAX, ..Verdict::default() };
        let mut handed_out = HashMap::new();
        for (page, event) in self.events.iter().enumerate() {
            match event {
                Event::Handed(worker, flight, report, handed) => {
                    verdict.iterations += 1;
                    handed_out.entry(handed.hash.as_str()).or_insert(page);
                    let about = format!("worker {worker}, {}, {}..{} ms", KEYS[flight.key].name, report.started, report.ended);
                    verdict.problems.extend(wrong(flight.key, report, handed, &issued).map(|what| format!("{about}: {what}")));
                    let left = issued.get(&handed.hash).map_or(0, |it| it.until.saturating_sub(report.started));
                    verdict.least = verdict.least.min(left);
                }
                Event::Failed(flight, report, error) => {
                    verdict.iterations += 1;
                    let kind = error.split(" (").next().unwrap_or_default().chars().take(110).collect();
                    verdict.failures.entry(kind).or_insert((0, time.age_at(report.ended) / 1000)).0 += 1;
                    self.judge_failure(page, *flight, report, error, (&issued, &handed_out), &mut verdict);
                }
                Event::Lost(..) | Event::Unknown => {}
            }
        }
        verdict.wasted = issued.keys().filter(|hash| !handed_out.contains_key(hash.as_str())).count();
        self.count(sandbox, time.now(), &mut verdict);
        verdict
    }

    /// A caller may fail only while there is nothing to hand out: no credential that was handed to anybody before the caller
    /// asked, and that is still good for a minute when the caller is refused. What was lost since it was issued is told apart.
    fn judge_failure(
        &self,
        page: usize,
        flight: Flight,
        report: &Report,
        error: &str,
        (issued, handed_out): (&HashMap<String, Issued>, &HashMap<&str, usize>),
        verdict: &mut Verdict,
    ) {
        let good = |it: &&Issued| it.key == Some(flight.key) && it.until.saturating_sub(FLOOR) > report.ended;
        let known = handed_out.iter().filter(|(_, handed)| **handed < flight.page);
        let valid: Vec<&Issued> = known.filter_map(|(hash, _)| issued.get(*hash)).filter(good).collect();
        if valid.is_empty() {
            return;
        }
        verdict.while_valid += 1;
        let lost = |it: &Issued| {
            self.events[..page].iter().enumerate().any(|(at, event)| match event {
                Event::Lost(when, keys) => *when >= it.from && keys.contains(&flight.key),
                Event::Unknown => !self.is_known_again(at, flight),
                Event::Failed(..) | Event::Handed(..) => false,
            })
        };
        if valid.iter().any(|it| !lost(it)) {
            verdict.while_found += 1;
            let name = KEYS[flight.key].name;
            verdict
                .problems
                .push(format!("{name}, {}..{} ms: failed while a good credential could be found: {error}", report.started, report.ended));
        }
    }

    /// Whether somebody who asked after `page` had an answer for the same key that was not in memory, before this flight.
    fn is_known_again(&self, page: usize, flight: Flight) -> bool {
        self.events[..flight.page].iter().any(|event| match event {
            Event::Handed(_, earlier, _, handed) => earlier.key == flight.key && earlier.page > page && handed.origin != "Memory",
            Event::Failed(..) | Event::Lost(..) | Event::Unknown => false,
        })
    }

    /// The ideal: a key's first credential, one for each refresh that is due while nothing happens to it, and one for each
    /// time that it is lost, from where its time starts anew. A loss that comes while a new one is being issued counts too,
    /// and so does a refresh that AWS's refusals put off until the next loss: the ideal is a little generous.
    fn count(&self, sandbox: &Sandbox, end: u64, verdict: &mut Verdict) {
        let action = |name: &str| name.starts_with("GetClusterCredentials") || name == "GetCredentials";
        verdict.issued = sandbox.calls().list().iter().filter(|call| action(&call.action) && call.outcome == "ok").count();
        for (key, Key { name, .. }) in KEYS.iter().enumerate() {
            let first = self.events.iter().find_map(|event| match event {
                Event::Handed(_, flight, report, _) if flight.key == key => Some(report.started),
                _ => None,
            });
            let Some(first) = first else {
                verdict.problems.push(format!("{name}: nobody ever got it"));
                continue;
            };
            let losses = self.events.iter().filter_map(|event| match event {
                Event::Lost(at, keys) if keys.contains(&key) => Some(*at),
                _ => None,
            });
            let mut starts: Vec<u64> = [first].into_iter().chain(losses.map(|at| at.max(first))).collect();
            starts.push(end);
            let period = self.digests.get(&key).map_or(u64::MAX, |digest| period(digest));
            let by_time = |period| starts.windows(2).map(|pair| usize::try_from((pair[1] - pair[0]) / period).unwrap()).sum::<usize>();
            verdict.forced += starts.len() - 2;
            verdict.natural += 1 + by_time(period);
            verdict.least_natural += 1 + by_time(millis(LIFETIME) - FLOOR);
        }
        let ideal = verdict.natural + verdict.forced;
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        if verdict.issued as f64 > ideal as f64 * TOLERANCE {
            verdict.problems.push(format!("{} were issued where {ideal} would have done", verdict.issued));
        }
    }
}

/// What is wrong with a credential that was handed out for `key`.
fn wrong(key: usize, report: &Report, handed: &Handed, issued: &HashMap<String, Issued>) -> Option<String> {
    let Some(it) = issued.get(&handed.hash) else { return Some("it was never issued".to_owned()) };
    if it.key != Some(key) {
        let whose = it.key.map_or("nobody", |key| KEYS[key].name);
        return Some(format!("it was issued for {whose}: {:?}", it.grant));
    }
    if handed.user != it.grant.login_user || handed.expires != millis(it.grant.expires_at.duration_since(UNIX_EPOCH).unwrap()) {
        return Some(format!("it is said to be {}'s until {} ms after 1970, but is {:?}", handed.user, handed.expires, it.grant));
    }
    (it.until <= report.ended).then(|| format!("it had expired at {} ms; it came from {}", it.until, handed.origin))
}

/// How long a key's credential stays before it is renewed, in milliseconds: the library spreads keys by the first 32 bits of
/// their hash.
fn period(digest: &str) -> u64 {
    let draw = u32::from_str_radix(&digest[..8], 16).unwrap();
    u64::try_from(refresh_at(LIFETIME, f64::from(draw) / f64::from(u32::MAX)).as_millis()).unwrap()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: usize = self.failures.values().map(|(count, _)| count).sum();
        let ideal = self.natural + self.forced;
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let ratio = |ideal| self.issued as f64 / ideal as f64;
        writeln!(
            f,
            "{} answers; {failed} failed, {} of them while somebody had a good credential, {} while it could be found; \
             the shortest-lived had {} s left",
            self.iterations,
            self.while_valid,
            self.while_found,
            self.least / 1000
        )?;
        self.failures.iter().try_for_each(|(error, (count, first))| writeln!(f, "  {count} x {error}, first at {first} s"))?;
        let (issued, natural, forced, wasted) = (self.issued, self.natural, self.forced, self.wasted);
        writeln!(
            f,
            "{issued} issued, ideal {ideal} ({natural} by time, {forced} forced): {:.2}; {wasted} got lost on the way",
            ratio(ideal)
        )?;
        let least = self.least_natural + forced;
        write!(f, "without refreshing ahead {least} would have done: {:.2}", ratio(least))
    }
}
