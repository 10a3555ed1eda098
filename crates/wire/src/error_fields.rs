//! The fields of `ErrorResponse` and `NoticeResponse`, and the SQLSTATEs that this product speaks of.

use crate::{WireError, frame, read::Body};

/// SQLSTATEs (PostgreSQL documentation, appendix "PostgreSQL Error Codes").
pub mod sqlstate {
    /// The client cannot establish the connection.
    pub const CANNOT_CONNECT: &str = "08001";
    /// The server rejected the connection.
    pub const REJECTED: &str = "08004";
    /// The connection failed.
    pub const CONNECTION_FAILURE: &str = "08006";
    /// Protocol violation.
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    /// Feature not supported.
    pub const NOT_SUPPORTED: &str = "0A000";
    /// Invalid parameter value.
    pub const INVALID_PARAMETER: &str = "22023";
    /// Invalid authorization specification.
    pub const INVALID_AUTHORIZATION: &str = "28000";
    /// Invalid password.
    pub const INVALID_PASSWORD: &str = "28P01";
    /// No such database.
    pub const INVALID_CATALOG: &str = "3D000";
    /// Insufficient privilege.
    pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
    /// Syntax error.
    pub const SYNTAX_ERROR: &str = "42601";
    /// Undefined object; Redshift sends it for a database user that does not exist.
    pub const UNDEFINED_OBJECT: &str = "42704";
    /// No such table.
    pub const UNDEFINED_TABLE: &str = "42P01";
    /// Too many connections.
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    /// Query cancelled.
    pub const QUERY_CANCELED: &str = "57014";
    /// The server is shutting down.
    pub const ADMIN_SHUTDOWN: &str = "57P01";
    /// Internal error.
    pub const INTERNAL: &str = "XX000";
}

/// What an error or a notice says. Further fields are dropped; who relays passes the bytes instead.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ErrorFields {
    /// `ERROR`, `FATAL`, `NOTICE`, ...
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// One line.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl ErrorFields {
    /// An error that ends the connection.
    pub fn fatal(code: &str, message: impl Into<String>) -> Self {
        Self { severity: "FATAL".into(), code: code.into(), message: message.into(), ..Self::default() }
    }

    pub(crate) fn parse(body: &mut Body<'_>) -> Result<Self, WireError> {
        let mut fields = Self::default();
        loop {
            match body.u8()? {
                0 => break,
                b'S' => fields.severity = body.text()?,
                b'C' => fields.code = body.text()?,
                b'M' => fields.message = body.text()?,
                b'D' => fields.detail = Some(body.text()?),
                b'H' => fields.hint = Some(body.text()?),
                _ => drop(body.cstr()?),
            }
        }
        Ok(fields)
    }

    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        let fixed = [(b'S', &self.severity), (b'V', &self.severity), (b'C', &self.code), (b'M', &self.message)];
        let optional = [(b'D', &self.detail), (b'H', &self.hint)];
        let fields = fixed.into_iter().chain(optional.into_iter().filter_map(|(tag, text)| Some((tag, text.as_ref()?))));
        for (tag, text) in fields {
            body.push(tag);
            frame::put_cstr(body, text.as_bytes());
        }
        body.push(0);
    }
}
