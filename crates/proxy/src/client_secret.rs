//! A password that clients must know, where the kernel cannot say who they are. It is proven (SCRAM-SHA-256), never sent.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use shiftkey::{Error, Result};
use shiftkey_wire::{
    WireError,
    auth::scram::{self, Keys},
    backend::{Authentication, Backend},
    error_fields::{ErrorFields, sqlstate},
    frame::{self, Frame},
    frontend::Frontend,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Semaphore,
    time::sleep,
};

use crate::{private_file, random::random};

/// What can be tried from other machines must not be guessed.
const LENGTH: usize = 16;

/// As PostgreSQL has it. It is the clients' work; ours is done once.
const ITERATIONS: u32 = 4096;

/// Proofs that are checked at a time. One that fails keeps its place for the pause, so that this many can be guessed in that
/// time by all clients together.
const GUESSES: usize = 32;

/// What a message of a proof may weigh.
const CEILING: usize = 4096;

/// A client secret, read from a file.
pub struct ClientSecret {
    file: PathBuf,
    keys: RwLock<Arc<Keys>>,
    guesses: Semaphore,
}

impl ClientSecret {
    /// Reads the first line of `file`.
    ///
    /// # Errors
    /// `Config` when it cannot be read, others may read it, or it is too short.
    pub fn load(file: &Path) -> Result<Self> {
        Ok(Self { file: file.to_owned(), keys: RwLock::new(read(file)?), guesses: Semaphore::new(GUESSES) })
    }

    /// Reads the file anew, for clients from then on.
    ///
    /// # Errors
    /// As [`Self::load`]; then the secret stays as it was.
    pub fn reload(&self) -> Result<()> {
        let fresh = read(&self.file)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// A secret that stands in no file. For fuzzing.
    pub(crate) fn of(secret: &str) -> Self {
        Self {
            file: PathBuf::new(),
            keys: RwLock::new(keys(secret.as_bytes()).expect("it is long enough")),
            guesses: Semaphore::new(GUESSES),
        }
    }

    /// Where it is read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Asks `client` for its proof; `ahead` is what it has sent already, and holds what it sends beyond. The word that it is
    /// in is left to the caller. Who fails waits for `pause`.
    ///
    /// # Errors
    /// What the client is to be told; or, inside, why it cannot be.
    pub(crate) async fn ask<S>(&self, client: &mut S, ahead: &mut Vec<u8>, pause: Duration) -> io::Result<Result<(), ErrorFields>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let nonce = random::<18>()?;
        say(client, Authentication::Sasl(vec![scram::MECHANISM.to_owned()])).await?;
        let first = hear(client, ahead, Frontend::sasl_initial).await?;
        let started = first.and_then(|first| scram::Server::start_with(&first, &keys, &nonce).ok());
        let Some((server, challenge)) = started else {
            return Ok(Err(ErrorFields::fatal(sqlstate::PROTOCOL_VIOLATION, "shiftkey: this is not an answer of SCRAM-SHA-256")));
        };
        say(client, Authentication::SaslContinue(challenge)).await?;
        let proof = hear(client, ahead, Frontend::sasl_response).await?;
        // Only now, so that who says nothing is in nobody's way.
        let _guess = self.guesses.acquire().await.map_err(io::Error::other)?;
        match proof.and_then(|proof| server.check(&proof, &keys)) {
            Some(last) => say(client, Authentication::SaslFinal(last)).await.map(Ok),
            None => {
                sleep(pause).await;
                Ok(Err(wrong()))
            }
        }
    }
}

fn wrong() -> ErrorFields {
    let hint = "the password that clients send to this address is the proxy's client secret, not a database's";
    let fields = ErrorFields::fatal(sqlstate::INVALID_PASSWORD, "shiftkey: the client secret is wrong");
    ErrorFields { hint: Some(hint.to_owned()), ..fields }
}

async fn say<S: AsyncWrite + Unpin>(client: &mut S, request: Authentication) -> io::Result<()> {
    let mut bytes = Vec::new();
    Backend::Authentication(request).encode(&mut bytes);
    client.write_all(&bytes).await?;
    client.flush().await
}

