//! Failures as a PostgreSQL client sees them: a SQLSTATE that its driver acts on, the message, and the hint. What the
//! warehouse itself said passes as it came.

use std::error::Error as _;

use shiftkey::{Error, ErrorKind, dial::Refused};
use shiftkey_wire::{
    backend::Backend,
    error_fields::{ErrorFields, sqlstate},
};

use crate::admit::Refusal;

/// The SQLSTATE of a failure that is ours. The warehouse's own refusals keep theirs.
pub fn sqlstate(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ClientMissing | ErrorKind::Unexpected => sqlstate::INTERNAL,
        ErrorKind::Config => sqlstate::INVALID_PARAMETER,
        ErrorKind::Denied => sqlstate::INSUFFICIENT_PRIVILEGE,
        ErrorKind::IdentityExpired | ErrorKind::LoginRefused | ErrorKind::NoIdentity => sqlstate::INVALID_AUTHORIZATION,
        ErrorKind::NoSuchTarget => sqlstate::INVALID_CATALOG,
        ErrorKind::Throttled => sqlstate::TOO_MANY_CONNECTIONS,
        ErrorKind::Unreachable => sqlstate::CANNOT_CONNECT,
    }
}

/// What a client is told of an error of ours.
pub fn fields(error: &Error) -> ErrorFields {
    let code = error.sqlstate().unwrap_or_else(|| sqlstate(error.kind()));
    ErrorFields { hint: error.hint().map(str::to_owned), ..ErrorFields::fatal(code, format!("shiftkey: {error}")) }
}

/// The bytes of an `ErrorResponse` that ends the client's connection: the warehouse's own where it refused the login.
pub fn response(error: &Error) -> Vec<u8> {
    match error.source().and_then(|source| source.downcast_ref::<Refused>()) {
        Some(Refused(bytes)) if !bytes.is_empty() => bytes.clone(),
        _ => encode(fields(error)),
    }
}

/// The bytes of an `ErrorResponse`.
pub(crate) fn encode(fields: ErrorFields) -> Vec<u8> {
    let mut bytes = Vec::new();
    Backend::Error(fields).encode(&mut bytes);
    bytes
}

/// What a process of another user is told.
pub(crate) fn stranger(refusal: &Refusal) -> ErrorFields {
    let hint = "every user of this machine runs a proxy of their own; its owner can admit others with --allow-uid";
    ErrorFields { hint: Some(hint.to_owned()), ..ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, format!("shiftkey: {refusal}")) }
}

/// What a client is told when the proxy is full.
pub(crate) fn full(limit: usize) -> ErrorFields {
    let message = format!("shiftkey: the proxy has {limit} sessions, which is its limit");
    let hint = "close some, or start the proxy with a higher --max-sessions";
    ErrorFields { hint: Some(hint.to_owned()), ..ErrorFields::fatal(sqlstate::TOO_MANY_CONNECTIONS, message) }
}

/// What a client without TLS is told where there must be some.
pub(crate) fn unencrypted() -> ErrorFields {
    let fields = ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, "shiftkey: this address takes clients with TLS alone");
    ErrorFields { hint: Some("set sslmode=verify-full, or require".to_owned()), ..fields }
}

/// What a session's client is told when the proxy ends before it does.
pub(crate) fn cut() -> ErrorFields {
    ErrorFields::fatal(sqlstate::ADMIN_SHUTDOWN, "shiftkey: the connection is cut, since the proxy was told to stop")
}

/// What a session's client is told when the warehouse leaves it without a word.
pub(crate) fn lost() -> ErrorFields {
    let fields = ErrorFields::fatal(sqlstate::CONNECTION_FAILURE, "shiftkey: the connection to the warehouse is lost");
    ErrorFields { hint: Some("connect again".to_owned()), ..fields }
}

/// What a client is told when signing in took too long.
pub(crate) fn late(what: &str) -> ErrorFields {
    ErrorFields::fatal(sqlstate::CANNOT_CONNECT, format!("shiftkey: {what} in time"))
}

#[cfg(test)]
mod tests {
    use shiftkey_wire::frame;

    use super::*;

    #[test]
    fn a_client_is_told_code_message_and_hint() {
        let error = Error::new(ErrorKind::Denied, "AWS says no").with_target("prod/analytics").with_hint("ask for a policy");
        let bytes = response(&error);
        let (frame, _) = frame::parse(&bytes, frame::SIGN_IN_CEILING).unwrap().unwrap();
        let Ok(Backend::Error(fields)) = Backend::parse(frame) else { panic!("an error was expected") };
        assert_eq!((fields.severity.as_str(), fields.code.as_str()), ("FATAL", "42501"));
        assert_eq!(fields.message, "shiftkey: prod/analytics: AWS says no");
        assert_eq!(fields.hint.as_deref(), Some("ask for a policy"));
    }

    #[test]
    fn the_warehouses_own_code_and_words_are_kept() {
        let error = Error::new(ErrorKind::LoginRefused, "no").with_sqlstate("28P01");
        assert!(response(&error).windows(6).any(|window| window == b"C28P01"));
        let verbatim = error.with_source(Refused(b"E\0\0\0\x05\0".to_vec()));
        assert_eq!(response(&verbatim), b"E\0\0\0\x05\0");
    }
}
