//! The process environment as a value: the command line captures it once, tests write it down.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

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

    /// Where the processes of this user share: `SHIFTKEY_CACHE_DIR`, else the first of the run directory and the cache
    /// directory that is the user's own. After `sudo` or `su` these variables may be another user's, who would find a
    /// directory there that is not hers.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let named = |name: &str| self.var(name).map(PathBuf::from);
        let under = |dir: PathBuf| dir.join("shiftkey");
        let usual = [
            named("XDG_RUNTIME_DIR").map(under),
            named("XDG_CACHE_HOME").map(under),
            self.home.as_ref().map(|home| home.join(".cache/shiftkey")),
        ];
        named("SHIFTKEY_CACHE_DIR").or_else(|| usual.into_iter().flatten().find(|dir| is_in_own_place(dir)))
    }

    /// Whether credentials are shared with other processes: `SHIFTKEY_CACHE`, which may be `on` or `off`.
    ///
    /// # Errors
    /// `Config` when it is something else.
    pub fn shares(&self) -> Result<bool> {
        match self.var("SHIFTKEY_CACHE") {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(Error::config(format!("SHIFTKEY_CACHE is '{other}'")).with_hint("it may be on or off")),
        }
    }
}

/// Whether what stands there, or would have to be made there, is this user's.
fn is_in_own_place(path: &Path) -> bool {
    let existing = path.ancestors().find_map(|place| fs::symlink_metadata(place).ok());
    existing.is_some_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw())
}
