//! Driving a running sandbox over HTTP: what was called, what goes wrong, what time it is, where warehouses are.
//!
//! It stands on the pretend AWS's listener, where every user and every web page of this machine can send requests. So a request
//! must carry the run's token, which no other user can read and no page can guess, and must name a loopback host, which a page
//! that rebinds its own name does not. Changes take POST or DELETE.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::aws::Directory;
use crate::calls::Calls;
use crate::clock::{Offset, SandboxClock};
use crate::faults::{Faults, Rule};
use crate::gate::Gate;
use crate::seed::{PROD, STAGING};
use crate::world::{WarehouseId, WarehouseKind, World};

/// Where the paths of this begin, before a slash.
pub(crate) const PREFIX: &str = "/sandbox";

const ROUTES: &str = "GET /sandbox/calls, GET or POST /sandbox/clock, GET, POST or DELETE /sandbox/faults, \
    POST /sandbox/move, POST /sandbox/organization, POST /sandbox/revoke, GET /sandbox/warehouses";
const CLOCK: &str = r#"send {"advance":"1h"} or {"offset":"-20m"}"#;
const FAULTS: &str = r#"send {"rule":"GetClusterCredentials:throttle@0.5"}"#;
const ORGANIZATION: &str = r#"send {"account":"111122223333","policy":{...}}, or {"account":"111122223333"} to allow all"#;
const WAREHOUSE: &str =
    r#"send {"kind":"cluster","account":"111122223333","region":"us-east-1","name":"analytics"}, as GET /sandbox/warehouses lists them"#;

/// What can be driven, and the token that it takes.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) token: Arc<str>,
    pub(crate) iam: Directory,
    pub(crate) calls: Calls,
    pub(crate) clock: SandboxClock,
    pub(crate) faults: Faults,
    pub(crate) gate: Gate,
    pub(crate) world: World,
}

