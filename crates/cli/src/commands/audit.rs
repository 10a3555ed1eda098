//! `audit`: who can still use a password.

use std::{collections::BTreeSet, path::Path};

use shiftkey::{Clock, Error, ErrorKind, Result, SystemClock, Target, Warehouse, dial::Options};
use shiftkey_audit::{
    Session,
    cloudtrail::{self, Issuance},
    findings::{Severity, Surroundings},
    inventory::{self, Inventory},
    policies::{self, Judged},
    report::{Report, time},
};

use crate::{
    args::{AuditArgs, ReportFormat},
    exit::Failure,
    output::Printer,
    settings::Settings,
};

pub(crate) async fn audit(args: &AuditArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target.target, &args.target.options)?;
    // What is wrong with a file is told before anybody is asked.
    let known = args.known.as_deref().map(names).transpose()?;
    let mut events = Vec::new();
    for path in &args.cloudtrail {
        events.extend(cloudtrail::parse(&read(path)?).map_err(|error| in_file(path, &error))?);
    }
    let seen = seen(args, &target, &events, settings, printer).await;
    printer.progress("");
    let (seen, judged) = seen?;
    let around = Surroundings {
        break_glass: target.break_glass.as_deref(),
        known: known.as_ref(),
        log: !seen.log.is_empty(),
        mapped: is_mapped(&target),
        now: SystemClock.now(),
        policies: &judged.findings,
        ways: judged.ways.as_ref(),
    };
    let report = Report::new(&target.label, seen, &around);
    match args.format {
        ReportFormat::Json => printer.json(&report.json())?,
        _ if printer.json => printer.json(&report.json())?,
        ReportFormat::Csv => printer.line(report.csv().trim_end())?,
        ReportFormat::Html => printer.line(report.html().trim_end())?,
        ReportFormat::Text => text(&report, printer)?,
    }
    let bad = args.fail_on.is_some_and(|limit| report.worst() >= Some(limit.into()));
    if bad { Err(Failure::Reported(ErrorKind::Unexpected)) } else { Ok(()) }
}

/// What the warehouse and IAM say.
async fn seen(
    args: &AuditArgs,
    target: &Target,
    events: &[Issuance],
    settings: &Settings,
    printer: &Printer,
) -> Result<(Inventory, Judged)> {
    let options = Options { env: settings.env.clone(), ..Options::default() };
    let shiftkey = settings.shiftkey()?;
    printer.progress("reading the warehouse");
    let mut session = Session::open(&shiftkey, target, &options).await?;
    let mut seen = inventory::read(&mut session, is_mapped(target), !args.cloudtrail.is_empty()).await?;
    if !args.cloudtrail.is_empty() {
        cloudtrail::join(&mut seen, events);
    }
    if args.no_iam {
        policies::unasked(&mut seen);
        return Ok((seen, Judged::default()));
    }
    printer.progress("reading IAM's policies");
    let judged = policies::read(&shiftkey, target, &mut seen, SystemClock.now()).await;
    Ok((seen, judged))
}

/// Whether AWS maps identities to users, so that there is no choosing one.
pub(super) fn is_mapped(target: &Target) -> bool {
    matches!(target.warehouse, Warehouse::Workgroup(_))
}

fn text(report: &Report, printer: &Printer) -> Result<(), Failure> {
    let Inventory { reader, log, log_since, unseen, .. } = &report.seen;
    let rows: Vec<Vec<String>> = report
        .ranked()
        .into_iter()
        .map(|(user, found)| {
            let findings: Vec<String> = found.iter().map(|it| format!("{} {}", it.severity.name(), it.code)).collect();
            vec![
                shown(&user.name),
                if user.superuser { "yes" } else { "" }.to_owned(),
                shown(&[&user.groups[..], &user.roles[..]].concat().join(" ")),
                user.password.state.name().to_owned(),
                time(user.last_password_login),
                time(user.last_iam_login),
                findings.join(", "),
            ]
        })
        .collect();
    printer.table(&["USER", "SUPERUSER", "GROUPS, ROLES", "PASSWORD", "LAST BY PASSWORD", "LAST BY IAM", "FINDINGS"], &rows)?;
    let counts = Severity::ALL.iter().rev().map(|severity| format!("{} {}", report.summary[severity.name()], severity.name()));
    let counts = counts.collect::<Vec<_>>().join(", ");
    printer.line(&format!("\n{} users: {counts}, {} in order", rows.len(), report.summary["none"]))?;
    let log = match (*log, log_since) {
        ("", _) => "no connection log".to_owned(),
        (log, Some(since)) => format!("{log} since {}", time(Some(*since))),
        (log, None) => format!("{log}, which is empty"),
    };
    printer.line(&format!("read as {}, from the catalog and {log}", shown(reader)))?;
    for it in &report.findings {
        printer.line(&format!("{} {}: {}; {}", it.severity.name(), it.code, it.message, it.fix))?;
    }
    for it in unseen {
        printer.line(&format!("not seen: {} ({}); {}", it.what, it.why, it.hint))?;
    }
    Ok(())
}

/// A name for a terminal.
pub(super) fn shown(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::config(format!("{} cannot be read: {error}", path.display())))
}

/// Names, one a line; empty lines and lines that begin with `#` are none.
pub(super) fn names(path: &Path) -> Result<BTreeSet<String>> {
    let text = String::from_utf8(read(path)?).map_err(|_| Error::config(format!("{} is not UTF-8", path.display())))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

fn in_file(path: &Path, error: &Error) -> Error {
    let named = Error::new(error.kind(), format!("{}: {}", path.display(), error.message()));
    error.hint().map_or_else(|| named.clone(), |hint| named.clone().with_hint(hint))
}
