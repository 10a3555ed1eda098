//! The one place that reads the process's environment, home and working directory.

use std::{
    env,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use shiftkey::{
    Config, Env, Error, Overrides, Pace, Result, Shiftkey, Target,
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
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let env = Env { vars: env::vars_os().filter_map(text).collect(), home: env::home_dir(), cwd: env::current_dir().ok() };
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
        let mut builder = Shiftkey::builder().env(self.env.clone()).observer(Arc::new(Narrator(printer)));
        if self.shares()? {
            match self.cache_dir() {
                Some(dir) => builder = builder.cache_dir(dir),
                None => printer.caution(
                    &Error::config("there is no place of your own for the cache; credentials are not shared, and no MFA session is kept")
                        .with_hint("set SHIFTKEY_CACHE_DIR, or SHIFTKEY_CACHE=off to do without"),
                ),
            }
        }
        if let Some(rate) = self.env.var("SHIFTKEY_RATE") {
            builder = builder.pace(pace(rate)?);
        }
        if !self.global.no_input && io::stdin().is_terminal() && io::stderr().is_terminal() {
            builder = builder.prompt(Arc::new(self.terminal.clone()));
        }
        Ok(self.shiftkey.get_or_init(|| builder.build()).clone())
    }

    /// Whether credentials are shared with other processes.
    fn shares(&self) -> Result<bool> {
        match self.env.var("SHIFTKEY_CACHE") {
            _ if self.global.no_cache => Ok(false),
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(Error::config(format!("SHIFTKEY_CACHE is '{other}'")).with_hint("it may be on or off")),
        }
    }

    pub(crate) fn target(&self, name: &str, options: &CredentialOptions) -> Result<Target> {
        self.config()?.resolve(name, &self.overrides(options))
    }

    /// The identity and region that the global options name.
    pub(crate) fn scope(&self) -> Scope {
        Scope { profile: self.global.profile.clone(), region: self.global.region.clone(), endpoint_url: None }
    }

    /// `SHIFTKEY_CACHE_DIR`, else the first of the run directory and the cache directory that is the user's own: after `sudo`
    /// or `su` these variables may be another user's, who would find a directory there that is not hers.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        let named = |name: &str| self.env.var(name).map(PathBuf::from);
        let under = |dir: PathBuf| dir.join("shiftkey");
        let usual = [
            named("XDG_RUNTIME_DIR").map(under),
            named("XDG_CACHE_HOME").map(under),
            self.env.home.as_ref().map(|home| home.join(".cache/shiftkey")),
        ];
        named("SHIFTKEY_CACHE_DIR").or_else(|| usual.into_iter().flatten().find(|dir| is_in_own_place(dir)))
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

/// Whether what stands there, or would have to be made there, is this user's.
fn is_in_own_place(path: &Path) -> bool {
    let existing = path.ancestors().find_map(|place| std::fs::symlink_metadata(place).ok());
    existing.is_some_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw())
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

/// `CALLS_PER_SECOND[:BURST]`.
fn pace(text: &str) -> Result<Pace> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
    let pace = number(rate).zip(burst.map_or(Some(Pace::default().burst), |burst| number(burst).filter(|burst| *burst >= 1.0)));
    pace.map(|(per_second, burst)| Pace { per_second, burst }).ok_or_else(|| {
        Error::config(format!("SHIFTKEY_RATE is '{text}'")).with_hint("write CALLS_PER_SECOND or CALLS_PER_SECOND:BURST, as 1:5")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_calls_a_second_and_perhaps_a_burst() {
        for (text, expected) in [
            ("2", Some((2.0, 5.0))),
            ("0.5:1", Some((0.5, 1.0))),
            ("0", None),
            ("-1", None),
            ("1:0", None),
            ("inf", None),
            ("fast", None),
            ("", None),
        ] {
            assert_eq!(pace(text).ok().map(|pace| (pace.per_second, pace.burst)), expected, "{text}");
        }
    }
}
