//! A pool that outlives credentials, by `deadpool`: `cargo run -p shiftkey --example deadpool -- prod/analytics`
//!
//! A credential is needed to open a session and not to keep one, so the pool asks for one whenever it opens a session, and
//! shiftkey answers from its cache: AWS is called once for each lifetime, however many sessions there are.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program reads its environment, and prints")]

use deadpool::managed::{self, Metrics, Pool, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use shiftkey::{Config, Env, Error, ErrorKind, Overrides, Shiftkey, Target, dial};
use tokio_postgres::NoTls;

/// Opens sessions for a pool. (Not `deadpool_postgres::Manager`, whose errors can be `tokio_postgres::Error` only: these
/// say of what kind they are and what to do.)
pub(crate) struct Manager {
    shiftkey: Shiftkey,
    target: Target,
    options: dial::Options,
}

impl Manager {
    /// Of sessions with `target`.
    pub(crate) fn new(shiftkey: Shiftkey, target: Target) -> Self {
        let options = shiftkey.options().parameter("application_name", "my-program");
        Self { shiftkey, target, options }
    }
}

impl managed::Manager for Manager {
    type Type = ClientWrapper;
    type Error = Error;

    async fn create(&self) -> Result<ClientWrapper, Error> {
        // A cached credential that the warehouse refuses (28000, 28P01) is rejected, and the sign-in tried once more, in here.
        let (connection, login) = self.shiftkey.connect(&self.target, &self.options).await?;
        // `NoTls` because the stream is encrypted, and verified, already.
        let config = tokio_postgres::Config::new().user(&login.credential.db_user).to_owned();
        let handed = config.connect_raw(connection.replay(), NoTls).await;
        let broken = |error| Error::new(ErrorKind::Unreachable, "the session broke at once").with_source(error);
        let (client, session) = handed.map_err(broken)?;
        // When the session breaks, the client's calls say so.
        let task = tokio::spawn(async { drop(session.await) });
        Ok(ClientWrapper::new(client, task))
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<Error> {
        // A round trip: an idle session may have been cut on the way without a word.
        match client.simple_query("").await {
            Ok(_) => Ok(()),
            Err(error) => Err(RecycleError::message(error.to_string())),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: deadpool TARGET")?;
    let env = Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok());
    let target = Config::load(&env, None)?.resolve(&name, &Overrides::default())?;
    let shiftkey = Shiftkey::builder().env(env).as_the_environment_says(true)?.build();

    let pool = Pool::<Manager>::builder(Manager::new(shiftkey, target)).max_size(4).build()?;
    let client = pool.get().await?;
    let statement = client.prepare_cached("select current_user").await?;
    println!("{}", client.query_one(&statement, &[]).await?.get::<_, &str>(0));
    Ok(())
}
