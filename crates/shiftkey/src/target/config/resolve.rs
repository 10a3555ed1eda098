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

/// Why a target cannot be built: the key that is to blame, if one is, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) key: Option<&'static str>,
    pub(super) error: Error,
    /// Whether something is missing, which may be there but written wrong.
    pub(super) absence: bool,
}

impl Fault {
    fn of(key: &'static str, error: Error) -> Self {
        Self { key: Some(key), error, absence: false }
    }
}

/// What a name leads to, before its values are put together.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) label: String,
    entry: Entry,
    /// `None` when the target's environment is not configured.
    environment: Option<Environment>,
}

/// The entry behind a name: configured, or made up from an ad hoc form.
pub(super) fn find(file: &File, text: &str) -> Result<Found> {
    if let Some(entry) = file.targets.get(text) {
        return Ok(configured(file, text, entry));
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
        return Ok(Found { label: text.to_owned(), entry, environment: Some(Environment::default()) });
    }
    let by_name: Vec<&String> = file.targets.keys().filter(|name| name.rsplit('/').next() == Some(text)).collect();
    match by_name.as_slice() {
        [only] => return Ok(configured(file, only, &file.targets[*only])),
        [] => {}
        many => {
            let many: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
            return Err(Error::config("several targets have this name").with_hint(format!("say which: {}", many.join(", "))));
        }
    }
    // A dot tells a host name from a name that was mistyped.
    if let Some((host, _, database)) = host::split(text).filter(|(host, ..)| host.contains(['.', ':']) || *host == "localhost") {
        let endpoint = text.strip_suffix(&format!("/{}", database.unwrap_or_default())).unwrap_or(text);
        let entry = Entry { endpoint: Some(endpoint.to_owned()), database: database.map(str::to_owned), ..Entry::default() };
        tracing::debug!(host, "taken for a host name");
        return Ok(Found { label: text.to_owned(), entry, environment: Some(Environment::default()) });
    }
    Err(unknown(file, text))
}

pub(super) fn configured(file: &File, label: &str, entry: &Entry) -> Found {
    let environment = label.split_once('/').and_then(|(name, _)| file.environments.get(name)).cloned();
    Found { label: label.to_owned(), entry: entry.clone(), environment }
}

fn unknown(file: &File, text: &str) -> Error {
    let error = Error::new(ErrorKind::NoSuchTarget, "there is no such target");
    let near = file.targets.keys().map(|name| (distance(name, text), name)).min();
    match near {
        Some((distance, name)) if distance <= 3 => error.with_hint(format!("did you mean '{name}'?")),
        Some(_) => error.with_hint("`shiftkey targets` lists those that are configured"),
        None => error.with_hint("nothing is configured; name a warehouse as cluster:ID@REGION, workgroup:NAME@REGION or by its host"),
    }
}

