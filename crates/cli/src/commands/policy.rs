//! `policy generate`, `policy lint`, `policy explain`.

use std::io::Read as _;

use shiftkey::{
    Error, ErrorKind, Mapping, Overrides, Shiftkey, Target, Warehouse,
    identity::Scope,
    policy::{
        Place, Spot,
        evaluate::Decision,
        explain::{Check, Explanation, How},
        generate::{Generated, Grant, Intent, Who, generate},
        lint::{Expectations, Finding, lint, sarif},
        to_json,
    },
};

use super::policy_apply;
use crate::{
    args::{GenerateArgs, IntentOptions, LintArgs, PolicyCommand, TargetArgs, WhoArg},
    exit::Failure,
    output::Printer,
    settings::Settings,
};

/// The admin's name that the console proposes for a new cluster.
const USUAL_ADMIN: &str = "awsuser";

pub(crate) async fn policy(command: PolicyCommand, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    match command {
        PolicyCommand::Apply(args) => policy_apply::apply(&args, settings, printer).await,
        PolicyCommand::Explain(args) => explain(&args, settings, printer).await,
        PolicyCommand::Generate(args) => print(&args, settings, printer).await,
        PolicyCommand::Lint(args) => check(&args, settings, printer).await,
    }
}

async fn print(args: &GenerateArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let (generated, _) = generated(&args.targets, &args.intent, settings, printer).await?;
    if printer.json {
        printer.json(&serde_json::json!({ "policies": generated.documents, "notes": generated.notes }))?;
    } else {
        printer.line(&args.format.render(&args.name, &generated.documents))?;
        generated.notes.iter().for_each(|note| printer.say(&format!("note: {note}")));
    }
    Ok(())
}

/// The policies that the targets and options ask for, and the scope of the first target.
pub(super) async fn generated(
    names: &[String],
    options: &IntentOptions,
    settings: &Settings,
    printer: &Printer,
) -> Result<(Generated, Scope), Failure> {
    let shiftkey = settings.shiftkey()?;
    let mut grants: Vec<Grant> = Vec::new();
    let mut scope = None;
    for name in names {
        let target = target(name, options, settings)?;
        scope.get_or_insert_with(|| Scope::from(&target));
        let place = place(&shiftkey, &target, options).await?;
        if let Some(other) =
            grants.iter().map(|grant| &grant.place).find(|it| (&it.account, &it.partition) != (&place.account, &place.partition))
        {
            let message = format!("{name} lies in the account {}, other targets in {}", place.account, other.account);
            return Err(Error::config(message).with_hint("generate one policy for each account").into());
        }
        grants.push(grant(&shiftkey, &target, place, options, printer).await?);
    }
    let generated = generate(&Intent { grants, mfa: options.mfa })?;
    Ok((generated, scope.unwrap_or_else(|| settings.scope())))
}

fn target(name: &str, options: &IntentOptions, settings: &Settings) -> Result<Target, Error> {
    let mapping = match options.who {
        Some(WhoArg::Mapped) => Some(Mapping::Iam),
        Some(_) => Some(Mapping::User),
        None => None,
    };
    let global = &settings.global;
    let overrides = Overrides { mapping, profile: global.profile.clone(), region: global.region.clone(), ..Overrides::default() };
    settings.config()?.resolve(name, &overrides)
}

/// Without asking AWS where all is given.
async fn place(shiftkey: &Shiftkey, target: &Target, options: &IntentOptions) -> Result<Place, Error> {
    let Some(account) = &options.account else { return shiftkey.place(target).await };
    match (&target.warehouse, &target.region) {
        (Warehouse::Cluster(name), Some(region)) => {
            let partition = if region.starts_with("cn-") {
                "aws-cn"
            } else if region.starts_with("us-gov-") {
                "aws-us-gov"
            } else {
                "aws"
            };
            let (partition, region, account) = (partition.to_owned(), region.clone(), account.clone());
            Ok(Place { partition, region, account, spot: Spot::Cluster(name.clone()) })
        }
        _ => Err(Error::config("with --account only clusters in a region that is named can be meant")
            .with_target(&target.label)
            .with_hint("write cluster:ID@REGION, or leave --account out")),
    }
}

