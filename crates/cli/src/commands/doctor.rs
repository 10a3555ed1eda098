//! `doctor`: every step from identity to a query, one after the other, each with a verdict, its time and a remedy.

use std::time::Duration;

use serde::Serialize;
use shiftkey::{
    Error, ErrorKind, Login, Result, Shiftkey, Target, Warehouse,
    dial::{self, Options},
    identity::Scope,
};
use shiftkey_audit::{Session, queries};
use tokio::time::Instant;

use crate::{args::CredentialOptions, exit::Failure, output::Printer, settings::Settings};

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    verdict: &'static str,
    milliseconds: u128,
    detail: String,
    hint: Option<String>,
}

/// Steps so far, and the first failure, after which the rest is skipped.
#[derive(Debug)]
struct Report<'a> {
    printer: &'a Printer,
    steps: Vec<Step>,
    failure: Option<ErrorKind>,
}

pub(crate) async fn doctor(name: Option<&str>, options: &CredentialOptions, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let mut report = Report { printer, steps: Vec::new(), failure: None };
    let shiftkey = settings.shiftkey()?;
    let target = report
        .check("configuration", async {
            match name {
                Some(name) => settings.target(name, options).map(|target| (describe(&target), Some(target))),
                None => configured(settings).map(|detail| (detail, None)),
            }
        })
        .await
        .flatten();
    let scope = target.as_ref().map_or_else(|| settings.scope(), Scope::from);
    report
        .check("identity", async {
            let caller = shiftkey.caller(&scope).await?;
            Ok((format!("{} in {}", caller.arn, shiftkey.region(&scope).await?), ()))
        })
        .await;
    if let Some(target) = &target {
        warehouse(&mut report, &shiftkey, target, settings).await;
    }
    if printer.json {
        printer.json(&report.steps)?;
    }
    report.failure.map_or(Ok(()), |kind| Err(Failure::Reported(kind)))
}

/// How many targets there are, unless something is wrong with one.
fn configured(settings: &Settings) -> Result<String> {
    let config = settings.config()?;
    match config.mistakes().len() {
        0 => Ok(format!("targets: {}", config.target_names().len())),
        many => Err(Error::config(format!("mistakes: {many}")).with_hint("`shiftkey config --check` tells each with its line")),
    }
}

/// The steps that concern one warehouse.
async fn warehouse(report: &mut Report<'_>, shiftkey: &Shiftkey, target: &Target, settings: &Settings) {
    let options = Options { env: settings.env.clone(), ..Options::default() };
    report
        .check("endpoint", async {
            let endpoint = shiftkey.endpoint(target).await?;
            let how = if target.host.is_some() { "as given" } else { "as AWS says" };
            Ok((format!("{}:{} {how}", endpoint.host, endpoint.port), ()))
        })
        .await;
    let login = report
        .check("credential", async {
            let login = shiftkey.login(target).await?;
            let expires = humantime::format_rfc3339_seconds(login.credential.expires_at);
            Ok((format!("{} until {expires}", login.credential.db_user), login))
        })
        .await;
    let login = report.check("network", with(login.as_ref(), async |login| reach(shiftkey, target, login).await)).await;
    report
        .check(
            "TLS",
            with(login.as_ref(), async |login| {
                let stream = dial::encrypted(&login.route(), &options).await?;
                Ok((
                    format!(
                        "certificate of {} accepted, {}",
                        login.server_name.as_deref().unwrap_or(&login.endpoint.host),
                        stream.version().unwrap_or_default()
                    ),
                    (),
                ))
            }),
        )
        .await;
    report
        .check("query", async {
            let mut session = Session::open(shiftkey, target, &options).await?;
            let rows = session.query(queries::WHOAMI).await?;
            let cell = |column: usize| rows.first().and_then(|row| row.get(column)).cloned().flatten().unwrap_or_default();
            Ok((format!("signed in as {} to {}", cell(0), cell(1)), ()))
        })
        .await;
}

/// Dials; an endpoint that does not answer may have moved since AWS was asked.
async fn reach(shiftkey: &Shiftkey, target: &Target, login: &Login) -> Result<(String, Login)> {
    let error = match dial::reach(&login.route()).await {
        Ok(_) => return Ok(("TCP answers".to_owned(), login.clone())),
        Err(error) if target.host.is_some() => return Err(error),
        Err(error) => error,
    };
    let endpoint = shiftkey.renew_endpoint(target, &login.endpoint).await.ok().filter(|endpoint| *endpoint != login.endpoint);
    let moved = Login { endpoint: endpoint.ok_or(error)?, ..login.clone() };
    dial::reach(&moved.route()).await?;
    Ok((format!("TCP answers; moved to {}:{}", moved.endpoint.host, moved.endpoint.port), moved))
}

async fn with<'a, T>(login: Option<&'a Login>, work: impl AsyncFnOnce(&'a Login) -> Result<T>) -> Result<T> {
    match login {
        Some(login) => work(login).await,
        None => Err(Error::new(ErrorKind::Unexpected, "there is no credential to try")),
    }
}

fn describe(target: &Target) -> String {
    let what = match &target.warehouse {
        Warehouse::Cluster(id) => format!("cluster {id}"),
        Warehouse::CustomDomain(host) => format!("custom domain {host}"),
        Warehouse::Workgroup(name) => format!("workgroup {name}"),
    };
    format!("{what}, database {}", target.database)
}

impl Report<'_> {
    /// Runs a step unless an earlier one failed.
    async fn check<T>(&mut self, step: &'static str, work: impl Future<Output = Result<(String, T)>>) -> Option<T> {
        if self.failure.is_some() {
            self.record(Step { step, verdict: "skipped", milliseconds: 0, detail: String::new(), hint: None });
            return None;
        }
        let started = Instant::now();
        let outcome = work.await;
        let milliseconds = started.elapsed().max(Duration::from_millis(1)).as_millis();
        match outcome {
            Ok((detail, value)) => {
                self.record(Step { step, verdict: "ok", milliseconds, detail, hint: None });
                Some(value)
            }
            Err(error) => {
                self.failure = Some(error.kind());
                let hint = error.hint().map(str::to_owned);
                self.record(Step { step, verdict: "failed", milliseconds, detail: error.message().to_owned(), hint });
                None
            }
        }
    }

    /// A person reads along; `--json` prints all at the end.
    fn record(&mut self, step: Step) {
        if !self.printer.json {
            let time = if step.verdict == "skipped" { String::new() } else { format!("{} ms", step.milliseconds) };
            // A closed stdout is noticed by nobody who reads along.
            let _ = self.printer.line(format!("{:<14} {:<8} {time:>8}  {}", step.step, step.verdict, step.detail).trim_end());
            if let Some(hint) = &step.hint {
                let _ = self.printer.line(&format!("  hint: {}", hint.replace('\n', "\n  ")));
            }
        }
        self.steps.push(step);
    }
}
