//! `sandbox`: a pretend AWS and warehouse, until it is told to stop, or for as long as a command runs.

use std::process::ExitCode;

use shiftkey::{Error, ErrorKind};
use shiftkey_sandbox::Sandbox;
use tokio::{
    process::Command,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{args::SandboxArgs, child, exit::Failure, output::Printer};

pub(crate) async fn sandbox(args: SandboxArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    // Listening before there is anything to remove: who starts it may end it at once.
    let mut end = End::listen()?;
    let sandbox = tokio::select! {
        started = start(&args) => started?,
        status = end.wait() => return Ok(status),
    };
    let variables = sandbox.environment_for(&args.caller).ok_or_else(|| {
        Error::config(format!("the sandbox has no caller '{}'", args.caller)).with_hint("there are alice, etl, intern, security and stage")
    })?;
    let status = match args.command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).envs(variables);
            child::run(command).await
        }
        None => serve(variables, printer, &mut end).await,
    };
    if !sandbox.calls().list().is_empty() {
        printer.say(sandbox.calls().to_string().trim_end());
    }
    sandbox.stop().await;
    status
}

async fn start(args: &SandboxArgs) -> Result<Sandbox, Error> {
    let mut builder = Sandbox::builder().engine(args.engine.clone()).challenge(args.challenge).aws_port(args.port).crowd(args.crowd);
    for rule in &args.fault {
        builder = builder.fault(rule.clone());
    }
    if let Some(limit) = args.rate_limit {
        builder = builder.rate_limit(limit);
    }
    builder.start().await.map_err(|error| {
        let message = format!("the sandbox could not be started: {error}");
        match error.kind() {
            std::io::ErrorKind::AddrInUse => Error::config(message).with_hint("choose another --port, or leave it out"),
            _ => Error::new(ErrorKind::Unexpected, message).with_source(error),
        }
    })
}

/// Prints the variables and waits for Ctrl-C or SIGTERM.
async fn serve(variables: Vec<(String, String)>, printer: &Printer, end: &mut End) -> Result<ExitCode, Failure> {
    if printer.json {
        let object: serde_json::Map<_, _> = variables.into_iter().map(|(name, value)| (name, value.into())).collect();
        printer.json(&object)?;
    } else {
        for (name, value) in &variables {
            printer.line(&format!("export {name}={}", quoted(value)))?;
        }
    }
    printer.say("The sandbox runs until Ctrl-C. In another terminal, paste the lines above, then: shiftkey connect prod/analytics");
    end.wait().await;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C and SIGTERM.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The status of a program that such a signal ends: 128 + its number.
    async fn wait(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::from(130),
            _ = self.terminate.recv() => ExitCode::from(143),
        }
    }
}

/// In single quotes, for a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_quote_inside_a_value_does_not_end_it() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
