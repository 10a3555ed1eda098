//! The binary: parse, resolve, run, one exit status.

mod args;
mod child;
mod commands;
mod exit;
mod memfd;
mod output;
mod prompt;
mod settings;
mod systemd;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use self::{args::Cli, output::Printer, settings::Settings};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::mistyped(&error, typed_json()),
    };
    telemetry::install(cli.global.verbose);
    let printer = Printer::new(cli.global.json, cli.global.quiet);
    let settings = Settings::capture(cli.global);
    if let Some(outcome) = commands::run_at_once(&cli.command, &settings, &printer) {
        return outcome.unwrap_or_else(|error| exit::failed(&printer, &error));
    }
    let runtime = match runtime(&cli.command).build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failed(&printer, &shiftkey::Error::new(shiftkey::ErrorKind::Unexpected, error.to_string()).into()),
    };
    match runtime.block_on(commands::run(cli.command, &settings, &printer)) {
        Ok(status) => status,
        Err(error) => exit::failed(&printer, &error),
    }
}

/// One thread does for most commands; a proxy relays on all processors.
fn runtime(command: &args::Command) -> tokio::runtime::Builder {
    let mut builder = match command {
        args::Command::Proxy(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all();
    builder
}

/// Whether JSON is asked for, where the rest could not be parsed.
fn typed_json() -> bool {
    std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json")
}
