//! The sandbox's front door: one TCP listener per warehouse that speaks Redshift's protocol and lets in only who proves an
//! issued, unexpired password. SQL is none of its business: past the door, bytes are relayed to an [`Engine`].

mod challenge;
mod connection;
mod door;
mod login;
mod parameters;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use challenge::Challenge;
use door::Door;

use crate::{clock::SandboxClock, engine::Engine, pki::Pki, world::World};

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

/// The listeners of all warehouses. They end when it is dropped; [`Gate::stop`] also waits for the engines' end.
#[derive(Debug)]
pub struct Gate {
    doors: Vec<Arc<Door>>,
    listeners: JoinSet<()>,
    stopped: CancellationToken,
}

impl Gate {
    /// Opens a listener on 127.0.0.1 for every warehouse of `world` and says so there. Engines start at the first login.
    ///
    /// # Errors
    /// When a port is taken.
    pub async fn start(world: &World, clock: &SandboxClock, pki: &Pki, options: &GateOptions) -> io::Result<Self> {
        let mut gate = Self { doors: Vec::new(), listeners: JoinSet::new(), stopped: CancellationToken::new() };
        for (index, warehouse) in world.warehouses().into_iter().enumerate() {
            let port = match options.base_port {
                None => 0,
                Some(base) => u16::try_from(index)
                    .ok()
                    .and_then(|index| base.checked_add(index))
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the base port leaves no room for all warehouses"))?,
            };
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            world.set_endpoint(&warehouse.id, "localhost", listener.local_addr()?.port());
            let door = Arc::new(Door::new(warehouse.id, world.clone(), clock.clone(), pki, options.clone()));
            gate.doors.push(Arc::clone(&door));
            gate.listeners.spawn(door.listen(listener, gate.stopped.clone()));
        }
        Ok(gate)
    }

    /// Ends listeners, sessions and engines, and waits until they have ended.
    pub async fn stop(mut self) {
        self.stopped.cancel();
        while self.listeners.join_next().await.is_some() {}
        for door in std::mem::take(&mut self.doors) {
            // Every listener, and with it every session, is gone, so this is the last owner.
            if let Some(door) = Arc::into_inner(door) {
                door.stop().await;
            }
        }
    }
}
