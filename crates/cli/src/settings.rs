//! The one place that reads the process's environment, home and working directory.

use std::{
    env,
    io::{self, IsTerminal},
    sync::{Arc, OnceLock},
};

use shiftkey::{
    Config, Env, Overrides, Result, Shiftkey, Target,
    identity::Scope,
    observe::{Event, Log, Observe},
};

use crate::{
    args::{CredentialOptions, GlobalOptions},
    output::Printer,
    prompt::Terminal,
};

/// What was typed, and what it was typed in.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) terminal: Terminal,
    pub(crate) env: Env,
    pub(crate) global: GlobalOptions,
    /// One for the whole run, so that what it learned about the disk is learned once.
    shiftkey: OnceLock<Shiftkey>,
}

impl Settings {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads them")]
    pub(crate) fn capture(global: GlobalOptions) -> Self {
        let env = Env::new(env::vars_os(), env::home_dir(), env::current_dir().ok());
        Self { terminal: Terminal::default(), env, global, shiftkey: OnceLock::new() }
    }

    /// The same, with nothing told about waiting for a turn.
    pub(crate) fn quiet(&self) -> Self {
        Self { global: GlobalOptions { quiet: true, ..self.global.clone() }, shiftkey: OnceLock::new(), ..self.clone() }
    }

    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(&self.env, self.global.config.as_deref())
    }

    /// The library, with a person to ask if there is one.
    pub(crate) fn shiftkey(&self) -> Result<Shiftkey> {
        if let Some(built) = self.shiftkey.get() {
            return Ok(built.clone());
        }
        let printer = Printer::new(self.global.json, self.global.quiet);
        let builder = Shiftkey::builder().env(self.env.clone()).observer(Arc::new(Narrator(printer)));
        let mut builder = builder.as_the_environment_says(!self.global.no_cache)?;
        if !self.global.no_input && io::stdin().is_terminal() && io::stderr().is_terminal() {
            builder = builder.prompt(Arc::new(self.terminal.clone()));
        }
        Ok(self.shiftkey.get_or_init(|| builder.build()).clone())
    }

    pub(crate) fn target(&self, name: &str, options: &CredentialOptions) -> Result<Target> {
        self.config()?.resolve(name, &self.overrides(options))
    }

    /// The identity and region that the global options name.
    pub(crate) fn scope(&self) -> Scope {
        Scope { profile: self.global.profile.clone(), region: self.global.region.clone(), endpoint_url: None }
    }

    pub(crate) fn overrides(&self, options: &CredentialOptions) -> Overrides {
        Overrides {
            db_user: options.db_user.clone(),
            database: options.database.clone(),
            groups: (!options.db_group.is_empty()).then(|| options.db_group.clone()),
            auto_create: options.auto_create.then_some(true),
            duration: options.duration.clone(),
            min_remaining: options.min_remaining.clone(),
            mapping: options.mapping.map(Into::into),
            host: options.host.clone(),
            port: options.port,
            server_name: options.server_name.clone(),
            ca_file: options.ca_file.clone(),
            profile: self.global.profile.clone(),
            region: self.global.region.clone(),
        }
    }
}

/// Tells a person what concerns them, and logs the rest.
#[derive(Debug)]
struct Narrator(Printer);

impl Observe for Narrator {
    fn event(&self, event: &Event) {
        match event {
            Event::CacheOff(error) => self.0.caution(error),
            // A person who looks on would wonder.
            Event::Queued { wait, .. } if wait.as_millis() >= 500 && io::stderr().is_terminal() => {
                self.0.say(&format!("waiting {:.1} s: calls to AWS keep a pace, so that its rate limit is not met", wait.as_secs_f64()));
            }
            Event::Queued { .. } | Event::RenewalFailed(_) | Event::Throttled { .. } => Log.event(event),
        }
    }
}
