//! Whose password is to go, decided from an audit. Nothing is changed here.

use std::{collections::BTreeSet, time::SystemTime};

use serde::{Deserialize, Serialize};
use shiftkey::{Error, Result};

use crate::{
    findings::no_way_in,
    inventory::{Inventory, PasswordState, User},
};

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All but these.
    AllExcept(BTreeSet<String>),
    /// These.
    Users(BTreeSet<String>),
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who is meant.
    pub choice: Choice,
    /// Only who has not signed in by password since then.
    pub inactive_since: Option<SystemTime>,
    /// Give superusers a password that nobody knows.
    pub include_superusers: bool,
    /// Take the password also from whom nobody can sign in as by IAM.
    pub lock_out_unproven: bool,
    /// Never this one.
    pub break_glass: Option<String>,
    /// Whose password an earlier lockdown took or replaced: nobody knows it.
    pub gone: BTreeSet<String>,
    /// Whether AWS maps identities to users, so that no other user can be signed in as.
    pub mapped: bool,
}

/// What is to be done with one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Prove that IAM lets the user in, then disable the password.
    Disable,
    /// Disable the password; there is no way in by IAM.
    DisableUnproven,
    /// Prove that IAM lets the superuser in, then replace the password by one that nobody knows.
    Substitute,
}

/// One user of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The user.
    pub user: String,
    /// What to do.
    pub action: Action,
}

/// What is to be done, in this order, and why some are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is to be done.
    pub steps: Vec<Step>,
    /// Who is left out, and why.
    pub skipped: Vec<(String, String)>,
    /// What a person should look at before: user and what.
    pub warnings: Vec<(String, String)>,
}

/// Decides.
///
/// # Errors
/// `Config` when a user is named that does not exist, or activity is asked for and the log could not be read.
pub fn plan(it: &Inventory, wanted: &Wanted) -> Result<Plan> {
    let (Choice::AllExcept(named) | Choice::Users(named)) = &wanted.choice;
    if let Some(missing) = named.iter().find(|name| it.user(name).is_none()) {
        let error = Error::config(format!("there is no user '{}'", missing.escape_debug()));
        return Err(error.with_hint("`shiftkey audit` lists the users; names with capital letters are other names"));
    }
    if wanted.inactive_since.is_some() && it.log.is_empty() {
        return Err(Error::config("who is inactive cannot be told: the connection log could not be read")
            .with_hint("sign in as a superuser, or GRANT ROLE sys:monitor TO the reader"));
    }
    let mut plan = Plan::default();
    let kept = kept_superuser(it, wanted);
    for user in &it.users {
        let meant = match &wanted.choice {
            Choice::AllExcept(names) => !names.contains(&user.name),
            Choice::Users(names) => names.contains(&user.name),
        };
        if !meant {
            continue;
        }
        match decide(user, wanted, kept) {
            Ok(action) => {
                plan.steps.push(Step { user: user.name.clone(), action });
                if let Some(at) = user.last_password_login {
                    let at = humantime::format_rfc3339_seconds(at);
                    plan.warnings.push((user.name.clone(), format!("signed in by password at {at}")));
                }
            }
            Err(why) => {
                // The one reason that a flag overrides and that does not name it.
                let overridden = !user.superuser && no_way_in(&user.name, wanted.mapped) == Some(why);
                let flag = if overridden { ": --lock-out-unproven" } else { "" };
                plan.skipped.push((user.name.clone(), format!("{why}{flag}")));
            }
        }
    }
    Ok(plan)
}

fn decide(user: &User, wanted: &Wanted, kept: Option<&str>) -> Result<Action, &'static str> {
    if wanted.break_glass.as_deref() == Some(&user.name) {
        return Err("the break-glass user");
    }
    if user.password.state == PasswordState::Disabled {
        return Err("its password is disabled already");
    }
    if wanted.inactive_since.is_some_and(|since| user.last_password_login.is_some_and(|at| at >= since)) {
        return Err("it signs in by password");
    }
    let no_way = no_way_in(&user.name, wanted.mapped);
    if user.superuser {
        return match no_way {
            _ if wanted.gone.contains(&user.name) && user.last_password_login.is_none() => {
                Err("its password was replaced by an earlier lockdown")
            }
            _ if !wanted.include_superusers => Err("a superuser, whose password can only be replaced: --include-superusers"),
            _ if kept == Some(&user.name) => Err("the last superuser that would keep a password"),
            Some(why) => Err(why),
            None => Ok(Action::Substitute),
        };
    }
    match no_way {
        // AWS's own names are the identity's: only that identity could prove them.
        None if user.name.contains(':') && !wanted.lock_out_unproven => {
            Err("only its own AWS identity can sign in as it: --lock-out-unproven")
        }
        None if user.name.contains(':') => Ok(Action::DisableUnproven),
        None => Ok(Action::Disable),
        Some(_) if wanted.lock_out_unproven => Ok(Action::DisableUnproven),
        Some(why) => Err(why),
    }
}

