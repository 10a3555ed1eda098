//! A process that asks for credentials when it is told to, and says what it got.
//!
//! Told on a line of stdin: `NUMBER KEY fresh|kept`. Said on a line of stdout: `NUMBER STARTED ENDED ok ORIGIN USER EXPIRES HASH`
//! or `NUMBER STARTED ENDED error KIND MESSAGE`; times in milliseconds of sandbox time,
//! EXPIRES in milliseconds since 1970. It ends with its stdin.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shiftkey::{Config, Credential, Env, Origin, Pace, Shiftkey};
use tokio::runtime::{Builder, Runtime};

use crate::{
    keys::KEYS,
    log::Everything,
    time::{FileClock, millis},
};

/// The first argument of a worker.
pub(crate) const ENTRY: &str = "worker";

/// What a worker needs to know, from a file: some of it is secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) cache: PathBuf,
    pub(crate) clock: PathBuf,
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

impl Spec {
    pub(crate) fn env(&self) -> Env {
        Env { vars: self.vars.clone(), ..Env::default() }
    }

    pub(crate) fn shiftkey(&self) -> Shiftkey {
        Shiftkey::builder()
            .env(self.env())
            .cache_dir(&self.cache)
            .clock(Arc::new(FileClock(self.clock.clone())))
            .pace(Pace { per_second: self.per_second, burst: self.burst })
            .build()
    }
}

/// What a worker that was told `fresh` does as a process of a moment would, and one that was told `kept` as a long one.
pub(crate) fn run(spec: &Path, log: &Path) {
    let log = OpenOptions::new().append(true).create(true).open(log).unwrap();
    tracing::subscriber::set_global_default(Everything(log)).unwrap();
    let spec: Spec = serde_json::from_slice(&fs::read(spec).unwrap()).unwrap();
    let config = Config::load(&spec.env(), None).unwrap();
    let targets: Vec<_> = KEYS.iter().map(|key| key.target(&config)).collect();
    let clock = FileClock(spec.clock.clone());
    // A thread of its own, so that renewals go on while this one waits to be told.
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let kept = spec.shiftkey();
    say("ready");
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let [number, key, manner] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let shiftkey = if manner == "kept" { kept.clone() } else { spec.shiftkey() };
        let started = clock.true_time();
        let outcome = runtime.block_on(shiftkey.credential(&targets[key.parse::<usize>().unwrap()]));
        let ended = clock.true_time();
        say(&match outcome {
            Ok((credential, origin)) => format!("{number} {started} {ended} ok {}", handed(&credential, origin)),
            Err(error) => {
                // As a program might that shows everything it has.
                tracing::error!(?error);
                format!("{number} {started} {ended} error {} {error}", error.kind().name()).replace('\n', " ")
            }
        });
    }
}

fn handed(credential: &Credential, origin: Origin) -> String {
    let (user, expires) = (&credential.db_user, millis(credential.expires_at.duration_since(UNIX_EPOCH).unwrap()));
    format!("{origin:?} {user} {expires} {}", hash(credential.password.expose()))
}

/// By which a password is told without being said.
pub(crate) fn hash(password: &str) -> String {
    Sha256::digest(password).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A line that is there when this returns. Nobody to hear it means that the driver is gone, and so is the work.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
