//! The exit status, decided in one place. The numbers are a contract: see `shiftkey --help`.

use std::{io, process::ExitCode};

use shiftkey::{Error, ErrorKind};

use crate::output::Printer;

/// What a command can fail with.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One of ours, with its kind.
    Ours(Error),
    /// Writing to stdout failed.
    Output(io::Error),
    /// Already reported; the kind decides the status.
    Reported(ErrorKind),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Reports a failure and gives the status for it.
pub(crate) fn failed(printer: &Printer, failure: &Failure) -> ExitCode {
    match failure {
        Failure::Ours(error) => {
            printer.error(error);
            status(error.kind())
        }
        // Who closed the pipe has seen enough.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Failure::Output(error) => {
            printer.error(&Error::new(ErrorKind::Unexpected, format!("the output could not be written: {error}")));
            status(ErrorKind::Unexpected)
        }
        Failure::Reported(kind) => status(*kind),
    }
}

/// Help and version are no failures; the rest is told as every failure is, with the usage in the hint.
pub(crate) fn mistyped(error: &clap::Error, json: bool) -> ExitCode {
    use clap::error::ErrorKind as Typed;
    match error.kind() {
        Typed::DisplayHelp | Typed::DisplayVersion => {
            // Who closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Typed::DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            let _ = error.print();
            status(ErrorKind::Config)
        }
        _ => failed(&Printer::new(json, false), &Failure::Ours(usage(error))),
    }
}

/// clap's report: what is wrong, perhaps on several lines; then, after empty lines, tips, the usage and a pointer to help.
fn usage(error: &clap::Error) -> Error {
    use clap::error::ErrorKind as Typed;
    if matches!(error.kind(), Typed::DisplayHelpOnMissingArgumentOrSubcommand | Typed::MissingSubcommand) {
        return Error::config("no command is given").with_hint("`shiftkey --help` lists them");
    }
    let text = error.to_string();
    let mut parts = text.trim_start_matches("error: ").split("\n\n");
    let lines = |part: &str| part.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let message = lines(parts.next().unwrap_or_default());
    let hints: Vec<String> = parts.filter(|part| !part.starts_with("For more")).map(lines).collect();
    let hints: Vec<&str> = hints.iter().map(|hint| hint.trim_start_matches("tip: ")).chain(["try --help"]).collect();
    Error::config(message).with_hint(hints.join("\n"))
}

fn status(kind: ErrorKind) -> ExitCode {
    ExitCode::from(code(kind))
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Unexpected => 1,
        ErrorKind::Config => 2,
        ErrorKind::IdentityExpired | ErrorKind::NoIdentity => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Throttled | ErrorKind::Unreachable => 5,
        ErrorKind::LoginRefused => 6,
        ErrorKind::NoSuchTarget => 7,
        ErrorKind::ClientMissing => 8,
    }
}
