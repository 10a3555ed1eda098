//! The system tables: their columns, who may read them, and their rows.

use std::time::SystemTime;

use crate::world::{ConnectionRecord, DbUser, Warehouse};

/// A column's type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int,
    /// `{1,2}`.
    Ints,
    Text,
    Timestamp,
}

/// Who sees what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rights {
    /// Everybody sees all.
    All,
    /// Superusers see all, others themselves.
    Own,
    /// Superusers alone.
    Superusers,
    /// Superusers and who has `sys:monitor`.
    Monitors,
}

/// A value as text; `None` is NULL. Booleans are `t` and `f`.
pub(crate) type Cell = Option<String>;

/// Whose row it is, and its cells.
type Row = (String, Vec<Cell>);

/// One system table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    rights: Rights,
    rows: fn(&Warehouse, &[ConnectionRecord]) -> Vec<Row>,
}

use Kind::{Bool, Int, Ints, Text, Timestamp};

/// All of them. Columns that nothing here could fill are left out.
pub(crate) static TABLES: [Table; 8] = [
    Table {
        name: "pg_user",
        columns: &USER_COLUMNS,
        rights: Rights::All,
        rows: |it, _| users(it, |user| with(user_cells(user, |_| Some("********".into())), [])),
    },
    Table {
        name: "pg_user_info",
        columns: &USER_INFO_COLUMNS,
        rights: Rights::Superusers,
        rows: |it, _| users(it, |user| with(user_cells(user, |_| Some("********".into())), [Some("UNLIMITED".into())])),
    },
    Table {
        name: "pg_shadow",
        columns: &USER_COLUMNS,
        rights: Rights::Superusers,
        rows: |it, _| users(it, |user| user_cells(user, |user| user.password.as_ref().map(|it| stored(it, &user.name)))),
    },
    Table {
        name: "pg_group",
        columns: &[("groname", Text), ("grosysid", Int), ("grolist", Ints)],
        rights: Rights::All,
        rows: |it, _| groups(it),
    },
    Table {
        name: "svv_user_info",
        columns: &[
            ("user_name", Text),
            ("user_id", Int),
            ("createdb", Bool),
            ("superuser", Bool),
            ("catalog_update", Bool),
            ("connection_limit", Text),
            ("syslog_access", Text),
            ("last_ddl_timestamp", Timestamp),
            ("session_timeout", Int),
            ("external_user_id", Text),
        ],
        rights: Rights::Own,
        rows: |it, _| users(it, info_cells),
    },
    Table {
        name: "svv_user_grants",
        columns: &[("user_id", Int), ("user_name", Text), ("role_id", Int), ("role_name", Text), ("admin_option", Bool)],
        rights: Rights::Own,
        rows: |it, _| it.users.values().flat_map(grants).collect(),
    },
    Table { name: "stl_connection_log", columns: &STL_COLUMNS, rights: Rights::Monitors, rows: |_, log| connections(log, true) },
    Table { name: "sys_connection_log", columns: &SYS_COLUMNS, rights: Rights::Monitors, rows: |_, log| connections(log, false) },
];

const USER_COLUMNS: [(&str, Kind); 8] = [
    ("usename", Text),
    ("usesysid", Int),
    ("usecreatedb", Bool),
    ("usesuper", Bool),
    ("usecatupd", Bool),
    ("passwd", Text),
    ("valuntil", Timestamp),
    ("useconfig", Text),
];
const USER_INFO_COLUMNS: [(&str, Kind); 9] = [
    USER_COLUMNS[0],
    USER_COLUMNS[1],
    USER_COLUMNS[2],
    USER_COLUMNS[3],
    USER_COLUMNS[4],
    USER_COLUMNS[5],
    USER_COLUMNS[6],
    USER_COLUMNS[7],
    ("useconnlimit", Text),
];
const STL_COLUMNS: [(&str, Kind); 14] = [
    ("event", Text),
    ("recordtime", Timestamp),
    ("remotehost", Text),
    ("remoteport", Text),
    ("pid", Int),
    ("dbname", Text),
    ("username", Text),
    ("authmethod", Text),
    ("sslversion", Text),
    ("iamauthguid", Text),
    ("application_name", Text),
    ("os_version", Text),
    ("driver_version", Text),
    ("plugin_name", Text),
];
const SYS_COLUMNS: [(&str, Kind); 14] = [
    ("event", Text),
    ("record_time", Timestamp),
    ("remote_host", Text),
    ("remote_port", Text),
    ("session_id", Int),
    ("database_name", Text),
    ("user_name", Text),
    ("auth_method", Text),
    ("ssl_version", Text),
    ("iam_auth_guid", Text),
    ("application_name", Text),
    ("os_version", Text),
    ("driver_version", Text),
    ("plugin_name", Text),
];

