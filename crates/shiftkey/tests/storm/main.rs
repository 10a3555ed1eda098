//! Many processes in bad times, by the public interface of the library, against the sandbox's own books.
//!
//! This binary is also the worker that it starts many of, so it has a `main` of its own. Time is the sandbox's: a file tells
//! all processes what time it is, and the driver moves it as they make progress. Real time passes only where the library
//! waits for AWS, and nothing is asserted about it.
//!
//! `STORM=long` runs the long storm, `STORM_SEED` repeats one (as far as the order in which processes run allows).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the harness and the protocol of the workers")]

mod books; // what must be true of what happened
mod crew; // the worker processes
mod herd; // many at once on a cold cache, and a holder that dies
mod keys; // what is asked for, and who must be what comes back
mod log; // all that is logged, to stderr
mod mischief; // faults, damage and other accidents
mod random;
mod storm;
mod time; // the clock of all processes
mod worker;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("herd::a_hundred_processes_make_one_call", herd::a_hundred_processes_make_one_call),
    ("herd::a_hundred_processes_assume_a_role_once", herd::a_hundred_processes_assume_a_role_once),
    ("herd::who_waits_for_a_killed_process_takes_over", herd::who_waits_for_a_killed_process_takes_over),
    ("herd::a_directory_that_goes_while_they_wait_makes_no_herd", herd::a_directory_that_goes_while_they_wait_makes_no_herd),
    ("herd::an_sts_that_hangs_is_asked_again", herd::an_sts_that_hangs_is_asked_again),
    ("storm::nobody_fails_and_nothing_expired_is_handed_out", storm::nobody_fails_and_nothing_expired_is_handed_out),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, spec, log] = arguments.as_slice()
        && first == worker::ENTRY
    {
        worker::run(Path::new(spec), Path::new(log));
        return ExitCode::SUCCESS;
    }
    run(&arguments)
}

/// The part of libtest's manners that `cargo test` and people rely on: names to run, `--exact`, `--list`, and the summary.
fn run(arguments: &[String]) -> ExitCode {
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let fits = |test: &str, name: &str| if exact { test == name } else { test.contains(name) };
    let chosen: Vec<&Test> = TESTS.iter().filter(|(test, _)| names.is_empty() || names.iter().any(|name| fits(test, name))).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in &chosen {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        *if outcome.is_ok() { &mut passed } else { &mut failed } += 1;
    }
    let (verdict, left_out) = (if failed == 0 { "ok" } else { "FAILED" }, TESTS.len() - chosen.len());
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
