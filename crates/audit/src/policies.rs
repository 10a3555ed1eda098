//! IAM policies that reach further than the warehouse's users: read, judged, told. What a policy reaches, the library tries out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use serde::Serialize;
use shiftkey::{
    ErrorKind, Result, Shiftkey, Target,
    identity::Scope,
    policy::{
        iam::READS_ACCOUNT,
        reach::{Account, Catalog, Names, Reach, Reached, Way, reach},
    },
};

use crate::{
    findings::{Finding, Severity},
    inventory::{Inventory, Unseen},
};

/// What is not seen when IAM is not read.
const WHAT: &str = "IAM policies that are wider than their users, and users to whom none leads";

/// So many names are told for each statement, and counted are all.
const MOST_TOLD: usize = 100;

/// The statement that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtFault {
    /// The policy's name; of one that is written into its holder, with the holder.
    pub policy: String,
    /// Empty for one that is written into its holder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arn: String,
    /// The statement, from 1.
    pub statement: usize,
    /// Its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sid: String,
    /// Users and roles that have it: `user alice`.
    pub holders: BTreeSet<String>,
    /// The first hundred of the names that are meant: database users or groups, or holders without a user.
    pub reaches: Vec<String>,
    /// How many they are.
    pub reaches_count: usize,
    /// Keys of the request that it hangs on besides, such as `aws:SourceIp`.
    pub hangs_on: BTreeSet<String>,
}

/// What IAM's policies say about the users that were seen.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Policies that are wider than the users.
    pub findings: Vec<Finding>,
    /// The users to whom a policy leads; `None` when that cannot be told of all.
    pub ways: Option<BTreeMap<String, Way>>,
}

/// Reads the account's policies and holds them against the users that were seen. What could not be read becomes a line of
/// [`Inventory::unseen`].
pub async fn read(shiftkey: &Shiftkey, target: &Target, seen: &mut Inventory, now: SystemTime) -> Judged {
    match tried(shiftkey, target, seen, now).await {
        Ok((account, reached)) => {
            if !account.unread.is_empty() {
                let unread: Vec<&str> = account.unread.iter().map(String::as_str).collect();
                seen.unseen.push(Unseen {
                    what: "some of IAM's policies, and users to whom none leads".into(),
                    why: format!("IAM does not tell {}", some(&unread)),
                    hint: "`shiftkey policy lint ARN` judges one".into(),
                });
            }
            if reached.stride > 1 {
                seen.unseen.push(Unseen {
                    what: "all users whom each policy reaches by a pattern, and users to whom none leads".into(),
                    why: format!("they are too many: superusers and one in {} of the others were tried", reached.stride),
                    hint: "`shiftkey policy lint` judges single policies".into(),
                });
            }
            let whole = account.unread.is_empty() && reached.stride == 1;
            Judged { findings: findings(&account, &reached, seen), ways: whole.then_some(reached.ways) }
        }
        Err(error) => {
            let statement = format!("{{\"Effect\": \"Allow\", \"Action\": \"{READS_ACCOUNT}\", \"Resource\": \"*\"}}");
            let hint = match error.kind() {
                ErrorKind::Denied => format!("allow the auditor's identity `{statement}`; `shiftkey policy lint` judges single policies"),
                _ => "try again, or let `shiftkey policy lint` judge single policies".to_owned(),
            };
            seen.unseen.push(Unseen { what: WHAT.into(), why: error.message().to_owned(), hint });
            Judged::default()
        }
    }
}

/// Says that nobody asked for it.
pub fn unasked(seen: &mut Inventory) {
    let why = "IAM was not to be read".into();
    seen.unseen.push(Unseen {
        what: WHAT.into(),
        why,
        hint: "leave --no-iam out, or let `shiftkey policy lint` judge single policies".into(),
    });
}

async fn tried(shiftkey: &Shiftkey, target: &Target, seen: &Inventory, now: SystemTime) -> Result<(Account, Reached)> {
    let place = shiftkey.place(target).await?;
    let account = shiftkey.iam(&Scope::from(target)).await?.account().await?;
    let catalog = Catalog {
        users: seen.users.iter().map(|user| (user.name.as_str(), user.superuser)).collect(),
        groups: seen.groups.iter().map(String::as_str).collect(),
        database: &target.database,
    };
    let reached = reach(&account, &place, &catalog, now);
    Ok((account, reached))
}

/// What is wider than it need be, statement by statement, the worst first.
pub fn findings(account: &Account, reached: &Reached, seen: &Inventory) -> Vec<Finding> {
    let mut found: Vec<Finding> = reached.statements.iter().flat_map(|reach| Judge { account, reach, seen }.all()).collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

struct Judge<'a> {
    account: &'a Account,
    reach: &'a Reach,
    seen: &'a Inventory,
}

