//! The configuration, and how a target's name becomes a [`Target`].
//!
//! An environment pins an identity and a region; `AWS_PROFILE` and `AWS_REGION` fill in only where nothing is pinned.

mod layers;
mod resolve;
mod schema;

use std::path::{Path, PathBuf};

use self::layers::Layers;
pub use self::layers::{Origin, Setting};
use crate::{
    env::Env,
    error::Result,
    target::{Mapping, Target},
};

/// The configuration of one user in one directory.
#[derive(Debug)]
pub struct Config {
    layers: Layers,
    variables: Overrides,
}

/// What flags say, as typed. Absent fields leave the configuration as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// `--db-user`.
    pub db_user: Option<String>,
    /// `--database`.
    pub database: Option<String>,
    /// `--db-group`, all of them; replaces the configured groups.
    pub groups: Option<Vec<String>>,
    /// `--auto-create`.
    pub auto_create: Option<bool>,
    /// `--duration`.
    pub duration: Option<String>,
    /// `--min-remaining`.
    pub min_remaining: Option<String>,
    /// `--mapping`.
    pub mapping: Option<Mapping>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--server-name`.
    pub server_name: Option<String>,
    /// `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
}

/// A configured environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// AWS profile.
    pub profile: Option<String>,
    /// AWS region.
    pub region: Option<String>,
    /// Endpoint override.
    pub endpoint_url: Option<String>,
}

/// The environment variables that say what flags say.
const VARIABLES: [(&str, &str); 6] = [
    ("SHIFTKEY_CA_FILE", "ca_file"),
    ("SHIFTKEY_DATABASE", "database"),
    ("SHIFTKEY_DB_USER", "db_user"),
    ("SHIFTKEY_DURATION", "duration"),
    ("SHIFTKEY_PROFILE", "profile"),
    ("SHIFTKEY_REGION", "region"),
];

impl Config {
    /// Reads the files. `named` (`--config`, else `SHIFTKEY_CONFIG`) is read instead of all others.
    ///
    /// # Errors
    /// When a file is malformed, not ours, or missing though named.
    pub fn load(env: &Env, named: Option<&Path>) -> Result<Self> {
        let text = |name: &str| env.var(name).map(str::to_owned);
        let variables = Overrides {
            ca_file: text("SHIFTKEY_CA_FILE").map(PathBuf::from),
            database: text("SHIFTKEY_DATABASE"),
            db_user: text("SHIFTKEY_DB_USER"),
            duration: text("SHIFTKEY_DURATION"),
            profile: text("SHIFTKEY_PROFILE"),
            region: text("SHIFTKEY_REGION"),
            ..Overrides::default()
        };
        Ok(Self { layers: Layers::load(env, named)?, variables })
    }

    /// A target by name, ad hoc form (`cluster:ID[@REGION]`, `workgroup:NAME[@REGION]`) or host name.
    ///
    /// # Errors
    /// `NoSuchTarget` when no such name is configured, `Config` when a rule is broken. No call is made.
    pub fn resolve(&self, text: &str, flags: &Overrides) -> Result<Target> {
        resolve::resolve(&self.layers.file, text, &flags.clone().over(&self.variables)).map_err(|error| error.with_target(text))
    }

    /// The configured targets' names, sorted.
    pub fn target_names(&self) -> Vec<String> {
        self.layers.file.targets.keys().cloned().collect()
    }

    /// The configured environments, sorted by name.
    pub fn environments(&self) -> Vec<Environment> {
        let environments = self.layers.file.environments.iter();
        environments
            .map(|(name, environment)| Environment {
                name: name.clone(),
                profile: environment.profile.clone(),
                region: environment.region.clone(),
                endpoint_url: environment.endpoint_url.clone(),
            })
            .collect()
    }

    /// Every value and where it comes from, sorted by key.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<Setting> = self
            .layers
            .origins
            .iter()
            .map(|(key, (value, origin))| Setting { key: key.clone(), value: value.clone(), origin: origin.clone() })
            .collect();
        for (variable, key) in VARIABLES {
            if let Some(value) = self.variables.value(key) {
                let key = format!("override.{key}");
                settings.push(Setting { key, value: format!("{value:?}"), origin: Origin::Environment(variable) });
            }
        }
        settings
    }
}

impl Overrides {
    /// Fills what is absent from `under`.
    fn over(mut self, under: &Self) -> Self {
        let under = under.clone();
        self.ca_file = self.ca_file.or(under.ca_file);
        self.database = self.database.or(under.database);
        self.db_user = self.db_user.or(under.db_user);
        self.duration = self.duration.or(under.duration);
        self.profile = self.profile.or(under.profile);
        self.region = self.region.or(under.region);
        self
    }

    fn value(&self, key: &str) -> Option<String> {
        match key {
            "ca_file" => self.ca_file.as_ref().map(|path| path.display().to_string()),
            "database" => self.database.clone(),
            "db_user" => self.db_user.clone(),
            "duration" => self.duration.clone(),
            "profile" => self.profile.clone(),
            "region" => self.region.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
