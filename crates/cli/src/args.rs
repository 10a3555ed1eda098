//! What can be typed. Only syntax is checked here; meaning is the library's.

mod policy;
mod warehouse;

use std::{path::PathBuf, time::Duration};

pub(crate) use self::policy::{ApplyArgs, GenerateArgs, IntentOptions, LintArgs, PolicyCommand, WhoArg};
use clap::{Args, Parser, Subcommand, ValueEnum};
use shiftkey::{Mapping, dsn::Format};
use shiftkey_sandbox::{RateLimit, engine::Engine, faults::Rule, gate::Challenge};

pub(crate) use self::warehouse::{AuditArgs, LockdownArgs, ReportFormat};

/// Passwordless access to Amazon Redshift.
///
/// Turns the AWS identity that you already have into a temporary database credential, and signs you in with it.
#[derive(Debug, Parser)]
#[command(name = "shiftkey", version, max_term_width = 110, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  unexpected
  2  usage or configuration
  3  no AWS identity, or it has expired
  4  AWS denied it
  5  throttled or unreachable: try again
  6  the warehouse refused the login
  7  no such target
  8  the client program was not found
`connect` and `exec` return the status of what they run.

Examples:
  shiftkey targets --discover
  shiftkey connect prod/analytics
  shiftkey url cluster:analytics@us-east-1 --db-user alice";

const SANDBOX_EXAMPLES: &str = "\
Examples:
  shiftkey sandbox
  shiftkey sandbox -- shiftkey connect prod/analytics
  shiftkey sandbox --caller intern -- shiftkey creds prod/analytics
  shiftkey sandbox --fault '*:throttle@0.5' --rate-limit 2/s -- ./test.sh

From another shell, after pasting the variables that it printed:
  curl -s --oauth2-bearer \"$SHIFTKEY_SANDBOX_TOKEN\" \"$SHIFTKEY_SANDBOX_URL/calls\"
  curl -s --oauth2-bearer \"$SHIFTKEY_SANDBOX_TOKEN\" \"$SHIFTKEY_SANDBOX_URL/clock\" -d '{\"advance\":\"1h\"}'
  curl -s --oauth2-bearer \"$SHIFTKEY_SANDBOX_TOKEN\" \"$SHIFTKEY_SANDBOX_URL/faults\" -d '{\"rule\":\"*:503@1..3\"}'";

const EXEC_EXAMPLES: &str = "\
Examples:
  shiftkey exec prod/analytics -- psql -c 'select current_user'
  shiftkey exec prod/analytics --tcp -- java -jar report.jar
  shiftkey exec prod/analytics --direct -- python job.py";

const PROXY_EXAMPLES: &str = "\
Examples:
  shiftkey proxy prod/analytics
  shiftkey proxy prod/analytics=5439 staging/analytics=5440
  shiftkey proxy '*=5439' --idle-exit 1h
  shiftkey proxy prod/analytics=/run/user/1000/warehouse --drain 5m

Then, for the second one:
  psql 'host=127.0.0.1 port=5439'
  shiftkey url prod/analytics --format jdbc-postgresql --via-proxy 127.0.0.1:5439";

