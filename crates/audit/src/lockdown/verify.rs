//! What proves that a password opens nothing. A sign-in with an invented password is refused in any case, so it proves nothing. What
//! does: the catalog holds no password for the user, and on this warehouse that was seen to mean a refusal (a user of ours showed
//! it); or a password that used to be right is refused.

use std::collections::BTreeMap;

use serde::Serialize;
use shiftkey::{ErrorKind, Login, Result, Secret, dial};

use super::{Lockdown, journal::Story};
use crate::inventory::{Inventory, PasswordState, User};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A sign-in by password succeeds, or succeeded after it should not.
    Open,
    /// It is refused.
    Refused,
    /// Nothing speaks against it, and nothing proves it.
    Unproven,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The user.
    pub user: String,
    /// What was found.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
}

/// Judges every user whose password the journal says is gone, or was about to go.
pub fn verify(story: &Story, it: &Inventory) -> Vec<Verified> {
    let unfinished = story.begun.iter().map(|user| (user, None));
    let all: BTreeMap<&String, Option<&String>> = story.disabled.iter().map(|(user, at)| (user, Some(at))).chain(unfinished).collect();
    all.into_iter().map(|(user, at)| judge(user, at.map(String::as_str), story, it.user(user))).collect()
}

fn judge(name: &str, at: Option<&str>, story: &Story, user: Option<&User>) -> Verified {
    let verified = |verdict, why: String| Verified { user: name.to_owned(), verdict, why };
    let Some(user) = user else { return verified(Verdict::Refused, "the user is gone".into()) };
    if at.is_none() && user.password.state != PasswordState::Disabled {
        return verified(Verdict::Unproven, "the lockdown stopped in the midst of it: --resume".into());
    }
    let gone = at.and_then(|at| humantime::parse_rfc3339_weak(at).ok());
    let later = user.last_password_login.filter(|login| gone.is_some_and(|gone| *login > gone));
    let told = user.password.told_by == "pg_shadow";
    match user.password.state {
        _ if later.is_some() => {
            let login = later.map(|login| humantime::format_rfc3339_seconds(login).to_string()).unwrap_or_default();
            verified(Verdict::Open, format!("signed in by password at {login}, after the lockdown"))
        }
        PasswordState::Disabled if story.told => {
            verified(Verdict::Refused, "the catalog has no password for it, and the warehouse was seen to refuse then".into())
        }
        PasswordState::Disabled => verified(Verdict::Unproven, "the catalog has no password for it; what that means was not seen".into()),
        _ if user.superuser => {
            verified(Verdict::Unproven, "a superuser always has a password; that nobody knows it cannot be seen from outside".into())
        }
        PasswordState::Yes if told => verified(Verdict::Open, "it has a password again".into()),
        PasswordState::Unknown | PasswordState::Yes => {
            verified(Verdict::Unproven, "the catalog does not tell: sign in as a superuser".into())
        }
    }
}

impl Lockdown<'_> {
    /// Tries a password that used to be right, and says what that proves. It says nothing about others.
    ///
    /// # Errors
    /// When the warehouse cannot be reached.
    pub async fn try_known(&self, way: &Login, user: &str, password: &Secret) -> Result<(Verdict, &'static str)> {
        match self.by_password(way, user, password).await {
            Ok(()) => Ok((Verdict::Open, "the password that was given opens a session")),
            Err(error) if dial::says_stale(&error) => Ok((Verdict::Refused, "the password that was given is refused")),
            Err(error) if error.kind() == ErrorKind::LoginRefused => Ok((Verdict::Unproven, "the sign-in was refused for another reason")),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Password;
    use std::time::{Duration, SystemTime};

    #[test]
    fn only_what_is_proven_counts() {
        use PasswordState::{Disabled, Unknown, Yes};
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (sentence, state, told, superuser, last, expected) in [
            ("the catalog and a trial", Disabled, true, false, None, Verdict::Refused),
            ("the catalog alone", Disabled, false, false, None, Verdict::Unproven),
            ("a password again", Yes, true, false, None, Verdict::Open),
            ("a sign-in before", Disabled, true, false, at(5), Verdict::Refused),
            ("a sign-in after", Disabled, true, false, at(15), Verdict::Open),
            ("nothing told", Unknown, true, false, None, Verdict::Unproven),
            ("a superuser", Yes, true, true, None, Verdict::Unproven),
            ("a superuser that signed in", Yes, true, true, at(15), Verdict::Open),
        ] {
            let user = User {
                name: "a".into(),
                superuser,
                password: Password { state, told_by: "pg_shadow" },
                last_password_login: last,
                ..User::default()
            };
            let story = Story { disabled: [("a".into(), "1970-01-01T00:00:10Z".into())].into(), told, ..Story::default() };
            let found = verify(&story, &Inventory { users: vec![user], ..Inventory::default() });
            assert_eq!(found[0].verdict, expected, "{sentence}");
        }
        let story =
            Story { begun: ["a".into()].into(), disabled: [("b".into(), "1970-01-01T00:00:10Z".into())].into(), ..Story::default() };
        let it = Inventory { users: vec![User { name: "a".into(), ..User::default() }], ..Inventory::default() };
        let found: Vec<_> = verify(&story, &it).into_iter().map(|it| it.verdict).collect();
        assert_eq!(found, [Verdict::Unproven, Verdict::Refused], "one that was begun, and one that is gone");
    }
}
