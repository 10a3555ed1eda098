//! Our errors as a PostgreSQL client sees them: a SQLSTATE that its driver acts on, the message, and the hint.

use shiftkey::{Error, ErrorKind};
use shiftkey_wire::{
    backend::Backend,
    error_fields::{ErrorFields, sqlstate},
};

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

/// The bytes of an `ErrorResponse` that ends the client's connection.
pub fn response(error: &Error) -> Vec<u8> {
    let code = error.sqlstate().unwrap_or_else(|| sqlstate(error.kind()));
    let fields = ErrorFields { hint: error.hint().map(str::to_owned), ..ErrorFields::fatal(code, format!("shiftkey: {error}")) };
    let mut bytes = Vec::new();
    Backend::Error(fields).encode(&mut bytes);
    bytes
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
    fn the_warehouses_own_code_is_kept() {
        let error = Error::new(ErrorKind::LoginRefused, "no").with_sqlstate("28P01");
        assert!(response(&error).windows(6).any(|window| window == b"C28P01"));
    }
}
