//! `demo`: the whole story on a sandbox in this process. Real components throughout; nothing is canned.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime},
};

use shiftkey::{
    Clock, Config, Env, Error, ErrorKind, Overrides, Result, Shiftkey, Target,
    dial::{self, Options},
    dsn,
    identity::Scope,
};
use shiftkey_audit::{Session, queries};
use shiftkey_sandbox::{Sandbox, clock::SandboxClock};
use tokio::process::Command;

use crate::{args::DemoArgs, exit::Failure, output::Printer};

/// The action whose calls are counted.
const ISSUE: &str = "GetClusterCredentials";

/// A story's characters: the pretend AWS and one person who uses it.
struct Story<'a> {
    printer: &'a Printer,
    sandbox: &'a Sandbox,
    env: Env,
    shiftkey: Shiftkey,
    target: Target,
}

/// The library sees the sandbox's time, so that an hour can pass at once.
#[derive(Debug)]
struct Moved(SandboxClock);

impl Clock for Moved {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

pub(crate) async fn demo(args: &DemoArgs, printer: &Printer) -> Result<(), Failure> {
    let sandbox = Sandbox::builder()
        .engine(args.engine.clone())
        .start()
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("the sandbox could not be started: {error}")).with_source(error))?;
    let told = tell(printer, &sandbox).await;
    sandbox.stop().await;
    told
}

async fn tell(printer: &Printer, sandbox: &Sandbox) -> Result<(), Failure> {
    printer.line("A pretend AWS and pretend warehouses run inside this process. Nothing leaves this machine.")?;
    let env = environment(sandbox, "alice")?;
    let target = Config::load(&env, None)?.resolve("prod/analytics", &Overrides::default())?;
    let story = Story { printer, sandbox, shiftkey: library(&env, sandbox), env, target };
    story.discover().await?;
    story.issue().await?;
    story.query().await?;
    story.share().await?;
    story.share_between_processes().await?;
    story.expire().await?;
    story.deny().await
}

fn environment(sandbox: &Sandbox, user: &str) -> Result<Env> {
    let vars = sandbox.environment_for(user).ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("the sandbox has no {user}")))?;
    Ok(Env { vars: vars.into_iter().collect(), home: None, cwd: None })
}

fn library(env: &Env, sandbox: &Sandbox) -> Shiftkey {
    Shiftkey::builder().env(env.clone()).clock(Arc::new(Moved(sandbox.clock().clone()))).build()
}