/// Puts the values together. All that is wrong is said at once.
pub(super) fn build(found: Found, defaults: &Settings, flags: &Overrides) -> Result<Target, Vec<Fault>> {
    let Found { label, mut entry, environment } = found;
    let mut faults = Vec::new();
    let environment = environment.unwrap_or_else(|| {
        let name = label.split('/').next().unwrap_or_default();
        let error = Error::config(format!("there is no environment '{name}'")).with_hint(format!("add [environments.{name}]"));
        faults.push(Fault { key: None, error, absence: false });
        Environment::default()
    });
    if flags.mapping == Some(Mapping::Iam) {
        // Who asks for AWS's choice does not mean the choice that was written down.
        (entry.db_user, entry.groups, entry.auto_create) = (None, None, None);
    }
    let (mut host, mut port) = (flags.host.clone().or(entry.host), flags.port.or(entry.port));
    let mut region = flags.region.clone().or(entry.region);
    let mut named = match (entry.cluster, entry.workgroup) {
        (Some(_), Some(_)) => {
            faults.push(Fault::of("workgroup", Error::config("a target is a cluster or a workgroup, not both")));
            return Err(faults);
        }
        (Some(id), None) => Some(("cluster", names::cluster(&id), Warehouse::Cluster(id))),
        (None, Some(name)) => Some(("workgroup", names::workgroup(&name), Warehouse::Workgroup(name))),
        (None, None) => None,
    };
    let mut blamed = "host";
    if let Some(endpoint) = entry.endpoint {
        match host::split(&endpoint) {
            Some((dialled, given, _)) => {
                if host.is_none() {
                    (host, blamed) = (Some(dialled.to_owned()), "endpoint");
                }
                port = port.or(given);
            }
            None => faults.push(Fault::of("endpoint", Error::config(format!("'{}' is not a host and port", names::shown(&endpoint))))),
        }
    }
    if let Some(host) = &host {
        let (warehouse, told) = of_host(host);
        region = region.or(told);
        if named.is_none() {
            match warehouse {
                Some(warehouse) => named = Some((blamed, Ok(()), warehouse)),
                None => faults.push(Fault { key: Some(blamed), error: silent(host), absence: true }),
            }
        }
    } else if named.is_none() {
        let error = Error::config("a target needs a cluster, a workgroup or an endpoint");
        let error = error.with_hint("add cluster = \"ID\", workgroup = \"NAME\" or endpoint = \"HOST:PORT\"");
        faults.push(Fault { key: None, error, absence: true });
    }
    let warehouse =
        named.and_then(|(key, legal, warehouse)| legal.map_err(|error| faults.push(Fault::of(key, error))).ok().map(|()| warehouse));
    let Some(warehouse) = warehouse else { return Err(faults) };
    let duration = flags.duration.clone().or_else(|| entry.duration.or_else(|| defaults.duration.clone()).map(|duration| duration.text()));
    let duration = duration.map_or(Ok(DURATION), |text| names::duration(&text));
    let workgroup = matches!(warehouse, Warehouse::Workgroup(_));
    let mapping = flags.mapping.or(entry.mapping).or(defaults.mapping).unwrap_or_default();
    // AWS picks the user of a workgroup and under mapping = "iam"; defaults that only make sense elsewhere are not meant.
    let chosen = !workgroup && mapping == Mapping::User;
    let default = |value: bool| value.then_some(defaults);
    let mut groups = flags.groups.clone().or(entry.groups).or_else(|| default(chosen)?.groups.clone()).unwrap_or_default();
    groups.sort();
    groups.dedup();
    let target = Target {
        label,
        warehouse,
        region: region.or(environment.region),
        profile: flags.profile.clone().or(entry.profile).or(environment.profile),
        endpoint_url: environment.endpoint_url,
        database: flags.database.clone().or(entry.database).or_else(|| defaults.database.clone()).unwrap_or_else(|| "dev".to_owned()),
        db_user: flags.db_user.clone().or(entry.db_user).or_else(|| default(chosen)?.db_user.clone()),
        groups,
        auto_create: flags.auto_create.or(entry.auto_create).or_else(|| default(chosen)?.auto_create).unwrap_or_default(),
        duration: duration.unwrap_or_else(|error| {
            faults.push(Fault::of("duration", error));
            DURATION
        }),
        min_remaining: flags.min_remaining.as_deref().map_or(Ok(Duration::ZERO), names::span).unwrap_or_else(|error| {
            faults.push(Fault::of("min_remaining", error));
            Duration::ZERO
        }),
        mapping,
        host,
        port,
        server_name: flags.server_name.clone().or(entry.server_name),
        break_glass: entry.break_glass.or_else(|| defaults.break_glass.clone()),
        ca_file: flags.ca_file.clone().or_else(|| entry.ca_file.or(environment.ca_file).map(PathBuf::from)),
    };
    check(&target, &mut faults);
    if faults.is_empty() { Ok(target) } else { Err(faults) }
}

fn silent(host: &str) -> Error {
    Error::config(format!("the host '{}' does not say which cluster or workgroup it leads to", names::shown(host)))
        .with_hint("name it as well: `cluster:ID@REGION --host HOST`, or `cluster` beside `host` in the configuration")
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

fn check(target: &Target, faults: &mut Vec<Fault>) {
    let mut note = |key, checked: Result<()>| checked.unwrap_or_else(|error| faults.push(Fault::of(key, error)));
    note("database", names::database(&target.database));
    note("region", target.region.as_deref().map_or(Ok(()), names::region));
    note("db_user", target.db_user.as_deref().map_or(Ok(()), names::db_user_template));
    note("groups", target.groups.iter().try_for_each(|group| names::group(group)));
    note("host", target.host.as_deref().map_or(Ok(()), host_name));
    note("server_name", target.server_name.as_deref().map_or(Ok(()), host_name));
    note("port", if target.port == Some(0) { Err(Error::config("0 is not a port")) } else { Ok(()) });
    note("min_remaining", min_remaining(target));
    let picked_by_aws = match (&target.warehouse, target.mapping) {
        (Warehouse::Workgroup(_), _) => "a serverless workgroup",
        (_, Mapping::Iam) => "mapping = \"iam\"",
        (_, Mapping::User) => return,
    };
    let excess = [("db_user", target.db_user.is_some()), ("groups", !target.groups.is_empty()), ("auto_create", target.auto_create)];
    for (key, _) in excess.into_iter().filter(|(_, given)| *given) {
        let error = Error::config(format!("{key} cannot be chosen with {picked_by_aws}: AWS makes the user from the IAM identity"));
        note(key, Err(error.with_hint("leave it out; give rights to the user IAM:NAME or IAMR:ROLE in the warehouse")));
    }
}

/// A name or address that can be dialled.
pub(super) fn host_name(host: &str) -> Result<()> {
    if host::is_host(host) { Ok(()) } else { Err(Error::config(format!("'{}' is not a host name", names::shown(host)))) }
}

fn min_remaining(target: &Target) -> Result<()> {
    if target.min_remaining + FLOOR < target.duration {
        return Ok(());
    }
    Err(Error::config("no credential is ever good for so long: a minute less than the duration that is asked for is the most")
        .with_hint("ask for less, or for a longer --duration (1h at the most)"))
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
