//! One file's text, value by value, so that one that is wrong spoils neither the others nor their report.
//!
//! Only values that pass every check reach the configuration.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    layers::{Layers, Origin, Place},
    mistakes::{Concern, Mistake},
    resolve::{distance, host_name},
    schema::{Entry, Environment, Settings},
};
use crate::{
    error::{Error, Result},
    target::{
        host::{self, HostName},
        names,
    },
};

/// A part of a file: all its keys stand under `prefix` and concern the same.
struct Section<'a> {
    prefix: String,
    concern: Concern,
    values: &'a Spanned<DeValue<'a>>,
}

/// Reads one file's text into the layers.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a mut Layers,
    pub(super) origin: &'a Origin,
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    pub(super) fn read(mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            for error in errors {
                let line = error.span().map(|span| self.line(span.start));
                self.push(Mistake::new(self.path, line.or(Some(1)), error.message(), Concern::Configuration));
            }
            return;
        }
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", _) => {
                    let section = Section { prefix: "defaults".into(), concern: Concern::Targets, values: value };
                    let read = self.section(&section, |_, _| Ok(()));
                    read.into_iter().for_each(|settings: Settings| self.layers.file.defaults.lay(settings));
                }
                ("environments", DeValue::Table(table)) => table.iter().for_each(|(name, value)| self.environment(name, value)),
                ("targets", DeValue::Table(table)) => table.iter().for_each(|(name, value)| self.target(name, value)),
                (known @ ("environments" | "targets"), _) => {
                    let what = format!("'{known}' is a table of tables, such as [{known}.\"...\"]");
                    self.push(Mistake::new(self.path, Some(self.line(value.span().start)), what, Concern::Targets));
                }
                (unknown, _) => {
                    let what = format!("unknown section '{}'", names::shown(unknown));
                    let near = nearest(unknown, ["defaults", "environments", "targets"]);
                    let hint = near
                        .map_or_else(|| "sections: defaults, environments, targets".to_owned(), |near| format!("did you mean '{near}'?"));
                    let mistake = Mistake::new(self.path, Some(self.line(key.span().start)), what, Concern::Targets);
                    self.push(mistake.with_hint(Some(hint)));
                }
            }
        }
    }

    fn environment(&mut self, name: &Spanned<impl AsRef<str>>, values: &Spanned<DeValue<'_>>) {
        let (name, line) = (name.get_ref().as_ref(), self.line(name.span().start));
        let concern = Concern::Environment(name.to_owned());
        if !plain(name, "") {
            return self.illegal(name, line, "an environment's name", concern);
        }
        let section = Section { prefix: format!("environments.{}", quoted(name)), concern, values };
        let project = matches!(self.origin, Origin::Project(_));
        // A project file comes with a repository, perhaps a stranger's. It may name warehouses, not where credentials are sent.
        let read = self.section(&section, |key, _| match key {
            "endpoint_url" | "ca_file" if project => Err(redirection(key)),
            _ => Ok(()),
        });
        let under = self.layers.file.environments.entry(name.to_owned()).or_default();
        read.into_iter().for_each(|environment: Environment| under.lay(environment));
    }

    fn target(&mut self, name: &Spanned<impl AsRef<str>>, values: &Spanned<DeValue<'_>>) {
        let (name, line) = (name.get_ref().as_ref(), self.line(name.span().start));
        let concern = Concern::Target(name.to_owned());
        if !name.split_once('/').is_some_and(|(environment, rest)| plain(environment, "") && plain(rest, ".")) {
            return self.illegal(name, line, "a target's name", concern);
        }
        let prefix = format!("targets.{}", quoted(name));
        self.layers.places.insert(prefix.clone(), Place { path: self.path.to_owned(), line });
        let section = Section { prefix, concern, values };
        let project = matches!(self.origin, Origin::Project(_));
        let read = self.section(&section, |key, value| match key {
            "ca_file" | "server_name" if project => Err(redirection(key)),
            "host" | "endpoint" if project => {
                let text = value.as_str().unwrap_or_default();
                let host = host::split(text).map_or(text, |(host, ..)| host);
                if HostName::parse(host).is_redshift() { Ok(()) } else { Err(redirection("a host outside of Amazon Redshift")) }
            }
            _ => Ok(()),
        });
        let under = self.layers.file.targets.entry(name.to_owned()).or_default();
        read.into_iter().for_each(|entry: Entry| under.lay(entry));
    }

    /// The values of a section that are right, one in each item; the others are noted as mistakes.
    fn section<T: DeserializeOwned>(&mut self, section: &Section<'_>, allowed: impl Fn(&str, &DeValue<'_>) -> Result<()>) -> Vec<T> {
        let Some(table) = section.values.get_ref().as_table() else {
            let what = format!("{} is not a table", section.prefix);
            self.push(Mistake::new(self.path, Some(self.line(section.values.span().start)), what, section.concern.clone()));
            return Vec::new();
        };
        let mut read = Vec::new();
        for (name, value) in table {
            let key = name.get_ref().as_ref();
            let line = self.line(value.span().start);
            let path = format!("{}.{}", section.prefix, quoted(key));
            let mut single = DeTable::new();
            single.insert(name.clone(), value.clone());
            let parsed = T::deserialize(toml::Deserializer::from(Spanned::new(section.values.span(), single)));
            let checked = match parsed {
                Err(error) => Err(described(key, error.message())),
                Ok(parsed) => allowed(key, value.get_ref()).and_then(|()| rule(key, value.get_ref())).map(|()| parsed),
            };
            match checked {
                Ok(parsed) => {
                    // A layer above sets right what was wrong below.
                    let settled = self.layers.mistakes.iter_mut().filter(|mistake| mistake.key.as_deref() == Some(&path));
                    settled.for_each(|mistake| mistake.settled = true);
                    let text = toml::Value::deserialize(toml::de::ValueDeserializer::from(value.clone())).map(|value| value.to_string());
                    let place = Place { path: self.path.to_owned(), line };
                    self.layers.origins.insert(path.clone(), (text.unwrap_or_default(), self.origin.clone(), line));
                    self.layers.places.insert(path, place);
                    read.push(parsed);
                }
                Err(error) => {
                    let mistake = Mistake::new(self.path, Some(line), error.message(), section.concern.clone());
                    let mistake = mistake.with_hint(error.hint());
                    self.push(Mistake { key: Some(path), ..mistake });
                }
            }
        }
        read
    }

    /// Names are plain, so that none can be taken for `cluster:ID` or `host:port/database`: a project file could otherwise
    /// answer to a warehouse that the user spelled out.
    fn illegal(&mut self, name: &str, line: usize, what: &str, concern: Concern) {
        let mistake = Mistake::new(self.path, Some(line), format!("'{}' is not {what}", names::shown(name)), concern);
        let hint = "a target is named environment/name, with letters, digits, - and _ only (and dots after the slash)";
        self.push(mistake.with_hint(Some(hint)));
    }

    fn push(&mut self, mistake: Mistake) {
        self.layers.mistakes.push(mistake);
    }

    fn line(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or(self.text).matches('\n').count() + 1
    }
}

