//! What a server sends while signing in and in answer to a simple query.

use std::fmt;

use crate::{
    WireError,
    error_fields::ErrorFields,
    frame::{self, Frame},
    read::Body,
};

/// A server's message. Its `Debug` keeps the cancel key, parameters' values (Redshift's `driver_token` is a secret) and
/// rows to itself.
#[derive(Clone, Eq, PartialEq)]
pub enum Backend {
    /// `R`.
    Authentication(Authentication),
    /// `K`: process id and secret key, for cancelling.
    BackendKeyData {
        /// Process id.
        process_id: i32,
        /// Key.
        key: Vec<u8>,
    },
    /// `C`.
    CommandComplete(String),
    /// `D`: values as text; `None` is NULL.
    DataRow(Vec<Option<Vec<u8>>>),
    /// `I`.
    EmptyQueryResponse,
    /// `E`.
    Error(ErrorFields),
    /// `v`: newest version, the major one in the upper half (as servers send it and libpq reads it; the documentation knows the
    /// minor one alone), parameters that are not known.
    NegotiateProtocolVersion(i32, Vec<String>),
    /// `N`.
    Notice(ErrorFields),
    /// `S`.
    ParameterStatus(String, String),
    /// `Z`: `I`, `T` or `E`.
    ReadyForQuery(u8),
    /// `T`: the columns' names. Redshift's rows are longer than PostgreSQL's, so nothing more is read.
    RowDescription(Vec<String>),
    /// Anything else, by its tag.
    Other(u8),
}

/// A request for proof, or the word that it is enough.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authentication {
    /// 0.
    Ok,
    /// 3.
    Cleartext,
    /// 5, with its salt.
    Md5([u8; 4]),
    /// 10: the mechanisms on offer.
    Sasl(Vec<String>),
    /// 11.
    SaslContinue(Vec<u8>),
    /// 12.
    SaslFinal(Vec<u8>),
    /// 13 (Redshift): algorithm (0 is SHA-256), salt, the server's nonce.
    Digest {
        /// 0 is SHA-256.
        algorithm: i32,
        /// Salt of the stored hash.
        salt: Vec<u8>,
        /// The server's nonce.
        nonce: Vec<u8>,
    },
    /// Anything else; 14 is Redshift's request for an identity provider's token.
    Other(i32),
}

impl Backend {
    /// Reads one message.
    ///
    /// # Errors
    /// [`WireError::Malformed`] when a known message does not hold what it should.
    pub fn parse(frame: Frame<'_>) -> Result<Self, WireError> {
        let mut body = Body::new(frame.tag, frame.body);
        Ok(match frame.tag {
            b'R' => Self::Authentication(Authentication::parse(&mut body)?),
            b'K' => Self::BackendKeyData { process_id: body.i32()?, key: body.rest().to_vec() },
            b'C' => Self::CommandComplete(body.text()?),
            b'D' => Self::DataRow(row(&mut body)?),
            b'I' => Self::EmptyQueryResponse,
            b'E' => Self::Error(ErrorFields::parse(&mut body)?),
            b'N' => Self::Notice(ErrorFields::parse(&mut body)?),
            b'S' => Self::ParameterStatus(body.text()?, body.text()?),
            b'T' => Self::RowDescription(columns(&mut body)?),
            b'Z' => Self::ReadyForQuery(body.u8()?),
            b'v' => {
                let version = body.i32()?;
                let count = count(body.i32()?, &body)?;
                Self::NegotiateProtocolVersion(version, (0..count).map(|_| body.text()).collect::<Result<_, _>>()?)
            }
            tag => Self::Other(tag),
        })
    }

