//! One warehouse's listener and its sessions: first packets, TLS, sign-in, relay.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use shiftkey_wire::backend::{Authentication, Backend};
use shiftkey_wire::error_fields::{ErrorFields, sqlstate};
use shiftkey_wire::startup::{CancelRequest, FirstPacket, StartupMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _, copy_bidirectional_with_sizes, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::{GateOptions, login, parameters, relay};
use crate::catalog::Catalog;
use crate::engine::{self, Channel, Member, Running};
use crate::{
    clock::SandboxClock,
    pki::Pki,
    world::{ConnectionRecord, WarehouseId, World},
};

const RELAY_BUFFER: usize = 64 * 1024;
/// What the end of all sessions may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What one warehouse's listener knows.
pub(super) struct Door {
    id: WarehouseId,
    world: World,
    clock: SandboxClock,
    tls: TlsAcceptor,
    options: GateOptions,
    engine: OnceCell<Running>,
    places: Arc<Semaphore>,
}

/// A client that is in: its stream, its engine's, and whose session it is.
struct Session {
    client: Connection<TlsStream<TcpStream>>,
    engine: Connection<Box<dyn Channel>>,
    member: Member,
    record: ConnectionRecord,
    /// Held until the end, since connections are counted.
    _place: Option<OwnedSemaphorePermit>,
}

type Client = Connection<TlsStream<TcpStream>>;

impl Door {
    pub(super) fn new(id: WarehouseId, world: World, clock: SandboxClock, pki: &Pki, options: GateOptions) -> Self {
        let (tls, places) = (TlsAcceptor::from(pki.server_config()), Arc::new(Semaphore::new(options.connection_limit)));
        Self { id, world, clock, tls, options, engine: OnceCell::new(), places }
    }

    /// Serves until `stopped`; the sessions end with it.
    pub(super) async fn listen(self: Arc<Self>, listener: TcpListener, stopped: CancellationToken) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped.cancelled() => break,
                Some(_) = sessions.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => drop(sessions.spawn(Arc::clone(&self).serve(stream, peer, stopped.clone()))),
                    // Out of descriptors, most likely: let some sessions end.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
            }
        }
        // The port is refused from here on. Sessions have been told to end; an engine that keeps one waiting is not waited for.
        drop(listener);
        let _ = timeout(FAREWELL, async { while sessions.join_next().await.is_some() {} }).await;
        sessions.shutdown().await;
    }

    /// Ends the engine.
    pub(super) async fn stop(self) {
        if let Some(engine) = self.engine.into_inner() {
            engine.stop().await;
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stopped: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let session = tokio::select! {
            session = timeout(self.options.sign_in_timeout, self.receive(stream, peer)) => session,
            () = stopped.cancelled() => return,
        };
        let Ok(Ok(Some(mut session))) = session else { return };
        let ended = tokio::select! {
            ended = self.relay(&mut session) => ended,
            () = stopped.cancelled() => Ok(()),
        };
        tracing::debug!(?ended, "a session ended");
        self.log("disconnecting session", &session.record);
        if let Ok(engine) = self.running().await {
            let _ = engine.dismiss(&session.member).await;
        }
    }

    /// The first packets, up to a session. `None` when the client wanted something else or was refused.
    async fn receive(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Option<Session>> {
        let mut plain = Connection::new(stream);
        // A client may ask for GSSAPI first and for TLS then.
        for _ in 0..2 {
            let packet = plain.first_packet().await?;
            // Bytes that came with the request, before encryption, may be anyone's.
            if matches!(packet, Some(FirstPacket::SslRequest | FirstPacket::GssEncRequest)) && !plain.ahead.is_empty() {
                return Ok(None);
            }
            match packet {
                None => return Ok(None),
                Some(FirstPacket::GssEncRequest) => plain.write(b"N").await?,
                Some(FirstPacket::Cancel(cancel)) => return self.cancel(cancel).await.map(|()| None),
                Some(FirstPacket::Startup(startup)) => {
                    return plain.send(&Backend::Error(without_tls(&startup, peer))).await.map(|()| None);
                }
                Some(FirstPacket::SslRequest) => {
                    plain.write(b"S").await?;
                    let client = Connection::new(self.tls.accept(plain.stream).await?);
                    return self.receive_inside(client).await;
                }
            }
        }
        Ok(None)
    }

    async fn receive_inside(&self, mut client: Client) -> io::Result<Option<Session>> {
        let startup = match client.first_packet().await? {
            Some(FirstPacket::Startup(startup)) => startup,
            Some(FirstPacket::Cancel(cancel)) => return self.cancel(cancel).await.map(|()| None),
            _ => return Ok(None),
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let message = format!("connection limit \"{}\" exceeded for non-superusers", self.options.connection_limit);
            return refuse(client, ErrorFields::fatal(sqlstate::TOO_MANY_CONNECTIONS, message)).await.map(|()| None);
        };
        let session = self.sign_in(client, &startup).await?;
        Ok(session.map(|session| Session { _place: Some(place), ..session }))
    }

    async fn sign_in(&self, mut client: Client, startup: &StartupMessage) -> io::Result<Option<Session>> {
        let login = startup.get("user").unwrap_or_default().to_owned();
        if login.is_empty() {
            let error = ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, "no user name specified in startup packet");
            return refuse(client, error).await.map(|()| None);
        }
        let database = startup.get("database").filter(|it| !it.is_empty()).unwrap_or(&login).to_owned();
        let said = |name| startup.get(name).unwrap_or_default().to_owned();
        let mut record = ConnectionRecord {
            event: String::new(),
            at: self.clock.now(),
            user: login.clone(),
            database: database.clone(),
            auth_method: String::new(),
            guid: None,
            remote: client.stream.get_ref().0.peer_addr().ok(),
            session: self.world.next_session(),
            application: said("application_name"),
            driver: said("driver_version"),
            plugin: said("plugin_name"),
            system: said("os_version"),
        };
        let answer = self.options.challenge.ask(&mut client, &login).await?;
        let (grants, user) = (self.world.grants(&self.id, &login), self.world.db_user(&self.id, &login));
        let decision = login::decide(&answer, &grants, user.as_ref(), &login, &database, self.clock.now());
        let found = decision.and_then(|admission| {
            let user = login::find_user(&self.world, &self.id, &admission, &login)?;
            let startup = parameters::for_engine(startup, &user.name, &database)?;
            Ok((admission, user, startup))
        });
        let (admission, user, startup) = match found {
            Ok(found) => found,
            Err(error) => {
                self.log("authentication failure", &record);
                return refuse(client, error).await.map(|()| None);
            }
        };
        if !admission.last_word.is_empty() {
            client.send(&Backend::Authentication(Authentication::SaslFinal(admission.last_word.clone()))).await?;
        }
        record.auth_method = admission.method.to_owned();
        record.guid = admission.guid;
        self.log("authenticated", &record);
        // Groups that the warehouse does not have are passed over.
        let known = self.world.warehouse(&self.id).map(|it| it.groups).unwrap_or_default();
        let groups = admission.groups.into_iter().filter(|group| known.contains(group)).collect();
        self.enter(client, startup, Member { user, groups }, record).await
    }

    /// Opens the engine's side and passes its welcome on.
    async fn enter(
        &self,
        client: Client,
        startup: StartupMessage,
        member: Member,
        record: ConnectionRecord,
    ) -> io::Result<Option<Session>> {
        let engine = match self.open(startup, &member).await {
            Ok(engine) => engine,
            Err(error) => return refuse(client, engine::unavailable(&error)).await.map(|()| None),
        };
        let mut session = Session { client, engine, member, record, _place: None };
        match welcome(&mut session.client, &mut session.engine).await {
            Ok(true) => {
                self.log("initiating session", &session.record);
                Ok(Some(session))
            }
            refused => {
                if let Ok(engine) = self.running().await {
                    let _ = engine.dismiss(&session.member).await;
                }
                let _ = session.client.stream.shutdown().await;
                refused.map(|_| None)
            }
        }
    }

    async fn open(&self, startup: StartupMessage, member: &Member) -> io::Result<Connection<Box<dyn Channel>>> {
        let running = self.running().await?;
        running.admit(member).await?;
        let mut engine = Connection::new(running.dial().await?);
        let mut bytes = Vec::new();
        FirstPacket::Startup(startup).encode(&mut bytes);
        engine.write(&bytes).await?;
        Ok(engine)
    }

    /// Passes a cancel request on: keys are the engine's own, so the engine checks them.
    async fn cancel(&self, cancel: CancelRequest) -> io::Result<()> {
        let Some(running) = self.engine.get() else { return Ok(()) };
        let mut engine = running.dial().await?;
        let mut bytes = Vec::new();
        FirstPacket::Cancel(cancel).encode(&mut bytes);
        engine.write_all(&bytes).await?;
        // The engine closes when it has taken the request in, and so does the client's connection then.
        engine.read(&mut [0; 1]).await.map(drop)
    }

    async fn relay(&self, session: &mut Session) -> io::Result<()> {
        let (early, late) = (std::mem::take(&mut session.client.ahead), std::mem::take(&mut session.engine.ahead));
        session.client.write(&late).await?;
        let (client, engine) = (&mut session.client.stream, &mut session.engine.stream);
        let running = self.running().await?;
        if !running.needs_interpreter() {
            engine.write_all(&early).await?;
            engine.flush().await?;
            return copy_bidirectional_with_sizes(client, engine, RELAY_BUFFER, RELAY_BUFFER).await.map(drop);
        }
        let catalog = Catalog::new(&self.world, &self.id, &session.member.user.name);
        let ((later, mut client_writes), (mut engine_reads, mut engine_writes)) = (split(client), split(engine));
        let mut client_reads = AsyncReadExt::chain(&*early, later);
        tokio::try_join!(
            relay::interpreted(&mut client_reads, &mut engine_writes, &catalog, running),
            relay::watched(&mut engine_reads, &mut client_writes, RELAY_BUFFER, &catalog, running),
        )
        .map(drop)
    }

    async fn running(&self) -> io::Result<&Running> {
        self.engine.get_or_try_init(|| Running::start(&self.options.engine, &self.world, &self.id)).await
    }

    fn log(&self, event: &str, record: &ConnectionRecord) {
        let record = ConnectionRecord { event: event.to_owned(), at: self.clock.now(), ..record.clone() };
        self.world.log_connection(&self.id, record);
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Passes the engine's messages on up to the first ReadyForQuery, in Redshift's words; `false` when the engine refuses.
async fn welcome(client: &mut Client, engine: &mut Connection<Box<dyn Channel>>) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let welcomed = loop {
        match engine.answer(Backend::parse).await? {
            Backend::ParameterStatus(name, value) => {
                if let Some((name, value)) = parameters::of_redshift(name, value) {
                    Backend::ParameterStatus(name, value).encode(&mut bytes);
                }
            }
            message @ Backend::BackendKeyData { .. } => {
                for (name, value) in parameters::OWN {
                    Backend::ParameterStatus(name.to_owned(), value.to_owned()).encode(&mut bytes);
                }
                message.encode(&mut bytes);
            }
            message => {
                message.encode(&mut bytes);
                match message {
                    Backend::ReadyForQuery(_) => break true,
                    Backend::Error(_) => break false,
                    _ => {}
                }
            }
        }
    };
    client.write(&bytes).await?;
    Ok(welcomed)
}

async fn refuse(mut client: Client, error: ErrorFields) -> io::Result<()> {
    client.send(&Backend::Error(error)).await?;
    client.stream.shutdown().await
}

/// What Redshift says where `require_ssl` is on.
fn without_tls(startup: &StartupMessage, peer: SocketAddr) -> ErrorFields {
    let user = startup.get("user").unwrap_or_default();
    let database = startup.get("database").filter(|it| !it.is_empty()).unwrap_or(user);
    let host = peer.ip();
    let message = format!("no pg_hba.conf entry for host \"{host}\", user \"{user}\", database \"{database}\", SSL off");
    ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, message)
}
