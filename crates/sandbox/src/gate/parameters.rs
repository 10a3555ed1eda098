//! Startup parameters and parameter statuses: what Redshift takes and says, and what PostgreSQL does.

use shiftkey_wire::error_fields::{ErrorFields, sqlstate};
use shiftkey_wire::startup::StartupMessage;

/// Sent by the AWS drivers; they fill Redshift's connection log and PostgreSQL does not know them.
const OF_DRIVERS: [&str; 11] = [
    "client_protocol_version",
    "driver_version",
    "os_version",
    "driver_discovery_version",
    "plugin_name",
    "idp_type",
    "identity_namespace",
    "token_type",
    "idc_client_display_name",
    "provider_name",
    "query_group",
];

/// Taken by both. Names of settings are compared without regard to case.
const COMMON: [&str; 9] =
    ["user", "database", "application_name", "client_encoding", "datestyle", "timezone", "options", "search_path", "statement_timeout"];

/// What the engine is to get, or what Redshift says to these parameters. Redshift rejects settings that PostgreSQL takes,
/// `IntervalStyle` and `standard_conforming_strings` among them, and `extra_float_digits` beyond 2.
pub(super) fn for_engine(startup: &StartupMessage, user: &str, database: &str) -> Result<StartupMessage, ErrorFields> {
    let mut kept = StartupMessage { minor: 0, parameters: Vec::new() };
    for (name, value) in &startup.parameters {
        let name = String::from_utf8_lossy(name).into_owned();
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("_pq_.") || OF_DRIVERS.contains(&lower.as_str()) {
            continue;
        }
        if lower == "extra_float_digits" {
            check_float_digits(value)?;
        } else if !COMMON.contains(&lower.as_str()) {
            let message = format!("unrecognized configuration parameter \"{name}\"");
            return Err(ErrorFields::fatal(sqlstate::UNDEFINED_OBJECT, message));
        }
        kept.parameters.push((name.into_bytes(), value.clone()));
    }
    kept.set("user", user);
    kept.set("database", database);
    Ok(kept)
}

/// What Redshift would say instead of this status; `None` for nothing.
pub(super) fn of_redshift(name: String, value: String) -> Option<(String, String)> {
    Some(match name.as_str() {
        "server_version" => (name, "8.0.2".to_owned()),
        "server_encoding" => (name, "UNICODE".to_owned()),
        "DateStyle" => ("datestyle".to_owned(), value),
        "application_name" | "client_encoding" | "integer_datetimes" | "is_superuser" | "session_authorization" | "TimeZone" => {
            (name, value)
        }
        _ => return None,
    })
}

/// Statuses that only Redshift sends. Clients recognise it by `padb_revision`.
pub(super) const OWN: [(&str, &str); 5] = [
    ("padb_version", "1.0.77467"),
    ("padb_revision", "77467"),
    ("max_numeric_precision", "38"),
    ("max_varchar_size", "65535"),
    ("datashare_enabled", "on"),
];

fn check_float_digits(value: &[u8]) -> Result<(), ErrorFields> {
    let digits = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i32>().ok());
    if digits.is_some_and(|digits| (-15..=2).contains(&digits)) {
        return Ok(());
    }
    let value = String::from_utf8_lossy(value);
    let message = format!("{value} is outside the valid range for parameter \"extra_float_digits\" (-15 .. 2)");
    Err(ErrorFields::fatal(sqlstate::INVALID_PARAMETER, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_kept_dropped_or_refused_as_redshift_does() {
        for (name, value, expected) in [
            ("application_name", "x", Ok(true)),
            ("DateStyle", "ISO", Ok(true)),
            ("extra_float_digits", "2", Ok(true)),
            ("client_protocol_version", "2", Ok(false)),
            ("_pq_.compression", "lz4", Ok(false)),
            ("extra_float_digits", "3", Err("22023")),
            ("extra_float_digits", "many", Err("22023")),
            ("IntervalStyle", "iso_8601", Err("42704")),
            ("standard_conforming_strings", "on", Err("42704")),
            ("replication", "true", Err("42704")),
        ] {
            let startup = StartupMessage::new([("user", "IAM:bob"), (name, value)]);
            let kept = for_engine(&startup, "bob", "dev");
            let outcome = kept.as_ref().map(|kept| kept.get(name).is_some()).map_err(|error| error.code.as_str());
            assert_eq!(outcome, expected, "{name}={value}");
            if let Ok(kept) = kept {
                assert_eq!((kept.get("user"), kept.get("database")), (Some("bob"), Some("dev")));
            }
        }
    }
}
