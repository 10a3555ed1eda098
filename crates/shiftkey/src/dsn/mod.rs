//! Connection strings: one [`Login`] in the syntax of each client. No IO.
//!
//! Passwords hold `/ + =` and may hold anything; users hold a colon. So each format quotes by its own documented rule, and
//! what a format cannot carry is an error, never a broken string.

mod quote;
mod render;

use std::{fmt, str::FromStr};

use crate::{
    credential::Login,
    error::{Error, Result},
    secret::Secret,
};

/// The syntaxes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// `AIRFLOW_CONN_...` as a URI.
    Airflow,
    /// A `profiles.yml` output of dbt-redshift.
    Dbt,
    /// Npgsql.
    Dotnet,
    /// `export PGHOST=...` for a POSIX shell.
    Env,
    /// Amazon Redshift JDBC driver.
    Jdbc,
    /// pgJDBC.
    JdbcPostgresql,
    /// libpq's `keyword=value`.
    Keyword,
    /// Amazon Redshift ODBC driver and psqlODBC.
    Odbc,
    /// A section of `pg_service.conf`.
    PgService,
    /// A line of `.pgpass`.
    Pgpass,
    /// SQLAlchemy with psycopg2.
    Sqlalchemy,
    /// libpq's URI.
    Uri,
}

impl Format {
    /// All of them, in the order that help shows.
    pub const ALL: [Self; 12] = [
        Self::Jdbc,
        Self::JdbcPostgresql,
        Self::Odbc,
        Self::Uri,
        Self::Keyword,
        Self::Sqlalchemy,
        Self::Dotnet,
        Self::Env,
        Self::Pgpass,
        Self::PgService,
        Self::Dbt,
        Self::Airflow,
    ];

    /// The name that `--format` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Airflow => "airflow",
            Self::Dbt => "dbt",
            Self::Dotnet => "dotnet",
            Self::Env => "env",
            Self::Jdbc => "jdbc",
            Self::JdbcPostgresql => "jdbc-postgresql",
            Self::Keyword => "keyword",
            Self::Odbc => "odbc",
            Self::PgService => "pg-service",
            Self::Pgpass => "pgpass",
            Self::Sqlalchemy => "sqlalchemy",
            Self::Uri => "uri",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
            Error::config(format!("'{text}' is not a format")).with_hint(format!("formats: {}", names.join(", ")))
        })
    }
}

/// What a connection string is made of.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    /// A name for what needs one: the section of a service file.
    name: &'a str,
    host: &'a str,
    port: u16,
    database: &'a str,
    user: &'a str,
    /// Absent through a proxy.
    password: Option<&'a str>,
    /// TLS and how: absent through a proxy on this machine.
    tls: Option<Tls<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Tls<'a> {
    /// A CA file instead of the client's own anchors.
    ca_file: Option<&'a str>,
}

/// Where a proxy listens and what to say to it.
#[derive(Clone, Copy, Debug)]
pub struct ViaProxy<'a> {
    /// A loopback address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database to ask for.
    pub database: &'a str,
    /// A user's name; the proxy replaces it.
    pub user: &'a str,
    /// The target's label.
    pub target: &'a str,
}

/// The string, password and all.
///
/// # Errors
/// `Config` when a value holds what the format cannot carry.
pub fn render(format: Format, login: &Login) -> Result<Secret> {
    with_password(format, login, login.credential.password.expose()).map(Secret::new)
}

/// The string with the password as stars: for people's eyes.
///
/// # Errors
/// As [`render`].
pub fn render_masked(format: Format, login: &Login) -> Result<String> {
    // The mark is made of characters that no format quotes, and only then becomes stars.
    const MARK: &str = "masked-password-here";
    Ok(with_password(format, login, MARK)?.replace(MARK, "********"))
}

/// The string for a proxy: without a password, and without TLS, since it does not leave the machine.
///
/// # Errors
/// As [`render`].
pub fn render_via_proxy(format: Format, proxy: ViaProxy<'_>) -> Result<String> {
    let ViaProxy { host, port, database, user, target } = proxy;
    render::render(format, Parts { name: target, host, port, database, user, password: None, tls: None })
}

fn with_password(format: Format, login: &Login, password: &str) -> Result<String> {
    let ca_file = match &login.ca_file {
        None => None,
        Some(path) => Some(path.to_str().ok_or_else(|| Error::config("the CA file's path is not UTF-8"))?),
    };
    let parts = Parts {
        name: &login.target,
        host: &login.endpoint.host,
        port: login.endpoint.port,
        database: &login.database,
        user: &login.credential.db_user,
        password: Some(password),
        tls: Some(Tls { ca_file }),
    };
    render::render(format, parts).map_err(|error| error.with_target(&login.target))
}

#[cfg(test)]
mod tests;
