//! The pretend AWS: one endpoint for every service; the signature's scope says which one is meant.

mod caller;
mod domains;
mod fault;
mod grant;
mod iam;
mod page;
mod rate;
mod redshift;
mod serverless;
mod sigv4;
mod sts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode};

use crate::calls::{Call, Calls};
use crate::clock::SandboxClock;
use crate::faults::{Effect, Faults, Strike};
use crate::seed::{self, Role};
use crate::world::{WarehouseId, WarehouseKind, World};
use caller::{Caller, Callers};
use fault::Fault;
pub(crate) use iam::{Directory, Kind};
use rate::Buckets;
pub use rate::RateLimit;
use sigv4::{Authorization, header, hex};

/// Every action that is answered.
pub(crate) const ACTIONS: [&str; 69] = [
    "AddUserToGroup",
    "AssumeRole",
    "AttachGroupPolicy",
    "AttachRolePolicy",
    "AttachUserPolicy",
    "CreateGroup",
    "CreatePolicy",
    "CreatePolicyVersion",
    "CreateUser",
    "DeleteGroup",
    "DeleteGroupPolicy",
    "DeletePolicy",
    "DeletePolicyVersion",
    "DeleteRolePermissionsBoundary",
    "DeleteRolePolicy",
    "DeleteUser",
    "DeleteUserPermissionsBoundary",
    "DeleteUserPolicy",
    "DescribeClusters",
    "DescribeCustomDomainAssociations",
    "DetachGroupPolicy",
    "DetachRolePolicy",
    "DetachUserPolicy",
    "GetAccountAuthorizationDetails",
    "GetCallerIdentity",
    "GetClusterCredentials",
    "GetClusterCredentialsWithIAM",
    "GetCredentials",
    "GetCustomDomainAssociation",
    "GetGroup",
    "GetGroupPolicy",
    "GetNamespace",
    "GetPolicy",
    "GetPolicyVersion",
    "GetRole",
    "GetRolePolicy",
    "GetSessionToken",
    "GetUser",
    "GetUserPolicy",
    "GetWorkgroup",
    "ListAttachedGroupPolicies",
    "ListAttachedRolePolicies",
    "ListAttachedUserPolicies",
    "ListCustomDomainAssociations",
    "ListEntitiesForPolicy",
    "ListGroupPolicies",
    "ListGroups",
    "ListGroupsForUser",
    "ListNamespaces",
    "ListPolicies",
    "ListPolicyVersions",
    "ListRolePolicies",
    "ListUserPolicies",
    "ListUsers",
    "ListWorkgroups",
    "PutGroupPolicy",
    "PutRolePermissionsBoundary",
    "PutRolePolicy",
    "PutUserPermissionsBoundary",
    "PutUserPolicy",
    "RemoveUserFromGroup",
    "SetDefaultPolicyVersion",
    "SimulatePrincipalPolicy",
    "TagPolicy",
    "TagRole",
    "TagUser",
    "UntagPolicy",
    "UntagRole",
    "UntagUser",
];

/// Those that issue database credentials.
pub(crate) const ISSUING: [&str; 3] = ["GetClusterCredentials", "GetClusterCredentialsWithIAM", "GetCredentials"];

/// What a proxy that wants a guest to sign in answers to everything.
const PORTAL: &str = "<!doctype html><title>Guest network</title><p>Please sign in to use this network.";

/// What every call acts on.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) world: World,
    pub(crate) clock: SandboxClock,
    pub(crate) calls: Calls,
    pub(crate) faults: Faults,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) nasty_passwords: bool,
    callers: Callers,
    pub(crate) directory: Directory,
    roles: Arc<Vec<Role>>,
    buckets: Buckets,
}

/// A call whose signature held.
struct Signed<'a> {
    caller: &'a Caller,
    region: &'a str,
    now: SystemTime,
    guid: String,
    action: &'a str,
    /// How long an issued credential really lives, where that is less than is said.
    life: Option<Duration>,
}

/// What becomes of a request, after `delay`.
pub(crate) struct Reply {
    pub(crate) delay: Duration,
    /// A warehouse that moves now.
    pub(crate) moves: Option<WarehouseId>,
    pub(crate) delivery: Delivery,
}

/// How much of an answer reaches the client.
pub(crate) enum Delivery {
    /// Nothing; the connection is closed.
    Dropped,
    /// Half of the body; then the connection is closed.
    Half(Response<Bytes>),
    /// Nothing; the connection stays open.
    Never,
    /// All of it.
    Whole(Response<Bytes>),
}

