//! What `policy apply` would have stand in IAM, what stands there, and the steps from one to the other. No IO: [`super::iam`] reads
//! and acts.
//!
//! What is ours is told by marks that IAM keeps: policies and groups stand under the path `/shiftkey/NAME/`, policies have the tag
//! [`MARK`]. The first policy's tags hold what else was done: they are written before it is done, so that whoever was killed in
//! between leaves a record that says too much and never too little. All steps may be done twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Document, render::nth};
use crate::error::{Error, Result};

/// The tag of what is ours.
pub const MARK: &str = "shiftkey:made-by";
const MADE_BY: &str = "policy-apply";
const GROUP: &str = "shiftkey:group";
const ROLE: &str = "shiftkey:role";
const MEMBERS: &str = "shiftkey:members";

/// A tag's value has so many characters at the most, a policy so many tags (IAM API reference, `Tag`).
const LONGEST_TAG: usize = 256;
const MOST_TAGS: usize = 50;

/// A policy can have so many versions.
const MOST_VERSIONS: usize = 5;

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// What is to stand in IAM.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Desired {
    /// Of the set: its first policy has the name.
    pub name: String,
    /// One for each policy.
    pub documents: Vec<Document>,
    /// The group that has the policies.
    pub group: Option<String>,
    /// The role that has the policies.
    pub role: Option<String>,
    /// IAM users in the group.
    pub members: BTreeSet<String>,
}

/// What stands in IAM of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// Under the set's path, in the order of their names.
    pub policies: Vec<FoundPolicy>,
    /// The wanted or recorded group, where there is one.
    pub group: Option<FoundGroup>,
    /// ARNs of the policies that the wanted or recorded role has.
    pub role_has: BTreeSet<String>,
}

/// A policy that stands there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FoundPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it says.
    pub document: Value,
    /// Versions that are not in force, the oldest first.
    pub old_versions: Vec<String>,
    /// Who has it: `group NAME`, `role NAME`, `user NAME`.
    pub holders: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A group that stands there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FoundGroup {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its users.
    pub members: BTreeSet<String>,
    /// ARNs of the managed policies that it has.
    pub attached: BTreeSet<String>,
    /// Names of the policies in it.
    pub inline: BTreeSet<String>,
}

/// One change of IAM.
#[expect(missing_docs, reason = "the fields are what IAM calls them")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Puts a user into a group.
    AddMember { group: String, user: String },
    /// Gives a policy to a group or role.
    Attach { holder: Holder, arn: String },
    /// Makes a group.
    CreateGroup { name: String, path: String },
    /// Makes a policy.
    CreatePolicy { name: String, path: String, document: String, tags: Tags },
    /// Puts another document in force.
    CreateVersion { arn: String, document: String },
    /// Removes a group without members and policies.
    DeleteGroup { name: String },
    /// Removes a policy that nobody has.
    DeletePolicy { arn: String },
    /// Removes a version that is not in force.
    DeleteVersion { arn: String, version: String },
    /// Takes a policy from a group or role.
    Detach { holder: Holder, arn: String },
    /// Writes down what is ours.
    Record { arn: String, tags: Tags, gone: Vec<String> },
    /// Takes a user out of a group.
    RemoveMember { group: String, user: String },
}

/// Who can have a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// A group by its name.
    Group(String),
    /// A role by its name.
    Role(String),
}

/// Steps in their order, and what is left alone, one sentence each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// To be done.
    pub steps: Vec<Step>,
    /// Not done, and why.
    pub kept: Vec<String>,
}

/// The path of all that a set makes.
pub fn path(name: &str) -> String {
    format!("/shiftkey/{name}/")
}

/// What the first policy's tags say was done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) group: Option<String>,
    pub(super) role: Option<String>,
    pub(super) members: BTreeSet<String>,
}

impl Record {
    pub(super) fn read(tags: &Tags) -> Self {
        let lists = tags.iter().filter(|(key, _)| key.starts_with(MEMBERS)).flat_map(|(_, value)| value.split_whitespace());
        Self { group: tags.get(GROUP).cloned(), role: tags.get(ROLE).cloned(), members: lists.map(str::to_owned).collect() }
    }

    fn tags(&self) -> Result<Tags> {
        let mut tags = Tags::from([(MARK.to_owned(), MADE_BY.to_owned())]);
        tags.extend(self.group.clone().map(|group| (GROUP.to_owned(), group)));
        tags.extend(self.role.clone().map(|role| (ROLE.to_owned(), role)));
        let mut lists: Vec<String> = Vec::new();
        for member in &self.members {
            match lists.last_mut().filter(|list| list.len() + 1 + member.len() <= LONGEST_TAG) {
                Some(list) => *list = format!("{list} {member}"),
                None => lists.push(member.clone()),
            }
        }
        tags.extend(lists.into_iter().enumerate().map(|(n, list)| (nth(MEMBERS, n), list)));
        if tags.len() > MOST_TAGS {
            return Err(Error::config("so many members cannot be written down in the policy's tags")
                .with_hint("let this make policy and group, and put the members in by other means"));
        }
        Ok(tags)
    }
}

