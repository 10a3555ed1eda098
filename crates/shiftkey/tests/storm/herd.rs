//! Many processes that start at once on a cold cache, and one that dies while the others wait for it.

use crate::{
    crew::{Crew, Flight, Handed, Said, Stage, take_away, until_waiting},
    keys::ENGINEER,
};

const ISSUE: &str = "GetClusterCredentials";
const PACE: (f64, f64) = (1.0, 5.0);

pub(crate) fn a_hundred_processes_make_one_call() {
    let stage = Stage::new(&[], PACE);
    herd(&stage, 0, 100);
    assert_eq!(tally(&stage), [(ISSUE, 1), ("GetCallerIdentity", 1)]);
}

pub(crate) fn a_hundred_processes_assume_a_role_once() {
    let stage = Stage::new(&[], PACE);
    herd(&stage, ENGINEER, 100);
    let calls = tally(&stage);
    // The process that finds out who asks needs the role, and so does the one that asks for the credential; it may be another.
    let sparing = [(ISSUE, 1), ("AssumeRole", 1), ("GetCallerIdentity", 1)];
    let usual = [(ISSUE, 1), ("AssumeRole", 2), ("GetCallerIdentity", 1)];
    assert!(calls == sparing || calls == usual, "{calls:?}");
}

pub(crate) fn who_waits_for_a_killed_process_takes_over() {
    let stage = Stage::new(&[format!("{ISSUE}:hang@1")], PACE);
    let mut crew = stage.crew();
    let holder = hang(&stage, &mut crew);
    let waiters = send(&mut crew, 5);
    until_waiting(&crew, waiters.len());
    crew.kill(holder);
    same(&answers(&mut crew, waiters.len()));
    assert_eq!(stage.sandbox.calls().count(ISSUE), 2, "the one that hung, and one more");
}

pub(crate) fn a_directory_that_goes_while_they_wait_makes_no_herd() {
    let stage = Stage::new(&[format!("{ISSUE}:hang@1")], PACE);
    let mut crew = stage.crew();
    let holder = hang(&stage, &mut crew);
    let waiters = send(&mut crew, 20);
    until_waiting(&crew, waiters.len());
    take_away(&stage.spec.cache);
    crew.kill(holder);
    same(&answers(&mut crew, waiters.len()));
    assert_eq!(stage.sandbox.calls().count(ISSUE), 2, "the one that hung, and one more");
}

pub(crate) fn an_sts_that_hangs_is_asked_again() {
    let stage = Stage::new(&["AssumeRole:hang@1".to_owned()], PACE);
    herd(&stage, ENGINEER, 3);
    assert!(stage.sandbox.calls().count("AssumeRole") > 1);
}

/// Lets `count` processes ask for one key at once.
fn herd(stage: &Stage, key: usize, count: usize) {
    let mut crew = stage.crew();
    for id in crew.muster(count) {
        crew.tell(id, "fresh", Flight { key, sent: 0, page: 0 });
    }
    let answers = answers(&mut crew, count);
    same(&answers);
    assert_eq!(answers.iter().filter(|answer| answer.origin == "Aws").count(), 1);
    assert!(crew.dismiss().is_empty());
}

/// A process that waits for AWS.
fn hang(stage: &Stage, crew: &mut Crew) -> usize {
    let holder = crew.muster(1)[0];
    crew.tell(holder, "fresh", Flight { key: 0, sent: 0, page: 0 });
    stage.runtime.block_on(stage.sandbox.calls().reached(ISSUE, 1));
    holder
}

fn send(crew: &mut Crew, count: usize) -> Vec<usize> {
    let ids = crew.muster(count);
    for id in &ids {
        crew.tell(*id, "fresh", Flight { key: 0, sent: 0, page: 0 });
    }
    ids
}

/// What `count` workers got.
fn answers(crew: &mut Crew, count: usize) -> Vec<Handed> {
    let mut answers = Vec::new();
    while answers.len() < count {
        match crew.hear() {
            (id, Said::Report(report)) if crew.answered(id).is_some() => answers.push(report.outcome.unwrap()),
            (id, said) => assert!(!crew.has(id), "{said:?}"),
        }
    }
    answers
}

fn same(answers: &[Handed]) {
    let first = &answers[0].hash;
    assert!(answers.iter().all(|answer| answer.hash == *first), "they got different credentials");
}

fn tally(stage: &Stage) -> Vec<(&'static str, usize)> {
    let actions = [ISSUE, "AssumeRole", "GetCallerIdentity"];
    actions.into_iter().map(|action| (action, stage.sandbox.calls().count(action))).filter(|(_, count)| *count > 0).collect()
}