impl Table {
    /// What `reader` sees; `None` when that is denied.
    pub(crate) fn rows(&self, warehouse: &Warehouse, log: &[ConnectionRecord], reader: &str) -> Option<Vec<Vec<Cell>>> {
        let it = warehouse.users.get(reader)?;
        let all = match self.rights {
            Rights::All => true,
            Rights::Own | Rights::Superusers => it.superuser,
            Rights::Monitors => it.superuser || it.monitor,
        };
        if !all && self.rights != Rights::Own {
            return None;
        }
        let rows = (self.rows)(warehouse, log).into_iter();
        Some(rows.filter(|(owner, _)| all || owner == reader).map(|(_, cells)| cells).collect())
    }
}

/// AWS's own superuser stands in every warehouse's catalog.
fn users(warehouse: &Warehouse, cells: impl Fn(&DbUser) -> Vec<Cell>) -> Vec<Row> {
    let internal = DbUser { name: "rdsdb".into(), id: 1, superuser: true, createdb: true, ..DbUser::default() };
    std::iter::once(&internal).chain(warehouse.users.values()).map(|it| (it.name.clone(), cells(it))).collect()
}

fn user_cells(user: &DbUser, password: impl Fn(&DbUser) -> Cell) -> Vec<Cell> {
    vec![
        Some(user.name.clone()),
        Some(user.id.to_string()),
        flag(user.createdb || user.superuser),
        flag(user.superuser),
        flag(user.id == 1),
        password(user),
        user.valid_until.map(stamp),
        None,
    ]
}

fn info_cells(user: &DbUser) -> Vec<Cell> {
    let limit = Some("UNLIMITED".to_owned());
    let access = Some(if user.superuser { "UNRESTRICTED" } else { "RESTRICTED" }.to_owned());
    let [name, id] = [Some(user.name.clone()), Some(user.id.to_string())];
    vec![
        name,
        id,
        flag(user.createdb || user.superuser),
        flag(user.superuser),
        flag(user.id == 1),
        limit,
        access,
        None,
        Some("0".into()),
        None,
    ]
}

fn groups(warehouse: &Warehouse) -> Vec<Row> {
    let row = |(number, group): (usize, &String)| {
        let members = warehouse.users.values().filter(|it| it.groups.contains(group)).map(|it| it.id.to_string());
        let members = members.collect::<Vec<_>>().join(",");
        (group.clone(), vec![Some(group.clone()), Some((100 + number).to_string()), Some(format!("{{{members}}}"))])
    };
    warehouse.groups.iter().enumerate().map(row).collect()
}

/// A role's number follows from its name alone, since roles are nowhere but here.
fn grants(user: &DbUser) -> Vec<Row> {
    let number = |role: &str| role.bytes().fold(1_000, |sum, byte| sum + u32::from(byte)).to_string();
    let row = |role: &str| {
        let cells = vec![Some(user.id.to_string()), Some(user.name.clone()), Some(number(role)), Some(role.to_owned()), flag(false)];
        (user.name.clone(), cells)
    };
    let monitor = user.monitor.then_some("sys:monitor");
    user.roles.iter().map(String::as_str).chain(monitor).map(row).collect()
}

/// STL columns are of fixed width: padded, and names are cut.
fn connections(log: &[ConnectionRecord], padded: bool) -> Vec<Row> {
    let fixed = |text: &str, width: usize| {
        let cut: String = text.chars().take(width).collect();
        Some(if padded { format!("{cut:<width$}") } else { cut })
    };
    let row = |it: &ConnectionRecord| {
        let host = it.remote.map(|it| it.ip().to_string()).unwrap_or_default();
        let port = it.remote.map(|it| it.port().to_string()).unwrap_or_default();
        let cells = vec![
            fixed(&it.event, 50),
            Some(stamp(it.at)),
            fixed(&host, 45),
            fixed(&port, 32),
            Some(it.session.to_string()),
            fixed(&it.database, 50),
            fixed(&it.user, 50),
            fixed(&it.auth_method, 32),
            fixed("TLSv1.3", 50),
            fixed(it.guid.as_deref().unwrap_or_default(), 36),
            fixed(&it.application, 250),
            fixed(&it.system, 64),
            fixed(&it.driver, 64),
            fixed(&it.plugin, 32),
        ];
        (String::new(), cells)
    };
    log.iter().map(row).collect()
}

/// What the catalog keeps of a password: salted with the name, unless it came hashed.
fn stored(password: &str, name: &str) -> String {
    use md5::{Digest as _, Md5};
    if password.starts_with("sha256|") || (password.starts_with("md5") && password.len() == 35) {
        return password.to_owned();
    }
    let digest = Md5::new().chain_update(password).chain_update(name).finalize();
    format!("md5{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn with<const N: usize>(mut cells: Vec<Cell>, more: [Cell; N]) -> Vec<Cell> {
    cells.extend(more);
    cells
}

fn flag(value: bool) -> Cell {
    Some(if value { "t" } else { "f" }.to_owned())
}

fn stamp(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}
