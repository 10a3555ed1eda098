//! The layers of the configuration: system < user < project < environment < flags. Each value knows its origin.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{resolve::distance, schema::File};
use crate::{
    env::Env,
    error::{Error, Result},
    target::{
        host::{self, HostName},
        names,
    },
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
            layers.add(&origin)?;
        }
        Ok(layers)
    }

    fn add(&mut self, origin: &Origin) -> Result<()> {
        let (path, required) = match origin {
            Origin::Named(path) => (path, true),
            Origin::Project(path) | Origin::System(path) | Origin::User(path) => (path, false),
            Origin::Default | Origin::Environment(_) | Origin::Flag(_) => return Ok(()),
        };
        let Some(text) = read(path, required)? else { return Ok(()) };
        let file: File = toml::from_str(&text).map_err(|error| malformed(path, &text, &error))?;
        check_names(path, &file)?;
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
    origins.extend(project(env).map(Origin::Project));
    origins
}

/// The nearest `shiftkey.toml`, from the working directory up to the home directory or the root. What lies above a
/// home belongs to somebody else.
fn project(env: &Env) -> Option<PathBuf> {
    for dir in env.cwd.as_ref()?.ancestors() {
        let path = dir.join("shiftkey.toml");
        if path.exists() {
            return Some(path);
        }
        if env.home.as_deref() == Some(dir) {
            return None;
        }
    }
    None
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
    if writable_by_others(metadata.mode(), metadata.uid(), metadata.gid()) {
        return Err(fail("can be written by others").with_hint(format!("chmod go-w {}", path.display())));
    }
    let mut text = String::new();
    match file.take(CEILING + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > CEILING => Err(fail("is larger than 1 MiB")),
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(fail("is not readable text").with_source(error)),
    }
}

/// A group numbered as its owner is the owner's private one, which is why so many systems create files as 0664.
pub(super) fn writable_by_others(mode: u32, uid: u32, gid: u32) -> bool {
    mode & 0o002 != 0 || (mode & 0o020 != 0 && uid != gid)
}

/// Names are plain, so that none can be taken for `cluster:ID` or `host:port/database`: a project file could otherwise
/// answer to a warehouse that the user spelled out.
fn check_names(path: &Path, file: &File) -> Result<()> {
    let plain = |name: &str, also: &str| {
        (1..=64).contains(&name.len())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char) || also.contains(char))
    };
    let refuse = |what: &str, name: &str| {
        Error::config(format!("{}: '{}' is not {what}", path.display(), names::shown(name)))
            .with_hint("a target is named environment/name, with letters, digits, - and _ only (and dots after the slash)")
    };
    if let Some(name) = file.environments.keys().find(|name| !plain(name, "")) {
        return Err(refuse("an environment's name", name));
    }
    let legal = |name: &str| name.split_once('/').is_some_and(|(environment, rest)| plain(environment, "") && plain(rest, "."));
    match file.targets.keys().find(|name| !legal(name)) {
        Some(name) => Err(refuse("a target's name", name)),
        None => Ok(()),
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
            return Err(refuse(format!("endpoint_url or ca_file of environment '{}'", names::shown(name))));
        }
    }
    for (name, target) in &file.targets {
        if target.ca_file.is_some() || target.server_name.is_some() {
            return Err(refuse(format!("ca_file or server_name of target '{}'", names::shown(name))));
        }
        let hosts = [target.host.as_deref(), target.endpoint.as_deref().and_then(|text| host::split(text)).map(|(host, ..)| host)];
        if hosts.into_iter().flatten().any(|host| !HostName::parse(host).is_redshift()) {
            return Err(refuse(format!("a host outside of Amazon Redshift for target '{}'", names::shown(name))));
        }
    }
    Ok(())
}

fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
    let message: String = error.message().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let near = nearest_key(&message).map(|key| format!("did you mean `{key}`?"));
    let error = Error::config(format!("{}:{line}: {message}", path.display()));
    match near {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The known key nearest to an unknown one; serde's message quotes the unknown first, then all known.
fn nearest_key(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let (distance, key) = quoted.map(|key| (distance(key, unknown), key)).min()?;
    (distance <= 3).then_some(key)
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
