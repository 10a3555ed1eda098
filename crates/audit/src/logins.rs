//! Whose sign-in a line of the connection log was. The log holds the name that was typed, prefix and all, cut at 50 characters.

use std::{collections::BTreeMap, time::SystemTime};

use crate::inventory::{User, moment};

/// Where the log cuts names (`CHAR(50)`).
const CUT: usize = 50;

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Failed,
    Iam,
    /// Neither: an identity provider's token, a certificate.
    Other,
    Password,
}

/// All sign-ins of one name in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) last: SystemTime,
}

/// User, event, method, `y` for an IAM guid, time.
pub(crate) fn parse(row: Vec<Option<String>>) -> Option<Login> {
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let (name, event, method, guid) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
    let last = moment(&cells.next()?)?;
    // What AWS writes for a sign-in by password is not documented; for IAM it is `IAM AssumeUser`.
    let way = if event.contains("failure") {
        Way::Failed
    } else if guid == "y" || method.to_ascii_uppercase().starts_with("IAM") {
        Way::Iam
    } else if method.is_empty() || method.to_ascii_lowercase().contains("password") || method.eq_ignore_ascii_case("md5") {
        Way::Password
    } else {
        Way::Other
    };
    Some(Login { name, way, last })
}

/// Notes each login with the user whose it was. `users` is sorted by name.
pub(crate) fn assign(users: &mut [User], logins: &[Login]) {
    let places: BTreeMap<String, usize> = users.iter().enumerate().map(|(place, user)| (user.name.clone(), place)).collect();
    for login in logins {
        let auto = login.name.starts_with("IAMA:");
        for place in owners(&places, login) {
            let user = &mut users[place];
            let field = match login.way {
                Way::Failed => &mut user.last_failure,
                Way::Iam => &mut user.last_iam_login,
                Way::Password => &mut user.last_password_login,
                Way::Other => continue,
            };
            *field = (*field).max(Some(login.last));
            user.auto_created |= auto && login.way == Way::Iam;
        }
    }
}

/// The users that the name of a login may mean. `IAM:alice` is `alice` when the caller chose the user, and `IAM:alice` when AWS did;
/// where there are both, it may have been either.
fn owners(places: &BTreeMap<String, usize>, login: &Login) -> Vec<usize> {
    let mut found = named(places, &login.name, &login.name);
    if login.way != Way::Password
        && let Some((_, rest)) = login.name.split_once(':').filter(|(prefix, _)| matches!(*prefix, "IAM" | "IAMA"))
    {
        // Groups follow the name, which itself holds no colon.
        let name = rest.split(':').next().unwrap_or_default();
        found.extend(named(places, name, if rest.contains(':') { name } else { &login.name }));
    }
    found
}

/// Users called so, or beginning so where `logged` was cut.
fn named(places: &BTreeMap<String, usize>, name: &str, logged: &str) -> Vec<usize> {
    if logged.chars().count() < CUT {
        return places.get(name).copied().into_iter().collect();
    }
    let after = places.range(name.to_owned()..).take_while(|(user, _)| user.starts_with(name));
    after.map(|(_, place)| *place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_laid_to_the_users_that_its_name_can_mean() {
        let long = "n".repeat(60);
        let mut names = ["alice", "IAM:alice", "bob", "IAMR:role", &long];
        names.sort_unstable();
        let places: BTreeMap<String, usize> = names.iter().enumerate().map(|(place, name)| ((*name).to_owned(), place)).collect();
        let cut = |text: &str| text.chars().take(CUT).collect::<String>();
        for (name, way, expected) in [
            ("bob", Way::Password, vec!["bob"]),
            ("IAM:bob", Way::Iam, vec!["bob"]),
            ("IAMA:bob:analysts:others", Way::Iam, vec!["bob"]),
            ("IAM:alice", Way::Iam, vec!["IAM:alice", "alice"]),
            ("IAM:alice", Way::Password, vec!["IAM:alice"]),
            ("IAM:bob", Way::Failed, vec!["bob"]),
            ("IAMR:role", Way::Iam, vec!["IAMR:role"]),
            ("AWSIDC:bob", Way::Iam, vec![]),
            (&cut(&long), Way::Password, vec![long.as_str()]),
            (&cut(&format!("IAM:{long}")), Way::Iam, vec![long.as_str()]),
            (&cut(&format!("IAMA:bob:{long}")), Way::Iam, vec!["bob"]),
            ("nobody", Way::Password, vec![]),
        ] {
            let login = Login { name: name.to_owned(), way, last: SystemTime::UNIX_EPOCH };
            let found: Vec<&str> = owners(&places, &login).into_iter().map(|place| names[place]).collect();
            assert_eq!(found, expected, "{name} {way:?}");
        }
    }

    #[test]
    fn ways_are_told_by_method_guid_and_event() {
        for (event, method, guid, expected) in [
            ("authenticated", "IAM AssumeUser", "y", Way::Iam),
            ("authenticated", "", "y", Way::Iam),
            ("authenticated", "password", "n", Way::Password),
            ("authenticated", "", "n", Way::Password),
            ("authenticated", "AWSIDC", "n", Way::Other),
            ("authentication failure", "password", "n", Way::Failed),
        ] {
            let cells = ["bob", event, method, guid, "2026-01-01 00:00:00"].map(|cell| Some(cell.to_owned()));
            assert_eq!(parse(cells.into()).unwrap().way, expected, "{event} {method}");
        }
    }
}