/// A request as far as it can be told before anything is known of its caller.
struct Asked<'a> {
    action: String,
    /// The JSON protocol, and not the query protocol.
    json: bool,
    form: BTreeMap<String, String>,
    body: &'a [u8],
    guid: String,
}

impl Asked<'_> {
    /// The warehouse that the call names, by the names that both services have for it.
    fn warehouse(&self, auth: &Authorization, caller: &Caller) -> Option<WarehouseId> {
        let input: serde_json::Value = serde_json::from_slice(self.body).unwrap_or_default();
        let (kind, name) = match self.form.get("ClusterIdentifier") {
            Some(name) => (WarehouseKind::Cluster, name.as_str()),
            None => (WarehouseKind::Workgroup, input["workgroupName"].as_str()?),
        };
        Some(WarehouseId { kind, account: caller.account.clone(), region: auth.region.clone(), name: name.to_owned() })
    }
}

impl Aws {
    pub(crate) fn new(world: World, clock: SandboxClock, rate_limit: Option<RateLimit>, nasty_passwords: bool) -> Self {
        let (users, roles) = (seed::users(), seed::roles());
        Self {
            world,
            clock,
            calls: Calls::default(),
            faults: Faults::default(),
            rate_limit,
            nasty_passwords,
            directory: Directory::new(&users, &roles),
            callers: Callers::new(users),
            roles: Arc::new(roles),
            buckets: Buckets::default(),
        }
    }

