//! What answers SQL behind the gate. An engine trusts whoever reaches it, so it is reachable on a private channel only, and
//! the gate, which decides who signs in, relays bytes to it.

mod admin;
mod embedded;
mod postgres;

use std::{fmt, io, str::FromStr};

use shiftkey_wire::error_fields::{ErrorFields, sqlstate};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::catalog::Catalog;
use crate::world::{DbUser, WarehouseId, World};

/// Which engine answers SQL.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Engine {
    /// PostgreSQL where its binaries are installed, else the embedded engine.
    #[default]
    Auto,
    /// A running PostgreSQL that trusts this machine: `postgres://SUPERUSER@HOST:PORT`.
    Dsn(String),
    /// SQLite in this process: enough for the demo.
    Embedded,
    /// An ephemeral PostgreSQL for every warehouse that is used.
    Postgres,
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "embedded" => Ok(Self::Embedded),
            "postgres" => Ok(Self::Postgres),
            dsn if postgres::parse_dsn(dsn).is_some() => Ok(Self::Dsn(dsn.to_owned())),
            _ => Err("expected auto, postgres, embedded or postgres://SUPERUSER@HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Dsn(dsn) => dsn,
            Self::Embedded => "embedded",
            Self::Postgres => "postgres",
        })
    }
}

impl Engine {
    /// Whether PostgreSQL's server binaries are installed on this machine.
    pub fn postgres_is_installed() -> bool {
        postgres::binaries().is_some()
    }
}

/// A private channel to an engine.
pub(crate) trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

/// One warehouse's engine, running.
pub(crate) enum Running {
    Embedded(embedded::Server),
    Postgres(Box<postgres::Server>),
}

/// Who is about to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) user: DbUser,
    /// Memberships of this session on top of the user's own.
    pub(crate) groups: Vec<String>,
}

impl Running {
    /// Starts what `engine` says for one warehouse.
    pub(crate) async fn start(engine: &Engine, world: &World, id: &WarehouseId) -> io::Result<Self> {
        let warehouse = world.warehouse(id).ok_or_else(|| io::Error::other("there is no such warehouse"))?;
        let postgres = |server| Self::Postgres(Box::new(server));
        match engine {
            Engine::Auto if Engine::postgres_is_installed() => postgres::Server::spawn(&warehouse).await.map(postgres),
            Engine::Postgres => postgres::Server::spawn(&warehouse).await.map(postgres),
            Engine::Dsn(dsn) => postgres::Server::reach(dsn, &warehouse).await.map(postgres),
            Engine::Auto | Engine::Embedded => Ok(Self::Embedded(embedded::Server::new(world.clone(), id.clone()))),
        }
    }

    /// Makes the catalog hold the user and the session's memberships.
    pub(crate) async fn admit(&self, member: &Member) -> io::Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Postgres(server) => server.admit(member).await,
        }
    }

    /// Ends the session's memberships.
    pub(crate) async fn dismiss(&self, member: &Member) -> io::Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Postgres(server) => server.dismiss(member).await,
        }
    }

    /// Whether statements on the catalog must be put into the engine's words first.
    pub(crate) fn needs_interpreter(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// What to send instead of `sql`; `None` leaves it.
    pub(crate) async fn interpret(&self, catalog: &Catalog, sql: &str) -> Option<String> {
        match self {
            Self::Embedded(_) => None,
            Self::Postgres(server) => server.interpret(catalog, sql).await,
        }
    }

    /// Ends the transaction of a session whose statements were interpreted: its changes take effect, or are forgotten.
    pub(crate) async fn settle(&self, catalog: &Catalog, kept: bool) {
        if !kept {
            return catalog.roll_back();
        }
        let changes = catalog.commit();
        match self {
            Self::Postgres(server) if !changes.is_empty() => server.followed(&changes).await,
            Self::Embedded(_) | Self::Postgres(_) => {}
        }
    }

    /// A channel on which the engine expects a first packet and asks for no proof.
    pub(crate) async fn dial(&self) -> io::Result<Box<dyn Channel>> {
        match self {
            Self::Embedded(server) => server.dial(),
            Self::Postgres(server) => server.dial().await,
        }
    }

    /// Ends the engine.
    pub(crate) async fn stop(self) {
        match self {
            Self::Embedded(server) => server.stop().await,
            Self::Postgres(server) => server.stop().await,
        }
    }
}

/// What a client is told when the engine does not work.
pub(crate) fn unavailable(error: &io::Error) -> ErrorFields {
    ErrorFields::fatal(sqlstate::INTERNAL, format!("the sandbox's engine does not work: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_read_as_it_is_written() {
        for text in ["auto", "embedded", "postgres", "postgres://root@127.0.0.1:5432"] {
            assert_eq!(text.parse::<Engine>().unwrap().to_string(), text);
        }
        for text in ["", "sqlite", "postgres://", "postgres://host", "mysql://root@h:1"] {
            assert!(text.parse::<Engine>().is_err(), "{text}");
        }
    }
}
