//! Starting and stopping the sandbox, and the environment that points a client at it.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::aws::{Aws, Directory, Kind, RateLimit, random_token};
use crate::calls::Calls;
use crate::clock::SandboxClock;
use crate::control::{self, Control};
use crate::engine::Engine;
use crate::faults::{Faults, Rule};
use crate::gate::{Challenge, Gate, GateOptions};
use crate::http;
use crate::pki::Pki;
use crate::seed::{self, EXTERNAL_ID, PROD, STAGING, User};
use crate::world::{WarehouseId, WarehouseKind, World};

/// What to start. Nothing is bound before [`Builder::start`].
#[derive(Debug, Default)]
pub struct Builder {
    aws_port: u16,
    rate_limit: Option<RateLimit>,
    clock: SandboxClock,
    nasty_passwords: bool,
    engine: Engine,
    challenge: Challenge,
    faults: Vec<Rule>,
    crowd: usize,
}

impl Builder {
    /// How many more users, with a past, are in production's cluster `analytics` in us-east-1.
    pub fn crowd(mut self, count: usize) -> Self {
        self.crowd = count;
        self
    }

    /// What answers queries.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// How clients must prove their passwords.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenge = challenge;
        self
    }

    /// The port of the pretend AWS; 0, the default, takes a free one.
    pub fn aws_port(mut self, port: u16) -> Self {
        self.aws_port = port;
        self
    }

    /// Throttles calls per account, region and action. Off by default.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Puts a fault rule in force from the start; may be given several times.
    pub fn fault(mut self, rule: Rule) -> Self {
        self.faults.push(rule);
        self
    }

    /// The clock that judges every expiry.
    pub fn clock(mut self, clock: SandboxClock) -> Self {
        self.clock = clock;
        self
    }

    /// Issues passwords with quotes, spaces, `:`, `@`, `%`, `\` and a letter outside ASCII.
    pub fn nasty_passwords(mut self) -> Self {
        self.nasty_passwords = true;
        self
    }

    /// Starts the servers on loopback.
    ///
    /// # Errors
    /// When the port is taken or the private directory cannot be written.
    pub async fn start(self) -> io::Result<Sandbox> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.aws_port)).await?;
        let address = listener.local_addr()?;
        let directory = tempfile::Builder::new().prefix("shiftkey-sandbox-").tempdir()?;
        let world = World::new(seed::warehouses());
        seed::crowd(&world, &seed::analytics(), self.crowd, self.clock.now());
        let pki = Pki::generate().map_err(io::Error::other)?;
        let options = GateOptions { engine: self.engine, challenge: self.challenge, ..GateOptions::default() };
        let gate = Gate::start(&world, &self.clock, &pki, &options).await?;
        let aws = Aws::new(world.clone(), self.clock.clone(), self.rate_limit, self.nasty_passwords);
        for rule in self.faults {
            aws.faults.add(rule);
        }
        let iam = aws.directory.clone();
        let control = Control {
            token: random_token().into(),
            iam: iam.clone(),
            calls: aws.calls.clone(),
            clock: self.clock,
            faults: aws.faults.clone(),
            gate,
            world,
        };
        write_private(&directory.path().join("config"), &profiles())?;
        write_private(&directory.path().join("credentials"), &keys())?;
        write_private(&directory.path().join("config.toml"), &targets(&control.world, address))?;
        write_private(&directory.path().join("ca.pem"), pki.ca_pem())?;
        DirBuilder::new().mode(0o700).create(directory.path().join("cache"))?;
        let stop = CancellationToken::new();
        let server = tokio::spawn(http::serve(aws, control.clone(), listener, stop.clone()));
        Ok(Sandbox { address, directory, iam, control, pki, stop, server })
    }
}

