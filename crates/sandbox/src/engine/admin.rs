//! A superuser's session with a PostgreSQL that trusts us: simple queries only.

use std::io;

use shiftkey_wire::{
    backend::{Authentication, Backend},
    frame,
    frontend::Frontend,
    startup::{FirstPacket, StartupMessage},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Channel;

const CEILING: usize = 1 << 20;

/// A session that provisions.
pub(super) struct Admin {
    channel: Box<dyn Channel>,
    buffer: Vec<u8>,
}

impl Admin {
    /// Signs in.
    pub(super) async fn connect(channel: Box<dyn Channel>, user: &str, database: &str) -> io::Result<Self> {
        let mut admin = Self { channel, buffer: Vec::new() };
        let mut bytes = Vec::new();
        FirstPacket::Startup(StartupMessage::new([("user", user), ("database", database)])).encode(&mut bytes);
        admin.channel.write_all(&bytes).await?;
        admin.drain().await?;
        Ok(admin)
    }

    /// Runs statements; the answer is how many rows came.
    pub(super) async fn run(&mut self, sql: &str) -> io::Result<usize> {
        let mut bytes = Vec::new();
        Frontend::Query(sql.to_owned()).encode(&mut bytes);
        self.channel.write_all(&bytes).await?;
        self.drain().await
    }

    async fn drain(&mut self) -> io::Result<usize> {
        let mut failure = None;
        let mut rows = 0;
        loop {
            match self.read().await? {
                Backend::ReadyForQuery(_) => return failure.map_or(Ok(rows), Err),
                Backend::DataRow(_) => rows += 1,
                Backend::Authentication(Authentication::Ok) => {}
                Backend::Authentication(_) => return Err(io::Error::other("the server does not trust us")),
                Backend::Error(error) if error.severity == "FATAL" => return Err(io::Error::other(error.message)),
                Backend::Error(error) => failure = Some(io::Error::other(error.message)),
                _ => {}
            }
        }
    }

    async fn read(&mut self) -> io::Result<Backend> {
        loop {
            if let Some((message, size)) = frame::parse(&self.buffer, CEILING).map_err(io::Error::other)? {
                let message = Backend::parse(message).map_err(io::Error::other)?;
                self.buffer.drain(..size);
                return Ok(message);
            }
            if self.channel.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A name as SQL writes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
