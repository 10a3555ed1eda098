//! What is risky about a user: pure rules over what was read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use serde::Serialize;
use shiftkey::{policy::reach::Way, target::names};

use crate::{
    inventory::{Inventory, PasswordState, User},
    policies::AtFault,
};

/// How bad it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To know.
    Low,
    /// To be looked at.
    Medium,
    /// To be mended.
    High,
    /// To be mended now.
    Critical,
}

impl Severity {
    /// All, from the least.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As `--json` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One risk, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name.
    pub code: &'static str,
    /// What it is, in one line.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// The policy that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<AtFault>>,
}

/// What the rules need beside the user.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The user that is meant to keep its password.
    pub break_glass: Option<&'a str>,
    /// Users that somebody answers for; `None` when nobody said.
    pub known: Option<&'a BTreeSet<String>>,
    /// Whether the connection log was read.
    pub log: bool,
    /// Whether AWS maps identities to users, so that users have names of AWS's making.
    pub mapped: bool,
    /// The time of the audit.
    pub now: SystemTime,
    /// What was found in IAM's policies.
    pub policies: &'a [Finding],
    /// The users to whom an IAM policy leads; `None` when that cannot be told of all.
    pub ways: Option<&'a BTreeMap<String, Way>>,
}

/// Why nobody can sign in as this user by IAM; `None` when somebody can, given the right policy.
pub fn no_way_in(name: &str, mapped: bool) -> Option<&'static str> {
    let by_aws = name.starts_with("IAM:") || name.starts_with("IAMR:");
    match (by_aws, mapped) {
        (true, _) => None,
        (false, true) => Some("on a serverless workgroup AWS signs identities in as IAM:NAME and IAMR:ROLE only"),
        (false, false) if names::db_user(name).is_err() => Some("AWS issues no credential for such a name"),
        (false, false) => None,
    }
}