impl Found {
    pub(super) fn record(&self) -> Record {
        self.policies.first().map(|policy| Record::read(&policy.tags)).unwrap_or_default()
    }
}

/// The steps to what is wanted.
///
/// # Errors
/// When what stands there is not ours, or is attached otherwise.
pub fn plan(desired: &Desired, found: &Found) -> Result<Plan> {
    check(desired, found)?;
    let recorded = found.record();
    let group = found.group.as_ref();
    let has = |user: &String| group.is_some_and(|group| group.members.contains(user));
    // Who was there before is not ours to remove.
    let ours: BTreeSet<String> = desired.members.iter().filter(|user| recorded.members.contains(*user) || !has(user)).cloned().collect();
    let record = |members: BTreeSet<String>| Record { group: desired.group.clone(), role: desired.role.clone(), members };
    let before = record(recorded.members.union(&ours).cloned().collect()).tags()?;
    let mut plan = Plan::default();
    let mut arns = Vec::new();
    for (n, document) in desired.documents.iter().enumerate() {
        let name = nth(&desired.name, n);
        let tags = if n == 0 { before.clone() } else { Record::default().tags()? };
        match found.policies.iter().find(|policy| policy.name == name) {
            Some(policy) => {
                arns.push(policy.arn.clone());
                plan.update(policy, document);
                plan.record(policy, tags);
            }
            None => {
                // The ARN is known only when it is made; steps that follow name the policy.
                arns.push(name.clone());
                plan.steps.push(Step::CreatePolicy { name, path: path(&desired.name), document: document.to_json(), tags });
            }
        }
    }
    if let Some(name) = &desired.group {
        if group.is_none() {
            plan.steps.push(Step::CreateGroup { name: name.clone(), path: path(&desired.name) });
        }
        let missing = arns.iter().filter(|arn| group.is_none_or(|group| !group.attached.contains(*arn)));
        plan.steps.extend(missing.map(|arn| Step::Attach { holder: Holder::Group(name.clone()), arn: arn.clone() }));
        let new = desired.members.iter().filter(|user| !has(user));
        plan.steps.extend(new.map(|user| Step::AddMember { group: name.clone(), user: user.clone() }));
        let gone = recorded.members.difference(&desired.members).filter(|user| has(user));
        plan.steps.extend(gone.map(|user| Step::RemoveMember { group: name.clone(), user: user.clone() }));
    }
    if let Some(name) = &desired.role {
        let missing = arns.iter().filter(|arn| !found.role_has.contains(*arn));
        plan.steps.extend(missing.map(|arn| Step::Attach { holder: Holder::Role(name.clone()), arn: arn.clone() }));
    }
    for policy in found.policies.iter().filter(|policy| !arns.contains(&policy.arn)) {
        plan.remove(policy, &recorded);
    }
    if let Some(first) = found.policies.iter().find(|policy| policy.name == desired.name) {
        let mut written = first.clone();
        written.tags.extend(before);
        plan.record(&written, record(ours).tags()?);
    }
    Ok(plan)
}

fn check(desired: &Desired, found: &Found) -> Result<()> {
    if let Some(policy) = found.policies.iter().find(|policy| policy.tags.get(MARK).is_none_or(|by| by != MADE_BY)) {
        return Err(Error::config(format!("{} has no tag {MARK}: it is not shiftkey's", policy.arn))
            .with_hint("choose another --name, or remove that policy"));
    }
    let mut names = desired.members.iter().chain(&desired.group).chain(&desired.role);
    if let Some(name) = names.find(|name| name.contains(',')) {
        return Err(Error::config(format!("{name} cannot be written down in a tag, which takes no comma"))
            .with_hint("attach the policy, or put the user into the group, by other means"));
    }
    let recorded = found.record();
    let moved = |was: &Option<String>, is: &Option<String>| was.is_some() && was != is;
    if moved(&recorded.group, &desired.group) || moved(&recorded.role, &desired.role) {
        let was = recorded.group.or(recorded.role).unwrap_or_default();
        return Err(Error::config(format!("{} is attached to {was}, and not to what is asked for now", desired.name))
            .with_hint("remove it with --destroy first, or choose another --name"));
    }
    Ok(())
}

