//! The decision who gets in, given what was issued and what the client answered. Nothing here reads or writes a stream.

use std::time::SystemTime;

use shiftkey_wire::error_fields::{ErrorFields, sqlstate};

use super::challenge::Answer;
use crate::world::{DbUser, Grant, WarehouseId, World};

/// A login that was decided for.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) db_user: String,
    pub(super) groups: Vec<String>,
    /// Whether a missing user is created.
    pub(super) auto_create: bool,
    /// As the connection log names it.
    pub(super) method: &'static str,
    pub(super) guid: Option<String>,
    /// What the server says last in the exchange; empty for nothing.
    pub(super) last_word: Vec<u8>,
}

/// Decides. Every password of the user is tried, the expired ones too and one that nobody has, so that neither the words nor
/// the time tell whether the user exists.
///
/// The texts and codes for an expired password and for a credential of another database are unverified against AWS.
pub(super) fn decide(
    answer: &Answer,
    grants: &[Grant],
    user: Option<&DbUser>,
    login: &str,
    database: &str,
    now: SystemTime,
) -> Result<Admission, ErrorFields> {
    let _ = answer.proves("a password that nobody has");
    let proven: Vec<(&Grant, Vec<u8>)> = grants.iter().filter_map(|it| Some((it, answer.proves(&it.password)?))).collect();
    let password = user.and_then(|user| {
        let in_time = user.valid_until.is_none_or(|until| now <= until);
        answer.proves_stored(user.password.as_deref()?, login).filter(|_| in_time)
    });
    if let Some(last_word) = password {
        let (db_user, groups) = (login.to_owned(), Vec::new());
        return Ok(Admission { db_user, groups, auto_create: false, method: "password", guid: None, last_word });
    }
    if proven.is_empty() {
        return Err(wrong_password(login));
    }
    let live = || proven.iter().filter(|(grant, _)| now <= grant.expires_at);
    if live().next().is_none() {
        return Err(ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, "IAM Authentication token has expired"));
    }
    let opens = |grant: &Grant| grant.database.as_deref().is_none_or(|only| only == database);
    let Some((grant, last_word)) = live().find(|(grant, _)| opens(grant)) else {
        let message = format!("the credential of user \"{login}\" is not for database \"{database}\"");
        return Err(ErrorFields::fatal(sqlstate::INVALID_AUTHORIZATION, message));
    };
    Ok(Admission {
        db_user: grant.db_user.clone(),
        groups: grant.groups.clone(),
        auto_create: grant.auto_create,
        method: "IAM AssumeUser",
        guid: Some(grant.guid.clone()),
        last_word: last_word.clone(),
    })
}

/// The catalog's user, created when the credential says so.
pub(super) fn find_user(world: &World, id: &WarehouseId, admission: &Admission, login: &str) -> Result<DbUser, ErrorFields> {
    let name = &admission.db_user;
    if admission.auto_create {
        world.create_user(id, DbUser { name: name.clone(), ..DbUser::default() });
    }
    let missing = || ErrorFields::fatal(sqlstate::UNDEFINED_OBJECT, format!("user \"{login}\" does not exist"));
    world.db_user(id, name).ok_or_else(missing)
}

fn wrong_password(login: &str) -> ErrorFields {
    ErrorFields::fatal(sqlstate::INVALID_PASSWORD, format!("password authentication failed for user \"{login}\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grant(password: &str, expires: u64, database: Option<&str>) -> Grant {
        Grant {
            login_user: "IAM:bob".into(),
            password: password.into(),
            db_user: "bob".into(),
            groups: vec!["analysts".into()],
            database: database.map(str::to_owned),
            auto_create: false,
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(expires),
            guid: format!("guid of {password}"),
            caller_arn: "arn".into(),
        }
    }

    #[test]
    fn only_a_live_password_for_the_database_opens() {
        let grants = [grant("old", 5, None), grant("now", 20, None), grant("other", 20, None), grant("dev", 20, Some("dev"))];
        let user = |until| DbUser {
            name: "IAM:bob".into(),
            password: Some("own".into()),
            valid_until: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(until)),
            ..DbUser::default()
        };
        let disabled = DbUser { name: "IAM:bob".into(), ..DbUser::default() };
        for (password, database, user, expected) in [
            ("now", "dev", None, Ok("IAM AssumeUser")),
            ("other", "prod", None, Ok("IAM AssumeUser")),
            ("dev", "dev", None, Ok("IAM AssumeUser")),
            ("dev", "prod", None, Err("28000")),
            ("old", "dev", None, Err("28000")),
            ("invented", "dev", None, Err("28P01")),
            ("", "dev", Some(disabled), Err("28P01")),
            ("own", "dev", Some(user(10)), Ok("password")),
            ("own", "dev", Some(user(9)), Err("28P01")),
        ] {
            let answer = Answer::Cleartext(password.into());
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
            let outcome = decide(&answer, &grants, user.as_ref(), "IAM:bob", database, now);
            assert_eq!(outcome.as_ref().map(|it| it.method).map_err(|it| it.code.as_str()), expected, "{password} {database}");
        }
    }
}
