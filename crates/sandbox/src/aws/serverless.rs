//! The Redshift Serverless API, JSON 1.1.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::fault::Fault;
use super::grant::{Wanted, check_name, duration, issue};
use super::{Aws, Signed, domains, page};
use crate::world::{Warehouse, WarehouseKind};

pub(super) fn call(aws: &Aws, call: &Signed<'_>, body: &[u8]) -> Result<String, Fault> {
    let input: Value = serde_json::from_slice(body).map_err(|_| Fault::new(400, "SerializationException", "not JSON"))?;
    let answer = match call.action {
        "GetCredentials" => credentials(aws, call, &input)?,
        "GetCustomDomainAssociation" => {
            let found = one(aws, call, &input, "workgroupName", "workgroup")?;
            let domain = required(&input, "customDomainName")?;
            let association = domains::association_json(&found).filter(|_| domains::is(&found, domain));
            association.ok_or_else(|| missing(&format!("custom domain {domain} of workgroup {}", found.id.name)))?
        }
        "GetNamespace" => {
            let found = one(aws, call, &input, "namespaceName", "namespace")?;
            json!({ "namespace": namespace_json(&found) })
        }
        "GetWorkgroup" => {
            let found = one(aws, call, &input, "workgroupName", "workgroup")?;
            json!({ "workgroup": workgroup_json(&found) })
        }
        "ListCustomDomainAssociations" => {
            let fits = |key: &str, value: &Value| {
                input[key].as_str().is_none_or(|it| value[key].as_str().is_some_and(|own| own.eq_ignore_ascii_case(it)))
            };
            let wanted = |value: &Value| fits("customDomainName", value) && fits("customDomainCertificateArn", value);
            list(aws, call, &input, "associations", |it| domains::association_json(it).filter(wanted))?
        }
        "ListNamespaces" => list(aws, call, &input, "namespaces", |it| Some(namespace_json(it)))?,
        "ListWorkgroups" => list(aws, call, &input, "workgroups", |it| Some(workgroup_json(it)))?,
        other => return Err(Fault::new(400, "UnknownOperationException", other)),
    };
    Ok(answer.to_string())
}

fn credentials(aws: &Aws, call: &Signed<'_>, input: &Value) -> Result<Value, Fault> {
    let workgroup = asked_for(aws, call, input)?;
    let database = input["dbName"].as_str();
    database.map_or(Ok(()), |it| check_name("dbName", it, false))?;
    let duration = duration(input.get("durationSeconds").map(Value::to_string).as_deref())?;
    let user = call.caller.mapped_user();
    let wanted = Wanted {
        login_user: user.clone(),
        db_user: user,
        groups: Vec::new(),
        database: database.map(str::to_owned),
        auto_create: true,
        duration,
    };
    let grant = issue(aws, call, &workgroup.id, wanted);
    let expiry = grant.expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Ok(json!({ "dbUser": grant.login_user, "dbPassword": grant.password, "expiration": expiry, "nextRefreshTime": expiry }))
}

/// The workgroup that is meant, by its name or by its domain.
fn asked_for(aws: &Aws, call: &Signed<'_>, input: &Value) -> Result<Warehouse, Fault> {
    match (input["workgroupName"].as_str(), input["customDomainName"].as_str()) {
        (None, Some(domain)) => authorized(call, here(aws, call).into_iter().find(|it| domains::is(it, domain)), domain, "workgroup"),
        _ => one(aws, call, input, "workgroupName", "workgroup"),
    }
}

fn one(aws: &Aws, call: &Signed<'_>, input: &Value, key: &str, kind: &str) -> Result<Warehouse, Fault> {
    let name = required(input, key)?;
    authorized(call, here(aws, call).into_iter().find(|it| it.id.name == name), name, kind)
}

/// Authorizes on the ARN, which carries the UUID and not the name, before it is told whether there is one.
fn authorized(call: &Signed<'_>, found: Option<Warehouse>, name: &str, kind: &str) -> Result<Warehouse, Fault> {
    let uuid = found.as_ref().map_or("*", |it| &it.uuid);
    authorize(call, &format!("arn:aws:redshift-serverless:{}:{}:{kind}/{uuid}", call.region, call.caller.account))?;
    found.ok_or_else(|| missing(&format!("{kind} {name}")))
}

fn required<'a>(input: &'a Value, key: &str) -> Result<&'a str, Fault> {
    input[key].as_str().ok_or_else(|| Fault::new(400, "ValidationException", &format!("{key} is required")))
}

fn missing(what: &str) -> Fault {
    Fault::new(400, "ResourceNotFoundException", &format!("{what} not found"))
}

fn list(aws: &Aws, call: &Signed<'_>, input: &Value, key: &str, show: impl Fn(&Warehouse) -> Option<Value>) -> Result<Value, Fault> {
    authorize(call, "*")?;
    let limit = input["maxResults"].as_u64().unwrap_or(100);
    if !(1..=100).contains(&limit) {
        return Err(Fault::new(400, "ValidationException", "maxResults must be between 1 and 100"));
    }
    let limit = usize::try_from(limit).unwrap_or(100);
    let all = here(aws, call).into_iter().filter(|it| show(it).is_some()).collect();
    let (shown, next) = page::page(all, input["nextToken"].as_str().unwrap_or_default(), limit);
    let mut answer = json!({ key: shown.iter().filter_map(show).collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

fn here(aws: &Aws, call: &Signed<'_>) -> Vec<Warehouse> {
    page::here(aws, call, WarehouseKind::Workgroup)
}

fn authorize(call: &Signed<'_>, resource: &str) -> Result<(), Fault> {
    let context = call.caller.context(call.region, call.now, &[]);
    call.caller.authorize(&format!("redshift-serverless:{}", call.action), resource, &context)
}

fn workgroup_json(it: &Warehouse) -> Value {
    let mut shown = json!({
        "workgroupName": it.id.name,
        "workgroupId": it.uuid,
        "workgroupArn": format!("arn:aws:redshift-serverless:{}:{}:workgroup/{}", it.id.region, it.id.account, it.uuid),
        "namespaceName": it.id.name,
        "status": "AVAILABLE",
        "creationDate": "2025-01-01T00:00:00Z",
    });
    if let Some((host, port)) = &it.endpoint {
        shown["endpoint"] = json!({ "address": host, "port": port });
        shown["port"] = json!(port);
    }
    if let Some(association) = domains::association_json(it) {
        for key in ["customDomainName", "customDomainCertificateArn", "customDomainCertificateExpiryTime"] {
            shown[key] = association[key].clone();
        }
    }
    shown
}

fn namespace_json(it: &Warehouse) -> Value {
    json!({
        "namespaceName": it.id.name,
        "namespaceId": it.uuid,
        "namespaceArn": format!("arn:aws:redshift-serverless:{}:{}:namespace/{}", it.id.region, it.id.account, it.uuid),
        "dbName": it.databases.first(),
        "adminUsername": it.admin,
        "status": "AVAILABLE",
    })
}