/// What stands behind `--` is another program's.
const PASSED_ON: &str = "Passed on";

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Read this configuration file and no other
    #[arg(long, global = true, value_name = "FILE", env = "SHIFTKEY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// AWS profile, instead of the configured one
    #[arg(long, global = true)]
    pub(crate) profile: Option<String>,
    /// AWS region, instead of the configured one
    #[arg(long, global = true, value_parser = region)]
    pub(crate) region: Option<String>,
    /// Print JSON, failures as well
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Never ask; fail instead
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Share nothing with other processes, and keep nothing on disk
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)] // a run builds the options of its own command alone
pub(crate) enum Command {
    /// Say who can still use a password: every database user, with findings
    ///
    /// Reads the warehouse and changes nothing. A superuser sees all; with less, it says what it could not see.
    #[command(after_help = warehouse::AUDIT_EXAMPLES)]
    Audit(Box<AuditArgs>),
    /// Show or forget the credentials that your processes share
    #[command(after_help = "Examples:\n  shiftkey cache list\n  shiftkey cache clear prod/analytics\n  shiftkey cache clear --all\n  \
        shiftkey cache path")]
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Print a shell completion script
    #[command(after_help = "Examples:\n  shiftkey completions bash > ~/.local/share/bash-completion/completions/shiftkey")]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Show the configuration and where each value comes from, or check it
    #[command(
        after_help = "Examples:\n  shiftkey config --show\n  shiftkey config --check\n  shiftkey config --check --config shiftkey.toml"
    )]
    Config {
        /// Print every value with its origin (the default)
        #[arg(long, conflicts_with = "check")]
        show: bool,
        /// Check all files and every target, print each mistake with its line, and exit with 2 if there is one
        #[arg(long)]
        check: bool,
    },
    /// Open psql, or another client, signed in
    ///
    /// The client talks to a private proxy on a unix socket that only you can reach, so it never sees a password, and
    /// connects anew (`\\c`) whenever it likes.
    #[command(after_help = "Examples:\n  shiftkey connect prod/analytics\n  shiftkey connect prod/analytics -- -c 'select 1'\n  \
        shiftkey connect workgroup:adhoc@us-east-1 --client pgcli")]
    Connect(ConnectArgs),
    /// Print a temporary database credential
    #[command(
        after_help = "Examples:\n  shiftkey creds prod/analytics\n  shiftkey creds cluster:analytics@us-east-1 --db-user etl --json | jq -r .db_password"
    )]
    Creds(TargetArgs),
    /// See the whole story on a pretend AWS and warehouse, in a few seconds
    #[command(after_help = "Examples:\n  shiftkey demo\n  shiftkey demo --engine embedded")]
    Demo(DemoArgs),
    /// Check every step from identity to a query, and say which one fails
    #[command(after_help = "Examples:\n  shiftkey doctor\n  shiftkey doctor prod/analytics\n  shiftkey doctor prod/analytics --json")]
    Doctor {
        /// What to log in to; without one only the identity is checked
        target: Option<String>,
        #[command(flatten)]
        options: CredentialOptions,
    },
    /// Run a command with PGHOST, PGPORT, PGUSER, PGDATABASE... set
    ///
    /// They lead to a private proxy that lives as long as the command: there is no password to leak and none that expires
    /// while the command runs. With --tcp the proxy listens on loopback TCP, for clients that know no unix sockets; with
    /// --direct the command dials the warehouse itself, with the password in PGPASSWORD.
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Switch database passwords off, so that nobody is locked out
    ///
    /// Shows a plan; --apply acts on it. Each user is first signed in as by IAM with a credential issued for that; then the password is
    /// disabled, and the user signed in as again. The first surprise stops everything. A journal without secrets tells what was
    /// done; --resume goes on from it. The session's own user (--db-user) must be a superuser, and your AWS identity must be allowed
    /// credentials for the users in the plan.
    #[command(after_help = warehouse::LOCKDOWN_EXAMPLES)]
    Lockdown(Box<LockdownArgs>),
    /// Print a manual page, or write all of them to a directory
    #[command(after_help = "Examples:\n  shiftkey man | man -l -\n  shiftkey man connect | man -l -\n  \
        shiftkey man --all ~/.local/share/man/man1")]
    Man {
        /// A command, for its own page
        command: Option<String>,
        /// Write the pages of all commands here
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        all: Option<PathBuf>,
    },
    /// Write, check, explain and put in force the IAM policies that logging in needs
    #[command(after_help = policy::EXAMPLES)]
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Sign clients in: any PostgreSQL client, without a password
    ///
    /// Prints where to connect and runs until Ctrl-C or SIGTERM, which let sessions finish. Only processes of your own user get in.
    /// LISTEN is a port, an address and port, a directory for a unix socket, or `systemd` for a socket that a .socket unit passes;
    /// without it a target gets a unix socket and a free port on loopback. Without a target, or for the target '*', clients choose one: they give its name as the
    /// database (environment/name or environment/name/database). The configuration is read anew when it changes, and on SIGHUP.
    /// An address that other machines reach needs --tls-cert, --tls-key and --client-secret-file.
    #[command(after_help = PROXY_EXAMPLES)]
    Proxy(Box<ProxyArgs>),
    /// Run a pretend AWS and pretend warehouses on loopback, for trials and tests
    ///
    /// Prints the variables to export and runs until Ctrl-C; with a command, runs that inside and returns its status. Counts
    /// the AWS calls that were made.
    ///
    /// A fault rule is written ACTION:FAULT or ACTION:FAULT@WHEN. FAULT is throttle, deny, hang, drop, truncate, garbage, a status such as 503,
    /// delay=DURATION, expire-early=DURATION, clock=OFFSET or move; WHEN is a call's number (3), a range (1..4) or a probability (0.5). Rules, the
    /// clock and the warehouses can also be changed while it runs, over HTTP.
    #[command(after_help = SANDBOX_EXAMPLES)]
    Sandbox(SandboxArgs),
    /// List the configured targets, or those that AWS knows
    #[command(after_help = "Examples:\n  shiftkey targets\n  shiftkey targets --discover --region eu-west-1")]
    Targets {
        /// Ask AWS, in the region and with the identity of each environment, or of --region and --profile
        #[arg(long)]
        discover: bool,
    },
    /// Print a connection string
    #[command(after_help = "Examples:\n  shiftkey url prod/analytics\n  eval \"$(shiftkey url prod/analytics --format env)\"\n  \
        shiftkey url prod/analytics --format jdbc --via-proxy 127.0.0.1:5439")]
    Url(UrlArgs),
    /// Print who AWS says you are
    #[command(after_help = "Examples:\n  shiftkey whoami\n  shiftkey whoami --profile prod --json")]
    Whoami,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the credentials: for what, for whom, how long, how often used; never a password
    #[command(after_help = "Examples:\n  shiftkey cache list\n  shiftkey cache list --json")]
    List,
    /// Forget credentials, so that the next caller is issued a new one; open sessions stay open
    #[command(after_help = "Examples:\n  shiftkey cache clear\n  shiftkey cache clear prod/analytics\n  shiftkey cache clear --all")]
    Clear {
        /// Only those of this target, as `cache list` names it
        target: Option<String>,
        /// Forget all that is kept: endpoints, who you are, and the AWS sessions that cost an MFA code as well
        #[arg(long, conflicts_with = "target")]
        all: bool,
    },
    /// Print the directory
    #[command(after_help = "Examples:\n  ls -l \"$(shiftkey cache path)\"")]
    Path,
}

