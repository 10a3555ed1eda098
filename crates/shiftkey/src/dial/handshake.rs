//! From an encrypted stream to `ReadyForQuery`.

use rustls::crypto::SecureRandom;
use shiftkey_wire::{
    auth::{SignIn, Step},
    backend::Backend,
    error_fields::{ErrorFields, sqlstate},
    frame,
    startup::{FirstPacket, StartupMessage},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{BackendKey, Connection, Encrypted, Options, Refused};
use crate::{
    credential::Login,
    error::{Error, ErrorKind, Result},
};

pub(super) async fn sign_in(stream: Encrypted, login: &Login, options: &Options) -> Result<Connection> {
    let mut startup = StartupMessage::new([("user", login.credential.db_user.as_str()), ("database", &login.database)]);
    startup.parameters.extend(options.parameters.iter().cloned());
    let mut bytes = Vec::new();
    FirstPacket::Startup(startup).encode(&mut bytes);
    let mut wire = Wire { stream, buffer: Vec::new(), read: 0, welcome: Vec::new() };
    wire.send(&bytes).await?;
    let mut exchange = SignIn::new(&login.credential.db_user, login.credential.password.expose(), nonce()?);
    let (mut proven, mut parameters, mut backend_key) = (false, Vec::new(), None);
    loop {
        match wire.receive().await? {
            Backend::Authentication(request) => match exchange.step(&request) {
                Ok(Step::Reply(reply)) => {
                    let mut bytes = Zeroizing::new(Vec::new());
                    reply.encode(&mut bytes);
                    wire.send(&bytes).await?;
                }
                Ok(Step::Done) => proven = true,
                Ok(Step::Wait) => {}
                Err(error) => return Err(Error::new(ErrorKind::LoginRefused, error.to_string()).with_source(error)),
            },
            Backend::ParameterStatus(name, value) => parameters.push((name, value)),
            Backend::BackendKeyData { process_id, key } => backend_key = Some(BackendKey { process_id, key }),
            Backend::Error(fields) => return Err(refusal(&fields, login).with_source(Refused(last(&wire.welcome)))),
            Backend::ReadyForQuery(_) if proven => break,
            // A server that skips the end of the exchange may not know the password.
            Backend::ReadyForQuery(_) => return Err(Error::new(ErrorKind::LoginRefused, "the server skipped the sign-in")),
            Backend::Notice(notice) => tracing::debug!(message = notice.message, "the warehouse gave notice"),
            // What a newer server adds is not ours to judge.
            _ => {}
        }
    }
    let leftover = wire.buffer.split_off(wire.read);
    Ok(Connection { stream: wire.stream, leftover, parameters, backend_key, welcome: wire.welcome })
}

/// The last message of several.
fn last(messages: &[u8]) -> Vec<u8> {
    let mut rest = messages;
    while let Ok(Some((_, length))) = frame::parse(rest, frame::SIGN_IN_CEILING)
        && length < rest.len()
    {
        rest = &rest[length..];
    }
    rest.to_vec()
}

/// Messages over a stream.
struct Wire {
    stream: Encrypted,
    buffer: Vec<u8>,
    read: usize,
    /// What was received so far, without requests for proof.
    welcome: Vec<u8>,
}

impl Wire {
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(broken)
    }

    async fn receive(&mut self) -> Result<Backend> {
        loop {
            let parsed = frame::parse(&self.buffer[self.read..], frame::SIGN_IN_CEILING);
            if let Some((frame, length)) = parsed.map_err(garbage)? {
                let message = Backend::parse(frame).map_err(garbage)?;
                if !matches!(message, Backend::Authentication(_)) {
                    self.welcome.extend_from_slice(&self.buffer[self.read..self.read + length]);
                }
                self.read += length;
                return Ok(message);
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await.map_err(broken)? {
                0 => return Err(Error::new(ErrorKind::Unreachable, "the warehouse closed the connection during the sign-in")),
                length => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }
}

/// Eighteen random bytes from the TLS provider, which is in the tree anyway.
fn nonce() -> Result<[u8; 18]> {
    let mut nonce = [0; 18];
    let random: &dyn SecureRandom = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut nonce).map_err(|_| Error::new(ErrorKind::Unexpected, "the system has no randomness"))?;
    Ok(nonce)
}

fn refusal(fields: &ErrorFields, login: &Login) -> Error {
    let one_line = |text: &str| text.replace(|char: char| char.is_control(), " ");
    let user = &login.credential.db_user;
    let message = format!("the warehouse refused the login of {user}: {} ({})", one_line(&fields.message), fields.code);
    let error = Error::new(ErrorKind::LoginRefused, message).with_sqlstate(&fields.code);
    match fields.code.as_str() {
        sqlstate::UNDEFINED_OBJECT => error.with_hint("the database user does not exist: create it, or pass --auto-create"),
        sqlstate::INVALID_CATALOG => error.with_hint("name an existing database with --database"),
        sqlstate::INVALID_AUTHORIZATION | sqlstate::INVALID_PASSWORD => {
            error.with_hint("the credential may have expired, or is meant for another warehouse; ask for a new one")
        }
        _ => match &fields.hint {
            Some(hint) => error.with_hint(one_line(hint)),
            None => error,
        },
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the connection broke during the sign-in: {error}")).with_source(error)
}

fn garbage(error: shiftkey_wire::WireError) -> Error {
    Error::new(ErrorKind::LoginRefused, format!("the server does not speak PostgreSQL's protocol: {error}")).with_source(error)
}
