//! What is wrong in the configuration files: all of it, each with its place, so that one run is enough to correct it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// One mistake in a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; absent when the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    pub(super) concern: Concern,
    /// The value that is wrong, as [`super::Setting::key`] writes it: a later layer or a flag may set it right.
    pub(super) key: Option<String>,
    /// Whether a layer above did.
    pub(super) settled: bool,
}

/// What cannot be used until a mistake is corrected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Concern {
    /// The whole configuration: a file could not be read or parsed.
    Configuration,
    /// Every target: the mistake may have been meant for any.
    Targets,
    /// The targets of one environment.
    Environment(String),
    /// One target.
    Target(String),
}

impl Mistake {
    pub(super) fn new(file: &Path, line: Option<usize>, message: impl Into<String>, concern: Concern) -> Self {
        // One line, whatever the parser or the file says.
        let message = message.into().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        Self { file: file.to_owned(), line, message, hint: None, concern, key: None, settled: false }
    }

    pub(super) fn with_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// Whether a target cannot be used because of this; `corrected` says which options the caller sets anew.
    pub(super) fn stops(&self, target: &str, corrected: impl Fn(&str) -> bool) -> bool {
        let concerned = match &self.concern {
            Concern::Configuration | Concern::Targets => true,
            Concern::Environment(name) => target.split_once('/').is_some_and(|(environment, _)| environment == name),
            Concern::Target(name) => target == name,
        };
        concerned && !self.settled && !self.key.as_deref().and_then(|key| key.rsplit('.').next()).is_some_and(corrected)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// All of them as one error; `None` when there are none.
pub(super) fn error(mistakes: &[Mistake]) -> Option<Error> {
    match mistakes {
        [] => None,
        [only] => {
            let error = Error::config(only.to_string());
            Some(match &only.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        many => {
            let mut lines = vec!["correct each of these:".to_owned()];
            for mistake in many {
                lines.push(match &mistake.hint {
                    Some(hint) => format!("{mistake}; {hint}"),
                    None => mistake.to_string(),
                });
            }
            Some(Error::config(format!("the configuration has {} mistakes", many.len())).with_hint(lines.join("\n")))
        }
    }
}
