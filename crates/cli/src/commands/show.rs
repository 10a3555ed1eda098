//! `config`, `targets` and `whoami`: what is known.

use shiftkey::{
    Config, Error, ErrorKind, Overrides, Warehouse,
    discover::Discovered,
    identity::Scope,
    target::config::{Mistake, Setting},
};

use crate::{exit::Failure, output::Printer, settings::Settings};

pub(crate) fn config(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let config = settings.config()?;
    let values = config.settings();
    if printer.json {
        let list: Vec<_> = values
            .iter()
            .map(|setting| {
                serde_json::json!({
                    "key": setting.key, "value": setting.value, "origin": setting.origin.to_string(), "line": setting.line
                })
            })
            .collect();
        printer.json(&list)?;
    } else if values.is_empty() {
        printer.say("nothing is configured");
    } else {
        let origin = |setting: &Setting| match setting.line {
            Some(line) => format!("{}:{line}", setting.origin),
            None => setting.origin.to_string(),
        };
        let rows: Vec<_> = values.iter().map(|setting| vec![setting.key.clone(), setting.value.clone(), origin(setting)]).collect();
        printer.table(&["KEY", "VALUE", "ORIGIN"], &rows)?;
    }
    report(&config.mistakes(), printer);
    Ok(())
}

/// Every mistake in the files; nothing is asked of AWS.
pub(crate) fn check(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let mistakes = Config::check(&settings.env, settings.global.config.as_deref());
    if printer.json {
        let list: Vec<_> = mistakes
            .iter()
            .map(|mistake| {
                serde_json::json!({ "file": mistake.file, "line": mistake.line, "message": mistake.message, "hint": mistake.hint })
            })
            .collect();
        let mut report = serde_json::json!({ "mistakes": list });
        if !mistakes.is_empty() {
            let message = format!("mistakes in the configuration: {}", mistakes.len());
            report["error"] = serde_json::json!({ "kind": ErrorKind::Config.name(), "message": message, "hint": null });
        }
        printer.json(&report)?;
    }
    told(&mistakes, printer)?;
    let targets = settings.config()?.target_names().len();
    printer.say(&format!("no mistakes; targets: {targets}"));
    Ok(())
}

fn report(mistakes: &[Mistake], printer: &Printer) {
    for mistake in mistakes {
        let error = Error::config(mistake.to_string());
        printer.warning(&match &mistake.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }
}

/// Those that can be used; what is wrong with the others is told as well, and decides the status.
pub(crate) fn targets(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let config = settings.config()?;
    let mistakes = config.mistakes();
    let mut rows = Vec::new();
    for name in config.target_names() {
        match config.resolve(&name, &Overrides::default()) {
            Ok(target) => {
                let region = target.region.clone().unwrap_or_default();
                rows.push(vec![name, warehouse(&target.warehouse), region, target.database, target.profile.unwrap_or_default()]);
            }
            // A variable is to blame, then, and for each target in the same way.
            Err(error) if mistakes.is_empty() => return Err(error.into()),
            Err(_) => {}
        }
    }
    if rows.is_empty() && mistakes.is_empty() && !printer.json {
        printer.say("no target is configured; `shiftkey targets --discover` lists what AWS has");
        return Ok(());
    }
    print(printer, &["TARGET", "WAREHOUSE", "REGION", "DATABASE", "PROFILE"], &rows)?;
    told(&mistakes, printer)
}

fn told(mistakes: &[Mistake], printer: &Printer) -> Result<(), Failure> {
    report(mistakes, printer);
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::Reported(ErrorKind::Config)) }
}

pub(crate) async fn discover(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let shiftkey = settings.shiftkey()?;
    let mut rows = Vec::new();
    let (mut failures, mut listed) = (Vec::new(), false);
    // Flags name one identity and region; the configuration plays no part then.
    let named = settings.scope();
    let config = if named == Scope::default() { Some(settings.config()?) } else { None };
    let mistakes = config.as_ref().map(Config::mistakes).unwrap_or_default();
    for (environments, scope) in scopes(named, config.as_ref()) {
        match shiftkey.discover(&scope).await {
            Ok(discovery) => {
                listed = true;
                failures.extend(discovery.failures);
                rows.extend(discovery.found.into_iter().map(|found| row(&environments, found)));
            }
            Err(error) if environments.is_empty() => failures.push(error),
            Err(error) => failures.push(error.with_target(&environments)),
        }
    }
    if !listed && let Some(error) = failures.pop() {
        return Err(error.into());
    }
    failures.iter().for_each(|error| printer.warning(error));
    print(printer, &["TARGET", "STATUS", "HOST", "PORT", "DATABASE", "ENVIRONMENT"], &rows)?;
    told(&mistakes, printer)
}

/// One for each identity and region that an environment without mistakes has, with the names of those environments; the
/// given one when there is none.
fn scopes(named: Scope, config: Option<&Config>) -> Vec<(String, Scope)> {
    let mut scopes: Vec<(String, Scope)> = Vec::new();
    for environment in config.into_iter().flat_map(Config::environments) {
        let scope = Scope { profile: environment.profile, region: environment.region, endpoint_url: environment.endpoint_url };
        match scopes.iter_mut().find(|(_, known)| *known == scope) {
            Some((names, _)) => names.push_str(&format!(", {}", environment.name)),
            None => scopes.push((environment.name, scope)),
        }
    }
    if scopes.is_empty() {
        scopes.push((String::new(), named));
    }
    scopes
}

pub(crate) async fn whoami(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let caller = settings.shiftkey()?.caller(&settings.scope()).await?;
    if printer.json {
        printer.json(&serde_json::json!({ "arn": caller.arn, "account": caller.account, "user_id": caller.user_id }))?;
    } else {
        printer.line(&caller.arn)?;
    }
    Ok(())
}

fn row(environments: &str, discovered: Discovered) -> Vec<String> {
    let Discovered { warehouse: found, region, host, port, database, status } = discovered;
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    let target = format!("{}@{region}", warehouse(&found));
    vec![target, status, host.unwrap_or_default(), port, database.unwrap_or_default(), environments.to_owned()]
}

pub(super) fn warehouse(warehouse: &Warehouse) -> String {
    match warehouse {
        Warehouse::Cluster(id) => format!("cluster:{id}"),
        Warehouse::CustomDomain(host) => host.clone(),
        Warehouse::Workgroup(name) => format!("workgroup:{name}"),
    }
}

fn print(printer: &Printer, headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    if printer.json {
        let objects: Vec<serde_json::Map<_, _>> = rows
            .iter()
            .map(|row| headings.iter().zip(row).map(|(key, value)| (key.to_lowercase(), value.clone().into())).collect())
            .collect();
        printer.json(&objects)?;
    } else {
        printer.table(headings, rows)?;
    }
    Ok(())
}
