//! One function for each format.

use super::{
    Format, Parts, Tls,
    quote::{self, percent},
};
use crate::error::{Error, Result};

pub(super) fn render(format: Format, parts: Parts<'_>) -> Result<String> {
    refuse_control(format, &parts)?;
    match format {
        // Airflow splits the URI and decodes each part ("Managing Connections", URI format).
        Format::Airflow => Ok(uri("postgres", &parts)),
        Format::Dbt => Ok(dbt(&parts)),
        Format::Dotnet => Ok(dotnet(&parts)),
        Format::Env => Ok(env(&parts)),
        Format::Jdbc => Ok(jdbc("redshift", &parts)),
        Format::JdbcPostgresql => Ok(jdbc("postgresql", &parts)),
        Format::Keyword => Ok(keyword(&parts)),
        Format::Odbc => odbc(&parts),
        Format::PgService => pg_service(&parts),
        Format::Pgpass => Ok(pgpass(&parts)),
        Format::Sqlalchemy => Ok(uri("redshift+psycopg2", &parts)),
        Format::Uri => Ok(uri("postgresql", &parts)),
    }
}

/// No name, host or password of AWS holds a control character, and most formats could not carry one.
fn refuse_control(format: Format, parts: &Parts<'_>) -> Result<()> {
    let ca_file = parts.tls.and_then(|tls| tls.ca_file).unwrap_or_default();
    let values = [parts.host, parts.address.unwrap_or_default(), parts.database, parts.user, parts.password.unwrap_or_default(), ca_file];
    if values.iter().any(|value| value.chars().any(char::is_control)) {
        return Err(Error::config(format!("a value holds a control character, which the format {format} cannot carry")));
    }
    Ok(())
}

impl<'a> Parts<'a> {
    /// libpq's words for TLS.
    fn sslmode(&self) -> &'static str {
        if self.tls.is_some() { "verify-full" } else { "disable" }
    }

    fn ca_file(&self) -> Option<&'a str> {
        self.tls.and_then(|Tls { ca_file }| ca_file)
    }
}

fn uri(scheme: &str, parts: &Parts<'_>) -> String {
    let password = parts.password.map(|password| format!(":{}", percent(password))).unwrap_or_default();
    let parameter = |name: &str, value: Option<&str>| value.map(|value| format!("&{name}={}", percent(value))).unwrap_or_default();
    format!(
        "{scheme}://{}{password}@{}:{}/{}?sslmode={}{}{}",
        percent(parts.user),
        quote::uri_host(parts.host),
        parts.port,
        quote::path(parts.database),
        parts.sslmode(),
        parameter("sslrootcert", parts.ca_file()),
        parameter("hostaddr", parts.address)
    )
}

/// Both drivers decode parameters as HTML forms do, so nothing but unreserved characters stays as it is.
fn jdbc(subprotocol: &str, parts: &Parts<'_>) -> String {
    let mut url = format!(
        "jdbc:{subprotocol}://{}:{}/{}?user={}",
        quote::uri_host(parts.host),
        parts.port,
        percent(parts.database),
        percent(parts.user)
    );
    if let Some(password) = parts.password {
        url.push_str(&format!("&password={}", percent(password)));
    }
    match parts.tls {
        Some(Tls { ca_file }) => {
            url.push_str("&ssl=true&sslmode=verify-full");
            match ca_file {
                Some(path) => url.push_str(&format!("&sslrootcert={}", percent(path))),
                // pgJDBC would look for ~/.postgresql/root.crt; this is Java's own trust store, as Amazon's driver has it.
                None if subprotocol == "postgresql" => url.push_str("&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory"),
                None => {}
            }
        }
        None if subprotocol == "redshift" => url.push_str("&ssl=false"),
        None => url.push_str("&sslmode=disable"),
    }
    url
}

fn keyword(parts: &Parts<'_>) -> String {
    let port = parts.port.to_string();
    join(&keywords(parts, &port), " ", |name, value| format!("{name}={}", quote::keyword(value)))
}

/// libpq's keywords and their values.
fn keywords<'a>(parts: &Parts<'a>, port: &'a str) -> [(&'static str, Option<&'a str>); 8] {
    [
        ("host", Some(parts.host)),
        ("hostaddr", parts.address),
        ("port", Some(port)),
        ("dbname", Some(parts.database)),
        ("user", Some(parts.user)),
        ("password", parts.password),
        ("sslmode", Some(parts.sslmode())),
        ("sslrootcert", parts.ca_file()),
    ]
}

