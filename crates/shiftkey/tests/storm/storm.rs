//! The storm: many processes, for hours of sandbox time, while nearly everything goes wrong.

use std::{collections::HashSet, env, fs};

use shiftkey::Config;

use crate::{
    books::{Books, Verdict},
    crew::{Crew, Flight, Said, Stage, take_away},
    keys::{KEYS, grants},
    mischief::{damage, faults, held_locks, intact, names, old_leftovers, plant_leftover},
    random::Random,
};

const HOUR: i64 = 3_600_000;

/// No process is left behind in time by more: a call that takes seconds takes seconds, not minutes.
const PATIENCE: u64 = 40_000;

/// How large the storm is.
#[derive(Debug)]
struct Scale {
    workers: usize,
    /// Moves of the clock.
    ticks: usize,
    /// Milliseconds that the clock moves each time.
    step: u64,
    /// A worker is killed in one of so many ticks.
    killed: usize,
    /// A file is damaged in one of so many ticks.
    damaged: usize,
    hangs: usize,
    /// Among so many first calls.
    among: usize,
    /// Whether most throttles allow to try again at once, which saves real time.
    hasty: bool,
    pace: (f64, f64),
    /// When the machine's clock is set, in hundredths of the storm, and by how much it is then ahead.
    set: &'static [(usize, i64)],
    /// When the directory is removed, in hundredths of the storm.
    removed: &'static [usize],
}

const SHORT: Scale = Scale {
    workers: 12,
    ticks: 360,
    step: 5_000,
    killed: 8,
    damaged: 120,
    hangs: 2,
    among: 120,
    hasty: true,
    pace: (5.0, 10.0),
    set: &[(8, HOUR), (40, 0)],
    removed: &[55],
};

const LONG: Scale = Scale {
    workers: 50,
    ticks: 2_880,
    step: 5_000,
    killed: 6,
    damaged: 40,
    hangs: 30,
    among: 2_000,
    hasty: false,
    pace: (1.0, 5.0),
    set: &[(15, HOUR), (25, 0), (45, -HOUR), (55, 0)],
    removed: &[35, 80],
};

/// A storm under way.
struct Storm {
    scale: &'static Scale,
    random: Random,
    stage: Stage,
    crew: Crew,
    books: Books,
    problems: Vec<String>,
    accidents: Vec<String>,
}

pub(crate) fn nobody_fails_and_nothing_expired_is_handed_out() {
    let scale = if variable("STORM").as_deref() == Some("long") { &LONG } else { &SHORT };
    let seed = variable("STORM_SEED").map_or_else(any_seed, |seed| seed.parse().unwrap());
    println!("STORM_SEED={seed}");
    let mut random = Random(seed);
    let rules = faults(&mut random, scale.hangs, scale.among, scale.hasty);
    let stage = Stage::new(&rules, scale.pace);
    let crew = stage.crew();
    let mut storm = Storm { scale, random, stage, crew, books: Books::default(), problems: Vec::new(), accidents: Vec::new() };
    storm.crew.muster(scale.workers);
    for tick in 0..scale.ticks {
        storm.tick(tick);
    }
    storm.settle();
    let verdict = storm.verdict();
    storm.aftermath();
    storm.look_for_secrets();
    storm.print(&verdict);
    let problems: Vec<&String> = verdict.problems.iter().chain(&storm.problems).collect();
    let shown: Vec<String> = problems.iter().take(20).map(|problem| format!("  {problem}")).collect();
    assert!(problems.is_empty(), "STORM_SEED={seed}: {} problems:\n{}", problems.len(), shown.join("\n"));
}

impl Storm {
    /// Everybody asks for something, and again, until half as many answers have come as there are workers; then time moves
    /// on, but for nobody who still waits by too much.
    fn tick(&mut self, tick: usize) {
        self.accident(tick);
        let quorum = self.scale.workers / 2;
        let mut fuse = self.random.one_in(self.scale.killed).then(|| self.random.below(quorum));
        let mut answers = 0;
        loop {
            if answers < quorum {
                self.crew.idle().into_iter().for_each(|id| self.send(id));
            } else if self.crew.oldest().is_none_or(|sent| self.stage.time.now() + self.scale.step <= sent + PATIENCE) {
                break;
            }
            if fuse.is_some_and(|fuse| answers >= fuse) {
                fuse = None;
                self.kill();
            } else {
                answers += usize::from(self.hear());
            }
        }
        self.stage.time.advance(self.scale.step);
    }

    fn send(&mut self, id: usize) {
        let key = self.random.below(KEYS.len());
        let manner = if self.random.one_in(3) { "kept" } else { "fresh" };
        self.crew.tell(id, manner, Flight { key, sent: self.stage.time.now(), page: self.books.page() });
    }

    /// Takes what one of the workers says; whether it is an answer.
    fn hear(&mut self) -> bool {
        match self.crew.hear() {
            (id, Said::Report(report)) => {
                let Some(flight) = self.crew.answered(id) else { return false };
                self.books.report(id, flight, report);
                true
            }
            (id, Said::Gone) if self.crew.has(id) => {
                self.problems.push(format!("worker {id} ended by itself"));
                self.crew.kill(id);
                self.crew.start();
                true
            }
            (_, Said::Gone | Said::Ready) => false,
        }
    }