/// The risks of one user, the worst first.
pub fn of_user(user: &User, around: &Surroundings<'_>) -> Vec<Finding> {
    let break_glass = around.break_glass == Some(user.name.as_str());
    let mut found = Vec::new();
    let mut note =
        |severity, code, message: String, fix: &str| found.push(Finding { severity, code, message, fix: fix.to_owned(), policy: None });
    let used = user.last_password_login.map(|at| humantime::format_rfc3339_seconds(at).to_string());
    let state = user.password.state;
    match (user.superuser, state, &used) {
        _ if break_glass => {
            if let Some(at) = used {
                let message = format!("the break-glass user signed in by password at {at}");
                note(Severity::Medium, "break_glass_used", message, "find out who broke the glass, and change the password");
            }
        }
        (true, _, Some(at)) => note(
            Severity::Critical,
            "superuser_uses_password",
            format!("a superuser signed in by password at {at}"),
            "let it sign in by IAM, then `shiftkey lockdown --include-superusers`",
        ),
        (true, PasswordState::Yes | PasswordState::Unknown, None) => note(
            Severity::High,
            "superuser_has_password",
            "a superuser has a password; whether anybody knows it cannot be told".into(),
            "replace it by one that nobody knows: `shiftkey lockdown --include-superusers`",
        ),
        (false, PasswordState::Yes, Some(at)) => note(
            Severity::High,
            "uses_password",
            format!("signed in by password at {at}"),
            "let it sign in by IAM, then `shiftkey lockdown`",
        ),
        (false, PasswordState::Yes, None) => {
            let seen = if around.log { "has a password that the log does not show in use" } else { "has a password" };
            note(Severity::Medium, "has_password", seen.into(), "`shiftkey lockdown` takes it away");
        }
        (false, PasswordState::Unknown, _) => {
            note(
                Severity::Medium,
                "password_unknown",
                "whether it has a password cannot be told".into(),
                "`shiftkey lockdown` takes it away",
            );
        }
        (_, PasswordState::Disabled, _) => {}
    }
    if user.valid_until.is_some_and(|until| until < around.now) && state != PasswordState::Disabled {
        note(
            Severity::Low,
            "password_expired",
            "its password has expired; IAM does not mind".into(),
            "take the password away, or drop the user",
        );
    }
    if state == PasswordState::Disabled {
        if let Some(why) = no_way_in(&user.name, around.mapped) {
            note(Severity::Medium, "no_way_in", format!("has no password, and {why}"), "rename or drop the user");
        } else if let Some((why, fix)) = nobody_comes(user, around) {
            note(Severity::Low, "nobody_comes", format!("has no password, and {why}"), fix);
        }
        if user.last_failure.is_some_and(|at| user.last_iam_login.is_none_or(|iam| iam < at)) {
            let message = "a sign-in was refused after the last one by IAM: perhaps somebody still tries a password".into();
            note(Severity::Medium, "still_tried", message, "find out where from, in the connection log");
        }
    }
    let made_by_aws = user.auto_created || user.name.starts_with("IAM:") || user.name.starts_with("IAMR:");
    let answered_for = around.known.map_or(!user.groups.is_empty() || !user.roles.is_empty(), |known| known.contains(&user.name));
    if made_by_aws && !answered_for {
        let message = if around.known.is_some() {
            "came into being by a sign-in, and is not on the list of known users"
        } else {
            "came into being by a sign-in, is in no group and has no role"
        };
        note(Severity::Medium, "auto_created", message.into(), "drop it, or put it where it belongs");
    }
    if !break_glass {
        found.extend(no_iam_path(user, around));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// Why nobody signs in as a user that has no password, and what to do.
fn nobody_comes(user: &User, around: &Surroundings<'_>) -> Option<(String, &'static str)> {
    let seen = user.last_iam_login.is_some() || !user.principals.is_empty();
    match around.ways.map(|ways| ways.get(&user.name)) {
        Some(None) => Some((NO_PATH.into(), "drop the user, or give somebody the policy")),
        _ if seen || !around.log => None,
        None => Some(("nobody signs in by IAM".into(), "drop the user, or give somebody the policy")),
        Some(Some(way)) => Some((format!("nobody signs in by IAM, though {} may", told(way)), "drop the user, or take the policy away")),
    }
}

/// Who would be locked out if the password went.
fn no_iam_path(user: &User, around: &Surroundings<'_>) -> Option<Finding> {
    if user.password.state == PasswordState::Disabled {
        return None;
    }
    let (severity, why, fix) = match (no_way_in(&user.name, around.mapped), around.ways.map(|ways| ways.get(&user.name))) {
        (Some(why), _) => (Severity::Medium, why.to_owned(), "let who uses it come as another user, before the password goes"),
        (None, Some(None)) => (Severity::Medium, NO_PATH.to_owned(), GIVE),
        (None, Some(Some(way))) if !way.own => {
            let why = format!("nobody may be issued a credential for it but who may for any name: {}", told(way));
            (Severity::Low, why, GIVE)
        }
        (None, _) => return None,
    };
    let message = format!("without its password nobody comes in: {why}");
    Some(Finding { severity, code: "no_iam_path", message, fix: fix.to_owned(), policy: None })
}

const NO_PATH: &str = "no IAM user or role of the account may be issued a credential for it";
const GIVE: &str = "give who uses it the policy, before the password goes: `shiftkey policy generate` writes it";

/// Those who have a way.
fn told(way: &Way) -> String {
    let who = way.who.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = way.count.saturating_sub(way.who.len());
    if more > 0 { format!("{who} and {more} more") } else { who }
}

/// The risks of the warehouse as a whole.
pub fn of_warehouse(it: &Inventory, around: &Surroundings<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    match around.break_glass {
        None => found.push(Finding {
            severity: Severity::Low,
            code: "no_break_glass",
            message: "no break-glass user is configured".into(),
            fix: "say break_glass = \"NAME\" in the configuration: the superuser that keeps its password".into(),
            policy: None,
        }),
        Some(name) if !it.user(name).is_some_and(|user| user.superuser) => found.push(Finding {
            severity: Severity::High,
            code: "break_glass_useless",
            message: format!("the break-glass user '{}' is no superuser here", name.escape_debug()),
            fix: "correct break_glass in the configuration, or create the user".into(),
            policy: None,
        }),
        Some(_) => {}
    }
    found.extend_from_slice(around.policies);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Password;
    use std::time::Duration;

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn user(name: &str, state: PasswordState, change: impl FnOnce(&mut User)) -> User {
        let mut user = User { name: name.into(), password: Password { state, told_by: "" }, ..User::default() };
        change(&mut user);
        user
    }

    #[test]
    fn each_risk_is_found_and_nothing_else() {
        use PasswordState::{Disabled, Unknown, Yes};
        let came = |user: &mut User| user.last_iam_login = at(5);
        for (sentence, user, expected) in [
            ("in order", user("a", Disabled, came), vec![]),
            ("uses its password", user("a", Yes, |it| it.last_password_login = at(5)), vec!["uses_password"]),
            ("has one", user("a", Yes, |_| ()), vec!["has_password"]),
            ("unknown", user("a", Unknown, |_| ()), vec!["password_unknown"]),
            ("expired", user("a", Yes, |it| it.valid_until = at(1)), vec!["has_password", "password_expired"]),
            ("not expired", user("a", Yes, |it| it.valid_until = at(100)), vec!["has_password"]),
            ("superuser", user("a", Yes, |it| it.superuser = true), vec!["superuser_has_password"]),
            (
                "superuser in use",
                user("a", Yes, |it| (it.superuser, it.last_password_login) = (true, at(5))),
                vec!["superuser_uses_password"],
            ),
            ("break-glass", user("glass", Yes, |it| it.superuser = true), vec![]),
            ("glass broken", user("glass", Yes, |it| it.last_password_login = at(5)), vec!["break_glass_used"]),
            ("nobody comes", user("a", Disabled, |_| ()), vec!["nobody_comes"]),
            ("somebody may", user("a", Disabled, |it| it.principals = vec!["arn".into()]), vec![]),
            ("a name AWS does not take", user("we\"ird", Disabled, |_| ()), vec!["no_way_in"]),
            ("AWS's own name", user("IAMR:role", Disabled, |it| (it.last_iam_login, it.groups) = (at(5), vec!["g".into()])), vec![]),
            ("made by a sign-in", user("a", Disabled, |it| (it.last_iam_login, it.auto_created) = (at(5), true)), vec!["auto_created"]),
            (
                "made by a sign-in, with a role",
                user("a", Disabled, |it| (it.last_iam_login, it.auto_created, it.roles) = (at(5), true, vec!["r".into()])),
                vec![],
            ),
            ("knocks", user("a", Disabled, |it| (it.last_iam_login, it.last_failure) = (at(5), at(6))), vec!["still_tried"]),
            ("knocked before", user("a", Disabled, |it| (it.last_iam_login, it.last_failure) = (at(5), at(4))), vec![]),
        ] {
            let around = Surroundings {
                break_glass: Some("glass"),
                known: None,
                log: true,
                mapped: false,
                now: at(50).unwrap(),
                policies: &[],
                ways: None,
            };
            let codes: Vec<_> = of_user(&user, &around).iter().map(|it| it.code).collect();
            assert_eq!(codes, expected, "{sentence}");
        }
    }

    #[test]
    fn whom_no_policy_leads_to_is_told_before_the_password_goes() {
        use PasswordState::{Disabled, Unknown, Yes};
        let way = |own, who: &[&str], count| Way { own, who: who.iter().map(|it| (*it).to_owned()).collect(), count };
        let ways = BTreeMap::from([
            ("own".to_owned(), way(true, &["role load"], 4)),
            ("many".to_owned(), way(false, &["user root"], 1)),
            ("IAM:x".to_owned(), way(true, &["user x"], 1)),
        ]);
        let came = |user: &mut User| user.last_iam_login = at(5);
        let nothing = |_: &mut User| ();
        let superuser = |it: &mut User| it.superuser = true;
        type Case<'a> = (&'a str, User, (bool, bool, bool), &'a str);
        let cases: [Case<'_>; 16] = [
            ("a way", user("own", Yes, nothing), (true, true, false), "medium has_password"),
            ("no way", user("a", Yes, nothing), (true, true, false), "medium has_password, medium no_iam_path"),
            ("it may have one", user("a", Unknown, nothing), (true, false, false), "medium password_unknown, medium no_iam_path"),
            ("a superuser", user("a", Yes, superuser), (true, true, false), "high superuser_has_password, medium no_iam_path"),
            ("the break-glass user", user("glass", Yes, superuser), (true, true, false), ""),
            ("of those who may be anybody", user("many", Yes, nothing), (true, true, false), "medium has_password, low no_iam_path"),
            ("not all was read", user("a", Yes, nothing), (false, true, false), "medium has_password"),
            ("AWS takes no such name", user("we\"ird", Yes, nothing), (false, true, false), "medium has_password, medium no_iam_path"),
            ("on a workgroup", user("own", Yes, nothing), (true, true, true), "medium has_password, medium no_iam_path"),
            ("on a workgroup, mapped", user("IAM:x", Yes, nothing), (true, true, true), "medium has_password, medium auto_created"),
            (
                "on a workgroup, of nobody",
                user("IAM:y", Yes, nothing),
                (true, true, true),
                "medium has_password, medium auto_created, medium no_iam_path",
            ),
            ("no password and no way", user("a", Disabled, nothing), (true, false, false), "low nobody_comes"),
            ("no way any more", user("a", Disabled, came), (true, true, false), "low nobody_comes"),
            ("a way that nobody goes", user("own", Disabled, nothing), (true, true, false), "low nobody_comes"),
            ("a way, and no log", user("own", Disabled, nothing), (true, false, false), ""),
            ("a way that somebody goes", user("own", Disabled, came), (true, true, false), ""),
        ];
        let around = |read: bool, log, mapped| Surroundings {
            break_glass: Some("glass"),
            known: None,
            log,
            mapped,
            now: at(50).unwrap(),
            policies: &[],
            ways: read.then_some(&ways),
        };
        for (sentence, user, (read, log, mapped), expected) in cases {
            let found: Vec<_> =
                of_user(&user, &around(read, log, mapped)).iter().map(|it| format!("{} {}", it.severity.name(), it.code)).collect();
            assert_eq!(found.join(", "), expected, "{sentence}");
        }
        let message = |user: User| of_user(&user, &around(true, true, false)).pop().unwrap().message;
        assert_eq!(
            message(user("many", Yes, nothing)),
            "without its password nobody comes in: nobody may be issued a credential for it but who may for any name: user root"
        );
        assert_eq!(message(user("own", Disabled, nothing)), "has no password, and nobody signs in by IAM, though role load and 3 more may");
        assert_eq!(
            message(user("a", Disabled, nothing)),
            "has no password, and no IAM user or role of the account may be issued a credential for it"
        );
    }

    #[test]
    fn a_list_of_known_users_and_a_workgroup_change_what_is_found() {
        let known = BTreeSet::from(["a".to_owned()]);
        let around = Surroundings {
            break_glass: None,
            known: Some(&known),
            log: false,
            mapped: true,
            now: at(50).unwrap(),
            policies: &[],
            ways: None,
        };
        let codes = |name: &str| {
            let user = user(name, PasswordState::Disabled, |it| it.auto_created = true);
            of_user(&user, &around).iter().map(|it| it.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("a"), ["no_way_in"]);
        assert_eq!(codes("IAM:b"), ["auto_created"]);
    }

    #[test]
    fn the_break_glass_user_must_be_a_superuser() {
        let mut it = Inventory { users: vec![user("glass", PasswordState::Yes, |_| ())], ..Inventory::default() };
        let around = |name| Surroundings {
            break_glass: name,
            known: None,
            log: true,
            mapped: false,
            now: at(1).unwrap(),
            policies: &[],
            ways: None,
        };
        let code = |it: &Inventory, name| of_warehouse(it, &around(name)).first().map(|it| it.code);
        assert_eq!(code(&it, None), Some("no_break_glass"));
        assert_eq!(code(&it, Some("glass")), Some("break_glass_useless"));
        it.users[0].superuser = true;
        assert_eq!(code(&it, Some("glass")), None);
    }
}
