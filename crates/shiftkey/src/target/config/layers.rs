//! The layers of the configuration: system < user < project < environment < flags. Each value knows its origin.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    mistakes::{Concern, Mistake},
    parse::Reader,
    schema::File,
};
use crate::env::Env;

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
    /// The line of its file.
    pub line: Option<usize>,
}

/// A place in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) line: usize,
}

/// All files laid over one another.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) file: File,
    pub(super) origins: BTreeMap<String, (String, Origin, usize)>,
    /// Where each value stands, and each target's heading.
    pub(super) places: BTreeMap<String, Place>,
    pub(super) mistakes: Vec<Mistake>,
}

/// A file that was looked for, and what was found: its text, nothing, or a mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    origin: Origin,
    text: Result<Option<String>, Box<Mistake>>,
}

impl Layers {
    pub(super) fn of(files: &[Found]) -> Self {
        let mut layers = Self::default();
        for Found { origin, text } in files {
            match text {
                Ok(None) => {}
                Ok(Some(text)) => {
                    if let Some((path, _)) = place(origin) {
                        Reader { layers: &mut layers, origin, path, text }.read();
                    }
                }
                Err(mistake) => layers.mistakes.push(Mistake::clone(mistake)),
            }
        }
        layers
    }
}

/// The files as they are now, weakest first.
pub(super) fn look(env: &Env, named: Option<&Path>) -> Vec<Found> {
    let look = |origin: Origin| {
        let text = place(&origin).map_or(Ok(None), |(path, required)| read(path, required));
        Found { origin, text }
    };
    origins(env, named).into_iter().map(look).collect()
}

/// Where a layer's file stands, and whether it has to be there.
fn place(origin: &Origin) -> Option<(&Path, bool)> {
    match origin {
        Origin::Named(path) => Some((path, true)),
        Origin::Project(path) | Origin::System(path) | Origin::User(path) => Some((path, false)),
        Origin::Default | Origin::Environment(_) | Origin::Flag(_) => None,
    }
}

/// The paths of [`origins`].
pub(super) fn files(env: &Env, named: Option<&Path>) -> Vec<PathBuf> {
    origins(env, named).iter().filter_map(|origin| Some(place(origin)?.0.to_owned())).collect()
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
fn read(path: &Path, required: bool) -> Result<Option<String>, Box<Mistake>> {
    let fail = |what: &str| Box::new(Mistake::new(path, None, what, Concern::Configuration));
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return Err(fail(&format!("cannot be read: {error}"))),
    };
    let metadata = file.metadata().map_err(|error| fail(&format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(fail("is not a file"));
    }
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        let hint = "copy it, and name the copy with --config";
        return Err(Box::new(fail("belongs to another user, who could redirect your credentials").with_hint(Some(hint))));
    }
    if writable_by_others(metadata.mode(), metadata.uid(), metadata.gid()) {
        let hint = format!("chmod go-w {}", path.display());
        return Err(Box::new(fail("can be written by others, who could redirect your credentials").with_hint(Some(hint))));
    }
    let mut text = String::with_capacity(usize::try_from(metadata.len().min(CEILING)).unwrap_or_default() + 1);
    match file.take(CEILING + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > CEILING => Err(fail("is larger than 1 MiB")),
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(fail(&format!("is not readable text: {error}"))),
    }
}

/// A group numbered as its owner is the owner's private one, which is why so many systems create files as 0664.
pub(super) fn writable_by_others(mode: u32, uid: u32, gid: u32) -> bool {
    mode & 0o002 != 0 || (mode & 0o020 != 0 && uid != gid)
}
