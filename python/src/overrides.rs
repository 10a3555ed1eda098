//! The keywords of a call, as the library's overrides.

use std::path::PathBuf;

use pyo3::{prelude::*, types::PyDict};
use shiftkey::{Error, Mapping, Overrides};

use crate::errors;

/// Everything but the target that a call or a session may say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(pub(crate) Overrides);

impl Said {
    /// Takes `keywords` over what is said already.
    ///
    /// # Errors
    /// `ConfigError` for a keyword that is none of ours or a value that is none of its kind.
    pub(crate) fn and(&self, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut said = self.clone();
        for (name, value) in keywords.into_iter().flatten() {
            let name: String = name.extract()?;
            if !value.is_none() {
                said.set(&name, &value)?;
            }
        }
        Ok(said)
    }

    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let wrong = |expected: &str| errors::raise(py, &Error::config(format!("{name} is not {expected}")));
        let text = || value.extract::<String>().map_err(|_| wrong("a string"));
        let overrides = &mut self.0;
        match name {
            "auto_create" => overrides.auto_create = Some(value.extract().map_err(|_| wrong("True or False"))?),
            "ca_file" => overrides.ca_file = Some(value.extract::<PathBuf>().map_err(|_| wrong("a path"))?),
            "database" => overrides.database = Some(text()?),
            "db_user" => overrides.db_user = Some(text()?),
            "duration" => {
                overrides.duration = Some(span(value).ok_or_else(|| wrong("a number of seconds, a timedelta or a text such as '1h'"))?);
            }
            // A text is a sequence of texts too, and never what was meant.
            "groups" if value.extract::<String>().is_ok() => return Err(wrong("a list of names")),
            "groups" => {
                let names: PyResult<Vec<String>> = value.try_iter().and_then(|names| names.map(|name| name?.extract()).collect());
                overrides.groups = Some(names.map_err(|_| wrong("a list of names"))?);
            }
            "host" => overrides.host = Some(text()?),
            "mapping" => {
                overrides.mapping = Some(match text()?.as_str() {
                    "user" => Mapping::User,
                    "iam" => Mapping::Iam,
                    _ => return Err(wrong("'user' or 'iam'")),
                });
            }
            "min_remaining" => {
                overrides.min_remaining =
                    Some(span(value).ok_or_else(|| wrong("a number of seconds, a timedelta or a text such as '5m'"))?);
            }
            "port" => overrides.port = Some(value.extract().map_err(|_| wrong("a port number"))?),
            "profile" => overrides.profile = Some(text()?),
            "region" => overrides.region = Some(text()?),
            "server_name" => overrides.server_name = Some(text()?),
            _ => {
                let error = Error::config(format!("there is no option '{name}'"));
                return Err(errors::raise(py, &error.with_hint(format!("options: {}", NAMES.join(", ")))));
            }
        }
        Ok(())
    }
}

/// What [`Said::set`] knows.
pub(crate) const NAMES: [&str; 13] = [
    "auto_create",
    "ca_file",
    "database",
    "db_user",
    "duration",
    "groups",
    "host",
    "mapping",
    "min_remaining",
    "port",
    "profile",
    "region",
    "server_name",
];

/// A length of time as the library writes it: a text is taken as it is, a number is seconds.
fn span(value: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(text) = value.extract::<String>() {
        return Some(text);
    }
    let seconds = match value.call_method0("total_seconds") {
        Ok(seconds) => seconds.extract::<f64>().ok()?,
        Err(_) => value.extract::<f64>().ok()?,
    };
    (seconds.fract() == 0.0 && (0.0..1e9).contains(&seconds)).then(|| format!("{seconds:.0}"))
}
