//! From a name and overrides to a target, with every rule checked before any call.

use std::{path::PathBuf, time::Duration};

use super::{
    Overrides,
    schema::{Entry, Environment, File, Settings},
};
use crate::{
    error::{Error, ErrorKind, Result},
    target::{
        FLOOR, Mapping, Target, Warehouse,
        host::{self, HostName},
        names,
    },
};

/// AWS's longest and our usual lifetime.
const DURATION: Duration = Duration::from_secs(3600);

pub(super) fn resolve(file: &File, text: &str, flags: &Overrides) -> Result<Target> {
    let (label, entry, environment) = find(file, text)?;
    let target = build(label, entry, environment, &file.defaults, flags)?;
    check(&target)?;
    Ok(target)
}

/// The entry behind a name: configured, or made up from an ad hoc form.
fn find(file: &File, text: &str) -> Result<(String, Entry, Environment)> {
    if let Some(entry) = file.targets.get(text) {
        return Ok((text.to_owned(), entry.clone(), environment(file, text)?));
    }
    if let Some((kind, rest)) = text.split_once(':').filter(|(kind, _)| matches!(*kind, "cluster" | "workgroup")) {
        let (name, region) = match rest.split_once('@') {
            Some((name, region)) => (name.to_owned(), Some(region.to_owned())),
            None => (rest.to_owned(), None),
        };
        let mut entry = Entry { region, ..Entry::default() };
        if kind == "cluster" {
            entry.cluster = Some(name);
        } else {
            entry.workgroup = Some(name);
        }
        return Ok((text.to_owned(), entry, Environment::default()));
    }
    let by_name: Vec<&String> = file.targets.keys().filter(|name| name.rsplit('/').next() == Some(text)).collect();
    match by_name.as_slice() {
        [only] => return Ok(((*only).clone(), file.targets[*only].clone(), environment(file, only)?)),
        [] => {}
        many => {
            let many: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
            return Err(Error::config(format!("several targets are called '{text}'")).with_hint(format!("say which: {}", many.join(", "))));
        }
    }
    // A dot tells a host name from a name that was mistyped.
    if let Some((host, _, database)) = host::split(text).filter(|(host, ..)| host.contains(['.', ':']) || *host == "localhost") {
        let endpoint = text.strip_suffix(&format!("/{}", database.unwrap_or_default())).unwrap_or(text);
        let entry = Entry { endpoint: Some(endpoint.to_owned()), database: database.map(str::to_owned), ..Entry::default() };
        tracing::debug!(host, "taken for a host name");
        return Ok((text.to_owned(), entry, Environment::default()));
    }
    Err(unknown(file, text))
}

fn environment(file: &File, target: &str) -> Result<Environment> {
    let Some((name, rest)) = target.split_once('/').filter(|(name, rest)| !name.is_empty() && !rest.is_empty()) else {
        return Err(Error::config("a target is named environment/name"));
    };
    file.environments.get(name).cloned().ok_or_else(|| {
        Error::config(format!("there is no environment '{name}'")).with_hint(format!("add [environments.{name}] beside target '{rest}'"))
    })
}

fn unknown(file: &File, text: &str) -> Error {
    let error = Error::new(ErrorKind::NoSuchTarget, format!("there is no target '{}'", names::shown(text)));
    let near = file.targets.keys().map(|name| (distance(name, text), name)).min();
    match near {
        Some((distance, name)) if distance <= 3 => error.with_hint(format!("did you mean '{name}'?")),
        Some(_) => error.with_hint("`shiftkey targets` lists those that are configured"),
        None => error.with_hint("nothing is configured; name a warehouse as cluster:ID@REGION, workgroup:NAME@REGION or by its host"),
    }
}

