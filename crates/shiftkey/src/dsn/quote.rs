//! The quoting rules, one function each.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};

/// RFC 3986 unreserved characters stay; all else is encoded. That serves every URI dialect here: Java's decoder reads a
/// bare `+` as a space, SQLAlchemy's does not.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encoding.
pub(super) fn percent(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// The path of a URI, where `+` and `@` are plain: node-postgres leaves them encoded, as SQLAlchemy 2.0 leaves all, and a
/// database's name may have them (and nothing else that is encoded).
pub(super) fn path(text: &str) -> String {
    const PLAIN: &AsciiSet = &UNRESERVED.remove(b'+').remove(b'@');
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A host in a URI: an IPv6 address in brackets.
pub(super) fn uri_host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// libpq keyword/value: quoted, with `\` before `\` and `'` (PostgreSQL documentation, "Connection Strings").
pub(super) fn keyword(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A POSIX shell word.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// An ODBC value: in braces, with `}` doubled (ODBC Programmer's Reference, "SQLDriverConnect", comments).
pub(super) fn odbc(text: &str) -> String {
    format!("{{{}}}", text.replace('}', "}}"))
}

/// An ODBC value other than the password, as it is: psqlODBC takes braces off passwords only, so what needs them is refused.
pub(super) fn odbc_plain(text: &str) -> Result<String> {
    if text.contains([';', '{', '}']) || text.trim() != text {
        return Err(Error::config("an ODBC string cannot hold a name with a semicolon, a brace or a space at an end"));
    }
    Ok(text.to_owned())
}

/// An ADO.NET value: in double quotes, with `"` doubled (.NET documentation, "DbConnectionStringBuilder").
pub(super) fn dotnet(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A YAML double-quoted scalar, which JSON's strings are.
pub(super) fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A field of `.pgpass`: `\` before `\` and `:` (PostgreSQL documentation, "The Password File").
pub(super) fn pgpass(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

/// A value of `pg_service.conf`, which has no quoting at all: the rest of the line, as it is.
pub(super) fn service(text: &str) -> Result<String> {
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(Error::config("a service file cannot hold a value that begins or ends with a space"));
    }
    Ok(text.to_owned())
}
