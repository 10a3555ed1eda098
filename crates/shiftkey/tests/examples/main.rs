//! The examples, as programs and as code that others copy, against the sandbox.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod pools; // pools that outlive credentials
mod programs; // the programs that cargo built

use std::time::SystemTime;

use shiftkey::{Clock, Config, Env, Overrides, Shiftkey, Target};
use shiftkey_sandbox::{Builder, Sandbox, clock::SandboxClock, engine::Engine, seed::analytics};

const ISSUE: &str = "GetClusterCredentials";

/// The engines that are there: the embedded one always.
fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::Embedded];
    engines.extend(Engine::postgres_is_installed().then_some(Engine::Postgres));
    engines
}

/// The sandbox's time, so that hours pass at once for everybody.
#[derive(Debug)]
struct Moved(SandboxClock);

impl Clock for Moved {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// A sandbox, and what alice's programs find in their environment.
struct World {
    sandbox: Sandbox,
    env: Env,
}

impl World {
    async fn new(engine: Engine) -> Self {
        Self::of(Sandbox::builder().engine(engine)).await
    }

    async fn of(builder: Builder) -> Self {
        let sandbox = builder.start().await.unwrap();
        let env = Env { vars: sandbox.environment().into_iter().collect(), ..Env::default() };
        Self { sandbox, env }
    }

    fn target(&self) -> Target {
        Config::load(&self.env, None).unwrap().resolve("prod/analytics", &Overrides::default()).unwrap()
    }

    fn shiftkey(&self) -> Shiftkey {
        let clock = std::sync::Arc::new(Moved(self.sandbox.clock().clone()));
        Shiftkey::builder().env(self.env.clone()).cache_dir(self.env.cache_dir().unwrap()).clock(clock).build()
    }

    fn target_port(&self) -> u16 {
        self.sandbox.world().warehouse(&analytics()).unwrap().endpoint.unwrap().1
    }

    fn issued(&self) -> usize {
        self.sandbox.calls().count(ISSUE)
    }

    /// How often an event stands in the warehouse's log of connections, all of which are the examples'.
    fn events(&self, event: &str) -> usize {
        let log = self.sandbox.world().connection_log(&analytics());
        assert!(log.iter().all(|record| (&*record.user, &*record.application) == ("IAM:alice", "my-program")), "{log:?}");
        log.iter().filter(|record| record.event == event).count()
    }
}
