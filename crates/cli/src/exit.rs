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
