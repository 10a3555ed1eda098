//! Connection strings: one [`Login`] in the syntax of each client. No IO, but that [`trusting`] looks where the system's anchors stand.
//!
//! Passwords hold `/ + =` and may hold anything; users hold a colon. So each format quotes by its own documented rule, and
//! what a format cannot carry is an error, never a broken string: a name to verify that is not the host dialled, say, which
//! libpq alone can express. What is left out without harm is said in `docs/connection-strings.md`.

mod quote;
mod render;

use std::{fmt, path::Path, str::FromStr};

use crate::{
    credential::Login,
    env::Env,
    error::{Error, Result},
    secret::Secret,
    trust,
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
    /// SQLAlchemy with sqlalchemy-redshift and psycopg2. (SQLAlchemy's own PostgreSQL dialect asks Redshift for a setting that
    /// it does not have.)
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

    /// Whether its clients are libpq at heart: they verify one name and may dial another address, and they trust no
    /// certificate unless a CA file is named.
    pub fn is_libpq(self) -> bool {
        match self {
            Self::Airflow | Self::Env | Self::Keyword | Self::PgService | Self::Sqlalchemy | Self::Uri => true,
            Self::Dbt | Self::Dotnet | Self::Jdbc | Self::JdbcPostgresql | Self::Odbc | Self::Pgpass => false,
        }
    }

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
    /// What libpq dials instead of the host.
    address: Option<&'a str>,
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

/// What libpq verifies and what it dials: the values of `host` and, when that is not enough, of `hostaddr`.
///
/// # Errors
/// `Config` when a name is to be verified that is not the host's, and the host is not an IP address.
pub fn libpq_address(login: &Login) -> Result<(&str, Option<&str>)> {
    let host = login.endpoint.host.as_str();
    match verified_name(login) {
        None => Ok((host, None)),
        Some(name) if host.parse::<std::net::IpAddr>().is_ok() => Ok((name, Some(host))),
        Some(name) if host == "localhost" => Ok((name, Some("127.0.0.1"))),
        Some(name) => Err(Error::config(format!("libpq cannot dial '{host}' by its name and verify the name '{name}'"))
            .with_hint(format!("pass --host with the IP address of {host}"))),
    }
}

/// The name to verify, unless it is the host's anyway: DNS knows neither case nor a dot at the end.
fn verified_name(login: &Login) -> Option<&str> {
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    login.server_name.as_deref().filter(|name| plain(name) != plain(&login.endpoint.host))
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

/// `login` with the CA file that a client of `format` has to be told. libpq alone trusts nothing that is not named.
#[must_use]
pub fn trusting(format: Format, mut login: Login, env: &Env) -> Login {
    if format.is_libpq() {
        login.ca_file = trust::file(env, login.ca_file.as_deref()).map(Path::to_owned);
    }
    login
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
    let parts = Parts { name: target, host, address: None, port, database, user, password: None, tls: None };
    render::render(format, parts).map_err(|error| error.with_target(target))
}

fn with_password(format: Format, login: &Login, password: &str) -> Result<String> {
    let parts = || {
        let ca_file = match &login.ca_file {
            None => None,
            Some(path) => Some(path.to_str().ok_or_else(|| Error::config("the CA file's path is not UTF-8"))?),
        };
        let (host, address) = host(format, login)?;
        Ok(Parts {
            name: &login.target,
            host,
            address,
            port: login.endpoint.port,
            database: &login.database,
            user: &login.credential.db_user,
            password: Some(password),
            tls: Some(Tls { ca_file }),
        })
    };
    parts().and_then(|parts| render::render(format, parts)).map_err(|error: Error| error.with_target(&login.target))
}

/// The host that a format writes down, and the address beside it where the syntax has a place for one.
fn host(format: Format, login: &Login) -> Result<(&str, Option<&str>)> {
    let dialled = login.endpoint.host.as_str();
    match verified_name(login) {
        None => Ok((dialled, None)),
        _ if format.is_libpq() => libpq_address(login),
        // libpq looks a password up by `host`, the name that it verifies, wherever it dials.
        Some(name) if format == Format::Pgpass => Ok((name, None)),
        // JDBC and ODBC drivers, Npgsql and redshift_connector verify the name that they dial; none has a key for another.
        Some(name) => Err(Error::config(format!("the format {format} cannot say to dial '{dialled}' and verify the name '{name}'"))
            .with_hint(format!(
                "use `shiftkey connect` or `exec`, or a format of libpq; or let {name} lead to {dialled} (a line in /etc/hosts) and pass --host {name}"
            ))),
    }
}

#[cfg(test)]
mod tests;