fn build(label: String, entry: Entry, environment: Environment, defaults: &Settings, flags: &Overrides) -> Result<Target> {
    let (mut host, mut port) = (flags.host.clone().or(entry.host), flags.port.or(entry.port));
    let mut region = flags.region.clone().or(entry.region);
    let mut named = match (entry.cluster, entry.workgroup) {
        (Some(_), Some(_)) => return Err(Error::config("a target is a cluster or a workgroup, not both")),
        (Some(id), None) => names::cluster(&id).map(|()| Some(Warehouse::Cluster(id)))?,
        (None, Some(name)) => names::workgroup(&name).map(|()| Some(Warehouse::Workgroup(name)))?,
        (None, None) => None,
    };
    if let Some(endpoint) = entry.endpoint {
        let (dialled, given, _) =
            host::split(&endpoint).ok_or_else(|| Error::config(format!("'{}' is not a host and port", names::shown(&endpoint))))?;
        host.get_or_insert_with(|| dialled.to_owned());
        port = port.or(given);
    }
    if let Some(host) = &host {
        let (warehouse, told) = of_host(host);
        region = region.or(told);
        if named.is_none() {
            named = Some(warehouse.ok_or_else(|| {
                Error::config(format!("the host '{}' does not say which cluster or workgroup it leads to", names::shown(host)))
                    .with_hint("name it as well: `cluster:ID@REGION --host HOST`, or `cluster` beside `host` in the configuration")
            })?);
        }
    }
    let warehouse = named.ok_or_else(|| Error::config("a target needs a cluster, a workgroup or an endpoint"))?;
    let duration = flags.duration.clone().or_else(|| entry.duration.or_else(|| defaults.duration.clone()).map(|duration| duration.text()));
    let workgroup = matches!(warehouse, Warehouse::Workgroup(_));
    let mapping = flags.mapping.or(entry.mapping).or(defaults.mapping).unwrap_or_default();
    // AWS picks the user of a workgroup and under mapping = "iam"; defaults that only make sense elsewhere are not meant.
    let chosen = !workgroup && mapping == Mapping::User;
    let default = |value: bool| value.then_some(defaults);
    let mut groups = flags.groups.clone().or(entry.groups).or_else(|| default(chosen)?.groups.clone()).unwrap_or_default();
    groups.sort();
    groups.dedup();
    Ok(Target {
        label,
        warehouse,
        region: region.or(environment.region),
        profile: flags.profile.clone().or(entry.profile).or(environment.profile),
        endpoint_url: environment.endpoint_url,
        database: flags.database.clone().or(entry.database).or_else(|| defaults.database.clone()).unwrap_or_else(|| "dev".to_owned()),
        db_user: flags.db_user.clone().or(entry.db_user).or_else(|| default(chosen)?.db_user.clone()),
        groups,
        auto_create: flags.auto_create.or(entry.auto_create).or_else(|| default(chosen)?.auto_create).unwrap_or_default(),
        duration: duration.map_or(Ok(DURATION), |text| names::duration(&text))?,
        min_remaining: flags.min_remaining.as_deref().map_or(Ok(Duration::ZERO), names::span)?,
        mapping,
        host,
        port,
        server_name: flags.server_name.clone().or(entry.server_name),
        ca_file: flags.ca_file.clone().or_else(|| entry.ca_file.or(environment.ca_file).map(PathBuf::from)),
    })
}

fn of_host(host: &str) -> (Option<Warehouse>, Option<String>) {
    match HostName::parse(host) {
        HostName::Cluster { id, region } => (Some(Warehouse::Cluster(id)), Some(region)),
        HostName::Workgroup { name, region } => (Some(Warehouse::Workgroup(name)), Some(region)),
        HostName::Nameless { region, .. } => (None, region),
        // An address or a local name is a tunnel; nobody registers those with AWS.
        HostName::Foreign if host.parse::<std::net::IpAddr>().is_ok() || !host.contains('.') => (None, None),
        HostName::Foreign => (Some(Warehouse::CustomDomain(host.to_owned())), None),
    }
}

fn check(target: &Target) -> Result<()> {
    if target.min_remaining + FLOOR >= target.duration {
        return Err(Error::config(
            "min_remaining leaves no credential that is good enough: they are asked for with a lifetime of that or less",
        )
        .with_hint("ask for less, or for a longer --duration (1h at the most)"));
    }
    names::database(&target.database)?;
    target.region.as_deref().map_or(Ok(()), names::region)?;
    target.db_user.as_deref().map_or(Ok(()), names::db_user_template)?;
    target.groups.iter().try_for_each(|group| names::group(group))?;
    for host in [&target.host, &target.server_name].into_iter().flatten() {
        if !host::is_host(host) {
            return Err(Error::config(format!("'{}' is not a host name", names::shown(host))));
        }
    }
    if target.port == Some(0) {
        return Err(Error::config("0 is not a port"));
    }
    let picked_by_aws = match (&target.warehouse, target.mapping) {
        (Warehouse::Workgroup(_), _) => "a serverless workgroup",
        (_, Mapping::Iam) => "mapping = \"iam\"",
        (_, Mapping::User) => return Ok(()),
    };
    let excess = [("db_user", target.db_user.is_some()), ("groups", !target.groups.is_empty()), ("auto_create", target.auto_create)];
    match excess.into_iter().find(|(_, given)| *given) {
        Some((key, _)) => {
            Err(Error::config(format!("{key} cannot be chosen with {picked_by_aws}: AWS makes the user from the IAM identity"))
                .with_hint("leave it out; give rights to the user IAM:NAME or IAMR:ROLE in the warehouse"))
        }
        None => Ok(()),
    }
}

/// Levenshtein's distance.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
