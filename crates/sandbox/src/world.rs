//! What exists in the sandbox: warehouses, their database users, the credentials that were issued and the logins seen.
//! The AWS side writes grants, the gate reads them; neither knows the other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;

/// Provisioned or serverless.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum WarehouseKind {
    /// A provisioned cluster.
    Cluster,
    /// A Redshift Serverless workgroup.
    Workgroup,
}

impl fmt::Display for WarehouseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Workgroup => "workgroup",
        })
    }
}

/// Names one warehouse. Names are unique only within kind, account and region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarehouseId {
    /// Provisioned or serverless.
    pub kind: WarehouseKind,
    /// Twelve digits.
    pub account: String,
    /// For example `us-east-1`.
    pub region: String,
    /// The cluster identifier or the workgroup name.
    pub name: String,
}

/// One warehouse as AWS would describe it, plus what its catalog holds.
#[derive(Clone, Debug)]
pub struct Warehouse {
    /// Its name.
    pub id: WarehouseId,
    /// The UUID that serverless ARNs carry; clusters have one too (their namespace).
    pub uuid: String,
    /// Where it listens, once the gate runs.
    pub endpoint: Option<(String, u16)>,
    /// Database names; the first is the one DescribeClusters and GetNamespace show.
    pub databases: Vec<String>,
    /// Group names.
    pub groups: Vec<String>,
    /// Database users by name.
    pub users: BTreeMap<String, DbUser>,
    /// The admin user's name.
    pub admin: String,
    /// Tags of the cluster or workgroup.
    pub tags: BTreeMap<String, String>,
    /// A registered custom domain.
    pub custom_domain: Option<String>,
    /// Users (`*` and `?` are wildcards) whose `PASSWORD DISABLE` is taken and changes nothing: a warehouse that does not do what it says.
    pub keeps_passwords: Vec<String>,
}

impl Warehouse {
    /// Creates a database user unless it exists; says whether it was created.
    pub fn create_user(&mut self, user: DbUser) -> bool {
        if self.users.contains_key(&user.name) {
            return false;
        }
        let id = if user.id > 0 { user.id } else { self.next_id() };
        self.users.insert(user.name.clone(), DbUser { id, ..user });
        true
    }

    fn next_id(&self) -> u32 {
        self.users.values().map(|it| it.id).max().unwrap_or_default().max(FIRST_ID - 1) + 1
    }
}

/// The admin's `usesysid`, as in Redshift; other users follow.
const FIRST_ID: u32 = 100;

fn numbered(mut warehouse: Warehouse) -> Warehouse {
    let mut users = std::mem::take(&mut warehouse.users);
    let admin = users.remove(&warehouse.admin);
    for user in admin.into_iter().chain(users.into_values()) {
        warehouse.create_user(user);
    }
    warehouse
}

/// A database user.
#[derive(Clone, Default)]
pub struct DbUser {
    /// The name in the catalog.
    pub name: String,
    /// `usesysid`; 0 lets the world choose one.
    pub id: u32,
    /// `CREATEUSER` in Redshift's words.
    pub superuser: bool,
    /// `CREATEDB`.
    pub createdb: bool,
    /// Whether it may read what is superusers' in the system tables: `GRANT ROLE sys:monitor`.
    pub monitor: bool,
    /// As `PASSWORD` takes it: in clear, `md5` and 32 digits, or `sha256|...`. `None` means `PASSWORD DISABLE`.
    pub password: Option<String>,
    /// Permanent memberships.
    pub groups: Vec<String>,
    /// Roles of the database that it was granted, beside `sys:monitor`.
    pub roles: Vec<String>,
    /// `VALID UNTIL`: it bounds the password only.
    pub valid_until: Option<SystemTime>,
}

impl fmt::Debug for DbUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbUser")
            .field("name", &self.name)
            .field("superuser", &self.superuser)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// One issued credential.
#[derive(Clone)]
pub struct Grant {
    /// What the client sends as `user`: `IAM:alice`, `IAMA:alice:analysts`, `IAMR:role`.
    pub login_user: String,
    /// The password, good until `expires_at`.
    pub password: String,
    /// The catalog's name: `alice`, but `IAM:alice` or `IAMR:role` when AWS maps the identity.
    pub db_user: String,
    /// Memberships for sessions opened with this credential only.
    pub groups: Vec<String>,
    /// The one database that it opens; `None` opens all.
    pub database: Option<String>,
    /// Whether the login creates a missing user.
    pub auto_create: bool,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// The last instant at which a session can be opened with it.
    pub expires_at: SystemTime,
    /// Ties the login to the API call.
    pub guid: String,
    /// Who asked.
    pub caller_arn: String,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("login_user", &self.login_user)
            .field("password", &"***")
            .field("groups", &self.groups)
            .field("database", &self.database)
            .field("expires_at", &self.expires_at)
            .field("guid", &self.guid)
            .field("caller_arn", &self.caller_arn)
            .finish_non_exhaustive()
    }
}