    /// Appends the message. [`Self::Other`] appends nothing; [`Self::RowDescription`] makes text columns.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Authentication(request) => frame::write(buffer, b'R', |body| request.encode(body)),
            Self::BackendKeyData { process_id, key } => frame::write(buffer, b'K', |body| {
                body.extend_from_slice(&process_id.to_be_bytes());
                body.extend_from_slice(key);
            }),
            Self::CommandComplete(tag) => frame::write(buffer, b'C', |body| frame::put_cstr(body, tag.as_bytes())),
            Self::DataRow(values) => frame::write(buffer, b'D', |body| {
                body.extend_from_slice(&length16(values.len()));
                for value in values {
                    match value {
                        Some(value) => {
                            body.extend_from_slice(&length32(value.len()));
                            body.extend_from_slice(value);
                        }
                        None => body.extend_from_slice(&(-1i32).to_be_bytes()),
                    }
                }
            }),
            Self::EmptyQueryResponse => frame::write(buffer, b'I', |_| ()),
            Self::Error(fields) => frame::write(buffer, b'E', |body| fields.encode(body)),
            Self::Notice(fields) => frame::write(buffer, b'N', |body| fields.encode(body)),
            Self::ParameterStatus(name, value) => frame::write(buffer, b'S', |body| {
                frame::put_cstr(body, name.as_bytes());
                frame::put_cstr(body, value.as_bytes());
            }),
            Self::ReadyForQuery(status) => frame::write(buffer, b'Z', |body| body.push(*status)),
            Self::RowDescription(names) => frame::write(buffer, b'T', |body| describe(names, body)),
            Self::NegotiateProtocolVersion(version, unknown) => frame::write(buffer, b'v', |body| {
                body.extend_from_slice(&version.to_be_bytes());
                body.extend_from_slice(&length32(unknown.len()));
                unknown.iter().for_each(|name| frame::put_cstr(body, name.as_bytes()));
            }),
            Self::Other(_) => {}
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authentication(request) => f.debug_tuple("Authentication").field(request).finish(),
            Self::BackendKeyData { process_id, .. } => {
                f.debug_struct("BackendKeyData").field("process_id", process_id).finish_non_exhaustive()
            }
            Self::CommandComplete(tag) => f.debug_tuple("CommandComplete").field(tag).finish(),
            Self::DataRow(values) => f.debug_struct("DataRow").field("columns", &values.len()).finish_non_exhaustive(),
            Self::EmptyQueryResponse => f.write_str("EmptyQueryResponse"),
            Self::Error(fields) => f.debug_tuple("Error").field(fields).finish(),
            Self::NegotiateProtocolVersion(version, unknown) => {
                f.debug_tuple("NegotiateProtocolVersion").field(version).field(unknown).finish()
            }
            Self::Notice(fields) => f.debug_tuple("Notice").field(fields).finish(),
            Self::ParameterStatus(name, _) => f.debug_struct("ParameterStatus").field("name", name).finish_non_exhaustive(),
            Self::ReadyForQuery(status) => f.debug_tuple("ReadyForQuery").field(status).finish(),
            Self::RowDescription(names) => f.debug_tuple("RowDescription").field(names).finish(),
            Self::Other(tag) => f.debug_tuple("Other").field(tag).finish(),
        }
    }
}

impl Authentication {
    fn parse(body: &mut Body<'_>) -> Result<Self, WireError> {
        Ok(match body.i32()? {
            0 => Self::Ok,
            3 => Self::Cleartext,
            5 => Self::Md5(body.take(4)?.try_into().expect("four bytes were taken")),
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    let mechanism = body.text()?;
                    if mechanism.is_empty() {
                        break Self::Sasl(mechanisms);
                    }
                    mechanisms.push(mechanism);
                }
            }
            11 => Self::SaslContinue(body.rest().to_vec()),
            12 => Self::SaslFinal(body.rest().to_vec()),
            13 => Self::Digest { algorithm: body.i32()?, salt: body.counted()?.to_vec(), nonce: body.counted()?.to_vec() },
            other => Self::Other(other),
        })
    }

    fn encode(&self, body: &mut Vec<u8>) {
        let code = match self {
            Self::Ok => 0,
            Self::Cleartext => 3,
            Self::Md5(_) => 5,
            Self::Sasl(_) => 10,
            Self::SaslContinue(_) => 11,
            Self::SaslFinal(_) => 12,
            Self::Digest { .. } => 13,
            Self::Other(code) => *code,
        };
        body.extend_from_slice(&i32::to_be_bytes(code));
        match self {
            Self::Ok | Self::Cleartext | Self::Other(_) => {}
            Self::Md5(salt) => body.extend_from_slice(salt),
            Self::Sasl(mechanisms) => {
                mechanisms.iter().for_each(|mechanism| frame::put_cstr(body, mechanism.as_bytes()));
                body.push(0);
            }
            Self::SaslContinue(data) | Self::SaslFinal(data) => body.extend_from_slice(data),
            Self::Digest { algorithm, salt, nonce } => {
                body.extend_from_slice(&algorithm.to_be_bytes());
                for part in [salt, nonce] {
                    body.extend_from_slice(&length32(part.len()));
                    body.extend_from_slice(part);
                }
            }
        }
    }
}

fn row(body: &mut Body<'_>) -> Result<Vec<Option<Vec<u8>>>, WireError> {
    let columns = count(i32::from(body.i16()?), body)?;
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        values.push(match body.i32()? {
            -1 => None,
            length => Some(body.take(usize::try_from(length).map_err(|_| body.malformed())?)?.to_vec()),
        });
    }
    Ok(values)
}

