//! What a client asks for at startup, and what of it the warehouse is asked.

use shiftkey_wire::{
    backend::Backend,
    error_fields::{ErrorFields, sqlstate},
    startup::{StartupMessage, VERSION_3_0},
};

use crate::options::{self, Fate};

/// A client's startup message, read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked {
    /// Empty when it named none, as AWS's drivers do.
    pub(crate) user: String,
    /// `None` when it named none, or only repeated its user, as libpq does.
    pub(crate) database: Option<String>,
    pub(crate) application: String,
    /// For the warehouse, user and database left out.
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// What tells the client that it gets protocol 3.0, when it asked for more.
    pub(crate) negotiation: Option<Backend>,
}

/// Settings that PostgreSQL takes at startup and Amazon Redshift refuses: a client that insists on them could not sign in
/// at all (sqlx, Npgsql, skunk, SQLAlchemy).
const REFUSED: [&str; 4] = ["intervalstyle", "lc_monetary", "ssl_renegotiation_limit", "standard_conforming_strings"];

/// What Redshift takes for `extra_float_digits`; it answers 22023 to others.
const FLOAT_DIGITS: (i32, i32) = (-15, 2);

/// Reads a startup message.
///
/// # Errors
/// What the client is to be told when it asks for what cannot be: replication, or names that are not UTF-8.
pub(crate) fn read(startup: &StartupMessage) -> Result<Asked, ErrorFields> {
    let mut asked = Asked::default();
    let mut extensions = Vec::new();
    let mut database = String::new();
    for (name, value) in &startup.parameters {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        match lower.as_str() {
            "user" => asked.user = text("user", value)?,
            "database" => database = text("database", value)?,
            "replication" => refuse_replication(value)?,
            // Extensions change messages that are read here; Redshift would take them for settings that it does not have.
            _ if lower.starts_with("_pq_.") => extensions.push(String::from_utf8_lossy(name).into_owned()),
            "options" => asked.parameters.push((name.clone(), options::with(value, fate))),
            _ => {
                if lower == "application_name" {
                    asked.application = String::from_utf8_lossy(value).into_owned();
                }
                match fate(&lower, value) {
                    Fate::Kept => asked.parameters.push((name.clone(), value.clone())),
                    Fate::Changed(value) => asked.parameters.push((name.clone(), value)),
                    Fate::Dropped => {}
                }
            }
        }
    }
    asked.database = Some(database).filter(|database| !database.is_empty() && *database != asked.user);
    // Who speaks 3.0 is told nothing: not every driver that asks for an extension knows the answer.
    asked.negotiation = (startup.minor > 0).then_some(Backend::NegotiateProtocolVersion(VERSION_3_0, extensions));
    Ok(asked)
}

fn text(what: &str, value: &[u8]) -> Result<String, ErrorFields> {
    let wrong = |_| ErrorFields::fatal(sqlstate::PROTOCOL_VIOLATION, format!("shiftkey: the {what} is not UTF-8"));
    String::from_utf8(value.to_vec()).map_err(wrong)
}

/// PostgreSQL's words for no are let pass.
fn refuse_replication(value: &[u8]) -> Result<(), ErrorFields> {
    let value = value.to_ascii_lowercase();
    if [&b"0"[..], b"f", b"false", b"n", b"no", b"of", b"off", b""].contains(&value.as_slice()) {
        return Ok(());
    }
    let fields = ErrorFields::fatal(sqlstate::NOT_SUPPORTED, "shiftkey: a warehouse has no replication connections");
    let hint = "Amazon Redshift cannot be replicated from by PostgreSQL's protocol; leave `replication` out";
    Err(ErrorFields { hint: Some(hint.to_owned()), ..fields })
}

/// What becomes of a setting on its way to the warehouse.
fn fate(name: &str, value: &[u8]) -> Fate {
    if REFUSED.contains(&name) {
        return Fate::Dropped;
    }
    if name != "extra_float_digits" {
        return Fate::Kept;
    }
    let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i32>().ok());
    // What is no number is the warehouse's to judge.
    number.map_or(Fate::Kept, |number| Fate::Changed(number.clamp(FLOAT_DIGITS.0, FLOAT_DIGITS.1).to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let asked = read(&StartupMessage::new(pairs.iter().copied())).unwrap();
        asked.parameters.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn what_redshift_refuses_is_left_out_or_bounded_and_the_rest_is_untouched() {
        for (name, value, expected) in [
            ("extra_float_digits", "3", Some("2")),
            ("Extra_Float_Digits", "-20", Some("-15")),
            ("extra_float_digits", "2", Some("2")),
            ("extra_float_digits", "many", Some("many")),
            ("IntervalStyle", "iso_8601", None),
            ("intervalstyle", "postgres", None),
            ("lc_monetary", "C", None),
            ("ssl_renegotiation_limit", "0", None),
            ("standard_conforming_strings", "on", None),
            ("_pq_.compression", "lz4", None),
            ("_pq_.unknown", "1", None),
            ("replication", "off", None),
            ("driver_version", "Redshift JDBC", Some("Redshift JDBC")),
            ("client_protocol_version", "2", Some("2")),
            ("options", "-c x=1", Some("-c x=1")),
            ("options", "-c extra_float_digits=3 --IntervalStyle=iso_8601 -c x=1", Some("-c extra_float_digits=2 -c x=1")),
            ("options", "-cstandard_conforming_strings=on", Some("")),
            ("unknown_setting", "", Some("")),
        ] {
            let expected: Vec<_> = expected.map(|value| (name.to_owned(), value.to_owned())).into_iter().collect();
            assert_eq!(parameters(&[("user", "me"), (name, value), ("database", "dev")]), expected, "{name}");
        }
    }

    #[test]
    fn a_database_that_only_repeats_the_user_is_none() {
        let database = |pairs: &[(&str, &str)]| read(&StartupMessage::new(pairs.iter().copied())).unwrap().database;
        assert_eq!(database(&[("user", "me"), ("database", "me")]), None);
        assert_eq!(database(&[("database", "dev"), ("user", "me")]).as_deref(), Some("dev"));
        assert_eq!(database(&[("user", ""), ("database", "")]), None);
        assert_eq!(database(&[]), None);
    }

    #[test]
    fn newer_protocols_are_negotiated_down_and_extensions_named() {
        let startup = StartupMessage { minor: 2, ..StartupMessage::new([("user", "me"), ("_pq_.x", "1")]) };
        assert_eq!(read(&startup).unwrap().negotiation, Some(Backend::NegotiateProtocolVersion(3 << 16, vec!["_pq_.x".into()])));
        assert_eq!(read(&StartupMessage::new([("_pq_.x", "1")])).unwrap().negotiation, None);
    }

    #[test]
    fn replication_is_refused_clearly() {
        for value in ["true", "database", "1"] {
            let fields = read(&StartupMessage::new([("user", "me"), ("replication", value)])).unwrap_err();
            assert!(fields.code == "0A000" && fields.message.contains("replication") && fields.hint.is_some(), "{fields:?}");
        }
        let odd = StartupMessage { minor: 0, parameters: vec![(b"user".to_vec(), vec![0xff])] };
        assert_eq!(read(&odd).unwrap_err().code, "08P01");
    }
}
