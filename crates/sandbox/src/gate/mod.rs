//! The sandbox's front door: one TCP listener per warehouse that speaks Redshift's protocol and lets in only who proves an
//! issued, unexpired password. SQL is none of its business: past the door, bytes are relayed to an [`Engine`].

mod challenge;
mod connection;
mod door;
mod login;
mod parameters;
mod relay;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use challenge::Challenge;
use door::Door;

use crate::{
    clock::SandboxClock,
    engine::Engine,
    pki::Pki,
    world::{WarehouseId, World},
};

/// How the gate behaves.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// What a client has to answer.
    pub challenge: Challenge,
    /// The engine behind every warehouse.
    pub engine: Engine,
    /// The first warehouse's port, the next ones follow in the order of their ids; `None` takes free ports.
    pub base_port: Option<u16>,
    /// Connections at a time, for each warehouse.
    pub connection_limit: usize,
    /// What signing in may take, from the first byte to the engine's welcome.
    pub sign_in_timeout: Duration,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            challenge: Challenge::default(),
            engine: Engine::default(),
            base_port: None,
            connection_limit: 500,
            sign_in_timeout: Duration::from_secs(60),
        }
    }
}

/// The name that every warehouse has.
const HOST: &str = "localhost";

/// The listeners of all warehouses, shared by clones. They end when the last clone is dropped; [`Gate::stop`] also waits for
/// the engines' end.
#[derive(Clone, Debug)]
pub struct Gate {
    world: World,
    places: Arc<Mutex<BTreeMap<WarehouseId, Place>>>,
}

/// Where one warehouse listens now.
#[derive(Debug)]
struct Place {
    door: Arc<Door>,
    stopped: CancellationToken,
    listener: AbortOnDropHandle<()>,
}

impl Gate {
    /// Opens a listener on 127.0.0.1 for every warehouse of `world` and says so there. Engines start at the first login.
    ///
    /// # Errors
    /// When a port is taken.
    pub async fn start(world: &World, clock: &SandboxClock, pki: &Pki, options: &GateOptions) -> io::Result<Self> {
        let gate = Self { world: world.clone(), places: Arc::default() };
        let mut places = gate.places.lock().await;
        for (index, warehouse) in world.warehouses().into_iter().enumerate() {
            let port = match options.base_port {
                None => 0,
                Some(base) => u16::try_from(index)
                    .ok()
                    .and_then(|index| base.checked_add(index))
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the base port leaves no room for all warehouses"))?,
            };
            let door = Arc::new(Door::new(warehouse.id.clone(), world.clone(), clock.clone(), pki, options.clone()));
            let (place, port) = Place::open(door, port).await?;
            world.set_endpoint(&warehouse.id, HOST, port);
            places.insert(warehouse.id, place);
        }
        drop(places);
        Ok(gate)
    }

    /// Opens a warehouse on another port, says so in the world, closes the old port and cuts the sessions on it, as a cluster that
    /// is relocated does. Data and issued credentials stay. Gives the new port.
    ///
    /// # Errors
    /// `NotFound` when no such warehouse listens; else when no port is free.
    pub async fn move_endpoint(&self, id: &WarehouseId) -> io::Result<u16> {
        let mut places = self.places.lock().await;
        let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such warehouse");
        let old = places.get_mut(id).ok_or_else(missing)?;
        // The old port is still held here, so that the new one differs.
        let (new, port) = Place::open(Arc::clone(&old.door), 0).await?;
        self.world.set_endpoint(id, HOST, port);
        std::mem::replace(old, new).close().await;
        Ok(port)
    }

    /// Ends listeners, sessions and engines, and waits until they have ended.
    pub async fn stop(self) {
        for (_, place) in std::mem::take(&mut *self.places.lock().await) {
            // The listener, and with it every session, is gone, so this is the last owner.
            if let Some(door) = Arc::into_inner(place.close().await) {
                door.stop().await;
            }
        }
    }
}

impl Place {
    /// Listens on this port, or a free one for 0, and gives the port.
    async fn open(door: Arc<Door>, port: u16) -> io::Result<(Self, u16)> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let stopped = CancellationToken::new();
        let listener = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&door).listen(listener, stopped.clone())));
        Ok((Self { door, stopped, listener }, port))
    }

    /// Ends the listener and its sessions and waits for that. The engine goes on.
    async fn close(self) -> Arc<Door> {
        self.stopped.cancel();
        if let Err(error) = self.listener.await {
            tracing::warn!(%error, "a listener did not end well");
        }
        self.door
    }
}