impl Judge<'_> {
    fn all(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        found.extend(self.users());
        found.extend(self.named_superusers());
        found.extend(self.groups());
        found.extend(self.missing());
        found.extend(self.strangers());
        found
    }

    /// Whoever administers IAM could give himself all of this, so that taking it away changes little.
    fn grave(&self, severity: Severity) -> Severity {
        if self.reach.ordinary { severity } else { severity.min(Severity::Medium) }
    }

    fn superusers<'b>(&self, names: &'b BTreeSet<String>) -> Vec<&'b str> {
        names.iter().map(String::as_str).filter(|name| self.seen.user(name).is_some_and(|user| user.superuser)).collect()
    }

    fn users(&self) -> Option<Finding> {
        let Names { any, by_pattern, .. } = &self.reach.users;
        let superusers = self.superusers(by_pattern);
        let (severity, code) = match (any, superusers.is_empty(), by_pattern.is_empty()) {
            (true, ..) => (Severity::High, "policy_reaches_anybody"),
            (false, false, _) => (Severity::High, "policy_reaches_superuser"),
            (false, true, false) => (Severity::Medium, "policy_wider_than_users"),
            (false, true, true) => return None,
        };
        let names: Vec<&str> = by_pattern.iter().map(String::as_str).collect();
        let whom = if *any { format!("any name, so as {} users", names.len()) } else { format!("{} by a pattern", some(&names)) };
        let whom = if superusers.is_empty() { whom } else { format!("{whom}, superusers among them: {}", some(&superusers)) };
        let creates = if self.reach.creates { ", and creates users by signing in" } else { "" };
        Some(self.finding(self.grave(severity), code, &format!("lets them sign in as {whom}{creates}"), &names))
    }

    fn named_superusers(&self) -> Option<Finding> {
        let superusers = self.superusers(&self.reach.users.by_name);
        let does = format!("lets them sign in as a superuser: {}", some(&superusers));
        (!superusers.is_empty()).then(|| self.finding(Severity::Medium, "policy_reaches_superuser", &does, &superusers))
    }

    fn groups(&self) -> Option<Finding> {
        let Names { any, by_pattern, by_name, .. } = &self.reach.groups;
        let of_superusers = |name: &&String| self.seen.users.iter().any(|user| user.superuser && user.groups.contains(*name));
        let superusers: Vec<&str> = by_pattern.iter().chain(by_name).filter(of_superusers).map(String::as_str).collect();
        let pattern: Vec<&str> = by_pattern.iter().map(String::as_str).collect();
        let (does, names) = match (any, superusers.is_empty(), pattern.is_empty()) {
            (true, ..) => (format!("lets their sessions join any group, so {}", some(&pattern)), pattern),
            (false, false, _) => (format!("lets their sessions join groups that superusers are in: {}", some(&superusers)), superusers),
            (false, true, false) => (format!("lets their sessions join groups by a pattern: {}", some(&pattern)), pattern),
            (false, true, true) => return None,
        };
        Some(self.finding(Severity::Medium, "policy_joins_groups", &does, &names))
    }

    fn missing(&self) -> Option<Finding> {
        let Reach { users, groups, creates, .. } = self.reach;
        let names: Vec<&str> = users.missing.iter().chain(&groups.missing).map(String::as_str).collect();
        let creates = *creates && !users.missing.is_empty();
        let (severity, then) = if creates { (Severity::Medium, ", and creates it by signing in") } else { (Severity::Low, "") };
        let does = format!("names what the warehouse does not have: {}{then}", some(&names));
        (!names.is_empty()).then(|| self.finding(severity, "policy_names_nobody", &does, &names))
    }

    /// Where any name is reached, that says it all.
    fn strangers(&self) -> Option<Finding> {
        let names: Vec<&str> = self.reach.strangers.iter().map(String::as_str).collect();
        let does = format!("lets in, as users that AWS makes of them, who has none here: {}", some(&names));
        let finding = || {
            let fix = "create the user, in the groups where it belongs, before it comes; or do not allow it".to_owned();
            Finding { fix, ..self.finding(Severity::Low, "policy_lets_in_strangers", &does, &names) }
        };
        (!names.is_empty() && !self.reach.users.any).then(finding)
    }

    fn finding(&self, severity: Severity, code: &'static str, does: &str, names: &[&str]) -> Finding {
        let Reach { policy, statement, sid, holders, hangs_on, ordinary, .. } = self.reach;
        let policy = &self.account.policies[*policy];
        let of = if sid.is_empty() { String::new() } else { format!(" '{sid}'") };
        let who: Vec<&str> = holders.iter().map(String::as_str).collect();
        // The name of one that is written into its holder tells him.
        let held = if policy.arn.is_empty() && who.len() == 1 { String::new() } else { format!(", held by {}", some(&who)) };
        let mut message = format!("policy {}, statement {}{of}{held}: {does}", policy.name, statement + 1);
        if !hangs_on.is_empty() {
            let keys: Vec<&str> = hangs_on.iter().map(String::as_str).collect();
            message.push_str(&format!("; where its conditions hold on {}", some(&keys)));
        }
        if !ordinary {
            message.push_str("; they administer IAM, and could give themselves as much");
        }
        let lint = if policy.arn.is_empty() { "FILE" } else { &policy.arn };
        Finding {
            severity,
            code,
            message,
            fix: format!(
                "`shiftkey policy generate` writes the narrowest one; `shiftkey policy lint {lint}` shows what is wrong with this one"
            ),
            policy: Some(Box::new(AtFault {
                policy: policy.name.clone(),
                arn: policy.arn.clone(),
                statement: statement + 1,
                sid: sid.clone(),
                holders: holders.clone(),
                reaches: names.iter().take(MOST_TOLD).map(|name| (*name).to_owned()).collect(),
                reaches_count: names.len(),
                hangs_on: hangs_on.clone(),
            })),
        }
    }
}

/// The first three, and how many there are besides.
fn some(names: &[&str]) -> String {
    let shown = names.iter().take(3).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}

#[cfg(test)]
mod tests;
