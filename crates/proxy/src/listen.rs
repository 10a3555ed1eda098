//! Where clients come in: a unix socket that libpq finds, or TCP, on loopback unless more is meant.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net as unix,
    },
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use shiftkey::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, UnixListener};

use crate::{
    admit::Admission,
    certificate::Certificate,
    client_secret::ClientSecret,
    proxy::Listening,
    route::{Routes, Serves},
    stream::Stream,
};

/// The port in a unix socket's name unless another is given: the one that libpq looks for by itself.
pub const SOCKET_PORT: u16 = 5432;

/// What libpq puts before the port.
const SOCKET_NAME: &str = ".s.PGSQL.";

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// An address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A socket in a directory, which is made when missing.
    Unix {
        /// What libpq calls the host.
        directory: PathBuf,
        /// What libpq calls the port.
        port: u16,
    },
}

/// Who may connect, and how.
#[derive(Clone, Debug)]
pub struct Audience {
    /// Processes of these users of this machine; `None` where the proxy has no way to know who that is.
    pub(crate) users: Option<Admission>,
    /// What they must prove to know.
    pub(crate) secret: Option<Arc<ClientSecret>>,
    /// What TLS is served with.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Who comes without TLS is turned away.
    pub(crate) tls_alone: bool,
}

/// A bound address that accepts nobody yet. A unix socket is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    listen: Listen,
    pub(crate) audience: Audience,
    pub(crate) routes: Routes,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that was bound for the proxy by another program, as systemd does. Its file is that program's.
#[derive(Debug)]
pub enum Adopted {
    /// A listener of TCP.
    Tcp(std::net::TcpListener),
    /// A unix socket.
    Unix(unix::UnixListener),
}

/// A socket's file that is ours to remove, unless somebody has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

// === impl Listen ===

impl Listen {
    /// The socket's file, for a unix socket.
    pub fn socket_file(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix { directory, port } => Some(directory.join(format!("{SOCKET_NAME}{port}"))),
        }
    }
}

impl FromStr for Listen {
    type Err = Error;

    /// `PORT`, `HOST:PORT` with an address for a host, a directory, or a socket's path as libpq writes it. A path has a slash.
    fn from_str(text: &str) -> Result<Self> {
        if text.contains('/') {
            let path = Path::new(text);
            let port = path.file_name().and_then(|name| name.to_str()?.strip_prefix(SOCKET_NAME)?.parse().ok());
            return Ok(match (port, path.parent()) {
                (Some(port), Some(directory)) => Self::Unix { directory: directory.to_owned(), port },
                _ => Self::Unix { directory: path.to_owned(), port: SOCKET_PORT },
            });
        }
        let text = text.strip_prefix("localhost:").unwrap_or(text);
        let port = text.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        port.or_else(|_| text.parse()).map(Self::Tcp).map_err(|_| {
            Error::config(format!("'{text}' is no place to listen"))
                .with_hint("give a port (5439), an address and port (127.0.0.1:5439), or a directory (/run/user/1000/warehouse)")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { directory, port } => write!(f, "{}/{SOCKET_NAME}{port}", directory.display()),
        }
    }
}

// === impl Audience ===

impl Audience {
    /// Processes of these users of this machine.
    pub fn users(admission: Admission) -> Self {
        Self { users: Some(admission), secret: None, certificate: None, tls_alone: false }
    }

    /// Whoever reaches the address. The proxy has no way to know who that is.
    pub fn anyone() -> Self {
        Self { users: None, secret: None, certificate: None, tls_alone: false }
    }

    /// Whoever proves to know the secret, from wherever, over TLS alone.
    pub fn holders(secret: Arc<ClientSecret>, certificate: Arc<Certificate>) -> Self {
        Self { users: None, secret: Some(secret), certificate: Some(certificate), tls_alone: true }
    }

    /// The same, who must prove to know the secret too.
    #[must_use]
    pub fn with_secret(self, secret: Option<Arc<ClientSecret>>) -> Self {
        Self { secret: secret.or(self.secret), ..self }
    }

