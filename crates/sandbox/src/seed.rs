//! The ready-made world: two accounts, ten warehouses, and callers who may do different things.
//! The keys are AWS's documentation examples in shape and are good for nothing outside.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::world::{ConnectionRecord, DbUser, Warehouse, WarehouseId, WarehouseKind, World};

/// The production account.
pub const PROD: &str = "111122223333";
/// The staging account.
pub const STAGING: &str = "444455556666";
/// The code that the sandbox's MFA devices accept.
pub const MFA_CODE: &str = "123456";
/// The external id that the role `Partner` asks for.
pub const EXTERNAL_ID: &str = "partner-7f3a";

/// The custom domain of production's cluster `analytics` in us-east-1. No resolver knows it.
pub const CLUSTER_DOMAIN: &str = "analytics.example.test";
/// The custom domain of production's workgroup `adhoc` in us-east-1. No resolver knows it.
pub const WORKGROUP_DOMAIN: &str = "adhoc.example.test";

/// An IAM user with one access key.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) account: &'static str,
    pub(crate) name: &'static str,
    pub(crate) policies: Vec<Value>,
}

impl User {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.name)
    }

    pub(crate) fn id(&self) -> String {
        format!("AIDA{:0<17}", self.name.to_uppercase())
    }

    pub(crate) fn access_key(&self) -> String {
        format!("AKIA{:0<16}", self.name.to_uppercase())
    }

    pub(crate) fn secret_key(&self) -> String {
        format!("sandbox/{:+<32}", self.name)
    }
}

/// An IAM role.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) account: &'static str,
    pub(crate) name: &'static str,
    pub(crate) trust: Value,
    pub(crate) policies: Vec<Value>,
}

impl Role {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.name)
    }

    pub(crate) fn id(&self) -> String {
        format!("AROA{:0<17}", self.name.to_uppercase())
    }
}

pub(crate) fn users() -> Vec<User> {
    let user = |account, name, statements: Value| User { account, name, policies: vec![policy(&statements)] };
    let fixed = |name: &str| {
        json!([
            allow(
                &["redshift:GetClusterCredentials"],
                &[&format!("arn:aws:redshift:*:*:dbuser:*/{name}"), "arn:aws:redshift:*:*:dbname:*/*"]
            ),
            look()
        ])
    };
    vec![
        user(PROD, "alice", alice()),
        user(PROD, "etl", fixed("etl")),
        user(PROD, "intern", json!([look()])),
        user(PROD, "security", json!([allow(&["redshift:*", "redshift-serverless:*", "sts:*", "iam:*"], &["*"])])),
        user(STAGING, "stage", alice()),
    ]
}

pub(crate) fn roles() -> Vec<Role> {
    let trust = |actions: &[&str], condition: Value| {
        let alice = format!("arn:aws:iam::{PROD}:user/alice");
        let mut statement = json!({ "Effect": "Allow", "Principal": { "AWS": alice }, "Action": actions });
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        policy(&json!([statement]))
    };
    let role = |account, name, trust| Role { account, name, trust, policies: vec![policy(&by_session_name(name))] };
    let (plain, tagged) = (["sts:AssumeRole"], ["sts:AssumeRole", "sts:TagSession"]);
    vec![
        role(PROD, "DataEngineer", trust(&tagged, Value::Null)),
        role(PROD, "Partner", trust(&plain, json!({ "StringEquals": { "sts:ExternalId": EXTERNAL_ID } }))),
        role(PROD, "Guarded", trust(&plain, json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } }))),
        // Another account's, for production's alice.
        role(STAGING, "StagingReader", trust(&plain, Value::Null)),
    ]
}

pub(crate) fn warehouses() -> Vec<Warehouse> {
    let rows = [
        (WarehouseKind::Cluster, PROD, "us-east-1", "analytics"),
        (WarehouseKind::Cluster, PROD, "us-east-1", "finance"),
        (WarehouseKind::Cluster, PROD, "eu-west-1", "marketing"),
        (WarehouseKind::Cluster, PROD, "us-west-2", "events"),
        (WarehouseKind::Cluster, STAGING, "us-east-1", "analytics"),
        (WarehouseKind::Cluster, STAGING, "eu-west-1", "marketing"),
        (WarehouseKind::Workgroup, PROD, "us-east-1", "adhoc"),
        (WarehouseKind::Workgroup, PROD, "us-east-1", "reports"),
        (WarehouseKind::Workgroup, PROD, "eu-west-1", "science"),
        (WarehouseKind::Workgroup, STAGING, "us-east-1", "adhoc"),
    ];
    rows.iter().enumerate().map(|(n, (kind, account, region, name))| warehouse(n, *kind, account, region, name)).collect()
}

