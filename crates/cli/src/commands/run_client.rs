//! `connect` and `exec`: another program, signed in. By default it talks to a private proxy and holds no secret.

use std::process::ExitCode;

use shiftkey::{Env, Error, ErrorKind, Login, Result, Shiftkey, Target, dsn, trust};
use tokio::process::Command;

use super::private::Private;
use crate::{
    args::{ConnectArgs, ExecArgs, TargetArgs},
    child,
    exit::Failure,
    memfd::Memfd,
    settings::Settings,
};

/// Variables that would change whom libpq dials or how, and what a client's user may have set for other servers.
const FOREIGN: [&str; 10] = [
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLNEGOTIATION",
    "PGGSSENCMODE",
    "PGCHANNELBINDING",
];

pub(crate) async fn connect(args: ConnectArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let signed_in = SignedIn::new(&args.target, settings).await?;
    let mut command = Command::new(&args.client);
    command.args(&args.arguments);
    if args.way.direct {
        let _passfile = signed_in.by_passfile(&mut command)?;
        return child::run(command).await;
    }
    signed_in.by_proxy(command, args.way.tcp).await
}

pub(crate) async fn exec(args: ExecArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let signed_in = SignedIn::new(&args.target, settings).await?;
    let (program, arguments) = args.command.split_first().ok_or_else(|| Error::config("no command is given"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if args.way.direct {
        direct(&mut command, &signed_in.login, &settings.env)?;
        command.env("PGPASSWORD", signed_in.login.credential.password.expose());
        return child::run(command).await;
    }
    signed_in.by_proxy(command, args.way.tcp).await
}

/// What a child is started with: a login that is there before it starts, so that what is wrong is told here and not by it.
struct SignedIn<'a> {
    settings: &'a Settings,
    shiftkey: Shiftkey,
    target: Target,
    login: Login,
}

impl<'a> SignedIn<'a> {
    async fn new(args: &TargetArgs, settings: &'a Settings) -> Result<Self> {
        let target = settings.target(&args.target, &args.options)?;
        let shiftkey = settings.shiftkey()?;
        let login = shiftkey.login(&target).await?;
        Ok(Self { settings, shiftkey, target, login })
    }

    /// Runs the command on a proxy of its own.
    async fn by_proxy(self, mut command: Command, tcp: bool) -> Result<ExitCode, Failure> {
        let private = Private::listen(self.shiftkey, &self.target, &self.settings.env, tcp)?;
        without_foreign(&mut command);
        private.variables(&mut command, &self.login);
        // The terminal is the child's now.
        self.settings.terminal.leave();
        private.serve(child::run(command)).await
    }

    /// Gives the password by a file in memory, which must live until the child has ended.
    fn by_passfile(&self, command: &mut Command) -> Result<Memfd> {
        direct(command, &self.login, &self.settings.env)?;
        let line = dsn::render(dsn::Format::Pgpass, &self.login)?;
        let passfile = Memfd::new(format!("{}\n", line.expose()).as_bytes())
            .map_err(|error| Error::new(ErrorKind::Unexpected, "a file in memory could not be made").with_source(error))?;
        command.env("PGPASSFILE", passfile.path());
        Ok(passfile)
    }
}

fn without_foreign(command: &mut Command) {
    for name in FOREIGN {
        command.env_remove(name);
    }
}

/// Everything that libpq needs to dial the warehouse, but the password.
fn direct(command: &mut Command, login: &Login, env: &Env) -> Result<()> {
    without_foreign(command);
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
