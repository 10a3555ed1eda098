//! One connection: first packet, TLS, proof, then bytes both ways until either side has had enough.

use std::{io, time::{Duration, SystemTime}};

use shiftkey_wire::{
    WireError,
    backend::Backend,
    error_fields::{ErrorFields, sqlstate},
    frame,
    startup::{FirstPacket, StartupMessage},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Shared,
    proof::{Outcome, Proof},
};
use crate::{
    engine::Entry,
    world::{ConnectionRecord, DbUser, Grant, Warehouse, WarehouseId},
};

/// How long a client may take to sign in.
const SIGN_IN: Duration = Duration::from_secs(30);

/// Parameters that the AWS drivers send and that no PostgreSQL knows.
const DRIVERS: [&str; 11] = [
    "client_protocol_version",
    "driver_version",
    "driver_discovery_version",
    "os_version",
    "plugin_name",
    "idp_type",
    "provider_name",
    "token_type",
    "identity_namespace",
    "idc_client_display_name",
    "_pq_.compression",
];

pub(super) async fn serve(stream: TcpStream, shared: &Shared, id: &WarehouseId) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = stream;
    loop {
        match timeout(SIGN_IN, first_packet(&mut stream)).await?? {
            (FirstPacket::GssEncRequest, _) => stream.write_all(b"N").await?,
            (FirstPacket::SslRequest, rest) => {
                if !rest.is_empty() {
                    // Bytes that were not encrypted must not be read as if they had been (CVE-2021-23222).
                    let fields = ErrorFields::fatal(sqlstate::PROTOCOL_VIOLATION, "received unencrypted data after SSL request");
                    return refuse(&mut stream, fields).await;
                }
                stream.write_all(b"S").await?;
                let mut stream = timeout(SIGN_IN, shared.tls.accept(stream)).await??;
                return match timeout(SIGN_IN, first_packet(&mut stream)).await?? {
                    (FirstPacket::Startup(startup), rest) => sign_in(stream, startup, rest, shared, id).await,
                    (FirstPacket::Cancel(cancel), _) => shared.engines.cancel(id, cancel).await,
                    _ => Ok(()),
                };
            }
            (FirstPacket::Cancel(cancel), _) => return shared.engines.cancel(id, cancel).await,
            (FirstPacket::Startup(startup), _) => {
                let (user, database) = (startup.get("user").unwrap_or_default(), startup.get("database").unwrap_or_default());
                let message = format!("no pg_hba.conf entry for host \"127.0.0.1\", user \"{user}\", database \"{database}\", SSL off");
                return refuse(&mut stream, ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, message)).await;
            }
        }
    }
}

/// The first packet and what came after it in the same breath.
async fn first_packet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<(FirstPacket, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        match FirstPacket::parse(&bytes) {
            Ok(Some((packet, length))) => return Ok((packet, bytes.split_off(length))),
            Ok(None) => read_more(stream, &mut bytes).await?,
            Err(error @ WireError::Version(..)) => {
                refuse(stream, ErrorFields::fatal(sqlstate::NOT_SUPPORTED, error.to_string())).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

/// Who proved what: a temporary credential, or a database user's own password.
enum Proven {
    Grant(Grant),
    Password(DbUser),
}

async fn sign_in<S>(mut stream: S, startup: StartupMessage, mut rest: Vec<u8>, shared: &Shared, id: &WarehouseId) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let user = startup.get("user").unwrap_or_default().to_owned();
    let database = startup.get("database").filter(|name| !name.is_empty()).unwrap_or(&user).to_owned();
    let proven = timeout(SIGN_IN, prove(&mut stream, &mut rest, &user, shared, id)).await??;
    let admitted = proven.and_then(|proven| admit(proven, &user, &database, shared, id));
    let (method, guid) = match &admitted {
        Ok(admitted) => (if admitted.guid.is_some() { "IAM AssumeUser" } else { "password" }, admitted.guid.clone()),
        Err(_) => ("password", None),
    };
    shared.world.log_connection(id, ConnectionRecord {
        event: if admitted.is_ok() { "authenticated" } else { "authentication failure" }.to_owned(),
        at: shared.clock.now(),
        user,
        database: database.clone(),
        auth_method: method.to_owned(),
        guid,
        application: startup.get("application_name").unwrap_or_default().to_owned(),
    });
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(fields) => return refuse(&mut stream, fields).await,
    };
    let mut startup = startup;
    startup.minor = 0;
    startup.retain(|name| !DRIVERS.contains(&name));
    startup.set("user", &admitted.db_user);
    startup.set("database", &database);
    let entry = Entry { warehouse: &admitted.warehouse, db_user: &admitted.db_user, groups: &admitted.groups };
    let mut engine = match shared.engines.open(entry).await {
        Ok(engine) => engine,
        Err(error) => return refuse(&mut stream, ErrorFields::fatal(sqlstate::INTERNAL, format!("the engine did not start: {error}"))).await,
    };
    let mut bytes = Vec::new();
    FirstPacket::Startup(startup).encode(&mut bytes);
    bytes.append(&mut rest);
    engine.write_all(&bytes).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut stream, &mut engine, 16 * 1024, 256 * 1024).await?;
    Ok(())
}

