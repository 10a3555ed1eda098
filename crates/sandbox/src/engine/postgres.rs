//! PostgreSQL behind the gate: an ephemeral server on a private socket, or a server that somebody else runs.
//!
//! Roles are global in PostgreSQL and memberships belong to roles, so the memberships of a session are granted when the
//! first session with them starts and revoked when the last one ends. Redshift keeps them to the session: here a second
//! session of the same user that is open at the same time has them as well.

mod interpret;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::admin::{Admin, identifier, literal};
use super::{Channel, Member};
use crate::world::Warehouse;

/// A PostgreSQL that trusts us.
pub(crate) struct Server {
    address: Address,
    superuser: String,
    process: Option<Process>,
    roles: Mutex<Roles>,
}

enum Address {
    Socket(PathBuf),
    Tcp(String),
}

/// The shell that watches over an ephemeral server: it ends the server when our end of its standard input closes, which
/// happens when we say so and also when this process is killed.
struct Process {
    watcher: Child,
    lifeline: ChildStdin,
    dir: PathBuf,
}

#[derive(Default)]
struct Roles {
    /// Whether each is a superuser.
    known: HashMap<String, bool>,
    /// How many sessions hold a membership: (group, user).
    memberships: HashMap<(String, String), usize>,
}

const WATCHER: &str = r#""$1/postgres" -D "$2/data" -k "$2" -p 5432 -c listen_addresses= -c unix_socket_permissions=0700 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB -c max_connections=600 \
    </dev/null >"$2/log" 2>&1 &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$2""#;

/// What a database of Redshift has and one of PostgreSQL has not: a function, and a schema that everybody may write to.
const LIKENESS: [&str; 2] = [
    "CREATE FUNCTION getdate() RETURNS timestamp LANGUAGE sql STABLE AS 'SELECT now()::timestamp'",
    "GRANT ALL ON SCHEMA public TO PUBLIC",
];

const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// Creates and starts an ephemeral server that holds what `warehouse` says.
    pub(super) async fn spawn(warehouse: &Warehouse) -> io::Result<Self> {
        let bin = binaries().ok_or_else(|| io::Error::other("PostgreSQL's server binaries are not installed"))?;
        let process = timeout(PATIENCE, Process::start(&bin)).await.map_err(|_| io::Error::other("initdb takes too long"))??;
        let address = Address::Socket(process.dir.join(".s.PGSQL.5432"));
        // Redshift's own superuser has this name too.
        let server = Self { address, superuser: "rdsdb".into(), process: Some(process), roles: Mutex::default() };
        drop(server.wait_for("postgres").await?);
        server.provision(warehouse).await?;
        Ok(server)
    }

    /// Uses the server that `dsn` names. What it holds already is left as it is, databases of the same name among it.
    pub(super) async fn reach(dsn: &str, warehouse: &Warehouse) -> io::Result<Self> {
        let (superuser, address) = parse_dsn(dsn).ok_or_else(|| io::Error::other("expected postgres://SUPERUSER@HOST:PORT"))?;
        let server = Self { address: Address::Tcp(address), superuser, process: None, roles: Mutex::default() };
        server.provision(warehouse).await?;
        Ok(server)
    }

    pub(super) async fn dial(&self) -> io::Result<Box<dyn Channel>> {
        Ok(match &self.address {
            Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }

    pub(super) async fn admit(&self, member: &Member) -> io::Result<()> {
        let mut roles = self.roles.lock().await;
        let user = &member.user;
        let settled = roles.known.get(&user.name) == Some(&user.superuser) && member.groups.is_empty() && user.groups.is_empty();
        if settled {
            return Ok(());
        }
        let mut admin = self.admin("postgres").await?;
        let options = if user.superuser { "LOGIN SUPERUSER" } else { "LOGIN NOSUPERUSER" };
        match roles.known.get(&user.name).copied() {
            None => create_role(&mut admin, &user.name, options).await?,
            Some(before) if before != user.superuser => {
                admin.run(&format!("ALTER ROLE {} {options}", identifier(&user.name))).await.map(drop)?;
            }
            Some(_) => {}
        }
        roles.known.insert(user.name.clone(), user.superuser);
        for group in user.groups.iter().chain(&member.groups) {
            create_role(&mut admin, group, "NOLOGIN").await?;
            admin.run(&format!("GRANT {} TO {}", identifier(group), identifier(&user.name))).await?;
        }
        for group in &member.groups {
            *roles.memberships.entry((group.clone(), user.name.clone())).or_default() += 1;
        }
        Ok(())
    }

    pub(super) async fn dismiss(&self, member: &Member) -> io::Result<()> {
        let mut roles = self.roles.lock().await;
        for group in &member.groups {
            let key = (group.clone(), member.user.name.clone());
            let left = roles.memberships.get(&key).copied().unwrap_or_default().saturating_sub(1);
            if left > 0 {
                roles.memberships.insert(key, left);
                continue;
            }
            roles.memberships.remove(&key);
            if !member.user.groups.contains(group) {
                let sql = format!("REVOKE {} FROM {}", identifier(group), identifier(&member.user.name));
                self.admin("postgres").await?.run(&sql).await?;
            }
        }
        Ok(())
    }

    /// Ends an ephemeral server and leaves nothing of it.
    pub(super) async fn stop(self) {
        let Some(Process { mut watcher, lifeline, dir }) = self.process else { return };
        drop(lifeline);
        if timeout(Duration::from_secs(5), watcher.wait()).await.is_err() {
            tracing::warn!("the sandbox's PostgreSQL does not end; its watcher is left to it");
        }
        let _ = fs::remove_dir_all(dir);
    }

    async fn admin(&self, database: &str) -> io::Result<Admin> {
        Admin::connect(self.dial().await?, &self.superuser, database).await
    }

    async fn wait_for(&self, database: &str) -> io::Result<Admin> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin(database).await {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(Duration::from_millis(10)).await,
                admin => return admin,
            }
        }
    }

    async fn provision(&self, warehouse: &Warehouse) -> io::Result<()> {
        let mut admin = self.admin("postgres").await?;
        for database in &warehouse.databases {
            let present = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(database));
            if admin.run(&present).await? > 0 {
                continue;
            }
            admin.run(&format!("CREATE DATABASE {}", identifier(database))).await?;
            let mut inside = self.admin(database).await?;
            for sql in LIKENESS {
                inside.run(sql).await?;
            }
        }
        for group in &warehouse.groups {
            create_role(&mut admin, group, "NOLOGIN").await?;
        }
        Ok(())
    }
}