/// A refusal: the status, what is wrong, and what to do.
struct Refusal(StatusCode, String, String);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum ClockChange {
    Advance(String),
    Offset(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRule {
    rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceControl {
    account: String,
    policy: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    kind: WarehouseKind,
    account: String,
    region: String,
    name: String,
}

impl Control {
    /// Whether a path is for this and not for AWS.
    pub(crate) fn owns(path: &str) -> bool {
        path.strip_prefix(PREFIX).is_some_and(|it| it.starts_with('/'))
    }

    /// Answers a request. It counts as no call of AWS.
    pub(crate) async fn respond(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
        let answer = match self.admit(headers) {
            Ok(()) => self.route(method, path, body).await,
            Err(refusal) => Err(refusal),
        };
        let (status, value) = match answer {
            Ok(value) => (StatusCode::OK, value),
            Err(Refusal(status, message, hint)) => (status, json!({ "error": { "message": message, "hint": hint } })),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("cache-control", "no-store")
            .body(Bytes::from(format!("{value:#}\n")))
            .expect("these headers are valid")
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !is_loopback(text("host")) {
            let message = "only a loopback address or localhost may be named as the host".to_owned();
            return Err(Refusal(StatusCode::FORBIDDEN, message, "use the URL in SHIFTKEY_SANDBOX_URL".to_owned()));
        }
        let given = text("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if bool::from(given.as_bytes().ct_eq(self.token.as_bytes())) {
            return Ok(());
        }
        let hint = "send the header `Authorization: Bearer TOKEN` with the value of SHIFTKEY_SANDBOX_TOKEN, which the sandbox printed";
        Err(Refusal(StatusCode::UNAUTHORIZED, "this run's token is missing or wrong".to_owned(), hint.to_owned()))
    }

    async fn route(&self, method: &Method, path: &str, body: &[u8]) -> Result<Value, Refusal> {
        match (path.strip_prefix(PREFIX).unwrap_or_default(), method.as_str()) {
            ("/calls", "GET") => Ok(self.calls()),
            ("/clock", "GET") => Ok(self.time()),
            ("/clock", "POST") => self.set_clock(read(body, CLOCK)?),
            ("/faults", "GET") => Ok(self.faults()),
            ("/faults", "POST") => {
                let new: NewRule = read(body, FAULTS)?;
                let rule: Rule = new.rule.parse().map_err(|why| bad(why, FAULTS))?;
                let id = self.faults.add(rule);
                tracing::info!(id, rule = new.rule, "a fault rule was added");
                Ok(self.faults())
            }
            ("/faults", "DELETE") => {
                self.faults.clear();
                Ok(self.faults())
            }
            ("/move", "POST") => {
                let id = self.find(read(body, WAREHOUSE)?)?;
                let port = self.gate.move_endpoint(&id).await;
                port.map(|_| self.shown(&id)).map_err(|it| bad(format!("the warehouse could not be moved: {it}"), WAREHOUSE))
            }
            ("/organization", "POST") => {
                let ServiceControl { account, policy } = read(body, ORGANIZATION)?;
                if ![PROD, STAGING].contains(&account.as_str()) {
                    return Err(bad(format!("there is no account '{account}'"), ORGANIZATION));
                }
                if policy.as_ref().is_some_and(|it| it.get("Statement").is_none()) {
                    return Err(bad("the policy has no Statement".to_owned(), ORGANIZATION));
                }
                self.iam.put_service_control_policy(&account, policy.as_ref());
                Ok(json!({ "account": account, "policy": policy }))
            }
            ("/revoke", "POST") => {
                let id = self.find(read(body, WAREHOUSE)?)?;
                Ok(json!({ "revoked": self.world.revoke_grants(&id) }))
            }
            ("/warehouses", "GET") => {
                Ok(json!({ "warehouses": self.world.warehouses().iter().map(|it| self.shown(&it.id)).collect::<Vec<_>>() }))
            }
            ("/calls" | "/clock" | "/faults" | "/move" | "/organization" | "/revoke" | "/warehouses", _) => {
                Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"), format!("there are {ROUTES}")))
            }
            _ => Err(Refusal(StatusCode::NOT_FOUND, format!("there is nothing at {path}"), format!("there are {ROUTES}"))),
        }
    }

    fn calls(&self) -> Value {
        let rows = self.calls.tally();
        let total: usize = rows.values().sum();
        let row = |(call, count): (&crate::calls::Call, &usize)| json!({ "action": call.action, "outcome": call.outcome, "caller": call.caller_arn, "count": count });
        json!({ "total": total, "calls": rows.iter().map(row).collect::<Vec<_>>() })
    }

    fn time(&self) -> Value {
        json!({ "now": humantime::format_rfc3339_millis(self.clock.now()).to_string(), "offset": self.clock.offset().to_string() })
    }

    fn set_clock(&self, change: ClockChange) -> Result<Value, Refusal> {
        match change {
            ClockChange::Advance(by) => {
                let by = humantime::parse_duration(&by).map_err(|_| bad(format!("'{by}' is no duration such as 1h or 90s"), CLOCK))?;
                self.clock.advance(by);
            }
            ClockChange::Offset(offset) => self.clock.set_offset(offset.parse::<Offset>().map_err(|why| bad(why, CLOCK))?),
        }
        Ok(self.time())
    }

    fn faults(&self) -> Value {
        let shown = |it: crate::faults::Listed| json!({ "id": it.id, "rule": it.rule.to_string(), "calls": it.calls, "struck": it.struck });
        json!({ "faults": self.faults.list().into_iter().map(shown).collect::<Vec<_>>() })
    }

    fn find(&self, named: Named) -> Result<WarehouseId, Refusal> {
        let Named { kind, account, region, name } = named;
        let id = WarehouseId { kind, account, region, name };
        if self.world.warehouse(&id).is_some() {
            return Ok(id);
        }
        let message = format!("there is no {} '{}' in account {} and region {}", id.kind, id.name, id.account, id.region);
        Err(Refusal(StatusCode::NOT_FOUND, message, "GET /sandbox/warehouses lists what there is".to_owned()))
    }

    fn shown(&self, id: &WarehouseId) -> Value {
        let found = self.world.warehouse(id);
        let endpoint = found.as_ref().and_then(|it| it.endpoint.clone());
        json!({
            "kind": id.kind.to_string(),
            "account": id.account,
            "region": id.region,
            "name": id.name,
            "host": endpoint.as_ref().map(|(host, _)| host),
            "port": endpoint.as_ref().map(|(_, port)| port),
            "custom_domain": found.and_then(|it| it.custom_domain),
        })
    }
}

/// Shows no token.
impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn bad(message: String, hint: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message, hint.to_owned())
}

fn read<T: DeserializeOwned>(body: &[u8], hint: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body is not what is expected: {error}"), hint))
}

/// `127.0.0.1`, `[::1]` or `localhost`, each with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost", "LocalHost:8080", "[::1]", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "example.com", "127.0.0.1.example.com", "localhost.example.com:80", "127.0.0.1:", "evil@localhost:1", "::1", "localhost:x"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
