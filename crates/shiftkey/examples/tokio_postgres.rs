//! A query by `tokio-postgres`: `cargo run -p shiftkey --example tokio_postgres -- prod/analytics`
//!
//! The session is opened by shiftkey: it verifies the warehouse's certificate and name, signs in however the warehouse asks
//! for it (`tokio-postgres` does not know Redshift's own digest), tries once more with a new credential when a cached one is
//! refused, and looks for a warehouse that has moved. The driver is handed the session and never sees the password.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program reads its environment, and prints")]

use std::error::Error;

use shiftkey::{Config, Env, Overrides, Shiftkey};
use tokio_postgres::NoTls;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: tokio_postgres TARGET")?;
    // Read once, here: the library itself never looks at the process.
    let env = Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok());
    let target = Config::load(&env, None)?.resolve(&name, &Overrides::default())?;
    // Credentials are shared with the command line, and with every other program that is made like this.
    let shiftkey = Shiftkey::builder().env(env).as_the_environment_says(true)?.build();

    // Settings are asked for here, since the session is open before the driver sees it.
    let options = shiftkey.options().parameter("application_name", "my-program");
    let (connection, login) = shiftkey.connect(&target, &options).await?;

    // `NoTls` because the stream is encrypted, and verified, already.
    let (client, session) = tokio_postgres::Config::new().user(&login.credential.db_user).connect_raw(connection.replay(), NoTls).await?;
    let session = tokio::spawn(session);

    let row = client.query_one("select current_user", &[]).await?;
    println!("{}", row.get::<_, &str>(0));

    drop(client); // says goodbye to the warehouse
    Ok(session.await??)
}