fn odbc(parts: &Parts<'_>) -> Result<String> {
    // psqlODBC and Amazon's driver share these keys but for the CA file, which psqlODBC takes from its own place.
    let port = parts.port.to_string();
    let mut text = "Driver={Amazon Redshift ODBC Driver (x64)}".to_owned();
    for (name, value) in [
        ("Server", Some(parts.host)),
        ("Port", Some(port.as_str())),
        ("Database", Some(parts.database)),
        ("UID", Some(parts.user)),
        ("SSLMode", Some(parts.sslmode())),
        ("CaFile", parts.ca_file()),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(";{name}={}", quote::odbc_plain(value)?));
        }
    }
    if let Some(password) = parts.password {
        text.push_str(&format!(";PWD={}", quote::odbc(password)));
    }
    Ok(text)
}

fn dotnet(parts: &Parts<'_>) -> String {
    let port = parts.port.to_string();
    let mode = if parts.tls.is_some() { "VerifyFull" } else { "Disable" };
    let pairs = [
        ("Host", Some(parts.host)),
        ("Port", Some(port.as_str())),
        ("Database", Some(parts.database)),
        ("Username", Some(parts.user)),
        ("Password", parts.password),
        ("SSL Mode", Some(mode)),
        ("Root Certificate", parts.ca_file()),
        // Redshift lacks the types that Npgsql loads by default.
        ("Server Compatibility Mode", Some("Redshift")),
    ];
    join(&pairs, ";", |name, value| format!("{name}={}", quote::dotnet(value)))
}

fn env(parts: &Parts<'_>) -> String {
    let port = parts.port.to_string();
    let pairs = [
        ("PGHOST", Some(parts.host)),
        ("PGHOSTADDR", parts.address),
        ("PGPORT", Some(port.as_str())),
        ("PGDATABASE", Some(parts.database)),
        ("PGUSER", Some(parts.user)),
        ("PGPASSWORD", parts.password),
        ("PGSSLMODE", Some(parts.sslmode())),
        ("PGSSLROOTCERT", parts.ca_file()),
    ];
    join(&pairs, "\n", |name, value| format!("export {name}={}", quote::shell(value)))
}

/// Through a proxy there is no password to write, and any will do.
fn pgpass(parts: &Parts<'_>) -> String {
    let port = parts.port.to_string();
    let fields = [parts.host, &port, parts.database, parts.user, parts.password.unwrap_or("proxy")];
    fields.map(quote::pgpass).join(":")
}

fn pg_service(parts: &Parts<'_>) -> Result<String> {
    let port = parts.port.to_string();
    let name: String = parts.name.chars().map(|char| if matches!(char, '[' | ']' | '/' | ':' | '@') { '_' } else { char }).collect();
    let mut lines = vec![format!("[{name}]")];
    for (key, value) in keywords(parts, &port) {
        if let Some(value) = value {
            lines.push(format!("{key}={}", quote::service(value)?));
        }
    }
    Ok(lines.join("\n"))
}

/// `method: database` of dbt-redshift, as one output of a profile. It has no key for a CA file, but OpenSSL beneath it reads a
/// variable, which a comment names.
fn dbt(parts: &Parts<'_>) -> String {
    let password = parts.password.unwrap_or("proxy");
    let ca_file = parts.ca_file().map(|path| format!("# run dbt with SSL_CERT_FILE={}\n", quote::shell(path))).unwrap_or_default();
    format!(
        "{ca_file}type: redshift\nmethod: database\nhost: {}\nport: {}\nuser: {}\npassword: {}\ndbname: {}\nschema: public\nsslmode: {}",
        quote::yaml(parts.host),
        parts.port,
        quote::yaml(parts.user),
        quote::yaml(password),
        quote::yaml(parts.database),
        parts.sslmode(),
    )
}

fn join(pairs: &[(&str, Option<&str>)], separator: &str, write: impl Fn(&str, &str) -> String) -> String {
    let written: Vec<String> = pairs.iter().filter_map(|(name, value)| Some(write(name, (*value)?))).collect();
    written.join(separator)
}