async fn grant(shiftkey: &Shiftkey, target: &Target, place: Place, options: &IntentOptions, printer: &Printer) -> Result<Grant, Failure> {
    let who = match &place.spot {
        Spot::Workgroup { .. } => Who::Mapped,
        Spot::Cluster(_) => who(shiftkey, target, options).await?,
    };
    let cluster = matches!(place.spot, Spot::Cluster(_));
    let chosen = |flags: &Vec<String>, own: Vec<String>| if flags.is_empty() { own } else { flags.clone() };
    let admins = match (&place.spot, &who) {
        (Spot::Cluster(name), who) if *who != Who::Mapped => admins(shiftkey, target, name, options, printer).await?,
        _ => Vec::new(),
    };
    Ok(Grant {
        who,
        databases: chosen(&options.database, vec![target.database.clone()]),
        groups: if cluster { chosen(&options.db_group, target.groups.clone()) } else { Vec::new() },
        auto_create: cluster && (options.auto_create || target.auto_create),
        longest: options.longest,
        admins,
        lookup: target.host.is_none(),
        place,
    })
}

/// As it is typed, else as the target's database user says.
async fn who(shiftkey: &Shiftkey, target: &Target, options: &IntentOptions) -> Result<Who, Error> {
    let sessions = |role_id| Who::Sessions { role_id, suffix: options.session_suffix.clone() };
    Ok(match (&options.who, target.mapping, target.db_user.as_deref()) {
        (Some(WhoArg::DbUser(name)), ..) => Who::Fixed(name.clone()),
        (Some(WhoArg::Role(role)), ..) => {
            let name = role.rsplit('/').next().unwrap_or(role);
            let id = shiftkey.iam(&Scope::from(target)).await?.role_id(name).await;
            sessions(id.map_err(|error| error.with_hint("with --for role-id:AROA... AWS need not be asked for the role's id"))?)
        }
        (Some(WhoArg::RoleId(id)), ..) => sessions(id.clone()),
        (Some(WhoArg::Tag(key)), ..) => Who::Tag(key.clone()),
        (Some(WhoArg::Users), _, template) => {
            Who::Users(template.filter(|it| it.contains("{user_name}")).unwrap_or("{user_name}").to_owned())
        }
        (Some(WhoArg::Mapped), ..) | (None, Mapping::Iam, _) => Who::Mapped,
        (None, _, Some(template)) if template.contains("{user_name}") => Who::Users(template.to_owned()),
        (None, _, Some(user)) if !user.contains('{') => Who::Fixed(user.to_owned()),
        _ => {
            return Err(Error::config("it is not known who logs in")
                .with_target(&target.label)
                .with_hint("say --for users, role:NAME, tag:KEY, db-user:NAME or mapped"));
        }
    })
}

/// As they are typed, else what AWS says.
async fn admins(
    shiftkey: &Shiftkey,
    target: &Target,
    cluster: &str,
    options: &IntentOptions,
    printer: &Printer,
) -> Result<Vec<String>, Failure> {
    if !options.admin_user.is_empty() {
        return Ok(options.admin_user.clone());
    }
    let unasked = Error::new(ErrorKind::Denied, "AWS is not asked for the cluster's admin user");
    let asked = if options.account.is_some() { Err(unasked.with_target(&target.label)) } else { shiftkey.admin(target, cluster).await };
    match asked {
        Ok(admin) => Ok(vec![admin]),
        Err(error) if error.kind() == ErrorKind::Denied => {
            printer.caution(&error.with_hint(format!("it is taken to be {USUAL_ADMIN}; name it with --admin-user if it is not")));
            Ok(vec![USUAL_ADMIN.to_owned()])
        }
        Err(error) => Err(error.into()),
    }
}