/// The steps that remove what was made.
///
/// # Errors
/// When what stands there is not ours.
pub fn plan_destroy(name: &str, found: &Found) -> Result<Plan> {
    check(&Desired { name: name.to_owned(), group: found.record().group, role: found.record().role, ..Desired::default() }, found)?;
    let recorded = found.record();
    let mut plan = Plan::default();
    let ours = |arn: &String| found.policies.iter().any(|policy| policy.arn == *arn);
    if let Some(group) = &found.group {
        let holder = || Holder::Group(group.name.clone());
        let (members, others): (Vec<_>, Vec<_>) = group.members.iter().cloned().partition(|user| recorded.members.contains(user));
        plan.steps.extend(members.into_iter().map(|user| Step::RemoveMember { group: group.name.clone(), user }));
        let (attached, foreign): (Vec<_>, Vec<_>) = group.attached.iter().cloned().partition(ours);
        plan.steps.extend(attached.into_iter().map(|arn| Step::Detach { holder: holder(), arn }));
        let foreign: Vec<String> = foreign.into_iter().chain(group.inline.iter().cloned()).chain(others).collect();
        if group.path != path(name) {
            plan.kept.push(format!("the group {} stays: shiftkey did not make it", group.name));
        } else if foreign.is_empty() {
            plan.steps.push(Step::DeleteGroup { name: group.name.clone() });
        } else {
            plan.kept.push(format!("the group {} stays: others have put into it {}", group.name, foreign.join(", ")));
        }
    }
    if let Some(role) = &recorded.role {
        let attached = found.role_has.iter().filter(|arn| ours(arn)).cloned();
        plan.steps.extend(attached.map(|arn| Step::Detach { holder: Holder::Role(role.clone()), arn }));
    }
    // The first holds the record, so it goes last.
    let mut detached = recorded;
    detached.group = detached.group.filter(|_| found.group.is_some());
    for policy in found.policies.iter().rev() {
        plan.delete(policy, &detached);
    }
    Ok(plan)
}

impl Plan {
    fn update(&mut self, policy: &FoundPolicy, document: &Document) {
        if serde_json::to_value(document).is_ok_and(|wanted| wanted == policy.document) {
            return;
        }
        if policy.old_versions.len() + 1 >= MOST_VERSIONS {
            self.steps.extend(
                policy.old_versions.first().map(|version| Step::DeleteVersion { arn: policy.arn.clone(), version: version.clone() }),
            );
        }
        self.steps.push(Step::CreateVersion { arn: policy.arn.clone(), document: document.to_json() });
    }

    /// Tags of others stay.
    fn record(&mut self, policy: &FoundPolicy, tags: Tags) {
        let ours = policy.tags.keys().filter(|key| key.starts_with("shiftkey:"));
        let gone: Vec<String> = ours.filter(|key| !tags.contains_key(*key)).cloned().collect();
        let tags: Tags = tags.into_iter().filter(|(key, value)| policy.tags.get(key) != Some(value)).collect();
        if !tags.is_empty() || !gone.is_empty() {
            self.steps.push(Step::Record { arn: policy.arn.clone(), tags, gone });
        }
    }

    /// Takes a policy that is wanted no more from those to whom it was given, and removes it.
    fn remove(&mut self, policy: &FoundPolicy, recorded: &Record) {
        for holder in [recorded.group.clone().map(Holder::Group), recorded.role.clone().map(Holder::Role)].into_iter().flatten() {
            if policy.holders.contains(&holder.to_string()) {
                self.steps.push(Step::Detach { holder, arn: policy.arn.clone() });
            }
        }
        self.delete(policy, recorded);
    }

    fn delete(&mut self, policy: &FoundPolicy, recorded: &Record) {
        let ours: Vec<String> = [recorded.group.clone().map(Holder::Group), recorded.role.clone().map(Holder::Role)]
            .into_iter()
            .flatten()
            .map(|holder| holder.to_string())
            .collect();
        let others: Vec<&str> = policy.holders.iter().filter(|holder| !ours.contains(holder)).map(String::as_str).collect();
        if !others.is_empty() {
            self.kept.push(format!("the policy {} stays: others have attached it to {}", policy.name, others.join(", ")));
            return;
        }
        let versions = policy.old_versions.iter().cloned();
        self.steps.extend(versions.map(|version| Step::DeleteVersion { arn: policy.arn.clone(), version }));
        self.steps.push(Step::DeletePolicy { arn: policy.arn.clone() });
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group {name}"),
            Self::Role(name) => write!(f, "role {name}"),
        }
    }
}

/// One line for a person: `+` makes, `-` removes, `~` changes.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AddMember { group, user } => write!(f, "+ user {user} in group {group}"),
            Self::Attach { holder, arn } => write!(f, "+ policy {} for {holder}", short(arn)),
            Self::CreateGroup { name, path } => write!(f, "+ group {path}{name}"),
            Self::CreatePolicy { name, path, .. } => write!(f, "+ policy {path}{name}"),
            Self::CreateVersion { arn, .. } => write!(f, "~ policy {}: another document", short(arn)),
            Self::DeleteGroup { name } => write!(f, "- group {name}"),
            Self::DeletePolicy { arn } => write!(f, "- policy {}", short(arn)),
            Self::DeleteVersion { arn, version } => write!(f, "- version {version} of policy {}", short(arn)),
            Self::Detach { holder, arn } => write!(f, "- policy {} from {holder}", short(arn)),
            Self::Record { arn, .. } => write!(f, "~ policy {}: tags that say what is shiftkey's", short(arn)),
            Self::RemoveMember { group, user } => write!(f, "- user {user} from group {group}"),
        }
    }
}

/// The name at an ARN's end.
fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests;
