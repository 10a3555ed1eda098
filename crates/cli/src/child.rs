//! Running another program as if it were run alone: signals reach it, its status is ours.

use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
};

use shiftkey::{Error, ErrorKind};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use crate::exit::Failure;

/// Starts `command`, waits for it, and gives its status: 128 + signal when it was killed.
pub(crate) async fn run(mut command: Command) -> Result<ExitCode, Failure> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    // Ctrl-C and Ctrl-\ reach the child from the terminal; what they mean is its business.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut child = command.spawn().map_err(|error| missing(&program, &error))?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(code(status?)),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => forward(&child, rustix::process::Signal::TERM),
            _ = hangup.recv() => forward(&child, rustix::process::Signal::HUP),
        }
    }
}

fn forward(child: &Child, signal: rustix::process::Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // The child may be gone by now; then its status arrives next.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}

fn missing(program: &str, error: &std::io::Error) -> Failure {
    // Looking through PATH, the system says "permission denied" when one directory of it cannot be searched.
    let searched = !program.contains('/') && error.kind() == std::io::ErrorKind::PermissionDenied;
    if error.kind() != std::io::ErrorKind::NotFound && !searched {
        let error = Error::new(ErrorKind::ClientMissing, format!("'{program}' could not be started: {error}"));
        return error.with_hint("is it a program, and may you run it?").into();
    }
    let hint = match program {
        "psql" => "install it: `apt install postgresql-client`, `dnf install postgresql` or `brew install libpq`",
        "pgcli" => "install it: `pipx install pgcli`",
        _ => "is it installed, in PATH, and may you run it?",
    };
    Error::new(ErrorKind::ClientMissing, format!("'{program}' was not found")).with_hint(hint).into()
}
