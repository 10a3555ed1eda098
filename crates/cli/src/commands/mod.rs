//! One file for each command, or for a few that are alike.

mod creds;
mod demo;
mod doctor;
mod generate;
mod run_client;
mod sandbox;
mod show;

use std::process::ExitCode;

use crate::{args::Command, exit::Failure, output::Printer, settings::Settings};

/// From command to function.
pub(crate) async fn run(command: Command, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    match command {
        Command::Completions { shell } => generate::completions(shell)?,
        Command::Config { check: true, .. } => show::check(settings, printer)?,
        Command::Config { check: false, .. } => show::config(settings, printer)?,
        Command::Connect(args) => return run_client::connect(args, settings).await,
        Command::Creds(args) => creds::creds(&args, settings, printer).await?,
        Command::Demo(args) => demo::demo(&args, printer).await?,
        Command::Doctor { target, options } => doctor::doctor(target.as_deref(), &options, settings, printer).await?,
        Command::Exec(args) => return run_client::exec(args, settings).await,
        Command::Man { all: Some(dir), .. } => generate::pages(&dir)?,
        Command::Man { command, all: None } => generate::page(command.as_deref())?,
        Command::Sandbox(args) => return sandbox::sandbox(args, printer).await,
        Command::Targets { discover: false } => show::targets(settings, printer)?,
        Command::Targets { discover: true } => show::discover(settings, printer).await?,
        Command::Url(args) => creds::url(&args, settings, printer).await?,
        Command::Whoami => show::whoami(settings, printer).await?,
    }
    Ok(ExitCode::SUCCESS)
}
