//! What is asked for: keys that are easy to mistake for one another. Four of them are `IAM:alice` on one cluster.

use shiftkey::{Config, Mapping, Overrides, Target};
use shiftkey_sandbox::{
    seed::{PROD, STAGING},
    world::{Grant, WarehouseId, WarehouseKind, World},
};

/// One wish, and what must come back for it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    target: &'static str,
    profile: Option<&'static str>,
    database: Option<&'static str>,
    db_user: Option<&'static str>,
    mapping: Mapping,
    kind: WarehouseKind,
    account: &'static str,
    warehouse: &'static str,
    /// What the client signs in as.
    login_user: &'static str,
    /// The catalog's name.
    catalog_user: &'static str,
    /// The end of the caller's ARN.
    caller: &'static str,
}

const ALICE: Key = Key {
    name: "alice on analytics",
    target: "prod/analytics",
    profile: None,
    database: None,
    db_user: None,
    mapping: Mapping::User,
    kind: WarehouseKind::Cluster,
    account: PROD,
    warehouse: "analytics",
    login_user: "IAM:alice",
    catalog_user: "alice",
    caller: ":user/alice",
};

/// A role's session that is called alice.
pub(crate) const ENGINEER: usize = 1;

/// All keys.
pub(crate) const KEYS: [Key; 7] = [
    ALICE,
    Key {
        name: "the role's alice on analytics",
        profile: Some("engineer"),
        db_user: Some("{session_name}"),
        caller: ":assumed-role/DataEngineer/alice",
        ..ALICE
    },
    Key { name: "alice on analytics' other database", database: Some("sales"), ..ALICE },
    Key { name: "alice as AWS maps her", target: "cluster:analytics@us-east-1", mapping: Mapping::Iam, catalog_user: "IAM:alice", ..ALICE },
    Key {
        name: "alice on a workgroup",
        target: "prod/adhoc",
        kind: WarehouseKind::Workgroup,
        warehouse: "adhoc",
        catalog_user: "IAM:alice",
        ..ALICE
    },
    Key {
        name: "stage on the other account's analytics",
        target: "staging/analytics",
        account: STAGING,
        login_user: "IAM:stage",
        catalog_user: "stage",
        caller: ":user/stage",
        ..ALICE
    },
    Key {
        name: "etl on analytics",
        profile: Some("etl"),
        db_user: Some("etl"),
        login_user: "IAM:etl",
        catalog_user: "etl",
        caller: ":user/etl",
        ..ALICE
    },
];

impl Key {
    /// The target, for the shortest time that AWS gives.
    pub(crate) fn target(&self, config: &Config) -> Target {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let flags = Overrides {
            database: text(self.database),
            db_user: text(self.db_user),
            duration: Some("900".to_owned()),
            mapping: Some(self.mapping),
            profile: text(self.profile),
            ..Overrides::default()
        };
        config.resolve(self.target, &flags).unwrap()
    }

    fn is_of(&self, warehouse: &WarehouseId, grant: &Grant) -> bool {
        (warehouse.kind, warehouse.account.as_str(), warehouse.name.as_str()) == (self.kind, self.account, self.warehouse)
            && grant.login_user == self.login_user
            && grant.db_user == self.catalog_user
            && grant.database.as_deref() == Some(self.database.unwrap_or("dev"))
            && grant.groups.is_empty()
            && grant.caller_arn.ends_with(self.caller)
    }
}

/// Everything that the sandbox issued, with the key that it was issued for.
pub(crate) fn grants(world: &World) -> Vec<(Option<usize>, Grant)> {
    let mut found = Vec::new();
    let mut users: Vec<&str> = KEYS.iter().map(|key| key.login_user).collect();
    users.sort_unstable();
    users.dedup();
    for warehouse in world.warehouses() {
        for user in &users {
            for grant in world.grants(&warehouse.id, user) {
                found.push((KEYS.iter().position(|key| key.is_of(&warehouse.id, &grant)), grant));
            }
        }
    }
    found
}