/// The next message as `read` understands it; `None` when it does not.
async fn hear<S: AsyncRead + Unpin>(
    client: &mut S,
    ahead: &mut Vec<u8>,
    read: impl Fn(Frame<'_>) -> Result<&[u8], WireError>,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        match frame::parse(ahead, CEILING) {
            Ok(Some((message, length))) => {
                let heard = read(message).ok().map(<[u8]>::to_vec);
                ahead.drain(..length);
                return Ok(heard);
            }
            Ok(None) => {}
            Err(_) => return Ok(None),
        }
        if client.read_buf(ahead).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn read(file: &Path) -> Result<Arc<Keys>> {
    let bytes = private_file::read("the client secret", file)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    keys(line.strip_suffix(b"\r").unwrap_or(line))
        .map_err(|why| Error::config(format!("the client secret {} {why}", file.display())).with_hint("make one: openssl rand -base64 24"))
}

/// The keys of a secret, or what is wrong with it.
fn keys(secret: &[u8]) -> Result<Arc<Keys>, &'static str> {
    let text = std::str::from_utf8(secret).map_err(|_| "is not UTF-8")?;
    if text.len() < LENGTH {
        return Err("has less than 16 characters");
    }
    let salt = random::<16>().map_err(|_| "needs randomness, and the system has none")?;
    Ok(Arc::new(Keys::new(text, &salt, ITERATIONS)))
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use shiftkey_wire::auth::{SignIn, Step};
    use tokio::io::duplex;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn secret(dir: &Path, text: &str) -> Result<ClientSecret> {
        let file = dir.join("secret");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        ClientSecret::load(&file)
    }

    /// How it goes for a client that answers with `password`, and how long it takes.
    async fn ask(secret: &ClientSecret, password: &str) -> (io::Result<Result<(), ErrorFields>>, Duration) {
        let (mut near, mut far) = duplex(7);
        let started = tokio::time::Instant::now();
        let answering = async {
            let mut client = SignIn::new("x", password, [7; 18]);
            let mut bytes = Vec::new();
            loop {
                if let Some((message, length)) = frame::parse(&bytes, CEILING).unwrap() {
                    let Backend::Authentication(request) = Backend::parse(message).unwrap() else { panic!("another message") };
                    bytes.drain(..length);
                    match client.step(&request) {
                        Ok(Step::Reply(reply)) => {
                            let mut answer = Vec::new();
                            reply.encode(&mut answer);
                            far.write_all(&answer).await.unwrap();
                        }
                        _ => return,
                    }
                } else if far.read_buf(&mut bytes).await.unwrap() == 0 {
                    return;
                }
            }
        };
        let asking = async move { secret.ask(&mut near, &mut Vec::new(), PAUSE).await };
        let (outcome, ()) = tokio::join!(asking, answering);
        (outcome, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_it_is_in_at_once_and_who_does_not_waits() {
        let dir = tempfile::tempdir().unwrap();
        let known = secret(dir.path(), "correct horse battery\nsecond line\n").unwrap();
        let (outcome, took) = ask(&known, "correct horse battery").await;
        assert!(outcome.unwrap().is_ok() && took < PAUSE);
        let (outcome, took) = ask(&known, "correct horse staple").await;
        let told = outcome.unwrap().unwrap_err();
        assert!(told.code == "28P01" && told.hint.is_some() && took >= PAUSE, "{told:?} {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_guesses_together_are_limited() {
        let dir = tempfile::tempdir().unwrap();
        let known = secret(dir.path(), "correct horse battery").unwrap();
        let started = tokio::time::Instant::now();
        let guesses = futures::future::join_all((0..GUESSES * 3).map(|_| ask(&known, "a guess that is wrong"))).await;
        assert!(guesses.iter().all(|(outcome, _)| outcome.as_ref().is_ok_and(Result::is_err)));
        assert_eq!(started.elapsed(), PAUSE * 3);
    }

    #[tokio::test]
    async fn a_client_that_says_something_else_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let known = secret(dir.path(), "correct horse battery").unwrap();
        for bytes in [&b"p\0\0\0\x0chorse\0\0\0"[..], b"Q\0\0\0\x05\0", b"p\xff\xff\xff\xff", b"X\0\0\0\x04"] {
            let (mut near, _far) = duplex(1 << 16);
            let told = known.ask(&mut near, &mut bytes.to_vec(), PAUSE).await.unwrap().unwrap_err();
            assert_eq!(told.code, "08P01", "{bytes:?}");
        }
        let (mut near, far) = duplex(1 << 16);
        drop(far);
        known.ask(&mut near, &mut Vec::new(), PAUSE).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_secret_is_long_and_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let error = secret(dir.path(), "short\n").unwrap_err();
        assert!(error.message().contains("16 characters") && error.hint().unwrap().contains("openssl rand"), "{error:?}");
        let known = secret(dir.path(), "correct horse battery\r\n").unwrap();
        assert!(format!("{known:?}").starts_with("ClientSecret") && !format!("{known:?}").contains("horse"));
        fs::write(known.file(), "another horse battery").unwrap();
        known.reload().unwrap();
        assert!(ask(&known, "another horse battery").await.0.unwrap().is_ok());
        fs::write(known.file(), "").unwrap();
        known.reload().unwrap_err();
        assert!(ask(&known, "another horse battery").await.0.unwrap().is_ok());
    }
}