impl Process {
    async fn start(bin: &Path) -> io::Result<Self> {
        let temp = tempfile::Builder::new().prefix("shiftkey-pg-").tempdir()?;
        let owner = unprivileged();
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(temp.path(), Some(uid), Some(gid))?;
        }
        // Nothing of our environment, which may hold AWS keys, goes to the server.
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(temp.path()).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").process_group(0);
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let flags = ["-A", "trust", "-U", "rdsdb", "--no-sync", "--no-instructions", "--locale=C", "-E", "UTF8", "-D"];
        let output = command(&bin.join("initdb")).args(flags).arg(temp.path().join("data")).stdin(Stdio::null()).output().await?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("initdb failed: {reason}")));
        }
        let mut watcher = command(Path::new("/bin/sh"));
        watcher.args(["-c", WATCHER, "sh"]).arg(bin).arg(temp.path());
        let mut watcher = watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let lifeline = watcher.stdin.take().expect("standard input is piped");
        Ok(Self { watcher, lifeline, dir: temp.keep() })
    }
}

/// The directory of the newest `initdb` and `postgres`.
pub(super) fn binaries() -> Option<PathBuf> {
    let complete = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> =
        installed.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    installed.sort();
    let installed = installed.into_iter().rev().map(|(_, dir)| dir);
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(installed).find(complete)
}

/// `postgres://SUPERUSER@HOST:PORT` as superuser and address.
pub(super) fn parse_dsn(dsn: &str) -> Option<(String, String)> {
    let rest = dsn.strip_prefix("postgres://").or_else(|| dsn.strip_prefix("postgresql://"))?;
    let (user, address) = rest.trim_end_matches('/').split_once('@')?;
    let (host, port) = address.rsplit_once(':')?;
    let plain = !user.is_empty() && !user.contains([':', '/']) && !host.is_empty() && port.parse::<u16>().is_ok();
    plain.then(|| (user.to_owned(), address.to_owned()))
}

async fn create_role(admin: &mut Admin, name: &str, options: &str) -> io::Result<()> {
    if admin.run(&format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(name))).await? == 0 {
        admin.run(&format!("CREATE ROLE {} {options}", identifier(name))).await?;
    }
    Ok(())
}

/// PostgreSQL refuses to run as root: the user and group to run as instead.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(entry.unwrap_or((65534, 65534)))
}