#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    #[arg(help = "environment/name, cluster:ID[@REGION], workgroup:NAME[@REGION], or a host name")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) options: CredentialOptions,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Credential options")]
pub(crate) struct CredentialOptions {
    /// Database user to ask for; {session_name} and {user_name} stand for who you are
    #[arg(long, value_name = "USER")]
    pub(crate) db_user: Option<String>,
    /// Database to open
    #[arg(short, long)]
    pub(crate) database: Option<String>,
    /// Group to join for the session; may be given several times
    #[arg(long, value_name = "GROUP")]
    pub(crate) db_group: Vec<String>,
    /// Create the database user at login when it does not exist
    #[arg(long)]
    pub(crate) auto_create: bool,
    /// Lifetime of the credential: 15m to 1h, which is the default
    #[arg(long)]
    pub(crate) duration: Option<String>,
    /// How long the credential must be good for at least: 5m
    #[arg(long, value_name = "DURATION")]
    pub(crate) min_remaining: Option<String>,
    /// Who chooses the database user: you, or AWS from your IAM identity
    #[arg(long)]
    pub(crate) mapping: Option<MappingArg>,
    /// Host to dial, instead of asking AWS
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Port to dial
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Name on the warehouse's certificate, when it is not the host's (tunnels, load balancers)
    #[arg(long, value_name = "HOST")]
    pub(crate) server_name: Option<String>,
    /// Trust these CA certificates (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MappingArg {
    /// AWS, from the IAM identity
    Iam,
    /// You
    User,
}

