//! What a client sends after the first packet, as far as signing in and a simple query need it.

use crate::{
    WireError,
    auth::scram,
    frame::{self, Frame},
    read::Body,
};

/// A client's message.
#[derive(Clone, Eq, PartialEq)]
pub enum Frontend {
    /// `d` while signing in: Redshift's answer to challenge 13.
    Digest {
        /// SHA-256, 32 bytes.
        digest: Vec<u8>,
        /// The client's nonce.
        nonce: Vec<u8>,
    },
    /// `p`: a password in clear text or as md5 response.
    Password(Vec<u8>),
    /// `Q`.
    Query(String),
    /// `p`: the first SCRAM message and its mechanism.
    SaslInitial {
        /// `SCRAM-SHA-256`.
        mechanism: String,
        /// client-first-message.
        data: Vec<u8>,
    },
    /// `p`: a later SCRAM message.
    SaslResponse(Vec<u8>),
    /// `X`.
    Terminate,
}

impl std::fmt::Debug for Frontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Digest { .. } => "Digest",
            Self::Password(_) => "Password",
            Self::Query(_) => "Query",
            Self::SaslInitial { .. } => "SaslInitial",
            Self::SaslResponse(_) => "SaslResponse",
            Self::Terminate => "Terminate",
        })
    }
}

impl Frontend {
    /// Appends the message.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let counted = |body: &mut Vec<u8>, bytes: &[u8]| {
            body.extend_from_slice(&i32::try_from(bytes.len()).expect("messages that we build are small").to_be_bytes());
            body.extend_from_slice(bytes);
        };
        match self {
            Self::Digest { digest, nonce } => frame::write(buffer, b'd', |body| {
                counted(body, digest);
                counted(body, nonce);
            }),
            Self::Password(password) => frame::write(buffer, b'p', |body| frame::put_cstr(body, password)),
            Self::Query(sql) => frame::write(buffer, b'Q', |body| frame::put_cstr(body, sql.as_bytes())),
            Self::SaslInitial { mechanism, data } => frame::write(buffer, b'p', |body| {
                frame::put_cstr(body, mechanism.as_bytes());
                counted(body, data);
            }),
            Self::SaslResponse(data) => frame::write(buffer, b'p', |body| body.extend_from_slice(data)),
            Self::Terminate => frame::write(buffer, b'X', |_| ()),
        }
    }

    /// The password in a `p` message that answers challenge 3 or 5.
    ///
    /// # Errors
    /// When it is another message or malformed.
    pub fn password(frame: Frame<'_>) -> Result<&[u8], WireError> {
        let mut body = expect(frame, b'p')?;
        let password = body.cstr()?;
        if body.is_empty() { Ok(password) } else { Err(body.malformed()) }
    }

    /// Digest and nonce in a `d` message that answers challenge 13.
    ///
    /// # Errors
    /// When it is another message or malformed.
    pub fn digest(frame: Frame<'_>) -> Result<(&[u8], &[u8]), WireError> {
        let mut body = expect(frame, b'd')?;
        let digest = body.counted()?;
        Ok((digest, body.counted()?))
    }

    /// The first SCRAM message.
    ///
    /// # Errors
    /// When it is another message, malformed, or for a mechanism that was not offered.
    pub fn sasl_initial(frame: Frame<'_>) -> Result<&[u8], WireError> {
        let mut body = expect(frame, b'p')?;
        if body.cstr()? != scram::MECHANISM.as_bytes() {
            return Err(body.malformed());
        }
        body.counted()
    }

    /// A later SCRAM message.
    ///
    /// # Errors
    /// When it is another message.
    pub fn sasl_response(frame: Frame<'_>) -> Result<&[u8], WireError> {
        expect(frame, b'p').map(|mut body| body.rest())
    }
}

fn expect(frame: Frame<'_>, tag: u8) -> Result<Body<'_>, WireError> {
    if frame.tag == tag { Ok(Body::new(tag, frame.body)) } else { Err(WireError::Malformed(frame.tag)) }
}
