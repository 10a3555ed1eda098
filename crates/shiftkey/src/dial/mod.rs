//! From a [`Login`] to a signed-in connection: TCP, TLS with chain and name verified, the start of a session.
//!
//! There is no way to leave TLS or its verification out: a temporary password is still a password, and Redshift refuses
//! it on a plain connection anyway.

pub mod cancel;
mod handshake;
mod replay;
mod socket;
mod tls;

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use shiftkey_wire::error_fields::sqlstate;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub use self::{replay::Replay, socket::Paced, tls::Encrypted};
use crate::{
    credential::{Login, Route},
    env::Env,
    error::{Error, ErrorKind, Result},
    trust::Configs,
};

/// How long each step may take: reaching the host, TLS, signing in. (A resumed serverless workgroup takes its time.)
const CONNECT: Duration = Duration::from_secs(10);
const SIGN_IN: Duration = Duration::from_secs(60);

/// What may be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Startup parameters beyond user and database: names and values as a client of ours sent them, or ours by default.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// The environment, for the system's trust anchors (`SSL_CERT_FILE`).
    pub env: Env,
    /// Shared by who dials often.
    pub tls: Configs,
}

impl Default for Options {
    fn default() -> Self {
        let ours = [("application_name", concat!("shiftkey/", env!("CARGO_PKG_VERSION"))), ("client_encoding", "UTF8")];
        let parameters = ours.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Self { parameters, env: Env::default(), tls: Configs::default() }
    }
}

impl Options {
    /// With this startup parameter, in place of one of that name.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
        self.parameters.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self
    }
}

/// A session that the warehouse has opened and that waits for a query.
pub struct Connection {
    /// The encrypted stream.
    pub stream: Encrypted,
    /// Bytes that arrived after the server was ready; empty unless it speaks out of turn.
    pub leftover: Vec<u8>,
    /// What the server said of itself, in its order. Some drivers' values are secret: do not log them.
    pub parameters: Vec<(String, String)>,
    /// For cancelling; absent when the server sent none.
    pub backend_key: Option<BackendKey>,
    /// The server's messages of the sign-in as they came, for who relays them: all but those of authentication, the first
    /// `ReadyForQuery` last. They may hold secrets: do not log them.
    pub welcome: Vec<u8>,
}

/// The warehouse's `ErrorResponse` as it came, for who relays it. It is the source of the error that says so.
#[derive(Clone, Debug)]
pub struct Refused(pub Vec<u8>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the warehouse refused the login")
    }
}

impl std::error::Error for Refused {}

/// Which backend serves a session, and the secret that lets one cancel its query.
#[derive(Clone, Eq, PartialEq)]
pub struct BackendKey {
    /// Process id.
    pub process_id: i32,
    /// Secret key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKey").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

impl Connection {
    /// The session as a stream for a driver that insists on signing in itself, such as `tokio-postgres` by its `connect_raw`:
    /// see [`Replay`].
    pub fn replay(self) -> Replay {
        Replay::new(self.stream, &self.welcome, &self.leftover)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("backend_key", &self.backend_key).finish_non_exhaustive()
    }
}

/// Opens a session.
///
/// # Errors
/// `Unreachable` when the host does not answer, `Config` when its certificate is not the right one, `LoginRefused` with
/// the SQLSTATE when the warehouse says no.
pub async fn connect(login: &Login, options: &Options) -> Result<Connection> {
    let stream = encrypted(&login.route(), options).await?;
    sign_in(stream, login, options).await
}

/// Opens a session on a stream of [`encrypted`].
///
/// # Errors
/// `LoginRefused` with the SQLSTATE when the warehouse says no, its words ([`Refused`]) being the source; `Unreachable`
/// when the connection breaks.
pub async fn sign_in(stream: Encrypted, login: &Login, options: &Options) -> Result<Connection> {
    let opened = timeout(SIGN_IN, handshake::sign_in(stream, login, options)).await;
    let opened = opened.map_err(|_| Error::new(ErrorKind::Unreachable, "the warehouse did not finish the sign-in in time"));
    opened.flatten().map_err(|error| error.with_target(&login.target))
}

/// Whether the warehouse refused the credential itself, as it does with one that has expired or was revoked. Which of the
/// two codes Redshift sends is unverified against AWS.
pub fn says_stale(error: &Error) -> bool {
    error.sqlstate().is_some_and(is_stale)
}

/// The same by SQLSTATE, for a driver that signs in itself.
pub fn is_stale(code: &str) -> bool {
    matches!(code, sqlstate::INVALID_AUTHORIZATION | sqlstate::INVALID_PASSWORD)
}

/// TCP alone, for diagnosis.
///
/// # Errors
/// `Unreachable` when no address of the host answers.
pub async fn reach(route: &Route) -> Result<TcpStream> {
    let (host, port) = (route.endpoint.host.as_str(), route.endpoint.port);
    let unreachable = |what: String| {
        Error::new(ErrorKind::Unreachable, format!("{host}:{port} {what}"))
            .with_target(&route.target)
            .with_hint("check the network, VPN and security group; a paused cluster does not answer")
    };
    let stream = timeout(CONNECT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| unreachable("did not answer in time".into()))?
        .map_err(|error| unreachable(format!("cannot be reached: {error}")).with_source(error))?;
    // A small query should not wait for a full segment; if the option cannot be set, it is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// TCP and TLS, before signing in.
///
/// # Errors
/// As [`connect`].
pub async fn encrypted(route: &Route, options: &Options) -> Result<Encrypted> {
    let work = async {
        let config = options.tls.get(&options.env, route.ca_file.as_deref())?;
        let stream = reach(route).await?;
        let encrypting = timeout(CONNECT, encrypt(stream, route, config)).await;
        encrypting.map_err(|_| Error::new(ErrorKind::Unreachable, "the warehouse did not finish the TLS handshake in time"))?
    };
    work.await.map_err(|error: Error| error.with_target(&route.target))
}

async fn encrypt(mut stream: TcpStream, route: &Route, config: Arc<ClientConfig>) -> Result<Encrypted> {
    let broken = |error: std::io::Error| Error::new(ErrorKind::Unreachable, format!("the connection broke: {error}")).with_source(error);
    let mut request = Vec::new();
    shiftkey_wire::startup::FirstPacket::SslRequest.encode(&mut request);
    stream.write_all(&request).await.map_err(broken)?;
    // One byte and no more: what a man in the middle adds here would be read as if it had come through TLS.
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    if answer != *b"S" {
        return Err(Error::new(ErrorKind::LoginRefused, "the server offers no TLS, so no password is sent to it")
            .with_hint("is this the right host and port?"));
    }
    let verified = route.server_name.as_deref().unwrap_or(&route.endpoint.host);
    let name = ServerName::try_from(verified.strip_suffix('.').unwrap_or(verified).to_owned())
        .map_err(|_| Error::config(format!("'{verified}' cannot stand on a certificate")))?;
    Encrypted::connect(Paced::new(stream), config, name).await.map_err(|error| {
        if matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>()) {
            Error::config(format!("the certificate of {verified} is not accepted: {error}"))
                .with_hint("through a tunnel or load balancer set server_name to the cluster's own host name; for a private CA set ca_file")
                .with_source(error)
        } else {
            broken(error)
        }
    })
}
