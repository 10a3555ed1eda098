//! Prints connection strings as JSON lines, for real clients to read back: `tests/interop/run.sh` runs it.
//!
//! One line for each login of standard input (`{user, password, host, port, database, server_name, ca_file}`, the last two optional) and each format:
//! `{format, text, expected}`, with `text` null where the format refuses to carry the login.

use std::{
    error::Error,
    io::{self, BufRead, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use shiftkey::{
    Credential, Endpoint, Login, Origin, Secret,
    clock::Moment,
    dsn::{self, Format},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let expected: Value = serde_json::from_str(&line?)?;
        let login = login(&expected).ok_or("a login lacks a field")?;
        for format in Format::ALL {
            let text = dsn::render(format, &login).ok();
            let text = text.as_ref().map(Secret::expose);
            writeln!(out, "{}", json!({"format": format.name(), "text": text, "expected": expected}))?;
        }
    }
    Ok(())
}

fn login(value: &Value) -> Option<Login> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(Login {
        target: "interop".to_owned(),
        endpoint: Endpoint { host: text("host")?, port: u16::try_from(value["port"].as_u64()?).ok()? },
        server_name: text("server_name"),
        database: text("database")?,
        credential: Arc::new(Credential {
            db_user: text("user")?,
            password: Secret::new(text("password")?),
            issued: Moment { wall: SystemTime::UNIX_EPOCH, uptime: None },
            lifetime: Duration::from_secs(900),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(900),
        }),
        origin: Origin::Aws,
        ca_file: text("ca_file").map(Into::into),
    })
}
