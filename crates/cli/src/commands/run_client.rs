//! `connect` and `exec`: another program, signed in.

use std::process::ExitCode;

use shiftkey::{Env, Error, ErrorKind, Login, Result, dsn, trust};
use tokio::process::Command;

use crate::{
    args::{ConnectArgs, ExecArgs, TargetArgs},
    child,
    exit::Failure,
    memfd::Memfd,
    settings::Settings,
};

/// Variables that would change whom libpq dials or how, and what a client's user may have set for other servers.
const FOREIGN: [&str; 9] = [
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLNEGOTIATION",
    "PGGSSENCMODE",
    "PGCHANNELBINDING",
];

pub(crate) async fn connect(args: ConnectArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let login = login(&args.target, settings).await?;
    let mut command = Command::new(&args.client);
    command.args(&args.arguments);
    let _passfile = signed_in(&mut command, &login, &settings.env)?;
    child::run(command).await
}

pub(crate) async fn exec(args: ExecArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let login = login(&args.target, settings).await?;
    let (program, arguments) = args.command.split_first().ok_or_else(|| Error::config("no command is given"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let _passfile = if args.direct {
        variables(&mut command, &login, &settings.env)?;
        command.env("PGPASSWORD", login.credential.password.expose());
        None
    } else {
        Some(signed_in(&mut command, &login, &settings.env)?)
    };
    child::run(command).await
}

async fn login(args: &TargetArgs, settings: &Settings) -> Result<Login> {
    let target = settings.target(&args.target, &args.options)?;
    settings.shiftkey()?.login(&target).await
}

/// Sets the variables and gives the password by a file in memory, which must live until the child has ended.
fn signed_in(command: &mut Command, login: &Login, env: &Env) -> Result<Memfd> {
    variables(command, login, env)?;
    let line = dsn::render(dsn::Format::Pgpass, login)?;
    let passfile = Memfd::new(format!("{}\n", line.expose()).as_bytes())
        .map_err(|error| Error::new(ErrorKind::Unexpected, "a file in memory could not be made").with_source(error))?;
    command.env("PGPASSFILE", passfile.path());
    Ok(passfile)
}

fn variables(command: &mut Command, login: &Login, env: &Env) -> Result<()> {
    for name in FOREIGN {
        command.env_remove(name);
    }
    let ca_file = trust::file(env, login.ca_file.as_deref()).ok_or_else(|| {
        Error::config("this system has no file of CA certificates").with_hint("install ca-certificates, or pass --ca-file")
    })?;
    let (host, address) = dsn::libpq_address(login).map_err(|error| error.with_target(&login.target))?;
    command.env("PGHOST", host);
    if let Some(address) = address {
        command.env("PGHOSTADDR", address);
    }
    command
        .env("PGPORT", login.endpoint.port.to_string())
        .env("PGDATABASE", &login.database)
        .env("PGUSER", &login.credential.db_user)
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", ca_file);
    Ok(())
}
