//! What the warehouse says of its users, as far as the reader may see it.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use serde::{Serialize, Serializer};
use shiftkey::{Error, Result};

use crate::{
    logins::{self, Login},
    queries::{self, LogQueries, Query},
    session::{Rows, Session},
};

/// A database user.
#[derive(Clone, Debug, Default, Serialize)]
pub struct User {
    /// Its name in the catalog.
    pub name: String,
    /// `usesysid`.
    pub id: i64,
    /// `CREATEUSER` in Redshift's words.
    pub superuser: bool,
    /// `CREATEDB`.
    pub createdb: bool,
    /// Groups that it is always in, sorted.
    pub groups: Vec<String>,
    /// Roles that it was granted, sorted.
    pub roles: Vec<String>,
    /// Whether it can sign in by password.
    pub password: Password,
    /// Until when the password is good.
    #[serde(serialize_with = "stamp")]
    pub valid_until: Option<SystemTime>,
    /// The last sign-in by password that the log holds.
    #[serde(serialize_with = "stamp")]
    pub last_password_login: Option<SystemTime>,
    /// The last sign-in by IAM that the log holds.
    #[serde(serialize_with = "stamp")]
    pub last_iam_login: Option<SystemTime>,
    /// The last sign-in that was refused.
    #[serde(serialize_with = "stamp")]
    pub last_failure: Option<SystemTime>,
    /// Whether a sign-in asked to have the user created (`IAMA:`).
    pub auto_created: bool,
    /// Who was issued credentials for it, by CloudTrail.
    pub principals: Vec<String>,
}

/// Whether a user has a password, and how that was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Password {
    /// The state.
    pub state: PasswordState,
    /// Where it was read; empty for nowhere.
    pub told_by: &'static str,
}

/// Whether a user has a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PasswordState {
    /// There is none.
    Disabled,
    /// It cannot be told.
    #[default]
    Unknown,
    /// There is one.
    Yes,
}

impl PasswordState {
    /// As `--json` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
            Self::Yes => "yes",
        }
    }
}

/// Something that could not be seen, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// Everything that was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inventory {
    /// The reader's database user.
    pub reader: String,
    /// Whether the reader is a superuser.
    pub reader_is_superuser: bool,
    /// Whether the catalog tells who has a password and who has none.
    pub passwords_are_told: bool,
    /// The connection log that was read; empty for none.
    pub log: &'static str,
    /// Where the log begins.
    #[serde(serialize_with = "stamp")]
    pub log_since: Option<SystemTime>,
    /// The users, sorted by name, without AWS's own.
    pub users: Vec<User>,
    /// The groups' names, sorted.
    pub groups: Vec<String>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
    /// Sign-ins by IAM: user as logged, guid, time. Read only when they are to be joined.
    #[serde(skip)]
    pub guids: Vec<(String, String, SystemTime)>,
}

/// AWS's own superuser, which no one signs in as.
const INTERNAL: i64 = 1;

/// Reads all. `serverless` decides which log is asked first; `guids` whether sign-ins are read one by one.
///
/// # Errors
/// When the list of users, which everybody may read, cannot be read. Less is a line of [`Inventory::unseen`].
pub async fn read(session: &mut Session, serverless: bool, guids: bool) -> Result<Inventory> {
    let reader = session.query(queries::WHOAMI).await?.into_iter().next().and_then(|row| row.into_iter().next()?).unwrap_or_default();
    let superuser = session.query(queries::READER).await?.first().and_then(|row| row.first()?.as_deref()) == Some("t");
    let mut it = Inventory { reader, reader_is_superuser: superuser, ..Inventory::default() };
    it.users = users(session.query(queries::USERS).await?);
    match session.query(queries::GROUPS).await {
        Ok(rows) => it.groups = groups(&mut it.users, rows),
        Err(error) => it.miss("groups", &error, "reading pg_group takes no right on Redshift"),
    }
    match session.query(queries::PASSWORDS).await {
        Ok(rows) => passwords(&mut it, rows),
        Err(error) => it.miss("who has a password", &error, "sign in as a superuser: --db-user NAME"),
    }
    read_log(session, &mut it, serverless, guids).await?;
    match session.query(queries::ROLES).await {
        Ok(rows) => roles(&mut it, rows),
        Err(error) => it.miss("roles", &error, "reading svv_user_grants takes no right on Redshift"),
    }
    it.settle();
    Ok(it)
}

