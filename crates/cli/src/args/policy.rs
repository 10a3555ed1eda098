//! What can be typed after `policy`.

use std::time::Duration;

use clap::{Args, Subcommand};
use shiftkey::policy::{Format, lint::Severity};

use super::{TargetArgs, one_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  shiftkey policy generate prod/analytics
  shiftkey policy lint team.json
  shiftkey policy explain prod/analytics
  shiftkey policy apply prod/analytics --name analysts --member alice";

const GENERATE_EXAMPLES: &str = "\
Examples:
  shiftkey policy generate prod/analytics
  shiftkey policy generate prod/analytics --for users --db-group analysts --auto-create --mfa
  shiftkey policy generate prod/analytics --for role:DataEngineer --session-suffix @example.com
  shiftkey policy generate prod/analytics --for tag:RedshiftDbUser --longest 15m --format terraform
  shiftkey policy generate prod/analytics --for db-user:etl -d dev -d sales --format cloudformation
  shiftkey policy generate cluster:analytics@us-east-1 --for users --account 111122223333 --admin-user root";

const LINT_EXAMPLES: &str = "\
Examples:
  shiftkey policy lint team.json
  shiftkey policy lint arn:aws:iam::111122223333:policy/team --admin-user root
  shiftkey policy lint team.json --format sarif > team.sarif
  shiftkey policy generate prod/analytics | shiftkey policy lint - --fail-on note";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  shiftkey policy explain prod/analytics
  shiftkey policy explain prod/analytics --db-user etl --database sales
  shiftkey policy explain prod/analytics --profile engineer --json";

const APPLY_EXAMPLES: &str = "\
Examples:
  shiftkey policy apply prod/analytics --name analysts --member alice --member bob
  shiftkey policy apply prod/analytics --name analysts --member alice --member bob --apply
  shiftkey policy apply prod/analytics --name engineers --for role:DataEngineer --apply
  shiftkey policy apply --name analysts --destroy
  shiftkey policy apply --name analysts --destroy --apply";

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Write the narrowest IAM policy for who may log in to what
    ///
    /// What is not given is taken from the targets: who logs in (their db_user), databases, groups, auto-create.
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(GenerateArgs),
    /// Find what is wrong with a policy about Redshift; exits with 2 when something is
    #[command(after_help = LINT_EXAMPLES)]
    Lint(LintArgs),
    /// Say whether policies let you log in, and which statement is missing; exits with 4 when they do not, with 1 when that cannot be told
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(TargetArgs),
    /// Put policy, group, attachment and members into IAM; shows the plan, and acts with --apply
    ///
    /// Whoever runs it again with the same words changes nothing; after a failure it goes on where that was. Members who are no
    /// longer named leave the group. What others have made stays.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(Box<ApplyArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    #[arg(required = true, help = "What may be logged in to")]
    pub(crate) targets: Vec<String>,
    /// Language: json, terraform, cloudformation
    #[arg(long, default_value = "json", value_parser = format)]
    pub(crate) format: Format,
    /// Name of the policy in Terraform and CloudFormation
    #[arg(long, default_value = "redshift-login", value_parser = name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) intent: IntentOptions,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Intent")]
pub(crate) struct IntentOptions {
    /// Who logs in: users (IAM users as themselves), role:NAME or role-id:AROA... (its sessions by their names), tag:KEY (as a
    /// principal tag says), db-user:NAME (everybody as this one), mapped (as AWS makes it from the IAM identity)
    #[arg(long = "for", value_name = "WHO", value_parser = who)]
    pub(crate) who: Option<WhoArg>,
    /// What a session's name has after the database user's, for roles: @example.com
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) session_suffix: String,
    /// Database to open; may be given several times
    #[arg(short, long)]
    pub(crate) database: Vec<String>,
    /// Group that may be joined; may be given several times
    #[arg(long, value_name = "GROUP")]
    pub(crate) db_group: Vec<String>,
    /// Missing database users may be created
    #[arg(long)]
    pub(crate) auto_create: bool,
    /// Longest lifetime of a credential, from 15m to 1h
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub(crate) longest: Option<Duration>,
    /// Only sessions that were opened with a second factor
    #[arg(long)]
    pub(crate) mfa: bool,
    /// Database user that nobody may be, instead of asking AWS for the cluster's admin; may be given several times
    #[arg(long, value_name = "USER")]
    pub(crate) admin_user: Vec<String>,
    /// The account's twelve digits, for clusters; AWS is not asked then
    #[arg(long, value_parser = account)]
    pub(crate) account: Option<String>,
}