/// A running sandbox. Dropping it ends its servers and removes its files.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    directory: TempDir,
    iam: Directory,
    control: Control,
    pki: Pki,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Sandbox {
    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where this run is driven over HTTP: `http://127.0.0.1:PORT/sandbox`. `docs/sandbox.md` says what it answers.
    pub fn control_url(&self) -> String {
        format!("{}{}", self.endpoint_url(), control::PREFIX)
    }

    /// What a request to [`Sandbox::control_url`] must send as its bearer token.
    pub fn control_token(&self) -> &str {
        &self.control.token
    }

    /// The certificate authority that the warehouses' certificate is by, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// The file that holds [`Sandbox::ca_pem`].
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The environment of a client that is alice.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_for("alice").expect("alice is seeded")
    }

    /// The environment of a client that is one of the seeded IAM users: alice, etl, intern, security, stage.
    pub fn environment_for(&self, user: &str) -> Option<Vec<(String, String)>> {
        let user = seed::users().into_iter().find(|it| it.name == user)?;
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let pairs = vec![
            ("AWS_ENDPOINT_URL", self.endpoint_url()),
            ("AWS_ACCESS_KEY_ID", user.access_key()),
            ("AWS_SECRET_ACCESS_KEY", user.secret_key()),
            ("AWS_REGION", "us-east-1".to_owned()),
            // The AWS CLI and boto3 read this one only.
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", file("config")),
            ("AWS_SHARED_CREDENTIALS_FILE", file("credentials")),
            ("SHIFTKEY_CONFIG", file("config.toml")),
            ("SHIFTKEY_CA_FILE", file("ca.pem")),
            // Credentials of a pretend AWS must not end up among a real user's.
            ("SHIFTKEY_CACHE_DIR", file("cache")),
            ("SHIFTKEY_SANDBOX_TOKEN", self.control_token().to_owned()),
            ("SHIFTKEY_SANDBOX_URL", self.control_url()),
            ("PGSSLROOTCERT", file("ca.pem")),
            ("PGSSLMODE", "verify-full".to_owned()),
        ];
        Some(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Gives a seeded user of the production account a policy of its own, in place of the one of that name; `None` takes it away. What
    /// stands in it is not checked, as the IAM calls check it.
    pub fn put_user_policy(&self, user: &str, name: &str, document: Option<&serde_json::Value>) {
        self.iam.put_user_policy(PROD, user, name, document);
    }

    /// Bounds what a user (`user/alice`) or role (`role/DataEngineer`) of the production account may do by a managed policy of this
    /// document; `None` takes the boundary away. What stands in it is not checked.
    pub fn put_boundary(&self, whom: &str, document: Option<&serde_json::Value>) {
        let (kind, name) = match whom.split_once('/') {
            Some(("role", name)) => (Kind::Role, name),
            _ => (Kind::User, whom.trim_start_matches("user/")),
        };
        self.iam.put_boundary(PROD, kind, name, document);
    }

    /// Puts a service control policy in force for all users and roles of an account, in place of the one before; `None` allows all.
    pub fn put_service_control_policy(&self, account: &str, document: Option<&serde_json::Value>) {
        self.iam.put_service_control_policy(account, document);
    }

    /// Makes a user of the production account, without keys, unless there is one.
    pub fn create_user(&self, name: &str) {
        self.iam.create_user(PROD, name);
    }

    /// The clock.
    pub fn clock(&self) -> &SandboxClock {
        &self.control.clock
    }

    /// Warehouses, grants and connection logs.
    pub fn world(&self) -> &World {
        &self.control.world
    }

    /// What was called.
    pub fn calls(&self) -> &Calls {
        &self.control.calls
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.control.faults
    }

    /// Moves a warehouse to another port, which it gives; the old one stops answering and its sessions are cut. AWS's answers
    /// tell the new one from now on.
    ///
    /// # Errors
    /// `NotFound` when there is no such warehouse.
    pub async fn move_endpoint(&self, id: &WarehouseId) -> io::Result<u16> {
        self.control.gate.move_endpoint(id).await
    }

    /// Ends the servers and waits for them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.control.gate.clone().stop().await;
        if let Err(error) = (&mut self.server).await {
            tracing::warn!(%error, "the pretend AWS did not end well");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Ready-made profiles; no endpoint is written here, the environment names it.
fn profiles() -> String {
    let role_in = |account: &str, name: &str| {
        format!("role_arn = arn:aws:iam::{account}:role/{name}\nsource_profile = default\nrole_session_name = alice\n")
    };
    let role = |name: &str| role_in(PROD, name);
    let mut text = "[default]\nregion = us-east-1\n".to_owned();
    for user in seed::users() {
        let _ = write!(text, "[profile {}]\nregion = us-east-1\n", profile(&user));
    }
    let _ = write!(text, "[profile engineer]\nregion = us-east-1\n{}", role("DataEngineer"));
    let _ = write!(text, "[profile partner]\nregion = us-east-1\n{}external_id = {EXTERNAL_ID}\n", role("Partner"));
    let serial = format!("mfa_serial = arn:aws:iam::{PROD}:mfa/alice\nduration_seconds = 3600\n");
    let _ = write!(text, "[profile mfa]\nregion = us-east-1\n{}{serial}", role("Guarded"));
    let _ = write!(text, "[profile staging-reader]\nregion = us-east-1\n{}", role_in(STAGING, "StagingReader"));
    text
}

fn keys() -> String {
    let section = |name: &str, user: &User| {
        format!("[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n", user.access_key(), user.secret_key())
    };
    let users = seed::users();
    let default = users.iter().filter(|it| it.name == "alice").map(|it| section("default", it));
    default.chain(users.iter().map(|it| section(profile(it), it))).collect()
}

/// The profile of the staging user carries the account's name.
fn profile(user: &User) -> &'static str {
    if user.account == PROD { user.name } else { "staging" }
}

/// Every warehouse as a target: `prod/analytics`, `staging/adhoc`, ...
fn targets(world: &World, address: SocketAddr) -> String {
    let mut text = String::new();
    // Production is for whoever's keys are in the environment; staging is another account and needs its own.
    for (name, profile) in [("prod", ""), ("staging", "profile = \"staging\"\n")] {
        let _ = write!(text, "[environments.{name}]\n{profile}region = \"us-east-1\"\nendpoint_url = \"http://{address}\"\n\n");
    }
    for it in world.warehouses() {
        let environment = if it.id.account == PROD { "prod" } else { "staging" };
        let kind = if it.id.kind == WarehouseKind::Cluster { "cluster" } else { "workgroup" };
        let (name, region) = (&it.id.name, &it.id.region);
        let _ = write!(text, "[targets.\"{environment}/{name}\"]\n{kind} = \"{name}\"\nregion = \"{region}\"\ndatabase = \"dev\"\n");
        if it.id.kind == WarehouseKind::Cluster {
            let _ = write!(text, "db_user = \"{{user_name}}\"\nbreak_glass = \"{}\"\n", it.admin);
        }
        text.push('\n');
    }
    text
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
