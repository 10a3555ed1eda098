//! The configuration, and how a target's name becomes a [`Target`].
//!
//! An environment pins an identity and a region; `AWS_PROFILE` and `AWS_REGION` fill in only where nothing is pinned.

mod layers;
mod mistakes;
mod parse;
mod resolve;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use self::{
    layers::{Found, Layers},
    mistakes::Concern,
    resolve::Fault,
};
pub use self::{
    layers::{Origin, Setting},
    mistakes::Mistake,
};
use crate::{
    env::Env,
    error::{Error, Result},
    target::{Mapping, Target},
};

/// The configuration of one user in one directory.
#[derive(Debug)]
pub struct Config {
    layers: Arc<Layers>,
    variables: Overrides,
}

/// For who loads it often: the files are read each time, and parsed again only when they have changed.
#[derive(Debug, Default)]
pub struct Configs(Mutex<Option<(Vec<Found>, Arc<Layers>)>>);

impl Configs {
    /// As [`Config::load`].
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self, env: &Env, named: Option<&Path>) -> Result<Config> {
        let found = layers::look(env, named);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = match &*kept {
            Some((known, layers)) if *known == found => Arc::clone(layers),
            _ => {
                let layers = Arc::new(Layers::of(&found));
                *kept = Some((found, Arc::clone(&layers)));
                layers
            }
        };
        Config { layers, variables: variables(env) }.usable()
    }
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

fn variables(env: &Env) -> Overrides {
    let text = |name: &str| env.var(name).map(str::to_owned);
    Overrides {
        ca_file: text("SHIFTKEY_CA_FILE").map(PathBuf::from),
        database: text("SHIFTKEY_DATABASE"),
        db_user: text("SHIFTKEY_DB_USER"),
        duration: text("SHIFTKEY_DURATION"),
        profile: text("SHIFTKEY_PROFILE"),
        region: text("SHIFTKEY_REGION"),
        ..Overrides::default()
    }
}

impl Config {
    /// Reads the files. `named` (`--config`, else `SHIFTKEY_CONFIG`) is read instead of all others.
    ///
    /// # Errors
    /// When a file cannot be parsed, is not ours, or is missing though named. A mistake in a target is no reason: see
    /// [`Config::mistakes`].
    pub fn load(env: &Env, named: Option<&Path>) -> Result<Self> {
        Self::read(env, named).usable()
    }

    fn usable(self) -> Result<Self> {
        if self.layers.mistakes.iter().any(|mistake| mistake.concern == Concern::Configuration)
            && let Some(error) = mistakes::error(&self.layers.mistakes)
        {
            return Err(error);
        }
        Ok(self)
    }

    /// All that is wrong in the files, even where they cannot be used at all.
    pub fn check(env: &Env, named: Option<&Path>) -> Vec<Mistake> {
        Self::read(env, named).mistakes()
    }

    /// The files that are looked for, whether they are there or not: for who waits for a change.
    pub fn files(env: &Env, named: Option<&Path>) -> Vec<PathBuf> {
        layers::files(env, named)
    }

    fn read(env: &Env, named: Option<&Path>) -> Self {
        Self { layers: Arc::new(Layers::of(&layers::look(env, named))), variables: variables(env) }
    }

    /// A target by name, ad hoc form (`cluster:ID[@REGION]`, `workgroup:NAME[@REGION]`) or host name. Mistakes elsewhere in
    /// the configuration do not matter.
    ///
    /// # Errors
    /// `NoSuchTarget` when no such name is configured, `Config` when a rule is broken. No call is made.
    pub fn resolve(&self, text: &str, flags: &Overrides) -> Result<Target> {
        self.find(text, flags).map_err(|error| error.with_target(text))
    }