async fn check(args: &LintArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let text = text(&args.policy, settings).await?;
    let (admins, auto_create, partition) = (args.admin_user.clone(), args.auto_create, args.partition.clone());
    let findings = lint(&text, &Expectations { admins, auto_create, partition }).map_err(|error| error.with_target(&args.policy))?;
    let grave = findings.iter().filter(|finding| finding.severity >= args.fail_on).count();
    match args.format.as_str() {
        "sarif" => printer.json(&sarif(&args.policy, &findings))?,
        "text" if !printer.json => report(&args.policy, &findings, printer)?,
        _ => {
            let mut report = serde_json::json!({ "policy": args.policy, "findings": findings.iter().map(object).collect::<Vec<_>>() });
            if grave > 0 {
                let message = format!("{}: findings: {grave}", args.policy);
                report["error"] = serde_json::json!({ "kind": ErrorKind::Config.name(), "message": message, "hint": null });
            }
            printer.json(&report)?;
        }
    }
    if grave > 0 { Err(Failure::Reported(ErrorKind::Config)) } else { Ok(()) }
}

/// A policy out of a file, standard input or IAM.
async fn text(policy: &str, settings: &Settings) -> Result<String, Failure> {
    if policy.starts_with("arn:") {
        let document = settings.shiftkey()?.iam(&settings.scope()).await?.document(policy).await?;
        return Ok(serde_json::to_string_pretty(&document).map_err(std::io::Error::other)?);
    }
    let mut text = String::new();
    let read = match policy {
        "-" => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        path => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| Error::config(format!("it could not be read: {error}")).with_target(policy))?;
    Ok(text)
}

fn report(policy: &str, findings: &[Finding], printer: &Printer) -> Result<(), Failure> {
    for finding in findings {
        printer.line(&format!("{policy}:{finding}\n  fix: {}", finding.fix))?;
    }
    printer.say(&match findings.len() {
        0 => format!("{policy}: nothing was found"),
        1 => format!("{policy}: 1 finding"),
        many => format!("{policy}: {many} findings"),
    });
    Ok(())
}

fn object(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "rule": finding.rule,
        "severity": finding.severity.name(),
        "statement": finding.statement,
        "sid": finding.sid,
        "line": finding.line,
        "reason": finding.reason,
        "fix": finding.fix,
    })
}

async fn explain(args: &TargetArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target, &args.options)?;
    let explanation = settings.shiftkey()?.explain(&target).await?;
    let (answer, kind) = match explanation.verdict() {
        Decision::Allowed => ("yes", None),
        Decision::ExplicitlyDenied | Decision::ImplicitlyDenied => ("no", Some(ErrorKind::Denied)),
        Decision::Unknown => ("unknown", Some(ErrorKind::Unexpected)),
    };
    if printer.json {
        printer.json(&serde_json::json!({
            "target": target.label,
            "principal": explanation.principal,
            "verdict": answer,
            "how": explanation.how.name(),
            "checks": explanation.checks.iter().map(check_object).collect::<Vec<_>>(),
            "missing": explanation.missing,
            "notes": explanation.notes,
        }))?;
    } else {
        told(&target, answer, &explanation, printer)?;
    }
    kind.map_or(Ok(()), |kind| Err(Failure::Reported(kind)))
}

fn told(target: &Target, answer: &str, explanation: &Explanation, printer: &Printer) -> Result<(), Failure> {
    let how = match explanation.how {
        How::Evaluated => "by the policies that could be read",
        How::NotAtAll => "no policy could be read",
        How::Simulated => "as AWS simulates it",
    };
    printer.line(&format!("{}: {answer}, for {} ({how})", target.label, explanation.principal))?;
    let names = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    let row = |check: &Check| {
        let hangs = if check.unknown.is_empty() { String::new() } else { format!("hangs on {}", names(&check.unknown)) };
        let by = [names(&check.by), hangs].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        vec![check.action.clone(), check.resource.clone(), check.decision.name().to_owned(), by]
    };
    printer.table(&["ACTION", "RESOURCE", "DECISION", "BY"], &explanation.checks.iter().map(row).collect::<Vec<_>>())?;
    if !explanation.missing.is_empty() {
        printer.line(&format!("missing:\n{}", to_json(&explanation.missing)))?;
    }
    if explanation.verdict() == Decision::ExplicitlyDenied {
        printer.say("a statement denies it, so no further permission will help");
    }
    explanation.notes.iter().for_each(|note| printer.say(&format!("note: {note}")));
    Ok(())
}

fn check_object(check: &Check) -> serde_json::Value {
    serde_json::json!({
        "action": check.action,
        "resource": check.resource,
        "decision": check.decision.name(),
        "by": check.by,
        "unknown": check.unknown,
    })
}