    /// Answers `POST /`. The call is counted and has its effects here; only its delivery is left.
    pub(crate) fn call(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> Reply {
        let target = header(headers, "x-amz-target");
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = match &target {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => form.get("Action").cloned().unwrap_or_default(),
        };
        let asked = Asked { action, json: target.is_some(), form, body, guid: guid() };
        let strike = self.faults.strike(&asked.action);
        let authenticated = self.authenticate(headers, query, body);
        let caller_arn = authenticated.as_ref().map(|(_, caller)| caller.arn.clone()).unwrap_or_default();
        let moves = authenticated.as_ref().ok().filter(|_| strike.moves).and_then(|(auth, caller)| asked.warehouse(auth, caller));
        let (outcome, delivery) = self.deliver(&asked, authenticated, &strike);
        self.calls.record(Call { action: asked.action, caller_arn, outcome });
        if let Some(by) = strike.clock {
            self.clock.shift(by);
        }
        Reply { delay: strike.delay, moves, delivery }
    }

    /// The call's outcome as it is counted, and what is sent.
    fn deliver(&self, asked: &Asked<'_>, authenticated: Result<(Authorization, Caller), Fault>, strike: &Strike) -> (String, Delivery) {
        let service = authenticated.as_ref().map(|(auth, _)| auth.service.clone()).unwrap_or_default();
        let (injected, retry_after) = match &strike.effect {
            Some(Effect::Drop) => return ("drop".to_owned(), Delivery::Dropped),
            Some(Effect::Hang) => return ("hang".to_owned(), Delivery::Never),
            Some(Effect::Garbage) => {
                let page = answer(StatusCode::OK, "text/html", PORTAL, &asked.guid, self.clock.now());
                return ("garbage".to_owned(), Delivery::Whole(page));
            }
            Some(Effect::Throttle { retry_after }) => (Some(throttled()), *retry_after),
            Some(Effect::Error { status, code, retry_after }) => {
                (Some(Fault::new(*status, code, "This error was asked for by a fault rule of the sandbox.")), *retry_after)
            }
            Some(Effect::Deny) => (Some(by_organization(&authenticated, &asked.action)), None),
            Some(Effect::Truncate | Effect::Delay(_) | Effect::ExpireEarly(_) | Effect::Clock(_) | Effect::Move) | None => (None, None),
        };
        let result = match injected {
            Some(fault) => Err(fault),
            None => authenticated.and_then(|(auth, caller)| self.perform(asked, &auth, &caller, strike.life)),
        };
        let outcome = result.as_ref().err().map_or("ok", |fault| &fault.code).to_owned();
        let mut response = self.answer(asked, &service, result);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        match strike.effect {
            Some(Effect::Truncate) => ("truncate".to_owned(), Delivery::Half(response)),
            _ => (outcome, Delivery::Whole(response)),
        }
    }

    fn perform(&self, asked: &Asked<'_>, auth: &Authorization, caller: &Caller, life: Option<Duration>) -> Result<String, Fault> {
        let action = asked.action.as_str();
        let call = Signed { caller, region: &auth.region, now: self.clock.now(), guid: asked.guid.clone(), action, life };
        let key = format!("{}/{}/{action}", caller.account, call.region);
        if !self.rate_limit.is_none_or(|limit| self.buckets.take(limit, &key, call.now)) {
            return Err(throttled());
        }
        match (auth.service.as_str(), asked.json) {
            ("redshift", false) => redshift::call(self, &call, &asked.form),
            ("iam", false) => iam::call(self, &call, &asked.form),
            ("sts", false) => sts::call(self, &call, &asked.form),
            ("redshift-serverless", true) => serverless::call(self, &call, asked.body),
            _ => Err(Fault::new(400, "InvalidAction", &format!("The action {action} is not valid for this endpoint."))),
        }
    }

    /// A result in the words of the protocol that was used.
    fn answer(&self, asked: &Asked<'_>, service: &str, result: Result<String, Fault>) -> Response<Bytes> {
        let (guid, now) = (&asked.guid, self.clock.now());
        if asked.json {
            let (status, text) = result.map_or_else(|fault| (fault.status_json(), fault.json()), |text| (StatusCode::OK, text));
            return answer(status, "application/x-amz-json-1.1", text, guid, now);
        }
        let namespace = match service {
            "iam" => iam::NAMESPACE,
            "sts" => sts::NAMESPACE,
            _ => redshift::NAMESPACE,
        };
        let (status, text) = match result {
            Ok(result) => (StatusCode::OK, envelope(namespace, &asked.action, &result, guid)),
            Err(fault) => (fault.status(), fault.xml(namespace, guid)),
        };
        answer(status, "text/xml", text, guid, now)
    }

    fn authenticate(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<(Authorization, Caller), Fault> {
        let auth = Authorization::parse(headers)?;
        let now = self.clock.now();
        let token = header(headers, "x-amz-security-token");
        let (secret, caller) = self.callers.find(&auth.access_key, token.as_deref(), now)?;
        auth.verify(&secret, headers, query, body, now)?;
        Ok((auth, caller.standing_in(&self.directory)))
    }
}

fn answer(status: StatusCode, kind: &str, text: impl Into<Bytes>, guid: &str, now: SystemTime) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("x-amzn-requestid", guid)
        .header("date", http_date(now))
        .body(text.into())
        .expect("headers made of ASCII are valid")
}

fn throttled() -> Fault {
    Fault::new(400, "Throttling", "Rate exceeded")
}

/// A denial by a service control policy, which names no resource (IAM User Guide, "Troubleshoot access denied error messages").
fn by_organization(authenticated: &Result<(Authorization, Caller), Fault>, action: &str) -> Fault {
    match authenticated {
        Ok((auth, caller)) => {
            let (arn, service) = (&caller.arn, &auth.service);
            let why = "with an explicit deny in a service control policy";
            Fault::new(403, "AccessDenied", &format!("User: {arn} is not authorized to perform: {service}:{action} {why}"))
        }
        // A caller that is not known is refused for that.
        Err(fault) => fault.clone(),
    }
}

fn envelope(namespace: &str, action: &str, result: &str, guid: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{guid}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// RFC 9110's IMF-fixdate.
fn http_date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    format!("{weekday}, {} {} {} {} GMT", &text[8..10], MONTHS[(month - 1) % 12], &text[..4], &text[11..19])
}

/// A random GUID (version 4).
fn guid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

fn random_base64<const N: usize>() -> String {
    STANDARD.encode(random::<N>())
}

/// A secret of 256 random bits, as hexadecimal digits.
pub(crate) fn random_token() -> String {
    hex(&random::<32>())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_action_is_answered() {
        let aws = Aws::new(World::new(seed::warehouses()), SandboxClock::new(), None, false);
        let now = aws.clock.now();
        let alice = seed::users().swap_remove(0).access_key();
        let (_, caller) = aws.callers.find(&alice, None, now).unwrap();
        for action in ACTIONS {
            let call = Signed { caller: &caller, region: "us-east-1", now, guid: guid(), action, life: None };
            let form = BTreeMap::new();
            let answers = [
                redshift::call(&aws, &call, &form),
                iam::call(&aws, &call, &form),
                sts::call(&aws, &call, &form),
                serverless::call(&aws, &call, b"{}"),
            ];
            let known = |it: &Result<String, Fault>| {
                it.as_ref().err().is_none_or(|it| !matches!(it.code.as_str(), "InvalidAction" | "UnknownOperationException"))
            };
            assert_eq!(answers.iter().filter(|it| known(it)).count(), 1, "{action}");
        }
        assert!(ISSUING.iter().all(|it| ACTIONS.contains(it)));
    }

    #[test]
    fn dates_are_written_as_http_wants() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
