//! Who may change which user or group, and the change. The words of refusals are unverified against AWS.

use super::Refusal;
use super::statement::{Options, Statement};
use crate::iam::matches_text;
use crate::world::{DbUser, Warehouse};

/// Makes the change for the session of `asker`; nothing is changed when it is refused.
pub(super) fn apply(warehouse: &mut Warehouse, asker: &str, statement: &Statement) -> Result<(), Refusal> {
    let own_password = matches!(statement, Statement::AlterUser { user, options } if user == asker
        && matches!(options, Options { password: Some(Some(_)), .. })
        && Options { password: None, ..options.clone() } == Options::default());
    let it = warehouse.users.get(asker);
    // Whose password is disabled may not set one.
    let allowed = it.is_some_and(|it| it.superuser || (own_password && it.password.is_some()));
    if !allowed {
        return Err(Refusal::new("42501", "permission denied: must be superuser to change users and groups"));
    }
    match statement {
        Statement::CreateUser { user, options } => create(warehouse, user, options),
        Statement::AlterUser { user, options } => {
            let found = warehouse.users.get(user).cloned().ok_or_else(|| missing("user", user))?;
            let kept = found.password.clone();
            let mut changed = changed(found, options)?;
            if options.password == Some(None) && warehouse.keeps_passwords.iter().any(|it| matches_text(it, user)) {
                changed.password = kept;
            }
            known_groups(warehouse, &options.groups)?;
            warehouse.users.insert(user.clone(), changed);
            Ok(())
        }
        Statement::RenameUser { user, name } => {
            absent(warehouse, name)?;
            let found = warehouse.users.remove(user).ok_or_else(|| missing("user", user))?;
            // A stored password is salted with the name.
            warehouse.users.insert(name.clone(), DbUser { name: name.clone(), password: None, ..found });
            Ok(())
        }
        Statement::DropUser { users, if_exists } => {
            if let Some(user) = users.iter().find(|it| !warehouse.users.contains_key(*it)).filter(|_| !if_exists) {
                return Err(missing("user", user));
            }
            users.iter().for_each(|it| drop(warehouse.users.remove(it)));
            Ok(())
        }
        Statement::CreateGroup { group, users } => {
            if warehouse.groups.contains(group) {
                return Err(Refusal::new("42710", format!("group \"{group}\" already exists")));
            }
            known(warehouse, users)?;
            warehouse.groups.push(group.clone());
            members(warehouse, group, users, true);
            Ok(())
        }
        Statement::AlterGroup { group, join, users } => {
            known_groups(warehouse, std::slice::from_ref(group))?;
            known(warehouse, users)?;
            members(warehouse, group, users, *join);
            Ok(())
        }
        Statement::DropGroup { group } => {
            known_groups(warehouse, std::slice::from_ref(group))?;
            warehouse.groups.retain(|it| it != group);
            let all: Vec<String> = warehouse.users.keys().cloned().collect();
            members(warehouse, group, &all, false);
            Ok(())
        }
        Statement::Monitor { user, granted } => {
            warehouse.users.get_mut(user).ok_or_else(|| missing("user", user))?.monitor = *granted;
            Ok(())
        }
    }
}

fn create(warehouse: &mut Warehouse, user: &str, options: &Options) -> Result<(), Refusal> {
    absent(warehouse, user)?;
    if user.is_empty() || user.len() > 127 {
        return Err(Refusal::new("42622", "a user name has 1 to 127 bytes"));
    }
    if options.password.is_none() {
        return Err(Refusal::new("42601", "CREATE USER needs PASSWORD"));
    }
    known_groups(warehouse, &options.groups)?;
    let made = changed(DbUser { name: user.to_owned(), ..DbUser::default() }, options)?;
    warehouse.create_user(made);
    Ok(())
}

/// The user with the options laid over.
fn changed(mut user: DbUser, options: &Options) -> Result<DbUser, Refusal> {
    user.createdb = options.createdb.unwrap_or(user.createdb);
    user.superuser = options.superuser.unwrap_or(user.superuser);
    if let Some(password) = &options.password {
        password.as_deref().map_or(Ok(()), check)?;
        user.password.clone_from(password);
    }
    if let Some(until) = options.valid_until {
        user.valid_until = until;
    }
    if user.superuser && user.password.is_none() && (options.superuser == Some(true) || options.password == Some(None)) {
        return Err(Refusal::new("0A000", "the password of a superuser cannot be disabled"));
    }
    user.groups.extend(options.groups.iter().filter(|it| !user.groups.contains(it)).cloned().collect::<Vec<_>>());
    Ok(user)
}

/// The rule for a password in clear; hashes are taken as they are.
fn check(password: &str) -> Result<(), Refusal> {
    let is = |kind: fn(&u8) -> bool| password.bytes().any(|byte| kind(&byte));
    let hashed = password.starts_with("sha256|")
        || password.strip_prefix("md5").is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let strong = (8..=64).contains(&password.len())
        && is(u8::is_ascii_uppercase)
        && is(u8::is_ascii_lowercase)
        && is(u8::is_ascii_digit)
        && password.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"\\/@".contains(&byte));
    if hashed || strong {
        return Ok(());
    }
    Err(Refusal::new("22023", "a password has 8 to 64 characters, an upper-case and a lower-case letter and a digit among them"))
}

fn absent(warehouse: &Warehouse, user: &str) -> Result<(), Refusal> {
    if warehouse.users.contains_key(user) {
        return Err(Refusal::new("42710", format!("user \"{user}\" already exists")));
    }
    Ok(())
}

fn known(warehouse: &Warehouse, users: &[String]) -> Result<(), Refusal> {
    users.iter().find(|it| !warehouse.users.contains_key(*it)).map_or(Ok(()), |it| Err(missing("user", it)))
}

fn known_groups(warehouse: &Warehouse, groups: &[String]) -> Result<(), Refusal> {
    groups.iter().find(|it| !warehouse.groups.contains(it)).map_or(Ok(()), |it| Err(missing("group", it)))
}

fn members(warehouse: &mut Warehouse, group: &str, users: &[String], join: bool) {
    for user in users {
        if let Some(user) = warehouse.users.get_mut(user) {
            user.groups.retain(|it| it != group);
            if join {
                user.groups.push(group.to_owned());
            }
        }
    }
}

fn missing(what: &str, name: &str) -> Refusal {
    Refusal::new("42704", format!("{what} \"{name}\" does not exist"))
}