impl Story<'_> {
    async fn discover(&self) -> Result<(), Failure> {
        self.heading("1. What is there? AWS is asked with the identity that you already have")?;
        let scope = Scope::from(&self.target);
        self.tell(&format!("you are {}", self.shiftkey.caller(&scope).await?.arn))?;
        for found in self.shiftkey.discover(&scope).await?.found {
            let host = found.host.as_deref().unwrap_or("no endpoint yet");
            self.tell(&format!("{:<22} {:<10} {host}", super::show::warehouse(&found.warehouse), found.status))?;
        }
        Ok(())
    }

    async fn issue(&self) -> Result<(), Failure> {
        self.heading("2. A temporary credential, and a JDBC URL with it (the password is masked here)")?;
        let login = self.shiftkey.login(&self.target).await?;
        let expires = humantime::format_rfc3339_seconds(login.credential.expires_at);
        self.tell(&format!("user {} until {expires}", login.credential.db_user))?;
        self.tell(&dsn::render_masked(dsn::Format::Jdbc, &login)?)
    }

    async fn query(&self) -> Result<(), Failure> {
        self.heading("3. Signed in over verified TLS, as yourself")?;
        let (user, database) = self.whoami().await?;
        self.tell(&format!("select current_user, current_database()  ->  {user}, {database}"))
    }

    async fn share(&self) -> Result<(), Failure> {
        self.heading("4. A hundred callers at once, starting cold")?;
        let before = self.calls();
        let shiftkey = library(&self.env, self.sandbox);
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (shiftkey, target) = (shiftkey.clone(), self.target.clone());
            callers.spawn(async move { shiftkey.login(&target).await });
        }
        let mut logins = 0;
        while let Some(login) = callers.join_next().await {
            login.map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))??;
            logins += 1;
        }
        let calls = self.calls() - before;
        self.tell(&format!("{logins} callers have a credential; {ISSUE} was called {calls} time{}", if calls == 1 { "" } else { "s" }))
    }

    async fn share_between_processes(&self) -> Result<(), Failure> {
        self.heading("5. Fifty processes at once, starting cold: `shiftkey creds prod/analytics`")?;
        let before = self.calls();
        let program = std::env::current_exe()?;
        let mut running = Vec::new();
        for _ in 0..50 {
            let mut command = Command::new(&program);
            command.args(["creds", "prod/analytics", "--quiet"]).env_clear().envs(&self.env.vars);
            // What they print holds a password.
            command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            running.push(command.spawn()?);
        }
        let mut succeeded = 0;
        for mut process in running {
            succeeded += usize::from(process.wait().await?.success());
        }
        let calls = self.calls() - before;
        let times = if calls == 1 { "once" } else { "more than once" };
        self.tell(&format!("{succeeded} of 50 have a credential; {ISSUE} was called {times} ({calls}), the rest found it in the cache"))
    }

    async fn expire(&self) -> Result<(), Failure> {
        self.heading("6. Two hours later")?;
        let old = self.shiftkey.login(&self.target).await?;
        self.sandbox.clock().advance(Duration::from_secs(2 * 3600));
        match dial::connect(&old, &self.options()).await {
            Ok(_) => return Err(Error::new(ErrorKind::Unexpected, "the warehouse took an expired credential").into()),
            Err(error) => self.tell(&format!("the old credential: {}", error.message()))?,
        }
        let before = self.calls();
        let (user, _) = self.whoami().await?;
        self.tell(&format!("shiftkey noticed before it tried: {} new call, signed in as {user} again", self.calls() - before))
    }

    async fn deny(&self) -> Result<(), Failure> {
        self.heading("7. Somebody who may not: the intern asks for the same")?;
        let env = environment(self.sandbox, "intern")?;
        // The configuration pins alice's profile; a flag would say otherwise in the same way.
        let overrides = Overrides { profile: Some("intern".to_owned()), db_user: Some("intern".to_owned()), ..Overrides::default() };
        let target = Config::load(&env, None)?.resolve("prod/analytics", &overrides)?;
        match library(&env, self.sandbox).login(&target).await {
            Ok(_) => return Err(Error::new(ErrorKind::Unexpected, "the intern was let in").into()),
            Err(error) => {
                self.tell(&format!("shiftkey: {error}"))?;
                if let Some(hint) = error.hint() {
                    self.tell(&format!("hint: {}", hint.replace('\n', "\n   ")))?;
                }
            }
        }
        self.heading("Every call that AWS saw")?;
        for line in self.sandbox.calls().to_string().lines() {
            self.tell(line)?;
        }
        Ok(())
    }

    /// Who the warehouse says has signed in, and to which database.
    async fn whoami(&self) -> Result<(String, String)> {
        let mut session = Session::open(&self.shiftkey, &self.target, &self.options()).await?;
        let row = session.query(queries::WHOAMI).await?.into_iter().next().unwrap_or_default();
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        Ok((cells.next().unwrap_or_default(), cells.next().unwrap_or_default()))
    }

    fn options(&self) -> Options {
        Options { env: self.env.clone(), ..Options::default() }
    }

    fn calls(&self) -> usize {
        self.sandbox.calls().count(ISSUE)
    }

    fn heading(&self, text: &str) -> Result<(), Failure> {
        self.printer.line("")?;
        Ok(self.printer.line(text)?)
    }

    fn tell(&self, text: &str) -> Result<(), Failure> {
        Ok(self.printer.line(&format!("   {text}"))?)
    }
}
