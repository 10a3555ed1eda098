//! The process environment as a value: the command line captures it once, tests write it down.

use std::{collections::BTreeMap, path::PathBuf};

/// Variables, home and working directory of the caller.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Environment variables. Never printed: some hold secrets.
    pub vars: BTreeMap<String, String>,
    /// The user's home directory, when there is one.
    pub home: Option<PathBuf>,
    /// The working directory, from which the project's configuration is searched upward.
    pub cwd: Option<PathBuf>,
}

impl Env {
    /// A variable's value; empty counts as absent, as in the AWS tools.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