    /// Kills one at a moment like any other; one that holds a lock, every second time, if there is one. Another takes its place.
    fn kill(&mut self) {
        let busy = self.crew.busy();
        let holding = self.crew.at_locks(false);
        let among = if self.random.one_in(2) && !holding.is_empty() { &holding } else { &busy };
        if let Some(victim) = self.random.pick(among) {
            self.crew.kill(*victim);
            self.crew.start();
        }
    }

    fn accident(&mut self, tick: usize) {
        let scale = self.scale;
        let is = |hundredth: usize| tick == scale.ticks * hundredth / 100;
        let (now, age) = (self.stage.time.now(), self.stage.time.age() / 1000);
        let cache = self.stage.spec.cache.clone();
        let found = intact(&cache, self.stage.sandbox.world());
        self.books.learn(&found);
        if let Some((_, ahead)) = scale.set.iter().find(|(hundredth, _)| is(*hundredth)) {
            // What was issued before a clock is set ahead looks an hour older than it is.
            if *ahead > self.stage.time.ahead() {
                self.books.lost(now, &found);
            }
            self.stage.time.set_ahead(*ahead);
            self.accidents.push(format!("{age} s: the clock is {} s ahead", ahead / 1000));
        }
        if scale.removed.iter().any(|hundredth| is(*hundredth)) {
            take_away(&cache);
            self.books.lost(now, &found);
            self.books.unknown();
            self.accidents.push(format!("{age} s: the directory is gone"));
        }
        if is(10) || is(90) {
            plant_leftover(&cache);
        }
        if self.random.one_in(scale.damaged)
            && let Some((name, how)) = damage(&mut self.random, &cache)
        {
            let hit: Vec<_> = found.into_iter().filter(|(_, digest)| name == format!("{digest}.cred")).collect();
            if !hit.is_empty() {
                self.books.lost(now, &hit);
            }
            if name.starts_with("fact-") {
                self.books.unknown();
            }
            self.accidents.push(format!("{age} s: {how} {name}"));
        }
    }

    /// Waits for those who are still waiting for something.
    fn settle(&mut self) {
        while self.crew.oldest().is_some() {
            self.hear();
        }
    }

    fn verdict(&mut self) -> Verdict {
        self.books.learn(&intact(&self.stage.spec.cache, self.stage.sandbox.world()));
        self.books.judge(&self.stage.sandbox, &self.stage.time)
    }

    /// Once everybody has gone and AWS is well again: nothing is locked, and everything can be had.
    fn aftermath(&mut self) {
        for id in self.crew.dismiss() {
            self.problems.push(format!("worker {id} did not end well"));
        }
        let cache = &self.stage.spec.cache;
        self.problems.extend(held_locks(cache).into_iter().map(|name| format!("{name} is held by nobody alive")));
        self.stage.sandbox.faults().clear();
        // A credential that must be issued, so that somebody sweeps.
        if let Some((_, digest)) = intact(cache, self.stage.sandbox.world()).first() {
            fs::remove_file(cache.join(format!("{digest}.cred"))).unwrap();
        }
        let config = Config::load(&self.stage.spec.env(), None).unwrap();
        for key in &KEYS {
            let outcome = self.stage.runtime.block_on(self.stage.spec.shiftkey().credential(&key.target(&config)));
            self.problems.extend(outcome.err().map(|error| format!("{}, afterwards: {error}", key.name)));
        }
        self.problems.extend(old_leftovers(cache).into_iter().map(|name| format!("{name} was left behind")));
    }

    /// No password and no key of AWS stands in anything that a worker logged at any level, or wrote to stderr.
    fn look_for_secrets(&mut self) {
        let passwords: HashSet<Vec<u8>> =
            grants(self.stage.sandbox.world()).iter().map(|(_, it)| it.password.as_bytes()[..40].to_vec()).collect();
        let secret = self.stage.spec.vars["AWS_SECRET_ACCESS_KEY"].as_bytes();
        let mut bytes = 0;
        for (path, log) in self.stage.logs() {
            bytes += log.len();
            // All passwords of the sandbox begin so.
            let starts = log.windows(2).enumerate().filter(|(_, pair)| pair == b"/+").map(|(at, _)| at);
            let told = starts.filter_map(|at| log.get(at..at + 40)).any(|text| passwords.contains(text));
            if told || log.windows(secret.len()).any(|text| text == secret) {
                self.problems.push(format!("a secret stands in the log {}", path.file_name().unwrap().display()));
            }
        }
        println!("{} kB of logs hold none of {} passwords", bytes / 1024, passwords.len());
    }

    fn print(&self, verdict: &Verdict) {
        let (minutes, started) = (self.stage.time.age() / 60_000, self.crew.started());
        println!("{minutes} minutes of sandbox time, {} processes at a time, {started} in all", self.scale.workers);
        println!("{verdict}");
        let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
        for call in self.stage.sandbox.calls().list() {
            *outcomes.entry(format!("{} {}", call.action, call.outcome)).or_default() += 1;
        }
        println!("calls: {outcomes:?}");
        println!("accidents: {}", self.accidents.join("; "));
        println!("{} files in the cache", names(&self.stage.spec.cache).len());
    }
}

/// A variable of this binary's own environment, which is a program's `main` and no library.
fn variable(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok()
}

/// The standard library's hash seed is random.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish() % 1_000_000
}