/// PostgreSQL's 18 bytes follow each name. Redshift may add more, of a length that only the session's protocol version
/// tells, so with more than one column the names after the first are best effort: an odd row gives fewer names.
fn columns(body: &mut Body<'_>) -> Result<Vec<String>, WireError> {
    let columns = count(i32::from(body.i16()?), body)?;
    let mut names = Vec::with_capacity(columns);
    for _ in 0..columns {
        let Ok(name) = body.text() else { break };
        names.push(name);
        if body.take(18).is_err() {
            break;
        }
    }
    Ok(names)
}

fn describe(names: &[String], body: &mut Vec<u8>) {
    const TEXT: i32 = 25;
    body.extend_from_slice(&length16(names.len()));
    for name in names {
        frame::put_cstr(body, name.as_bytes());
        body.extend_from_slice(&0i32.to_be_bytes());
        body.extend_from_slice(&0i16.to_be_bytes());
        body.extend_from_slice(&TEXT.to_be_bytes());
        body.extend_from_slice(&(-1i16).to_be_bytes());
        body.extend_from_slice(&(-1i32).to_be_bytes());
        body.extend_from_slice(&0i16.to_be_bytes());
    }
}

/// A count that the body could hold: one byte an item at the least, so that a lie reserves no memory.
fn count(claimed: i32, body: &Body<'_>) -> Result<usize, WireError> {
    let mut rest = *body;
    usize::try_from(claimed).ok().filter(|count| *count <= rest.rest().len()).ok_or(body.malformed())
}

fn length16(length: usize) -> [u8; 2] {
    i16::try_from(length).unwrap_or(i16::MAX).to_be_bytes()
}

fn length32(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(message: &Backend) -> Backend {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let (frame, length) = frame::parse(&bytes, frame::SIGN_IN_CEILING).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        Backend::parse(frame).unwrap()
    }

    #[test]
    fn messages_round_trip() {
        let text = |text: &str| text.to_owned();
        for message in [
            Backend::Authentication(Authentication::Ok),
            Backend::Authentication(Authentication::Cleartext),
            Backend::Authentication(Authentication::Md5([1, 2, 3, 4])),
            Backend::Authentication(Authentication::Sasl(vec![text("SCRAM-SHA-256"), text("X")])),
            Backend::Authentication(Authentication::SaslContinue(b"r=x".to_vec())),
            Backend::Authentication(Authentication::SaslFinal(b"v=x".to_vec())),
            Backend::Authentication(Authentication::Digest { algorithm: 0, salt: vec![0; 16], nonce: vec![1; 16] }),
            Backend::Authentication(Authentication::Other(14)),
            Backend::BackendKeyData { process_id: -5, key: vec![0; 32] },
            Backend::CommandComplete(text("SELECT 1")),
            Backend::DataRow(vec![None, Some(b"x".to_vec()), Some(Vec::new())]),
            Backend::EmptyQueryResponse,
            Backend::Error(ErrorFields { detail: Some(text("d")), hint: Some(text("h")), ..ErrorFields::fatal("28P01", "no") }),
            Backend::Notice(ErrorFields::default()),
            Backend::ParameterStatus(text("server_version"), text("8.0.2")),
            Backend::ReadyForQuery(b'I'),
            Backend::RowDescription(vec![text("a"), text("b")]),
            Backend::NegotiateProtocolVersion(3 << 16, vec![text("_pq_.x")]),
        ] {
            assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn redshifts_longer_rows_are_read() {
        let mut body = vec![0, 1];
        body.extend_from_slice(b"current_user\0");
        body.extend_from_slice(&[0; 18]);
        body.extend_from_slice(b"schema\0table\0column\0catalog\0\0\x01");
        let message = Backend::parse(Frame { tag: b'T', body: &body }).unwrap();
        assert_eq!(message, Backend::RowDescription(vec!["current_user".into()]));
    }

    #[test]
    fn debug_keeps_secrets() {
        for (message, shown) in [
            (Backend::BackendKeyData { process_id: 7, key: b"hush".to_vec() }, "BackendKeyData { process_id: 7, .. }"),
            (Backend::ParameterStatus("driver_token".into(), "hush".into()), "ParameterStatus { name: \"driver_token\", .. }"),
            (Backend::DataRow(vec![Some(b"hush".to_vec())]), "DataRow { columns: 1, .. }"),
        ] {
            assert_eq!(format!("{message:?}"), shown);
        }
    }

    #[test]
    fn a_count_that_lies_reserves_no_memory() {
        for (tag, body) in [(b'D', &[0x7f, 0xff][..]), (b'T', &[0x7f, 0xff]), (b'v', &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])] {
            assert_eq!(Backend::parse(Frame { tag, body }), Err(WireError::Malformed(tag)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tag in prop::sample::select(b"RKCDIENSTZv?".to_vec()), body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Backend::parse(Frame { tag, body: &body });
        }
    }
}