impl From<MappingArg> for Mapping {
    fn from(mapping: MappingArg) -> Self {
        match mapping {
            MappingArg::Iam => Self::Iam,
            MappingArg::User => Self::User,
        }
    }
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WayOptions {
    /// Let the client dial the warehouse itself, with the password: `exec` puts it into PGPASSWORD, `connect` into a file in memory
    #[arg(long)]
    pub(crate) direct: bool,
    /// Lead the client to the private proxy by loopback TCP instead of a unix socket
    #[arg(long, conflicts_with = "direct")]
    pub(crate) tcp: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ProxyArgs {
    #[arg(value_name = "TARGET[=LISTEN]", help = "What to sign clients in to, and perhaps where to listen")]
    pub(crate) targets: Vec<String>,
    /// How long sessions may take to finish when the proxy is told to stop
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    pub(crate) drain: Duration,
    /// Stop when nobody has been connected for this long
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) idle_exit: Option<Duration>,
    /// Stop after this long
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) max_lifetime: Option<Duration>,
    /// Sessions at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(crate) max_sessions: usize,
    /// Let processes of this user id in as well, under your name; may be given several times
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,
    /// Sign the client's user CLIENT in as the database user DBUSER, and refuse others; may be given several times
    #[arg(long, value_name = "CLIENT=DBUSER", value_parser = pair)]
    pub(crate) map_user: Vec<(String, String)>,
    /// Serve health, metrics and a status page on this port of loopback; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub(crate) admin: Option<u16>,
    /// Serve TLS to clients of TCP that ask for it, with this certificate and its chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM), which nobody else may read
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Ask clients of TCP for the password in this file, which nobody else may read
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// Let everybody in who reaches an address that is not of this machine alone
    #[arg(long)]
    pub(crate) dangerously_listen_anywhere: bool,
    #[command(flatten)]
    pub(crate) options: CredentialOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// Client to open
    #[arg(long, default_value = "psql")]
    pub(crate) client: String,
    #[command(flatten)]
    pub(crate) way: WayOptions,
    // What follows a flattened struct would stand under that struct's heading.
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Arguments for the client
    #[arg(last = true, help_heading = PASSED_ON)]
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) way: WayOptions,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Command and arguments
    #[arg(last = true, required = true, help_heading = PASSED_ON)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// What answers queries: auto, embedded, postgres
    #[arg(long, default_value_t)]
    pub(crate) engine: Engine,
}

#[derive(Args, Debug)]
pub(crate) struct SandboxArgs {
    /// What answers queries: auto (PostgreSQL when installed), embedded, postgres, or postgres://SUPERUSER@HOST:PORT
    #[arg(long, default_value_t)]
    pub(crate) engine: Engine,
    /// How clients prove their password: cleartext, digest, md5, scram
    #[arg(long, default_value_t)]
    pub(crate) challenge: Challenge,
    /// Make AWS calls go wrong, for example GetClusterCredentials:throttle@0.5; may be given several times
    #[arg(long, value_name = "RULE")]
    pub(crate) fault: Vec<Rule>,
    /// Throttle calls per account, region and action: N/s, or N/s,burst=B (5 unless given)
    #[arg(long, value_name = "RATE")]
    pub(crate) rate_limit: Option<RateLimit>,
    /// Put this many more users, with passwords and a past, into production's cluster analytics
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) crowd: usize,
    /// Port of the pretend AWS; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Whose AWS keys to export: alice, etl, intern (who is denied everything), security, stage
    #[arg(long, default_value = "alice")]
    pub(crate) caller: String,
    /// Command to run inside, and its arguments
    #[arg(last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct UrlArgs {
    /// Syntax: jdbc, jdbc-postgresql, odbc, uri, keyword, sqlalchemy, dotnet, env, pgpass, pg-service, dbt, airflow
    #[arg(long, default_value = "jdbc", value_parser = format)]
    pub(crate) format: Format,
    /// Print the string for a proxy at this address, without a password
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) via_proxy: Option<String>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(one_line)
}

fn span(text: &str) -> Result<Duration, String> {
    shiftkey::target::names::span(text).map_err(one_line)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(client, user)| !client.is_empty() && !user.is_empty());
    pair.map(|(client, user)| (client.to_owned(), user.to_owned())).ok_or_else(|| "write CLIENT=DBUSER".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    shiftkey::target::names::region(text).map(|()| text.to_owned()).map_err(one_line)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn one_line(error: shiftkey::Error) -> String {
    format!("{error}; {}", error.hint().unwrap_or_default())
}

#[cfg(test)]
mod tests;
