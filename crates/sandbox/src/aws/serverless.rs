//! The Redshift Serverless API, JSON 1.1.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::fault::Fault;
use super::grant::{Wanted, check_name, duration, issue};
use super::{Aws, Signed};
use crate::world::{Warehouse, WarehouseKind};

pub(super) fn call(aws: &Aws, call: &Signed<'_>, body: &[u8]) -> Result<String, Fault> {
    let input: Value = serde_json::from_slice(body).map_err(|_| Fault::new(400, "SerializationException", "not JSON"))?;
    let answer = match call.action {
        "GetCredentials" => credentials(aws, call, &input)?,
        "GetNamespace" => {
            let found = one(aws, call, &input, "namespaceName", "namespace")?;
            json!({ "namespace": namespace_json(&found) })
        }
        "GetWorkgroup" => {
            let found = one(aws, call, &input, "workgroupName", "workgroup")?;
            json!({ "workgroup": workgroup_json(&found) })
        }
        "ListCustomDomainAssociations" => page(aws, call, &input, "associations", |_| None)?,
        "ListNamespaces" => page(aws, call, &input, "namespaces", |it| Some(namespace_json(it)))?,
        "ListWorkgroups" => page(aws, call, &input, "workgroups", |it| Some(workgroup_json(it)))?,
        other => return Err(Fault::new(400, "UnknownOperationException", other)),
    };
    Ok(answer.to_string())
}

fn credentials(aws: &Aws, call: &Signed<'_>, input: &Value) -> Result<Value, Fault> {
    let workgroup = one(aws, call, input, "workgroupName", "workgroup")?;
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

/// Finds by name, then authorizes on the ARN, which carries the UUID and not the name.
fn one(aws: &Aws, call: &Signed<'_>, input: &Value, key: &str, kind: &str) -> Result<Warehouse, Fault> {
    let name = input[key].as_str().ok_or_else(|| Fault::new(400, "ValidationException", &format!("{key} is required")))?;
    let found = here(aws, call).into_iter().find(|it| it.id.name == name);
    let uuid = found.as_ref().map_or("*", |it| &it.uuid);
    let arn = format!("arn:aws:redshift-serverless:{}:{}:{kind}/{uuid}", call.region, call.caller.account);
    authorize(call, &arn)?;
    found.ok_or_else(|| Fault::new(400, "ResourceNotFoundException", &format!("{kind} {name} not found")))
}

fn page(aws: &Aws, call: &Signed<'_>, input: &Value, key: &str, show: fn(&Warehouse) -> Option<Value>) -> Result<Value, Fault> {
    authorize(call, "*")?;
    let limit = input["maxResults"].as_u64().unwrap_or(100);
    if !(1..=100).contains(&limit) {
        return Err(Fault::new(400, "ValidationException", "maxResults must be between 1 and 100"));
    }
    let limit = usize::try_from(limit).unwrap_or(100);
    let after = input["nextToken"].as_str().unwrap_or_default();
    let rest: Vec<Warehouse> = here(aws, call).into_iter().filter(|it| it.id.name.as_str() > after).collect();
    let mut answer = json!({ key: rest.iter().take(limit).filter_map(show).collect::<Vec<_>>() });
    if rest.len() > limit {
        answer["nextToken"] = json!(rest[limit - 1].id.name);
    }
    Ok(answer)
}

fn here(aws: &Aws, call: &Signed<'_>) -> Vec<Warehouse> {
    let fits =
        |it: &Warehouse| it.id.kind == WarehouseKind::Workgroup && it.id.account == call.caller.account && it.id.region == call.region;
    aws.world.warehouses().into_iter().filter(fits).collect()
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
