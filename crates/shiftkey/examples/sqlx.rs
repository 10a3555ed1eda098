//! A pool that outlives credentials, by `sqlx`: `cargo run -p shiftkey --example sqlx -- prod/analytics`
//!
//! sqlx signs in by itself, with the options that its pool has at that moment, and has no hook before it does. So sessions are
//! taken through [`Warehouse::acquire`], which gives the pool the current credential first. What that costs, and what goes
//! wrong with sqlx and Redshift all the same, stands in docs/rust.md.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program reads its environment, and prints")]

use std::error::Error;

use shiftkey::{Config, Env, Login, Overrides, Shiftkey, Target, dial};
use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

/// A target and a pool of sessions with it.
pub(crate) struct Warehouse {
    shiftkey: Shiftkey,
    target: Target,
    pool: PgPool,
}

impl Warehouse {
    /// Opens no session yet. `min_connections` has to stay 0: the pool would open those with whatever credential was last.
    pub(crate) async fn new(shiftkey: Shiftkey, target: Target, pool: PgPoolOptions) -> Result<Self, Box<dyn Error>> {
        let pool = pool.connect_lazy_with(options(&shiftkey.login(&target).await?)?);
        Ok(Self { shiftkey, target, pool })
    }

    /// A session of the pool, or a new one.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Box<dyn Error>> {
        let login = self.current().await?;
        match self.pool.acquire().await {
            // The cache could not know that this credential is dead; the next one comes from AWS.
            Err(sqlx::Error::Database(refusal)) if login.origin.is_cached() && refusal.code().is_some_and(|code| dial::is_stale(&code)) => {
                self.shiftkey.invalidate(&self.target, &login.credential).await;
                self.current().await?;
                Ok(self.pool.acquire().await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Gives the pool the current login, for the sessions that it opens from now on.
    async fn current(&self) -> Result<Login, Box<dyn Error>> {
        let login = self.shiftkey.login(&self.target).await?;
        self.pool.set_connect_options(options(&login)?);
        Ok(login)
    }
}

/// How sqlx signs in with `login`.
fn options(login: &Login) -> Result<PgConnectOptions, Box<dyn Error>> {
    let (host, port) = (&login.endpoint.host, login.endpoint.port);
    if login.server_name.as_ref().is_some_and(|name| name != host) {
        return Err("sqlx verifies the name that it dials: through a tunnel use `shiftkey proxy`".into());
    }
    let options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .database(&login.database)
        .username(&login.credential.db_user)
        .password(login.credential.password.expose())
        .application_name("my-program")
        .ssl_mode(PgSslMode::VerifyFull)
        // Redshift takes -15 to 2 and refuses the login otherwise; sqlx has sent 3, and 2 of late. Its results are binary anyway.
        .extra_float_digits(None);
    // sqlx trusts Mozilla's certificate authorities, Amazon's among them, and this file on top.
    Ok(match &login.ca_file {
        Some(file) => options.ssl_root_cert(file),
        None => options,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: sqlx TARGET")?;
    let env = Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok());
    let target = Config::load(&env, None)?.resolve(&name, &Overrides::default())?;
    let shiftkey = Shiftkey::builder().env(env).as_the_environment_says(true)?.build();

    let warehouse = Warehouse::new(shiftkey, target, PgPoolOptions::new().max_connections(4)).await?;
    let mut session = warehouse.acquire().await?;
    let user: String = sqlx::query_scalar("select current_user").fetch_one(&mut *session).await?;
    println!("{user}");
    Ok(())
}