/// The superuser that stays as it is when all are meant: not needed when another one is left out, the break-glass user above all;
/// else the admin, who has the lowest id.
fn kept_superuser<'a>(it: &'a Inventory, wanted: &Wanted) -> Option<&'a str> {
    let meant = |user: &User| match &wanted.choice {
        Choice::AllExcept(names) => !names.contains(&user.name),
        Choice::Users(names) => names.contains(&user.name),
    };
    // Who was given a password that nobody knows is no way in any more.
    let superusers = || it.users.iter().filter(|user| user.superuser && !wanted.gone.contains(&user.name));
    let left_out = |user: &User| wanted.break_glass.as_deref() == Some(&user.name) || !meant(user);
    if superusers().any(left_out) {
        return None;
    }
    superusers().min_by_key(|user| user.id).map(|user| user.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Password;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn inventory() -> Inventory {
        let user = |name: &str, id, superuser, state, last: Option<u64>| User {
            name: name.into(),
            id,
            superuser,
            password: Password { state, told_by: "" },
            last_password_login: last.map(at),
            ..User::default()
        };
        use PasswordState::{Disabled, Unknown, Yes};
        let users = vec![
            user("IAMR:role", 106, false, Yes, None),
            user("admin", 100, true, Yes, None),
            user("busy", 102, false, Yes, Some(90)),
            user("done", 103, false, Disabled, None),
            user("idle", 104, false, Unknown, Some(10)),
            user("we\"ird", 105, false, Yes, None),
            user("zeus", 101, true, Yes, None),
        ];
        Inventory { users, log: "log", ..Inventory::default() }
    }

    fn wanted(change: impl FnOnce(&mut Wanted)) -> Wanted {
        let mut wanted = Wanted {
            choice: Choice::AllExcept(BTreeSet::new()),
            inactive_since: None,
            include_superusers: false,
            lock_out_unproven: false,
            break_glass: None,
            gone: BTreeSet::new(),
            mapped: false,
        };
        change(&mut wanted);
        wanted
    }

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_plan_holds_whom_it_may() {
        use Action::{Disable, DisableUnproven, Substitute};
        for (sentence, wanted, expected) in [
            ("all", wanted(|_| ()), vec![("busy", Disable), ("idle", Disable)]),
            ("but one", wanted(|it| it.choice = Choice::AllExcept(names(["busy"]))), vec![("idle", Disable)]),
            ("by name", wanted(|it| it.choice = Choice::Users(names(["busy", "done"]))), vec![("busy", Disable)]),
            ("inactive", wanted(|it| it.inactive_since = Some(at(50))), vec![("idle", Disable)]),
            ("inactive to the moment", wanted(|it| it.inactive_since = Some(at(90))), vec![("idle", Disable)]),
            (
                "superusers but the last",
                wanted(|it| it.include_superusers = true),
                vec![("busy", Disable), ("idle", Disable), ("zeus", Substitute)],
            ),
            (
                "superusers but the break-glass user",
                wanted(|it| (it.include_superusers, it.break_glass) = (true, Some("zeus".into()))),
                vec![("admin", Substitute), ("busy", Disable), ("idle", Disable)],
            ),
            (
                "another superuser is left out",
                wanted(|it| (it.include_superusers, it.choice) = (true, Choice::Users(names(["admin"])))),
                vec![("admin", Substitute)],
            ),
            (
                "the only superusers, by name",
                wanted(|it| (it.include_superusers, it.choice) = (true, Choice::Users(names(["admin", "zeus"])))),
                vec![("zeus", Substitute)],
            ),
            (
                "the other superuser's password is gone already",
                wanted(|it| (it.include_superusers, it.choice, it.gone) = (true, Choice::Users(names(["zeus"])), names(["admin"]))),
                vec![],
            ),
            (
                "one whose password is gone already",
                wanted(|it| (it.include_superusers, it.choice, it.gone) = (true, Choice::Users(names(["admin"])), names(["admin"]))),
                vec![],
            ),
            (
                "the break-glass user, by name",
                wanted(|it| (it.choice, it.break_glass) = (Choice::Users(names(["busy"])), Some("busy".into()))),
                vec![],
            ),
            (
                "unproven",
                wanted(|it| it.lock_out_unproven = true),
                vec![("IAMR:role", DisableUnproven), ("busy", Disable), ("idle", Disable), ("we\"ird", DisableUnproven)],
            ),
            ("a workgroup", wanted(|it| it.mapped = true), vec![]),
        ] {
            let it = plan(&inventory(), &wanted).unwrap();
            let found: Vec<_> = it.steps.iter().map(|step| (step.user.as_str(), step.action)).collect();
            assert_eq!(found, expected, "{sentence}");
        }
        let all = plan(&inventory(), &wanted(|_| ())).unwrap();
        assert_eq!(all.steps.len() + all.skipped.len(), 7, "who is left out is told why");
        assert_eq!(all.warnings.len(), 2);
        let why = |plan: &Plan, name: &str| plan.skipped.iter().find(|(user, _)| user == name).unwrap().1.clone();
        for (plan, name, starts, flag) in [
            (&all, "we\"ird", "AWS issues no credential", true),
            (&all, "IAMR:role", "only its own AWS identity", true),
            (&all, "zeus", "a superuser", false),
            (&plan(&inventory(), &wanted(|it| it.mapped = true)).unwrap(), "busy", "on a serverless workgroup", true),
        ] {
            let why = why(plan, name);
            assert!(why.starts_with(starts) && why.contains("--lock-out-unproven") == flag, "{name}: {why}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        assert!(plan(&inventory(), &wanted(|it| it.choice = Choice::Users(names(["Busy"])))).is_err());
        let blind = Inventory { log: "", ..inventory() };
        assert!(plan(&blind, &wanted(|it| it.inactive_since = Some(at(50)))).is_err());
    }
}