/// One row of the connection log (`sys_connection_log`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// `authenticated`, `authentication failure`, `initiating session`, `disconnecting session`.
    pub event: String,
    /// When.
    pub at: SystemTime,
    /// The user as sent at startup.
    pub user: String,
    /// The database as sent at startup.
    pub database: String,
    /// `IAM`, `password` and so on.
    pub auth_method: String,
    /// The grant's guid, for IAM logins.
    pub guid: Option<String>,
    /// Where the client dialled from.
    pub remote: Option<SocketAddr>,
    /// Tells sessions apart.
    pub session: u32,
    /// `application_name`, empty when absent, like those below.
    pub application: String,
    /// `driver_version`.
    pub driver: String,
    /// `plugin_name`.
    pub plugin: String,
    /// `os_version`.
    pub system: String,
}

/// Everything that exists. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    warehouses: BTreeMap<WarehouseId, Warehouse>,
    grants: BTreeMap<WarehouseId, Vec<Grant>>,
    connections: BTreeMap<WarehouseId, Vec<ConnectionRecord>>,
    sessions: u32,
}

impl World {
    /// A world with these warehouses.
    pub fn new(warehouses: impl IntoIterator<Item = Warehouse>) -> Self {
        let world = Self::default();
        world.lock().warehouses = warehouses.into_iter().map(|it| (it.id.clone(), numbered(it))).collect();
        world
    }

    /// All warehouses, sorted by id.
    pub fn warehouses(&self) -> Vec<Warehouse> {
        self.lock().warehouses.values().cloned().collect()
    }

    /// One warehouse as it is now.
    pub fn warehouse(&self, id: &WarehouseId) -> Option<Warehouse> {
        self.lock().warehouses.get(id).cloned()
    }

    /// One warehouse as it is now with no users but these: there may be many thousands.
    pub(crate) fn warehouse_with<'a>(&self, id: &WarehouseId, users: impl IntoIterator<Item = &'a str>) -> Option<Warehouse> {
        self.update(id, |it| {
            let all = std::mem::take(&mut it.users);
            let users = users.into_iter().filter_map(|name| all.get_key_value(name)).map(|(name, user)| (name.clone(), user.clone()));
            let copy = Warehouse { users: users.collect(), ..it.clone() };
            it.users = all;
            copy
        })
    }

    /// Changes a warehouse in place; `None` when there is none.
    pub fn update<T>(&self, id: &WarehouseId, change: impl FnOnce(&mut Warehouse) -> T) -> Option<T> {
        self.lock().warehouses.get_mut(id).map(change)
    }

    /// Every credential ever issued for this login name, the expired ones too.
    pub fn grants(&self, id: &WarehouseId, login_user: &str) -> Vec<Grant> {
        let state = self.lock();
        state.grants.get(id).into_iter().flatten().filter(|it| it.login_user == login_user).cloned().collect()
    }

    /// Records an issued credential. Earlier ones stay valid.
    pub fn add_grant(&self, id: &WarehouseId, grant: Grant) {
        self.lock().grants.entry(id.clone()).or_default().push(grant);
    }

    /// Forgets every credential issued for this warehouse, as if their passwords had been changed, and says how many there
    /// were. Open sessions stay.
    pub fn revoke_grants(&self, id: &WarehouseId) -> usize {
        self.lock().grants.remove(id).map_or(0, |it| it.len())
    }

    /// A database user, if the catalog has it.
    pub fn db_user(&self, id: &WarehouseId, name: &str) -> Option<DbUser> {
        self.lock().warehouses.get(id).and_then(|it| it.users.get(name)).cloned()
    }

    /// Creates a database user unless it exists; says whether it was created.
    pub fn create_user(&self, id: &WarehouseId, user: DbUser) -> bool {
        self.update(id, |it| it.create_user(user)).unwrap_or(false)
    }

    /// Says where the gate listens for this warehouse.
    pub fn set_endpoint(&self, id: &WarehouseId, host: &str, port: u16) {
        self.update(id, |it| it.endpoint = Some((host.to_owned(), port)));
    }

    /// A number that no other session has.
    pub fn next_session(&self) -> u32 {
        let mut state = self.lock();
        state.sessions += 1;
        state.sessions
    }

    /// Appends to the connection log.
    pub fn log_connection(&self, id: &WarehouseId, record: ConnectionRecord) {
        self.lock().connections.entry(id.clone()).or_default().push(record);
    }

    /// The connection log, oldest first.
    pub fn connection_log(&self, id: &WarehouseId) -> Vec<ConnectionRecord> {
        self.lock().connections.get(id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
