//! A tiny client for simple queries over a dialled connection.

use shiftkey::{
    Error, ErrorKind, Login, Result, Shiftkey, Target,
    dial::{self, Connection, Options},
};
use shiftkey_wire::{backend::Backend, frame, frontend::Frontend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::{changes::Change, queries::Query};

/// An answer of more than this is not one of ours.
const CEILING: usize = 16 * 1024 * 1024;

/// A signed-in session.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    login: Login,
}

/// The rows of an answer, as text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

impl Session {
    /// Signs in to `target`.
    ///
    /// # Errors
    /// As for [`Shiftkey::connect`].
    pub async fn open(shiftkey: &Shiftkey, target: &Target, options: &Options) -> Result<Self> {
        let (connection, login) = shiftkey.connect(target, options).await?;
        Ok(Self { connection, login })
    }

    /// Signs in with what is at hand.
    ///
    /// # Errors
    /// As for [`dial::connect`].
    pub async fn sign_in(login: Login, options: &Options) -> Result<Self> {
        let connection = dial::connect(&login, options).await?;
        Ok(Self { connection, login })
    }

    /// What the session signed in with.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Sends a query and collects its rows.
    ///
    /// # Errors
    /// `LoginRefused` with the SQLSTATE when the warehouse answers with an error, `Unreachable` when the connection breaks.
    pub async fn query(&mut self, query: Query) -> Result<Rows> {
        let mut rows = Rows::new();
        let text = |value: Option<Vec<u8>>| Some(String::from_utf8_lossy(&value?).into_owned());
        self.send(query.0, |values| rows.push(values.into_iter().map(text).collect())).await.map(|()| rows)
    }

    /// Sends a change and waits until it is made.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub async fn change(&mut self, change: &Change) -> Result<()> {
        self.send(change.text(), |_| ()).await
    }

    async fn send(&mut self, sql: &str, mut row: impl FnMut(Vec<Option<Vec<u8>>>)) -> Result<()> {
        let mut bytes = Zeroizing::new(Vec::new());
        Frontend::Query(sql.to_owned()).encode(&mut bytes);
        let stream = &mut self.connection.stream;
        stream.write_all(&bytes).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut failure = None;
        loop {
            match self.receive().await? {
                Backend::DataRow(values) => row(values),
                Backend::Error(fields) => {
                    let said = fields.message.replace(char::is_control, " ");
                    let message = format!("the warehouse answered: {said} ({})", fields.code);
                    failure = Some(Error::new(ErrorKind::LoginRefused, message).with_sqlstate(fields.code).with_target(&self.login.target));
                }
                Backend::ReadyForQuery(_) => return failure.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    async fn receive(&mut self) -> Result<Backend> {
        let Connection { stream, leftover, .. } = &mut self.connection;
        loop {
            let malformed = |error: shiftkey_wire::WireError| Error::new(ErrorKind::Unexpected, error.to_string()).with_source(error);
            if let Some((frame, length)) = frame::parse(leftover, CEILING).map_err(malformed)? {
                let message = Backend::parse(frame).map_err(malformed)?;
                leftover.drain(..length);
                return Ok(message);
            }
            let mut chunk = [0; 8192];
            match stream.read(&mut chunk).await.map_err(broken)? {
                0 => return Err(Error::new(ErrorKind::Unreachable, "the warehouse closed the connection")),
                length => leftover.extend_from_slice(&chunk[..length]),
            }
        }
    }
}

/// Whether a new credential may help: these two are what the warehouse answers to an expired one.
fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the connection broke: {error}")).with_source(error)
}