async fn read_log(session: &mut Session, it: &mut Inventory, serverless: bool, guids: bool) -> Result<()> {
    let order = if serverless { vec![queries::SYS] } else { vec![queries::STL, queries::SYS] };
    let mut refusal = None;
    for LogQueries { name, logins, since, guids: by_guid } in order {
        match session.query(logins).await {
            Ok(rows) => {
                it.log = name;
                it.log_since = first(session, since).await?;
                let logins: Vec<Login> = rows.into_iter().filter_map(logins::parse).collect();
                logins::assign(&mut it.users, &logins);
                if guids {
                    let row = |row: Vec<Option<String>>| {
                        let mut cells = row.into_iter();
                        Some((cells.next()??, cells.next()??, moment(&cells.next()??)?))
                    };
                    it.guids = session.query(by_guid).await?.into_iter().filter_map(row).collect();
                }
                return Ok(());
            }
            Err(error) if error.sqlstate().is_some() => {
                refusal.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refusal {
        it.miss("who signs in, and how", &error, "sign in as a superuser, or GRANT ROLE sys:monitor TO the reader");
    }
    Ok(())
}

async fn first(session: &mut Session, query: Query) -> Result<Option<SystemTime>> {
    let cell = session.query(query).await?.into_iter().next().and_then(|row| row.into_iter().next()?);
    Ok(cell.as_deref().and_then(moment))
}

fn users(rows: Rows) -> Vec<User> {
    let user = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let (name, id) = (next()?, next()?.parse().ok()?);
        let (superuser, createdb) = (next().as_deref() == Some("t"), next().as_deref() == Some("t"));
        let valid_until = next().as_deref().and_then(moment);
        Some(User { name, id, superuser, createdb, valid_until, ..User::default() })
    };
    let mut users: Vec<User> = rows.into_iter().filter_map(user).filter(|user| user.id != INTERNAL).collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    users
}

/// Puts users into their groups, and gives the groups' names.
fn groups(users: &mut [User], rows: Rows) -> Vec<String> {
    let mut names = Vec::new();
    let places: HashMap<i64, usize> = users.iter().enumerate().map(|(place, user)| (user.id, place)).collect();
    for row in rows {
        let [Some(group), members] = row.as_slice() else { continue };
        names.push(group.clone());
        let Some(members) = members else { continue };
        let ids = members.trim_matches(['{', '}']).split(',').filter_map(|id| id.trim().parse().ok());
        for place in ids.filter_map(|id: i64| places.get(&id)) {
            users[*place].groups.push(group.clone());
        }
    }
    users.iter_mut().for_each(|user| user.groups.sort());
    names.sort();
    names
}

fn roles(it: &mut Inventory, rows: Rows) {
    let places: HashMap<String, usize> = it.users.iter().enumerate().map(|(place, user)| (user.name.clone(), place)).collect();
    for row in rows {
        let [Some(user), Some(role)] = row.as_slice() else { continue };
        if let Some(place) = places.get(user) {
            it.users[*place].roles.push(role.clone());
        }
    }
    it.users.iter_mut().for_each(|user| user.roles.sort());
    if !it.reader_is_superuser {
        it.unseen.push(Unseen {
            what: "roles of other users".into(),
            why: "svv_user_grants shows everybody his own".into(),
            hint: "sign in as a superuser, or GRANT ACCESS SYSTEM TABLE".into(),
        });
    }
}

/// The catalog tells something only where it tells users apart: a column that is masked, or empty, for all says nothing.
fn passwords(it: &mut Inventory, rows: Rows) {
    let told: BTreeMap<String, String> = rows.into_iter().filter_map(|row| Some((row.first()?.clone()?, row.get(1)?.clone()?))).collect();
    let any = |state: &str| told.values().any(|told| told == state);
    it.passwords_are_told = any("none") && (any("masked") || any("stored"));
    if !it.passwords_are_told && !any("stored") {
        it.unseen.push(Unseen {
            what: "who has a password".into(),
            why: "pg_shadow says the same of all users".into(),
            hint: "`shiftkey lockdown` finds out with a user of its own".into(),
        });
        return;
    }
    for user in &mut it.users {
        let state = match told.get(&user.name).map(String::as_str) {
            Some("none") if it.passwords_are_told => PasswordState::Disabled,
            Some("masked" | "stored") => PasswordState::Yes,
            _ => continue,
        };
        user.password = Password { state, told_by: "pg_shadow" };
    }
}

impl Inventory {
    fn miss(&mut self, what: &str, error: &Error, hint: &str) {
        self.unseen.push(Unseen { what: what.into(), why: error.message().to_owned(), hint: hint.into() });
    }

    /// What follows where the catalog does not say it.
    fn settle(&mut self) {
        for user in self.users.iter_mut().filter(|user| user.password.state == PasswordState::Unknown) {
            if user.last_password_login.is_some() {
                user.password = Password { state: PasswordState::Yes, told_by: "a sign-in by password in the log" };
            } else if user.superuser {
                user.password = Password { state: PasswordState::Yes, told_by: "superusers always have one" };
            }
        }
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.binary_search_by(|user| user.name.as_str().cmp(name)).ok().map(|place| &self.users[place])
    }
}

/// A time as the warehouse writes it, which is in UTC. `infinity` is none.
pub(crate) fn moment(text: &str) -> Option<SystemTime> {
    let text = text.trim().trim_end_matches("+00");
    let full = if text.len() == 10 { format!("{text} 00:00:00") } else { text.to_owned() };
    humantime::parse_rfc3339_weak(&full).ok()
}

pub(crate) fn stamp<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| humantime::format_rfc3339_seconds(at).to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(states: &[(&str, &str)]) -> Inventory {
        let user = |(name, _): &(&str, &str)| User { name: (*name).to_owned(), ..User::default() };
        let mut it = Inventory { users: states.iter().map(user).collect(), ..Inventory::default() };
        passwords(&mut it, states.iter().map(|(name, state)| vec![Some((*name).to_owned()), Some((*state).to_owned())]).collect());
        it
    }

    #[test]
    fn the_catalog_is_believed_only_where_it_tells_users_apart() {
        use PasswordState::{Disabled, Unknown, Yes};
        for (sentence, states, expected) in [
            ("both are there", [("a", "none"), ("b", "stored")], [Disabled, Yes]),
            ("masked, and some empty", [("a", "none"), ("b", "masked")], [Disabled, Yes]),
            ("masked for all", [("a", "masked"), ("b", "masked")], [Unknown, Unknown]),
            ("empty for all", [("a", "none"), ("b", "none")], [Unknown, Unknown]),
            ("everybody's hash", [("a", "stored"), ("b", "stored")], [Yes, Yes]),
        ] {
            let it = told(&states);
            assert_eq!(it.users.iter().map(|user| user.password.state).collect::<Vec<_>>(), expected, "{sentence}");
            assert_eq!(it.unseen.is_empty(), expected[0] != Unknown, "{sentence}");
        }
    }

    #[test]
    fn times_are_read_as_warehouses_write_them() {
        let seconds = |text: &str| moment(text).map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        for (text, expected) in [
            ("1970-01-02 00:00:01.500000", Some(86_401)),
            ("1970-01-02 00:00:01+00", Some(86_401)),
            ("1970-01-02", Some(86_400)),
            ("infinity", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
