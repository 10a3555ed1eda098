//! The process environment as a value: a program captures it once, tests write it down.

use std::{
    collections::BTreeMap,
    ffi::OsString,
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
    /// An environment of variables as the standard library reads them; those that are not UTF-8 are left out.
    ///
    /// ```
    /// let env = shiftkey::Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok());
    /// ```
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>, home: Option<PathBuf>, cwd: Option<PathBuf>) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self { vars: vars.into_iter().filter_map(text).collect(), home, cwd }
    }

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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn variables_that_are_not_text_are_left_out() {
        let odd = OsString::from_vec(vec![0xff]);
        let vars = [("A".into(), "1".into()), ("B".into(), odd.clone()), (odd, "2".into()), ("C".into(), "".into())];
        let env = Env::new(vars, None, None);
        assert_eq!((env.var("A"), env.var("C"), env.vars.len()), (Some("1"), None, 2));
    }

    #[test]
    fn the_cache_stands_where_it_is_said_else_in_the_first_place_of_ones_own() {
        let own = tempfile::tempdir().unwrap();
        let place = |name: &str| own.path().join(name);
        let foreign = tempfile::tempdir().unwrap();
        // Root may give it away; for everybody else `/` is somebody else's.
        let given_away = std::os::unix::fs::chown(foreign.path(), Some(65_534), None).is_ok();
        let foreign = if given_away { foreign.path() } else { Path::new("/") };
        let text = |path: PathBuf| path.display().to_string();
        for (variables, expected) in [
            (vec![("SHIFTKEY_CACHE_DIR", "/elsewhere".to_owned()), ("XDG_RUNTIME_DIR", text(place("run")))], "/elsewhere".into()),
            (vec![("XDG_RUNTIME_DIR", text(place("run"))), ("XDG_CACHE_HOME", text(place("c")))], place("run/shiftkey")),
            (vec![("XDG_RUNTIME_DIR", text(foreign.join("run"))), ("XDG_CACHE_HOME", text(place("c")))], place("c/shiftkey")),
            (vec![], place("home/.cache/shiftkey")),
        ] {
            let vars = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let env = Env { vars, home: Some(place("home")), cwd: None };
            assert_eq!(env.cache_dir(), Some(expected));
        }
        assert_eq!(Env::default().cache_dir(), None);
    }
}