/// Runs the challenge. The outer error is the connection's, the inner one is for the client.
async fn prove<S>(stream: &mut S, buffer: &mut Vec<u8>, user: &str, shared: &Shared, id: &WarehouseId) -> io::Result<Result<Proven, ErrorFields>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let now = shared.clock.now();
    let grants = shared.world.grants(id, user);
    let own = shared.world.db_user(id, user).filter(|user| user.valid_until.is_none_or(|until| now < until));
    let own_password = own.as_ref().and_then(|user| user.password.clone());
    let passwords: Vec<String> = grants.iter().map(|grant| grant.password.clone()).chain(own_password).collect();
    let (mut proof, request) = Proof::ask(shared.challenge)?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    loop {
        let parsed = frame::parse(buffer, frame::SIGN_IN_CEILING).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let Some((frame, length)) = parsed else {
            read_more(stream, buffer).await?;
            continue;
        };
        let outcome = proof.check(frame, user.as_bytes(), &passwords)?;
        buffer.drain(..length);
        match outcome {
            Outcome::Continue(reply) => {
                stream.write_all(&reply).await?;
                stream.flush().await?;
            }
            Outcome::Refused => {
                let message = format!("password authentication failed for user \"{user}\"");
                return Ok(Err(ErrorFields::fatal(sqlstate::INVALID_PASSWORD, message)));
            }
            Outcome::Proven(place, last) => {
                stream.write_all(&last).await?;
                return Ok(match (grants.into_iter().nth(place), own) {
                    (Some(grant), _) => live(grant, now),
                    (None, Some(user)) => Ok(Proven::Password(user)),
                    (None, None) => Err(ErrorFields::fatal(sqlstate::INTERNAL, "a password without an owner")),
                });
            }
        }
    }
}

/// The text is what users of Redshift report; the code is not documented.
fn live(grant: Grant, now: SystemTime) -> Result<Proven, ErrorFields> {
    if now < grant.expires_at {
        return Ok(Proven::Grant(grant));
    }
    Err(ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, "IAM Authentication token has expired"))
}

struct Admitted {
    warehouse: Warehouse,
    db_user: String,
    groups: Vec<String>,
    guid: Option<String>,
}

/// What is checked after the proof: the database and the user's existence.
fn admit(proven: Proven, login: &str, database: &str, shared: &Shared, id: &WarehouseId) -> Result<Admitted, ErrorFields> {
    let warehouse = shared.world.warehouse(id).ok_or_else(|| ErrorFields::fatal(sqlstate::INTERNAL, "the warehouse is gone"))?;
    let (db_user, groups, guid) = match proven {
        Proven::Password(user) => (user.name, Vec::new(), None),
        Proven::Grant(grant) => {
            if grant.database.as_ref().is_some_and(|allowed| allowed != database) {
                let message = format!("the IAM credential does not allow database \"{database}\"");
                return Err(ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, message));
            }
            // Users that AWS maps are made at their first login; others only when the caller asked for it.
            let mapped = grant.db_user.starts_with("IAM:") || grant.db_user.starts_with("IAMR:");
            if !warehouse.users.contains_key(&grant.db_user) {
                if !mapped && !grant.auto_create {
                    return Err(ErrorFields::fatal(sqlstate::UNDEFINED_OBJECT, format!("user \"{login}\" does not exist")));
                }
                shared.world.create_user(id, DbUser { name: grant.db_user.clone(), ..DbUser::default() });
            }
            (grant.db_user, grant.groups, Some(grant.guid))
        }
    };
    if !warehouse.databases.iter().any(|known| known == database) {
        return Err(ErrorFields::fatal(sqlstate::INVALID_CATALOG, format!("database \"{database}\" does not exist")));
    }
    let warehouse = shared.world.warehouse(id).unwrap_or(warehouse);
    Ok(Admitted { warehouse, db_user, groups, guid })
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), fields: ErrorFields) -> io::Result<()> {
    let mut bytes = Vec::new();
    Backend::Error(fields).encode(&mut bytes);
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
