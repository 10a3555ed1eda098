//! What can go wrong, named after what the caller should do next.
//!
//! [`ErrorKind`] decides the exit code, the SQLSTATE that a client of the proxy sees and the Python exception;
//! each of those tables matches it without a wildcard. The message is one line that names what happened, the
//! hint says what to do, and the two travel apart so that logs stay short.

use std::{error::Error as StdError, fmt, sync::Arc};

/// The result of everything fallible here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is. A new kind needs a row in every table that matches it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[allow(clippy::exhaustive_enums)]
pub enum ErrorKind {
    /// The program that was to be run is not installed.
    ClientMissing,
    /// A name, option or file is wrong; trying again changes nothing.
    Config,
    /// AWS knows who asks and says no.
    Denied,
    /// The AWS identity was there and has run out.
    IdentityExpired,
    /// The warehouse refused the login.
    LoginRefused,
    /// No AWS identity was found.
    NoIdentity,
    /// The cluster, workgroup or configured target does not exist.
    NoSuchTarget,
    /// AWS asks to slow down; try again later.
    Throttled,
    /// Something that should not happen.
    Unexpected,
    /// AWS or the warehouse could not be reached; try again later.
    Unreachable,
}

impl ErrorKind {
    /// Every kind, by name.
    pub const ALL: [Self; 10] = [
        Self::ClientMissing,
        Self::Config,
        Self::Denied,
        Self::IdentityExpired,
        Self::LoginRefused,
        Self::NoIdentity,
        Self::NoSuchTarget,
        Self::Throttled,
        Self::Unexpected,
        Self::Unreachable,
    ];

    /// The stable name that `--json` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientMissing => "client_missing",
            Self::Config => "config",
            Self::Denied => "denied",
            Self::IdentityExpired => "identity_expired",
            Self::LoginRefused => "login_refused",
            Self::NoIdentity => "no_identity",
            Self::NoSuchTarget => "no_such_target",
            Self::Throttled => "throttled",
            Self::Unexpected => "unexpected",
            Self::Unreachable => "unreachable",
        }
    }

    /// The kind of this stable name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the same call may succeed later with nothing changed.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable)
    }
}

/// One failure: kind, target, message, hint and cause. Cheap to clone, so that waiters can share it.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    target: Option<String>,
    message: String,
    hint: Option<String>,
    sqlstate: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`; `message` is one line without a trailing period and holds no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, target: None, message: message.into(), hint: None, sqlstate: None, source: None }))
    }

    /// Shorthand for [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Says what to do next. May have several lines.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the target, unless one is named already.
    #[must_use]
    pub fn with_target(mut self, target: &str) -> Self {
        self.0.target.get_or_insert_with(|| target.to_owned());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Keeps the SQLSTATE that the warehouse sent.
    #[must_use]
    pub fn with_sqlstate(mut self, sqlstate: impl Into<String>) -> Self {
        self.0.sqlstate = Some(sqlstate.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, in one line, without the target.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The target's label, when the failure concerns one.
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The warehouse's SQLSTATE, when the warehouse said no.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.target {
            Some(target) => write!(f, "{target}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