/// The rule for a single value, whatever stands beside it.
fn rule(key: &str, value: &DeValue<'_>) -> Result<()> {
    let text = value.as_str().unwrap_or_default();
    // A number in another base is read by the rules for the whole target.
    let number = value.as_integer().filter(|integer| integer.radix() == 10).map(toml::de::DeInteger::as_str);
    match key {
        "cluster" => names::cluster(text),
        "database" => names::database(text),
        "db_user" => names::db_user_template(text),
        "duration" if value.is_str() || number.is_some() => names::duration(number.unwrap_or(text)).map(drop),
        "endpoint" => {
            match host::split(text) {
                Some((_, _, None)) => Ok(()),
                Some((_, _, Some(database))) => Err(Error::config(format!("'{}' names a database too", names::shown(text)))
                    .with_hint(format!("say database = {database:?}"))),
                None => Err(Error::config(format!("'{}' is not a host and port", names::shown(text)))),
            }
        }
        "endpoint_url" if !(text.starts_with("https://") || text.starts_with("http://")) => {
            Err(Error::config(format!("'{}' is not a URL", names::shown(text))).with_hint("it begins with https://"))
        }
        "groups" => value.as_array().into_iter().flatten().filter_map(|group| group.get_ref().as_str()).try_for_each(names::group),
        "host" | "server_name" => host_name(text),
        "port" if number == Some("0") => Err(Error::config("0 is not a port")),
        "region" => names::region(text),
        "workgroup" => names::workgroup(text),
        _ => Ok(()),
    }
}

fn redirection(what: &str) -> Error {
    Error::config(format!("a project file may not set {what}: it decides where credentials are sent"))
        .with_hint("put it into your own configuration file, or pass it as a flag")
}

/// serde's message about one key, with the nearest known key as the hint: it quotes the unknown first, then all known.
fn described(key: &str, message: &str) -> Error {
    let Some(quoted) = message.strip_prefix("unknown field ") else {
        return Error::config(format!("{}: {message}", names::shown(key)));
    };
    let known = quoted.split('`').skip(1).step_by(2).skip(1);
    let error = Error::config(format!("unknown key '{}'", names::shown(key)));
    match nearest(key, known.clone()) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint(format!("keys: {}", known.collect::<Vec<_>>().join(", "))),
    }
}

fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, near) = known.into_iter().map(|known| (distance(known, unknown), known)).min()?;
    (distance <= 3).then_some(near)
}

fn plain(name: &str, also: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char) || also.contains(char))
}

/// A key as TOML writes it.
pub(super) fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { key.to_owned() } else { format!("{key:?}") }
}
