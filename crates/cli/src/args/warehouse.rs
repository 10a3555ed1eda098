//! `audit` and `lockdown`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{TargetArgs, span};

pub(super) const AUDIT_EXAMPLES: &str = "\
Examples:
  shiftkey audit prod/analytics --db-user admin
  shiftkey audit prod/analytics --db-user admin --format html > audit.html
  shiftkey audit prod/analytics --db-user admin --cloudtrail events.json.gz --json
  shiftkey audit prod/analytics --db-user admin --quiet --fail-on high";

pub(super) const LOCKDOWN_EXAMPLES: &str = "\
Examples:
  shiftkey lockdown prod/analytics --db-user admin --all-except legacy_bi
  shiftkey lockdown prod/analytics --db-user admin --users etl,reporting --apply
  shiftkey lockdown prod/analytics --db-user admin --all-except @keep.txt --inactive-for 7d --apply
  shiftkey lockdown prod/analytics --db-user admin --resume
  shiftkey lockdown prod/analytics --db-user admin --verify
  shiftkey lockdown prod/analytics --report
  shiftkey lockdown prod/analytics --db-user admin --reenable etl";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Csv,
    /// One page that needs nothing else
    Html,
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SeverityArg {
    Low,
    Medium,
    High,
    Critical,
}

impl From<SeverityArg> for shiftkey_audit::findings::Severity {
    fn from(severity: SeverityArg) -> Self {
        match severity {
            SeverityArg::Low => Self::Low,
            SeverityArg::Medium => Self::Medium,
            SeverityArg::High => Self::High,
            SeverityArg::Critical => Self::Critical,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// How to print it
    #[arg(long, default_value = "text")]
    pub(crate) format: ReportFormat,
    /// CloudTrail events (JSON, packed by gzip or not) that tell who was issued credentials; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) cloudtrail: Vec<PathBuf>,
    /// Users that somebody answers for, one a line; others that came into being by a sign-in are a finding
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Option<PathBuf>,
    /// Do not read IAM's policies, which tell who may sign in as whom
    #[arg(long)]
    pub(crate) no_iam: bool,
    /// Exit with 1 when a finding is this bad or worse
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<SeverityArg>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LockdownArgs {
    /// These users, separated by commas; @FILE reads names from a file, one a line
    #[arg(long, value_name = "USERS", value_delimiter = ',', group = "choice")]
    pub(crate) users: Vec<String>,
    /// All users but these; likewise
    #[arg(long, value_name = "USERS", value_delimiter = ',', group = "choice")]
    pub(crate) all_except: Vec<String>,
    /// Of these, only who has not signed in by password for so long: 7d
    #[arg(long, value_name = "DURATION", value_parser = span, requires = "choice")]
    pub(crate) inactive_for: Option<Duration>,
    /// Superusers too: their password cannot be disabled, so it is replaced by one that nobody knows
    #[arg(long, requires = "choice")]
    pub(crate) include_superusers: bool,
    /// Users too that nobody can sign in as by IAM, or whom only their own AWS identity could prove: they may be locked out
    #[arg(long, requires = "choice")]
    pub(crate) lock_out_unproven: bool,
    /// Act on the plan
    #[arg(long, requires = "choice")]
    pub(crate) apply: bool,
    /// Plan anew although an earlier lockdown is not finished
    #[arg(long, requires = "apply")]
    pub(crate) start_over: bool,
    /// Go on with the lockdown that the journal tells of
    #[arg(long, group = "choice")]
    pub(crate) resume: bool,
    /// Say what the journal tells; nobody is asked
    #[arg(long, group = "choice")]
    pub(crate) report: bool,
    /// Prove that the passwords that were switched off open nothing
    #[arg(long, group = "choice")]
    pub(crate) verify: bool,
    /// With --verify: passwords that used to be right, as USER:PASSWORD lines; each is tried
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub(crate) known_passwords: Option<PathBuf>,
    /// Give this user a fresh password, and print it once
    #[arg(long, value_name = "USER", group = "choice")]
    pub(crate) reenable: Option<String>,
    /// Users at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) batch: u16,
    /// The journal, instead of one in $XDG_STATE_HOME/shiftkey
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}
