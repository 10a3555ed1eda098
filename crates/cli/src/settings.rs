//! The one place that reads the process's environment, home and working directory.

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
};

use shiftkey::{Config, Env, Overrides, Result, Shiftkey, Target, identity::Scope};

use crate::{
    args::{CredentialOptions, GlobalOptions},
    prompt::Terminal,
};

/// What was typed, and what it was typed in.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) env: Env,
    pub(crate) global: GlobalOptions,
}

impl Settings {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads them")]
    pub(crate) fn capture(global: GlobalOptions) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let env = Env { vars: env::vars_os().filter_map(text).collect(), home: env::home_dir(), cwd: env::current_dir().ok() };
        Self { env, global }
    }

    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(&self.env, self.global.config.as_deref())
    }

    /// The library, with a person to ask if there is one.
    pub(crate) fn shiftkey(&self) -> Shiftkey {
        let mut builder = Shiftkey::builder().env(self.env.clone());
        if let Some(dir) = self.cache_dir() {
            builder = builder.cache_dir(dir);
        }
        if !self.global.no_input && io::stdin().is_terminal() && io::stderr().is_terminal() {
            builder = builder.prompt(Arc::new(Terminal));
        }
        builder.build()
    }

    pub(crate) fn target(&self, name: &str, options: &CredentialOptions) -> Result<Target> {
        self.config()?.resolve(name, &self.overrides(options))
    }

    /// The identity and region that the global options name.
    pub(crate) fn scope(&self) -> Scope {
        Scope { profile: self.global.profile.clone(), region: self.global.region.clone(), endpoint_url: None }
    }

    /// `SHIFTKEY_CACHE_DIR`, else the run directory, else the cache directory.
    fn cache_dir(&self) -> Option<PathBuf> {
        let named = |name: &str| self.env.var(name).map(PathBuf::from);
        let under = |dir: PathBuf| dir.join("shiftkey");
        named("SHIFTKEY_CACHE_DIR")
            .or_else(|| named("XDG_RUNTIME_DIR").map(under))
            .or_else(|| named("XDG_CACHE_HOME").map(under))
            .or_else(|| self.env.home.as_ref().map(|home| home.join(".cache/shiftkey")))
    }

    fn overrides(&self, options: &CredentialOptions) -> Overrides {
        Overrides {
            db_user: options.db_user.clone(),
            database: options.database.clone(),
            groups: (!options.db_group.is_empty()).then(|| options.db_group.clone()),
            auto_create: options.auto_create.then_some(true),
            duration: options.duration.clone(),
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
