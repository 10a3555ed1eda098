//! What happens inside, told to whoever wants to know: a command line that warns, a proxy that counts.

use std::{fmt, time::Duration};

use crate::error::Error;

/// Something worth telling. None holds a secret.
#[derive(Clone, Debug)]
pub enum Event {
    /// The file cache cannot be used and stays out of the way; told once.
    CacheOff(Error),
    /// A call waits for its place in the queue, since others were made shortly before.
    Queued {
        /// The action, for example `redshift:GetClusterCredentials`.
        action: &'static str,
        /// For how long.
        wait: Duration,
    },
    /// A renewal failed; the present credential goes on being handed out.
    RenewalFailed(Error),
    /// AWS asked to slow down.
    Throttled {
        /// The action, for example `redshift:GetClusterCredentials`.
        action: &'static str,
    },
}

/// Is told what happens. Called on the thread where it happens, so it must not block.
pub trait Observe: fmt::Debug + Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

/// Logs and does nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Observe for Log {
    fn event(&self, event: &Event) {
        match event {
            Event::CacheOff(error) => tracing::warn!(%error, "the cache is off"),
            Event::Queued { action, wait } => tracing::info!(action, ?wait, "a call waits for its place in the queue"),
            Event::RenewalFailed(error) => tracing::info!(%error, "a renewal failed; the present credential stays"),
            Event::Throttled { action } => tracing::info!(action, "throttled"),
        }
    }
}
