//! Audits and lockdowns of the sandbox's warehouses, on every engine that this machine has.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod audit;
mod lockdown;
mod quoting;
mod session;

use shiftkey::{Config, Env, Overrides, Pace, Shiftkey, Target, dial::Options};
use shiftkey_audit::Session;
use shiftkey_sandbox::{Sandbox, engine::Engine, seed::analytics, world::DbUser};

/// A sandbox and its caller `security`, who may be issued credentials for everybody.
struct World {
    sandbox: Sandbox,
    shiftkey: Shiftkey,
    options: Options,
    config: Config,
}

impl World {
    async fn start(engine: Engine) -> Self {
        let sandbox = Sandbox::builder().engine(engine).start().await.unwrap();
        let env = Env { vars: sandbox.environment_for("security").unwrap().into_iter().collect(), ..Env::default() };
        let named = env.var("SHIFTKEY_CONFIG").map(std::path::PathBuf::from);
        let config = Config::load(&env, named.as_deref()).unwrap();
        Self { sandbox, shiftkey: Self::library(&env), options: Options { env, ..Options::default() }, config }
    }

    fn library(env: &Env) -> Shiftkey {
        Shiftkey::builder().env(env.clone()).pace(Pace { per_second: 1000.0, burst: 1000.0 }).build()
    }

    /// The target as this database user.
    fn target(&self, name: &str, user: Option<&str>) -> Target {
        self.config.resolve(name, &Overrides { db_user: user.map(str::to_owned), ..Overrides::default() }).unwrap()
    }

    async fn session(&self, target: &Target) -> Session {
        Session::open(&self.shiftkey, target, &self.options).await.unwrap()
    }

    /// Users with a password each.
    fn add(&self, names: &[&str]) {
        for name in names {
            let user = DbUser { name: (*name).to_owned(), password: Some("Secret-of-all-1".into()), ..DbUser::default() };
            self.sandbox.world().create_user(&analytics(), user);
        }
    }

    fn has_password(&self, name: &str) -> bool {
        self.sandbox.world().db_user(&analytics(), name).unwrap().password.is_some()
    }
}

fn engines() -> Vec<Engine> {
    let postgres = Engine::postgres_is_installed().then_some(Engine::Postgres);
    [Engine::Embedded].into_iter().chain(postgres).collect()
}