fn warehouse(n: usize, kind: WarehouseKind, account: &str, region: &str, name: &str) -> Warehouse {
    let environment = if account == PROD { "prod" } else { "staging" };
    let domain = match (kind, account, region, name) {
        (WarehouseKind::Cluster, PROD, "us-east-1", "analytics") => Some(CLUSTER_DOMAIN),
        (WarehouseKind::Workgroup, PROD, "us-east-1", "adhoc") => Some(WORKGROUP_DOMAIN),
        _ => None,
    };
    let user = |name: &str, superuser, password: Option<&str>, groups: &[&str]| {
        let groups = groups.iter().map(|it| (*it).to_owned()).collect();
        (name.to_owned(), DbUser { name: name.to_owned(), superuser, password: password.map(str::to_owned), groups, ..DbUser::default() })
    };
    Warehouse {
        id: WarehouseId { kind, account: account.to_owned(), region: region.to_owned(), name: name.to_owned() },
        uuid: format!("00000000-0000-4000-8000-{n:012x}"),
        endpoint: None,
        databases: vec!["dev".to_owned(), "sales".to_owned()],
        groups: vec!["analysts".to_owned(), "engineers".to_owned()],
        users: BTreeMap::from([
            user("awsuser", true, Some("Sandbox-Admin-1"), &[]),
            user("alice", false, None, &["analysts"]),
            user("stage", false, None, &["analysts"]),
            user("etl", false, Some("Sandbox-Etl-1"), &[]),
            user("reporting", false, Some("Sandbox-Reporting-1"), &[]),
        ]),
        admin: "awsuser".to_owned(),
        tags: BTreeMap::from([("env".to_owned(), environment.to_owned())]),
        custom_domain: domain.map(str::to_owned),
        keeps_passwords: Vec::new(),
    }
}

/// Production's cluster `analytics` in us-east-1.
pub fn analytics() -> WarehouseId {
    WarehouseId { kind: WarehouseKind::Cluster, account: PROD.to_owned(), region: "us-east-1".to_owned(), name: "analytics".to_owned() }
}

/// Puts `count` more users with a past into a warehouse: two of three have a password, of which half were used; others came by IAM.
pub(crate) fn crowd(world: &World, id: &WarehouseId, count: usize, now: SystemTime) {
    for number in 0..count {
        let name = format!("user{number:05}");
        let password = (number % 3 > 0).then(|| "Sandbox-User-1".to_owned());
        let groups = if number % 2 > 0 { vec!["analysts".to_owned()] } else { Vec::new() };
        world.create_user(id, DbUser { name: name.clone(), password, groups, ..DbUser::default() });
        let (user, method, guid) = match number % 3 {
            0 => (format!("IAM:{name}"), "IAM AssumeUser", Some(format!("{number:08x}-0000-4000-8000-000000000000"))),
            1 => (name, "password", None),
            _ => continue,
        };
        let session = world.next_session();
        for event in ["authenticated", "initiating session", "disconnecting session"] {
            let record = ConnectionRecord {
                event: event.to_owned(),
                at: now - Duration::from_secs(3600),
                user: user.clone(),
                database: "dev".to_owned(),
                auth_method: method.to_owned(),
                guid: guid.clone(),
                session,
                remote: None,
                application: String::new(),
                driver: String::new(),
                plugin: String::new(),
                system: String::new(),
            };
            world.log_connection(id, record);
        }
    }
}

fn policy(statements: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn allow(actions: &[&str], resources: &[&str]) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn look() -> Value {
    let actions = [
        "redshift:DescribeClusters",
        "redshift:DescribeCustomDomainAssociations",
        "redshift-serverless:List*",
        "redshift-serverless:GetCustomDomainAssociation",
        "redshift-serverless:GetWorkgroup",
        "redshift-serverless:GetNamespace",
    ];
    allow(&actions, &["*"])
}

fn alice() -> Value {
    let own = "arn:aws:redshift:*:*:dbuser:*/${aws:username}";
    json!([
        allow(&["redshift:GetClusterCredentials", "redshift:CreateClusterUser"], &[own, "arn:aws:redshift:*:*:dbname:*/*"]),
        allow(&["redshift:GetClusterCredentialsWithIAM"], &["arn:aws:redshift:*:*:dbname:*/*"]),
        allow(&["redshift:JoinGroup"], &["arn:aws:redshift:*:*:dbgroup:*/analysts"]),
        allow(&["redshift-serverless:GetCredentials", "sts:AssumeRole", "sts:TagSession"], &["*"]),
        look()
    ])
}

fn by_session_name(role: &str) -> Value {
    let id = format!("AROA{:0<17}", role.to_uppercase());
    let mut own = allow(
        &["redshift:GetClusterCredentials", "redshift:CreateClusterUser"],
        &["arn:aws:redshift:*:*:dbuser:*/${redshift:DbUser}", "arn:aws:redshift:*:*:dbname:*/*"],
    );
    own["Condition"] = json!({ "StringEquals": { "aws:userid": format!("{id}:${{redshift:DbUser}}") } });
    json!([own, allow(&["redshift:GetClusterCredentialsWithIAM", "redshift-serverless:GetCredentials"], &["*"]), look()])
}
