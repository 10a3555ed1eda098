//! A proxy of one command's own: it lives as long as a child does, on a socket that nobody else can reach.

use std::{
    fs::{self, File, Permissions},
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use shiftkey::{Env, Error, ErrorKind, Login, Result, Shiftkey, Target};
use shiftkey_proxy::{Admission, Audience, Listen, Listener, Proxy, Routes, Settings, listen::SOCKET_PORT};
use tempfile::TempDir;
use tokio::process::Command;

/// How directories of sockets are named.
const PREFIX: &str = "shiftkey-session-";

/// A bound proxy. Its directory is removed with it.
pub(super) struct Private {
    proxy: Proxy,
    listener: Listener,
    _directory: Option<Held>,
}

/// A directory that nobody sweeps away while this lives: it is locked, by a lock that goes with the process.
struct Held {
    directory: TempDir,
    _lock: File,
}

impl Private {
    /// Listens for clients of `target`: on a unix socket, or on a free port of loopback TCP.
    pub(super) fn listen(shiftkey: Shiftkey, target: &Target, env: &Env, tcp: bool) -> Result<Self> {
        let (listen, directory) = if tcp {
            (Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), None)
        } else {
            let directory = directory(env)?;
            (Listen::Unix { directory: directory.directory.path().to_owned(), port: SOCKET_PORT }, Some(directory))
        };
        let listener = Listener::bind(&listen, Audience::users(Admission::same_user()), Routes::to(target))?;
        let settings = Settings { env: env.clone(), ..Settings::default() };
        Ok(Self { proxy: Proxy::new(shiftkey, settings), listener, _directory: directory })
    }

    /// Points libpq, and what reads its variables, to the proxy.
    pub(super) fn variables(&self, command: &mut Command, login: &Login) {
        let (host, port) = match self.listener.address() {
            Listen::Tcp(address) => (address.ip().to_string().into(), address.port()),
            Listen::Unix { directory, port } => (directory.clone().into_os_string(), *port),
        };
        command
            .env("PGHOST", host)
            .env("PGPORT", port.to_string())
            .env("PGDATABASE", &login.database)
            .env("PGUSER", &login.credential.db_user)
            // What leaves the machine is encrypted by the proxy.
            .env("PGSSLMODE", "disable")
            .env_remove("PGSSLROOTCERT");
    }

    /// Serves until `child` has ended, and gives what it gives.
    pub(super) async fn serve<T>(self, child: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            outcome = child => outcome,
            _ = self.proxy.run(vec![self.listener], std::future::pending()) => unreachable!("nobody tells it to stop"),
        }
    }
}

/// A new directory of mode 0700, in memory where there is such a place.
fn directory(env: &Env) -> Result<Held> {
    let named = |name: &str| env.var(name).map(PathBuf::from).filter(|path| path.is_dir());
    let parent = named("XDG_RUNTIME_DIR").or_else(|| named("TMPDIR")).unwrap_or_else(|| PathBuf::from("/tmp"));
    sweep(&parent);
    let make = || {
        let directory = tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(&parent)?;
        // Before there is a socket in it, without which it is not swept.
        let lock = File::open(directory.path())?;
        lock.lock()?;
        Ok(Held { directory, _lock: lock })
    };
    make().map_err(|error: io::Error| {
        Error::new(ErrorKind::Config, format!("no directory for the private proxy can be made in {}: {error}", parent.display()))
            .with_hint("set XDG_RUNTIME_DIR or TMPDIR to a directory that you may write to, or pass --tcp")
            .with_source(error)
    })
}

/// Removes what killed commands have left: directories of ours with a socket, which nobody has locked.
fn sweep(parent: &Path) {
    let ours = |entry: &fs::DirEntry| {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        named && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw())
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten().filter(ours) {
        let socket = entry.path().join(format!(".s.PGSQL.{SOCKET_PORT}"));
        let abandoned = socket.exists() && File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok());
        if abandoned {
            // What cannot be removed matters to nobody.
            let _ = fs::remove_file(socket).and_then(|()| fs::remove_dir(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_is_swept_and_what_a_living_one_uses_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let env = Env { vars: [("TMPDIR".to_owned(), parent.path().display().to_string())].into(), ..Env::default() };
        let socket = |directory: &Path| directory.join(format!(".s.PGSQL.{SOCKET_PORT}"));
        let living = directory(&env).unwrap();
        // Bound and not listening yet, which looks like nobody's.
        fs::write(socket(living.directory.path()), "").unwrap();
        let dead = directory(&env).unwrap();
        fs::write(socket(dead.directory.path()), "").unwrap();
        let left = dead.directory.keep();
        drop(dead._lock);
        drop(directory(&env).unwrap());
        assert!(socket(living.directory.path()).exists() && !left.exists());
    }
}
