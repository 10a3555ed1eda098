//! One file for each command, or for a few that are alike.

mod audit;
mod cache;
mod creds;
mod demo;
mod doctor;
mod generate;
mod lockdown;
mod policy;
mod policy_apply;
mod private;
mod proxy;
mod run_client;
mod sandbox;
mod show;

use std::process::ExitCode;

use crate::{args::Command, exit::Failure, output::Printer, settings::Settings};

/// From command to function.
pub(crate) async fn run(command: Command, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    match command {
        Command::Audit(args) => audit::audit(&args, settings, printer).await?,
        Command::Cache { command } => cache::cache(&command, settings, printer)?,
        Command::Completions { shell } => generate::completions(shell)?,
        Command::Config { check: true, .. } => show::check(settings, printer)?,
        Command::Config { check: false, .. } => show::config(settings, printer)?,
        Command::Connect(args) => return run_client::connect(args, settings).await,
        Command::Creds(args) => creds::creds(&args, settings, printer).await?,
        Command::Demo(args) => demo::demo(&args, printer).await?,
        Command::Doctor { target, options } => doctor::doctor(target.as_deref(), &options, settings, printer).await?,
        Command::Exec(args) => return run_client::exec(args, settings).await,
        Command::Lockdown(args) => lockdown::lockdown(&args, settings, printer).await?,
        Command::Man { all: Some(dir), .. } => generate::pages(&dir)?,
        Command::Man { command, all: None } => generate::page(command.as_deref())?,
        Command::Policy { command } => policy::policy(command, settings, printer).await?,
        Command::Proxy(args) => return proxy::proxy(&args, settings, printer).await,
        Command::Sandbox(args) => return sandbox::sandbox(args, printer).await,
        Command::Targets { discover: false } => show::targets(settings, printer)?,
        Command::Targets { discover: true } => show::discover(settings, printer).await?,
        Command::Url(args) => creds::url(&args, settings, printer).await?,
        Command::Whoami => show::whoami(settings, printer).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers from the cache what can be answered from it: without an asynchronous runtime, without reading AWS's
/// configuration, without TLS. `None` leaves it to [`run`], errors included.
pub(crate) fn run_at_once(command: &Command, settings: &Settings, printer: &Printer) -> Option<Result<ExitCode, Failure>> {
    let outcome = match command {
        Command::Creds(args) => creds::cached_creds(args, settings, printer),
        Command::Url(args) => creds::cached_url(args, settings, printer),
        _ => None,
    };
    outcome.map(|outcome| outcome.map(|()| ExitCode::SUCCESS))
}
