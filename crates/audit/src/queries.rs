//! Every SQL text that reads, named. Texts that change anything stand in [`crate::changes`].
//!
//! They are understood by Redshift, PostgreSQL and SQLite alike. No text takes anything from outside, so nothing is quoted here.
//! Passwords' hashes are not fetched: the warehouse tells only whether there is one.

/// A text of ours. Only this module makes one, so no caller can send its own.
#[derive(Clone, Copy, Debug)]
pub struct Query(pub(crate) &'static str);

/// Who the session is, where, and on what.
pub const WHOAMI: Query = Query("select current_user, current_database(), version()");

/// Whether the session's user is a superuser: `t` or `f`.
pub const READER: Query = Query("select case when usesuper then 't' else 'f' end from pg_user where usename = current_user");

/// Name, id, superuser, may create databases, end of the password. Everybody may read it.
pub const USERS: Query = Query(
    "select usename, usesysid, case when usesuper then 't' else 'f' end, case when usecreatedb then 't' else 'f' end, valuntil \
     from pg_user",
);

/// Name, and members' ids as `{1,2}`. Everybody may read it.
pub const GROUPS: Query = Query("select groname, grolist from pg_group");

/// Name, and a role that was granted to it. Superusers see all, others their own.
pub const ROLES: Query = Query("select trim(user_name), trim(role_name) from svv_user_grants");

/// Name, and `none`, `masked` or `stored`. Superusers alone may read it.
pub const PASSWORDS: Query =
    Query("select usename, case when passwd is null then 'none' when passwd like '*%' then 'masked' else 'stored' end from pg_shadow");

/// The texts that read one connection log.
#[derive(Clone, Copy, Debug)]
pub struct LogQueries {
    /// The table.
    pub name: &'static str,
    /// User, event, method, whether there is an IAM guid (`y` or `n`), the last time. A lockdown's own sign-ins do not count.
    pub logins: Query,
    /// The first time.
    pub since: Query,
    /// User, IAM guid, the last time: of sign-ins by IAM.
    pub guids: Query,
}

/// The log of provisioned clusters. Columns are padded. A lockdown's proofs are nobody's sign-ins; they come by IAM, and only those are left
/// out, since anybody can give that name.
pub const STL: LogQueries = LogQueries {
    name: "stl_connection_log",
    logins: Query(
        "select trim(username), trim(event), trim(authmethod), case when trim(iamauthguid) <> '' then 'y' else 'n' end, max(recordtime) \
         from stl_connection_log where trim(event) in ('authenticated', 'authentication failure') \
         and (coalesce(trim(iamauthguid), '') = '' or coalesce(trim(application_name), '') <> 'shiftkey lockdown') group by 1, 2, 3, 4",
    ),
    since: Query("select min(recordtime) from stl_connection_log"),
    guids: Query(
        "select trim(username), trim(iamauthguid), max(recordtime) from stl_connection_log \
         where trim(event) = 'authenticated' and trim(iamauthguid) <> '' group by 1, 2",
    ),
};

/// The log of workgroups, and of newer clusters.
pub const SYS: LogQueries = LogQueries {
    name: "sys_connection_log",
    logins: Query(
        "select trim(user_name), trim(event), trim(auth_method), case when trim(iam_auth_guid) <> '' then 'y' else 'n' end, max(record_time) \
         from sys_connection_log where trim(event) in ('authenticated', 'authentication failure') \
         and (coalesce(trim(iam_auth_guid), '') = '' or coalesce(trim(application_name), '') <> 'shiftkey lockdown') group by 1, 2, 3, 4",
    ),
    since: Query("select min(record_time) from sys_connection_log"),
    guids: Query(
        "select trim(user_name), trim(iam_auth_guid), max(record_time) from sys_connection_log \
         where trim(event) = 'authenticated' and trim(iam_auth_guid) <> '' group by 1, 2",
    ),
};
