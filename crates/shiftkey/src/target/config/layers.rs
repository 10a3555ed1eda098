//! The layers of the configuration: system < user < project < environment < flags. Each value knows its origin.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::schema::File;
use crate::{
    env::Env,
    error::{Error, Result},
    target::host::{self, HostName},
};

/// A configuration is written by people; what is larger is something else.
const CEILING: u64 = 1024 * 1024;

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// An environment variable.
    Environment(&'static str),
    /// A command line flag.
    Flag(&'static str),
    /// The file named by `--config` or `SHIFTKEY_CONFIG`.
    Named(PathBuf),
    /// `shiftkey.toml` of the project.
    Project(PathBuf),
    /// `/etc/shiftkey/config.toml`.
    System(PathBuf),
    /// The user's own file.
    User(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Named(path) => write!(f, "file {}", path.display()),
            Self::Project(path) => write!(f, "project file {}", path.display()),
            Self::System(path) => write!(f, "system file {}", path.display()),
            Self::User(path) => write!(f, "user file {}", path.display()),
        }
    }
}

/// One value of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// `targets."prod/analytics".cluster`.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// Which layer said so.
    pub origin: Origin,
}

/// All files laid over one another.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) file: File,
    pub(super) origins: BTreeMap<String, (String, Origin)>,
}

impl Layers {
    pub(super) fn load(env: &Env, named: Option<&Path>) -> Result<Self> {
        let mut layers = Self::default();
        for origin in origins(env, named) {
            layers.add(origin)?;
        }
        Ok(layers)
    }

    fn add(&mut self, origin: Origin) -> Result<()> {
        let (path, required) = match &origin {
            Origin::Named(path) => (path, true),
            Origin::Project(path) | Origin::System(path) | Origin::User(path) => (path, false),
            Origin::Default | Origin::Environment(_) | Origin::Flag(_) => return Ok(()),
        };
        let Some(text) = read(path, required)? else { return Ok(()) };
        let file: File = toml::from_str(&text).map_err(|error| malformed(path, &text, &error))?;
        if matches!(origin, Origin::Project(_)) {
            refuse_redirection(path, &file)?;
        }
        let table: toml::Table = toml::from_str(&text).map_err(|error| malformed(path, &text, &error))?;
        flatten("", &table, &mut |key, value| {
            self.origins.insert(key, (value, origin.clone()));
        });
        self.file.lay(file);
        Ok(())
    }
}

/// The files that are looked for, weakest first.
fn origins(env: &Env, named: Option<&Path>) -> Vec<Origin> {
    if let Some(path) = named.map(Path::to_owned).or_else(|| env.var("SHIFTKEY_CONFIG").map(PathBuf::from)) {
        return vec![Origin::Named(path)];
    }
    let mut origins = vec![Origin::System(PathBuf::from("/etc/shiftkey/config.toml"))];
    let home = env.var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(env.home.as_ref()?.join(".config")));
    origins.extend(home.map(|dir| Origin::User(dir.join("shiftkey/config.toml"))));
    let project = env.cwd.iter().flat_map(|cwd| cwd.ancestors()).map(|dir| dir.join("shiftkey.toml")).find(|path| path.exists());
    origins.extend(project.map(Origin::Project));
    origins
}

/// A file's text; `None` when it is absent and need not be there.
///
/// The upward search may meet a file that somebody else planted (in /tmp, say), so a file must belong to the user or
/// to root, and nobody else may write to it.
fn read(path: &Path, required: bool) -> Result<Option<String>> {
    let fail = |what: &str| Error::config(format!("the configuration file {} {what}", path.display()));
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return Err(fail("cannot be read").with_source(error)),
    };
    let metadata = file.metadata().map_err(|error| fail("cannot be read").with_source(error))?;
    if !metadata.is_file() {
        return Err(fail("is not a file"));
    }
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(fail("belongs to another user").with_hint("copy it, or name it with --config from a place of your own"));
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(fail("can be written by anyone").with_hint(format!("chmod o-w {}", path.display())));
    }
    let mut text = String::new();
    match file.take(CEILING + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > CEILING => Err(fail("is larger than 1 MiB")),
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(fail("is not readable text").with_source(error)),
    }
}

/// A project file comes with a repository, perhaps a stranger's. It may name warehouses, not where credentials are sent.
fn refuse_redirection(path: &Path, file: &File) -> Result<()> {
    let refuse = |key: String| {
        Error::config(format!("{}: a project file may not set {key}: it decides where credentials are sent", path.display()))
            .with_hint("put it into your own configuration file, or pass it as a flag")
    };
    for (name, environment) in &file.environments {
        if environment.endpoint_url.is_some() || environment.ca_file.is_some() {
            return Err(refuse(format!("endpoint_url or ca_file of environment '{name}'")));
        }
    }
    for (name, target) in &file.targets {
        if target.ca_file.is_some() || target.server_name.is_some() {
            return Err(refuse(format!("ca_file or server_name of target '{name}'")));
        }
        let hosts = [target.host.as_deref(), target.endpoint.as_deref().and_then(|text| host::split(text)).map(|(host, ..)| host)];
        if hosts.into_iter().flatten().any(|host| !HostName::parse(host).is_redshift()) {
            return Err(refuse(format!("a host outside of Amazon Redshift for target '{name}'")));
        }
    }
    Ok(())
}

fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    Error::config(format!("{}:{line}: {}", path.display(), error.message().replace('\n', " ")))
}

fn flatten(prefix: &str, table: &toml::Table, visit: &mut impl FnMut(String, String)) {
    for (key, value) in table {
        let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let key = if bare { key.clone() } else { format!("{key:?}") };
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&path, table, visit),
            value => visit(path, value.to_string()),
        }
    }
}