    /// The same, with TLS for those who ask for it.
    #[must_use]
    pub fn with_certificate(self, certificate: Option<Arc<Certificate>>) -> Self {
        Self { certificate: certificate.or(self.certificate), ..self }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.users, &self.secret) {
            (Some(admission), _) => write!(f, "{admission}")?,
            (None, Some(_)) => f.write_str("whoever knows the secret")?,
            (None, None) => f.write_str("anyone who reaches it")?,
        }
        if self.users.is_some() && self.secret.is_some() {
            f.write_str(" that know the secret")?;
        }
        match (&self.certificate, self.tls_alone) {
            (None, _) => Ok(()),
            (Some(_), false) => f.write_str("; TLS when asked for"),
            (Some(_), true) => f.write_str("; over TLS alone"),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds `listen`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Config` when the address is taken, may not be used, or is not of this machine alone while users are to be told apart.
    pub fn bind(listen: &Listen, audience: Audience, routes: Routes) -> Result<Self> {
        let bound = match listen {
            Listen::Tcp(address) => bind_tcp(*address, &audience).map(|socket| {
                // The port that was taken for 0.
                let told = socket.local_addr().unwrap_or(*address);
                (Socket::Tcp(socket), Listen::Tcp(told), None)
            }),
            Listen::Unix { directory, .. } => {
                let path = listen.socket_file().unwrap_or_default();
                let wide = audience.users.as_ref().is_none_or(Admission::is_wide);
                bind_unix(directory, path, wide).map(|(socket, file)| (Socket::Unix(socket), listen.clone(), Some(file)))
            }
        };
        let (socket, listen, file) = bound.map_err(|error| in_the_way(listen, error))?;
        Ok(Self { socket, listen, audience, routes, _file: file })
    }

    /// Takes a bound socket over; `audience` is told where it listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn adopt(socket: Adopted, audience: impl FnOnce(&Listen) -> Audience, routes: Routes) -> Result<Self> {
        let unusable = |error: io::Error| Error::config(format!("a socket that was passed cannot be used: {error}")).with_source(error);
        let listen = match &socket {
            Adopted::Tcp(socket) => Listen::Tcp(socket.local_addr().map_err(unusable)?),
            Adopted::Unix(socket) => {
                let address = socket.local_addr().map_err(unusable)?;
                let path = address.as_pathname().ok_or_else(|| unusable(io::ErrorKind::AddrNotAvailable.into()))?;
                path.to_string_lossy().parse()?
            }
        };
        let audience = audience(&listen);
        let adopted = match socket {
            Adopted::Tcp(socket) => {
                reachable_as_meant(socket.local_addr().map_err(unusable)?, &audience).map_err(|error| in_the_way(&listen, error))?;
                socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)).map(Socket::Tcp)
            }
            Adopted::Unix(socket) => socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket)).map(Socket::Unix),
        };
        Ok(Self { socket: adopted.map_err(unusable)?, listen, audience, routes, _file: None })
    }

    /// Where it listens, a free port filled in.
    pub fn address(&self) -> &Listen {
        &self.listen
    }

    /// Whether clients may use TLS, or must.
    pub fn offers_tls(&self) -> bool {
        self.audience.certificate.is_some()
    }

    /// What a person is told of it.
    pub(crate) fn told(&self) -> Listening {
        let target = match &self.routes.serves {
            Serves::One(name) => name.clone(),
            Serves::ByDatabase => "the one that clients name as their database".to_owned(),
        };
        Listening { target, address: self.listen.to_string(), lets_in: self.audience.to_string(), routes: self.routes.clone() }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A small query should not wait for a full segment; if the option cannot be set, it is only slower.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr, audience: &Audience) -> io::Result<TcpListener> {
    reachable_as_meant(address, audience)?;
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// On an address that other machines reach, users cannot be told apart.
fn reachable_as_meant(address: SocketAddr, audience: &Audience) -> io::Result<()> {
    let meant = address.ip().is_loopback() || audience.users.is_none();
    if meant { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Makes the directory (0700, or 0711 for other users) and the socket (0600, or 0666). Whoever connects is asked for by
/// the kernel in any case.
fn bind_unix(directory: &Path, path: PathBuf, wide: bool) -> io::Result<(UnixListener, SocketFile)> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let socket = match unix::UnixListener::bind(&path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(&path)?;
            unix::UnixListener::bind(&path)?
        }
        bound => bound?,
    };
    if wide {
        // Only what is ours, and only when nobody could pass: a directory of others is theirs to open.
        let now = fs::metadata(directory)?;
        if now.uid() == rustix::process::geteuid().as_raw() && now.mode() & 0o777 == 0o700 {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(if wide { 0o666 } else { 0o600 }))?;
    socket.set_nonblocking(true)?;
    let metadata = fs::symlink_metadata(&path)?;
    let file = SocketFile { id: (metadata.dev(), metadata.ino()), path };
    Ok((UnixListener::from_std(socket)?, file))
}

/// Removes a socket that nobody listens on any more, when it is ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || !metadata.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match unix::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn in_the_way(listen: &Listen, error: io::Error) -> Error {
    let told = |what: &str, hint: &str| Error::config(format!("{listen} {what}")).with_hint(hint);
    match (error.kind(), listen) {
        (io::ErrorKind::AddrInUse, _) => told("is in use by another process", "is a proxy running already? Otherwise listen elsewhere"),
        (io::ErrorKind::AlreadyExists, _) => told("is there already and not a socket of yours", "listen elsewhere"),
        (io::ErrorKind::PermissionDenied, Listen::Tcp(address)) if !address.ip().is_loopback() => told(
            "can be reached from other machines, where no one can tell who connects",
            "listen on 127.0.0.1 or share a unix socket; else give --tls-cert, --tls-key and --client-secret-file, or say \
             --dangerously-listen-anywhere",
        ),
        (io::ErrorKind::InvalidInput, Listen::Unix { .. }) => {
            told("is too long for a unix socket's path (107 bytes)", "choose a shorter directory")
        }
        (_, _) => Error::new(ErrorKind::Config, format!("{listen} cannot be listened on: {error}")).with_source(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == self.id;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| same(&metadata)) {
            // What cannot be removed is stale, and replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
