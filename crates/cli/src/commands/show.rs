//! `config`, `targets` and `whoami`: what is known.

use shiftkey::{Warehouse, discover::Discovered, identity::Scope};

use crate::{exit::Failure, output::Printer, settings::Settings};

pub(crate) fn config(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let values = settings.config()?.settings();
    if printer.json {
        let list: Vec<_> = values
            .iter()
            .map(|setting| serde_json::json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() }))
            .collect();
        printer.json(&list)?;
    } else if values.is_empty() {
        printer.say("nothing is configured");
    } else {
        let rows: Vec<_> = values.into_iter().map(|setting| vec![setting.key, setting.value, setting.origin.to_string()]).collect();
        printer.table(&["KEY", "VALUE", "ORIGIN"], &rows)?;
    }
    Ok(())
}

pub(crate) fn targets(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let config = settings.config()?;
    let mut rows = Vec::new();
    for name in config.target_names() {
        let target = config.resolve(&name, &shiftkey::Overrides::default())?;
        let region = target.region.clone().unwrap_or_default();
        rows.push(vec![name, warehouse(&target.warehouse), region, target.database, target.profile.unwrap_or_default()]);
    }
    if rows.is_empty() && !printer.json {
        printer.say("no target is configured; `shiftkey targets --discover` lists what AWS has");
        return Ok(());
    }
    print(printer, &["TARGET", "WAREHOUSE", "REGION", "DATABASE", "PROFILE"], &rows)
}

pub(crate) async fn discover(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let shiftkey = settings.shiftkey()?;
    let mut rows = Vec::new();
    let (mut failures, mut listed) = (Vec::new(), false);
    for scope in scopes(settings)? {
        match shiftkey.discover(&scope).await {
            Ok(discovery) => {
                listed = true;
                failures.extend(discovery.failures);
                rows.extend(discovery.found.into_iter().map(row));
            }
            Err(error) => failures.push(error.with_target(scope.region.as_deref().unwrap_or("default region"))),
        }
    }
    if !listed && let Some(error) = failures.pop() {
        return Err(error.into());
    }
    failures.iter().for_each(|error| printer.warning(error));
    print(printer, &["TARGET", "STATUS", "HOST", "PORT", "DATABASE"], &rows)
}

/// Flags name one identity and region; otherwise each environment is one, or the default chain when there is none.
fn scopes(settings: &Settings) -> Result<Vec<Scope>, Failure> {
    let named = settings.scope();
    if named != Scope::default() {
        return Ok(vec![named]);
    }
    let mut scopes: Vec<Scope> = Vec::new();
    for environment in settings.config()?.environments() {
        let scope = Scope { profile: environment.profile, region: environment.region, endpoint_url: environment.endpoint_url };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        scopes.push(named);
    }
    Ok(scopes)
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

fn row(discovered: Discovered) -> Vec<String> {
    let Discovered { warehouse: found, region, host, port, database, status } = discovered;
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    vec![format!("{}@{region}", warehouse(&found)), status, host.unwrap_or_default(), port, database.unwrap_or_default()]
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
