//! The library, by its public interface, against the sandbox.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod bad_times; // what a credential or an endpoint that was good a moment ago meets
mod domains; // targets that are custom domains
mod sharing; // processes that share a cache, and principals that must not

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use shiftkey::{Clock, Config, Env, Error, ErrorKind, Login, Overrides, Shiftkey, SystemClock, Target, dial};
use shiftkey_sandbox::{
    Sandbox,
    engine::Engine,
    seed::PROD,
    world::{WarehouseId, WarehouseKind},
};

/// The machine's clocks, ahead of themselves.
#[derive(Debug)]
struct Later(Duration);

impl Clock for Later {
    fn now(&self) -> SystemTime {
        SystemClock.now() + self.0
    }

    fn uptime(&self) -> Option<Duration> {
        Some(SystemClock.uptime()? + self.0)
    }
}

/// A sandbox and alice, who uses it.
struct World {
    sandbox: Sandbox,
    config: Config,
    env: Env,
    shiftkey: Shiftkey,
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(faults: &[&str]) -> Self {
        let mut builder = Sandbox::builder().engine(Engine::Embedded);
        for rule in faults {
            builder = builder.fault(rule.parse().unwrap());
        }
        let sandbox = builder.start().await.unwrap();
        let env = Env { vars: sandbox.environment().into_iter().collect(), ..Env::default() };
        let config = Config::load(&env, None).unwrap();
        Self { shiftkey: Shiftkey::builder().env(env.clone()).build(), sandbox, config, env }
    }

    /// Another process of the same user: nothing but the cache's directory is shared. `variables` come on top.
    fn process(&self, variables: &[(&str, &str)]) -> Shiftkey {
        let mut env = self.env.clone();
        env.vars.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Shiftkey::builder().env(env).cache_dir(self.cache_dir()).build()
    }

    /// A process of some seconds later.
    fn later(&self, seconds: u64) -> Shiftkey {
        let clock = Arc::new(Later(Duration::from_secs(seconds)));
        Shiftkey::builder().env(self.env.clone()).cache_dir(self.cache_dir()).clock(clock).build()
    }

    fn cache_dir(&self) -> PathBuf {
        self.env.var("SHIFTKEY_CACHE_DIR").unwrap().into()
    }

    fn calls(&self, action: &str) -> usize {
        self.sandbox.calls().count(action)
    }

    fn target(&self, name: &str) -> Target {
        self.config.resolve(name, &Overrides::default()).unwrap()
    }

    async fn connect(&self, login: &Login) -> Result<dial::Connection, Error> {
        dial::connect(login, &dial::Options { env: self.env.clone(), ..dial::Options::default() }).await
    }
}

fn warehouse(kind: WarehouseKind, name: &str) -> WarehouseId {
    WarehouseId { kind, account: PROD.into(), region: "us-east-1".into(), name: name.into() }
}
