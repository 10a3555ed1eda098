//! Whether a target's warehouse can be reached, for `/readiness?target=`. What was found holds for a while, so that who asks often,
//! or with many, hammers nobody.

use std::{collections::HashMap, time::Duration};

use shiftkey::Target;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{proxy::Proxy, route::Serves};

/// For how long an answer holds.
const HOLDS: Duration = Duration::from_secs(10);

/// What a probe waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found, and when.
type Found = (Instant, Result<(), String>);

/// What was found, by target. Held while a warehouse is asked: one at a time.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<HashMap<String, Found>>);

impl Reach {
    /// Whether the target of this name is there, if it has a listener of its own.
    ///
    /// # Errors
    /// One line for whoever watches: why it is not.
    pub(super) async fn check(&self, proxy: &Proxy, name: &str) -> Result<(), String> {
        let own = proxy.listening().into_iter().find(|it| it.routes.serves == Serves::One(name.to_owned()));
        let Some(own) = own else { return Err("no listener has this target".to_owned()) };
        let mut found = self.0.lock().await;
        if let Some((_, outcome)) = found.get(name).filter(|(at, _)| at.elapsed() < HOLDS) {
            return outcome.clone();
        }
        let outcome = match own.routes.resolver.resolve(name, None, None) {
            Ok(target) => reach(proxy, &target).await,
            Err(error) => Err(error.to_string()),
        };
        found.insert(name.to_owned(), (Instant::now(), outcome.clone()));
        outcome
    }
}

async fn reach(proxy: &Proxy, target: &Target) -> Result<(), String> {
    match timeout(PATIENCE, proxy.reach(target)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{}: no answer within {} s", target.label, PATIENCE.as_secs())),
    }
}