/// Who logs in, as it is typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WhoArg {
    DbUser(String),
    Mapped,
    Role(String),
    RoleId(String),
    Tag(String),
    Users,
}

#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    #[arg(help = "A file, - for standard input, or the ARN of a managed policy")]
    pub(crate) policy: String,
    /// Report: text, json, sarif
    #[arg(long, default_value = "text", value_parser = ["text", "json", "sarif"])]
    pub(crate) format: String,
    /// Findings from this severity on make it fail: note, warning, error
    #[arg(long, value_name = "SEVERITY", default_value = "warning", value_parser = severity)]
    pub(crate) fail_on: Severity,
    /// Database user that nobody may be (awsuser unless given); may be given several times
    #[arg(long, value_name = "USER")]
    pub(crate) admin_user: Vec<String>,
    /// Missing database users are to be created: say so when that is not allowed
    #[arg(long)]
    pub(crate) auto_create: bool,
    /// The partition that it is for: aws, aws-cn, aws-us-gov
    #[arg(long)]
    pub(crate) partition: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[arg(required_unless_present = "destroy", help = "What may be logged in to")]
    pub(crate) targets: Vec<String>,
    /// Name of the policy, by which it is found again
    #[arg(long, value_parser = name)]
    pub(crate) name: String,
    /// Group that gets the policy, made if need be (unless given: of the policy's name)
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// IAM user for the group; may be given several times
    #[arg(long, value_name = "USER")]
    pub(crate) member: Vec<String>,
    /// Role that gets the policy, instead of a group; --for role:NAME implies it
    #[arg(long, value_name = "ROLE")]
    pub(crate) attach_role: Option<String>,
    /// Remove what was made, and nothing else
    #[arg(long, conflicts_with_all = ["targets", "group", "member", "attach_role"])]
    pub(crate) destroy: bool,
    /// Do it, instead of showing what would be done
    #[arg(long)]
    pub(crate) apply: bool,
    #[command(flatten)]
    pub(crate) intent: IntentOptions,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(one_line)
}

fn severity(text: &str) -> Result<Severity, String> {
    text.parse().map_err(one_line)
}

fn lifetime(text: &str) -> Result<Duration, String> {
    shiftkey::target::names::duration(text).map_err(one_line)
}

fn account(text: &str) -> Result<String, String> {
    let legal = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if legal { Ok(text.to_owned()) } else { Err("an account has twelve digits".to_owned()) }
}

/// As IAM takes names, and short enough for the numbers of further policies.
fn name(text: &str) -> Result<String, String> {
    let legal = (1..=120).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if legal { Ok(text.to_owned()) } else { Err("a name has 1 to 120 letters, digits and _ + = , . @ -".to_owned()) }
}

fn who(text: &str) -> Result<WhoArg, String> {
    match text.split_once(':') {
        None if text == "users" => Ok(WhoArg::Users),
        None if text == "mapped" => Ok(WhoArg::Mapped),
        Some(("db-user", name)) if !name.is_empty() => Ok(WhoArg::DbUser(name.to_owned())),
        Some(("role", name)) if !name.is_empty() => Ok(WhoArg::Role(name.to_owned())),
        Some(("role-id", id)) if !id.is_empty() => Ok(WhoArg::RoleId(id.to_owned())),
        Some(("tag", key)) if !key.is_empty() => Ok(WhoArg::Tag(key.to_owned())),
        _ => Err("write users, role:NAME, role-id:ID, tag:KEY, db-user:NAME or mapped".to_owned()),
    }
}