    fn find(&self, text: &str, flags: &Overrides) -> Result<Target> {
        let merged = flags.clone().over(&self.variables);
        let stopping = |target: &str| -> Vec<Mistake> {
            let mistakes = self.layers.mistakes.iter().filter(|mistake| mistake.stops(target, |key| merged.value(key).is_some()));
            mistakes.cloned().collect()
        };
        let found = match resolve::find(&self.layers.file, text) {
            Ok(found) => found,
            // What was looked for may be what was written wrong.
            Err(error) => return Err(mistakes::error(&stopping(text)).unwrap_or(error)),
        };
        let label = found.label.clone();
        // What a user spells out is no name of the configuration, whatever names it has.
        let configured = if self.layers.file.targets.contains_key(&label) { label.as_str() } else { "" };
        if let Some(error) = mistakes::error(&stopping(configured)) {
            return Err(error);
        }
        let faults = match resolve::build(found, &self.layers.file.defaults, &merged) {
            Ok(target) => return Ok(target),
            Err(faults) => faults,
        };
        let (mut placed, mut typed) = (Vec::new(), None);
        for fault in faults {
            if let Some(variable) = fault.key.and_then(|key| self.variable(key, flags)) {
                let error = Error::config(format!("{variable}: {}", fault.error.message()));
                typed.get_or_insert(error.with_hint(fault.error.hint().unwrap_or("correct the variable, or unset it")));
            } else if fault.key.is_none_or(|key| flags.value(key).is_none())
                && let Some(mistake) = self.placed(&label, &fault)
            {
                placed.push(mistake);
            } else {
                typed.get_or_insert(fault.error);
            }
        }
        Err(typed.or_else(|| mistakes::error(&placed)).expect("a target that cannot be built has a fault"))
    }

    /// The variable that a value comes from, unless a flag says otherwise.
    fn variable(&self, key: &str, flags: &Overrides) -> Option<&'static str> {
        let variable = VARIABLES.iter().find(|(_, name)| *name == key)?.0;
        (flags.value(key).is_none() && self.variables.value(key).is_some()).then_some(variable)
    }

    /// A fault of a configured target, with the place of the value that is to blame, else of the target's heading.
    fn placed(&self, label: &str, fault: &Fault) -> Option<Mistake> {
        let heading = format!("targets.{}", parse::quoted(label));
        let environment = label.split('/').next().unwrap_or_default();
        let sections = [heading.clone(), format!("environments.{}", parse::quoted(environment)), "defaults".to_owned()];
        let value = fault.key.and_then(|key| sections.iter().find_map(|section| self.layers.places.get(&format!("{section}.{key}"))));
        let place = value.or_else(|| self.layers.places.get(&heading))?;
        let mistake = Mistake::new(&place.path, Some(place.line), fault.error.message(), Concern::Target(label.to_owned()));
        Some(mistake.with_hint(fault.error.hint()))
    }

    /// All that is wrong in the files, in the order of file and line; flags and variables play no part.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.layers.mistakes.clone();
        for (label, entry) in &self.layers.file.targets {
            // What is wrong by itself was not taken over, so that it seems to be missing.
            let own = self.layers.mistakes.iter().any(|mistake| mistake.concern == Concern::Target(label.clone()));
            let found = resolve::configured(&self.layers.file, label, entry);
            let faults = resolve::build(found, &self.layers.file.defaults, &Overrides::default()).err().unwrap_or_default();
            mistakes.extend(faults.iter().filter(|fault| !(own && fault.absence)).filter_map(|fault| self.placed(label, fault)));
        }
        mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        mistakes
    }

    /// The configured targets' names, sorted.
    pub fn target_names(&self) -> Vec<String> {
        self.layers.file.targets.keys().cloned().collect()
    }

    /// The configured environments in which nothing is wrong, sorted by name.
    pub fn environments(&self) -> Vec<Environment> {
        let wrong = |name: &String| {
            self.layers.mistakes.iter().any(|mistake| match &mistake.concern {
                Concern::Environment(environment) => environment == name,
                _ => false,
            })
        };
        let environments = self.layers.file.environments.iter().filter(|(name, _)| !wrong(name));
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
            .map(|(key, (value, origin, line))| Setting {
                key: key.clone(),
                value: value.clone(),
                origin: origin.clone(),
                line: Some(*line),
            })
            .collect();
        for (variable, key) in VARIABLES {
            if let Some(value) = self.variables.value(key) {
                let key = format!("override.{key}");
                settings.push(Setting { key, value: format!("{value:?}"), origin: Origin::Environment(variable), line: None });
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

    /// What is said for a key of the configuration.
    fn value(&self, key: &str) -> Option<String> {
        match key {
            "auto_create" => self.auto_create.map(|value| value.to_string()),
            "groups" => self.groups.as_ref().map(|groups| groups.join(", ")),
            "host" => self.host.clone(),
            "mapping" => self.mapping.map(|mapping| format!("{mapping:?}")),
            "port" => self.port.map(|port| port.to_string()),
            "server_name" => self.server_name.clone(),
            "ca_file" => self.ca_file.as_ref().map(|path| path.display().to_string()),
            "database" => self.database.clone(),
            "db_user" => self.db_user.clone(),
            "duration" => self.duration.clone(),
            "min_remaining" => self.min_remaining.clone(),
            "profile" => self.profile.clone(),
            "region" => self.region.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
