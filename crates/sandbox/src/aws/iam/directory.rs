//! What IAM holds: users, roles, groups and managed policies, and which of them belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::super::fault::Fault;
use super::super::{hex, random};
use super::grammar;
use crate::seed::{Role, User};

/// Versions of one policy, policies of one group, groups of one user (IAM User Guide, "IAM and AWS STS quotas").
const MOST_VERSIONS: usize = 5;
const MOST_ATTACHED: usize = 10;
const MOST_GROUPS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Group,
    Role,
    User,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Group, Self::Role, Self::User];

    /// As it stands in the names of actions and parameters.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Group => "Group",
            Self::Role => "Role",
            Self::User => "User",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::User => "AIDA",
        }
    }
}

/// A user, role or group.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub(super) kind: Kind,
    pub(super) account: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    /// Documents by name.
    pub(super) inline: BTreeMap<String, String>,
    /// ARNs of managed policies.
    pub(super) attached: BTreeSet<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// Names of the users in a group.
    pub(super) members: BTreeSet<String>,
    /// A role's trust policy.
    pub(super) trust: Option<Value>,
    /// The ARN of the managed policy that bounds what a user's or role's policies allow.
    pub(super) boundary: Option<String>,
}

impl Entity {
    pub(super) fn arn(&self) -> String {
        arn(&self.account, &self.kind.word().to_lowercase(), &self.path, &self.name)
    }
}

/// A managed policy.
#[derive(Clone, Debug)]
pub(super) struct Managed {
    pub(super) account: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    /// Documents by number.
    pub(super) versions: BTreeMap<u32, String>,
    pub(super) default: u32,
    pub(super) tags: BTreeMap<String, String>,
    next: u32,
}

impl Managed {
    pub(super) fn arn(&self) -> String {
        arn(&self.account, "policy", &self.path, &self.name)
    }

    /// What is in force.
    fn document(&self) -> Value {
        self.versions.get(&self.default).map(|text| read(text)).unwrap_or_default()
    }
}

pub(super) fn arn(account: &str, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// A policy that a principal has: the name by which it is known, and what it says.
pub(super) type Named = (String, Value);

/// Everything. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    entities: Vec<Entity>,
    policies: Vec<Managed>,
    /// Service control policies, by account. Where there is none, all is allowed.
    organization: BTreeMap<String, Value>,
}

/// What decides about a user or role now.
#[derive(Default)]
pub(in crate::aws) struct Rights {
    pub(in crate::aws) policies: Vec<Value>,
    pub(in crate::aws) boundary: Option<Value>,
    pub(in crate::aws) organization: Option<Value>,
    pub(in crate::aws) tags: BTreeMap<String, String>,
}

impl Directory {
    pub(in crate::aws) fn new(users: &[User], roles: &[Role]) -> Self {
        let inline = |policies: &[Value]| policies.iter().enumerate().map(|(n, it)| (format!("sandbox{n}"), it.to_string())).collect();
        let entity = |kind, account: &str, name: &str, id, policies: &[Value]| Entity {
            inline: inline(policies),
            ..Entity::new(kind, account, name, "/", id)
        };
        let users = users.iter().map(|it| entity(Kind::User, it.account, it.name, it.id(), &it.policies));
        let roles = roles
            .iter()
            .map(|it| Entity { trust: Some(it.trust.clone()), ..entity(Kind::Role, it.account, it.name, it.id(), &it.policies) });
        Self(Arc::new(Mutex::new(State { entities: users.chain(roles).collect(), policies: Vec::new(), ..State::default() })))
    }

    /// The policies and tags that a user or role has now.
    pub(in crate::aws) fn of(&self, kind: Kind, account: &str, name: &str) -> Rights {
        let state = self.lock();
        let Ok(entity) = state.entity(kind, account, name) else { return Rights::default() };
        Rights {
            policies: state.policies_of(entity).into_iter().map(|(_, document)| document).collect(),
            boundary: state.boundary_of(entity).map(|(_, document)| document),
            organization: state.organization(account).cloned(),
            tags: entity.tags.clone(),
        }
    }

    pub(crate) fn put_boundary(&self, account: &str, kind: Kind, name: &str, document: Option<&Value>) {
        let mut state = self.lock();
        let policy = managed(account, &format!("boundary-of-{name}"), "/", BTreeMap::new());
        let arn = policy.arn();
        let Ok(entity) = state.entity_mut(kind, account, name) else { return };
        entity.boundary = document.map(|_| arn.clone());
        state.policies.retain(|it| it.arn() != arn);
        let made = document.map(|it| Managed { versions: BTreeMap::from([(1, it.to_string())]), default: 1, next: 2, ..policy });
        state.policies.extend(made);
    }

    pub(crate) fn put_service_control_policy(&self, account: &str, document: Option<&Value>) {
        let mut state = self.lock();
        match document {
            Some(document) => state.organization.insert(account.to_owned(), document.clone()),
            None => state.organization.remove(account),
        };
    }

    pub(crate) fn put_user_policy(&self, account: &str, user: &str, name: &str, document: Option<&Value>) {
        if let Ok(entity) = self.lock().entity_mut(Kind::User, account, user) {
            match document {
                Some(document) => entity.inline.insert(name.to_owned(), document.to_string()),
                None => entity.inline.remove(name),
            };
        }
    }

    pub(crate) fn create_user(&self, account: &str, name: &str) {
        // One that is there already will do.
        let _ = self.lock().create(Kind::User, account, name, "/");
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entity {
    fn new(kind: Kind, account: &str, name: &str, path: &str, id: String) -> Self {
        Self {
            kind,
            account: account.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
            id,
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            tags: BTreeMap::new(),
            members: BTreeSet::new(),
            trust: None,
            boundary: None,
        }
    }
}

impl State {
    pub(super) fn entities(&self, kind: Kind, account: &str) -> impl Iterator<Item = &Entity> {
        self.entities.iter().filter(move |it| it.kind == kind && it.account == account)
    }

    /// Names differ in more than case.
    pub(super) fn entity(&self, kind: Kind, account: &str, name: &str) -> Result<&Entity, Fault> {
        self.entities(kind, account).find(|it| it.name.eq_ignore_ascii_case(name)).ok_or_else(|| missing(kind.word(), name))
    }

    pub(super) fn entity_mut(&mut self, kind: Kind, account: &str, name: &str) -> Result<&mut Entity, Fault> {
        let found = self.entities.iter_mut().find(|it| it.kind == kind && it.account == account && it.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| missing(kind.word(), name))
    }

    /// A user or group.
    pub(super) fn create(&mut self, kind: Kind, account: &str, name: &str, path: &str) -> Result<Entity, Fault> {
        if self.entity(kind, account, name).is_ok() {
            return Err(Fault::new(409, "EntityAlreadyExists", &format!("{} with name {name} already exists.", kind.word())));
        }
        let entity = Entity::new(kind, account, name, path, unique(kind.prefix()));
        self.entities.push(entity.clone());
        Ok(entity)
    }

    pub(super) fn delete(&mut self, kind: Kind, account: &str, name: &str) -> Result<(), Fault> {
        let entity = self.entity(kind, account, name)?;
        let belongs = |it: &Entity| kind == Kind::User && it.members.contains(&entity.name);
        let conflict = |why: &str| Err(Fault::new(409, "DeleteConflict", &format!("Cannot delete entity, must {why} first.")));
        if !entity.attached.is_empty() {
            return conflict("detach all policies");
        }
        if !entity.inline.is_empty() {
            return conflict("delete policies");
        }
        if !entity.members.is_empty() || self.entities(Kind::Group, account).any(belongs) {
            return conflict("remove users from group");
        }
        let name = entity.name.clone();
        self.entities.retain(|it| !(it.kind == kind && it.account == account && it.name == name));
        Ok(())
    }

    pub(super) fn add_member(&mut self, account: &str, group: &str, user: &str) -> Result<(), Fault> {
        let user = self.entity(Kind::User, account, user)?.name.clone();
        let groups = self.entities(Kind::Group, account).filter(|it| it.members.contains(&user) && it.name != group).count();
        if groups >= MOST_GROUPS {
            return Err(limit("GroupsPerUser", MOST_GROUPS));
        }
        self.entity_mut(Kind::Group, account, group)?.members.insert(user);
        Ok(())
    }

    pub(super) fn policies(&self, account: &str) -> impl Iterator<Item = &Managed> {
        self.policies.iter().filter(move |it| it.account == account)
    }

    pub(super) fn policy(&self, arn: &str) -> Result<&Managed, Fault> {
        self.policies.iter().find(|it| it.arn() == arn).ok_or_else(|| no_policy(arn))
    }

    pub(super) fn policy_mut(&mut self, arn: &str) -> Result<&mut Managed, Fault> {
        self.policies.iter_mut().find(|it| it.arn() == arn).ok_or_else(|| no_policy(arn))
    }

    pub(super) fn create_policy(&mut self, new: Managed, document: &str) -> Result<Managed, Fault> {
        grammar::check(document, grammar::MANAGED)?;
        if self.policies(&new.account).any(|it| it.name.eq_ignore_ascii_case(&new.name)) {
            let message = format!("A policy called {} already exists. Duplicate names are not allowed.", new.name);
            return Err(Fault::new(409, "EntityAlreadyExists", &message));
        }
        let policy = Managed { versions: BTreeMap::from([(1, document.to_owned())]), default: 1, next: 2, ..new };
        self.policies.push(policy.clone());
        Ok(policy)
    }

    pub(super) fn create_version(&mut self, arn: &str, document: &str, default: bool) -> Result<u32, Fault> {
        grammar::check(document, grammar::MANAGED)?;
        let policy = self.policy_mut(arn)?;
        if policy.versions.len() >= MOST_VERSIONS {
            return Err(limit("VersionsPerPolicy", MOST_VERSIONS));
        }
        let number = policy.next;
        policy.next += 1;
        policy.versions.insert(number, document.to_owned());
        if default {
            policy.default = number;
        }
        Ok(number)
    }

    pub(super) fn delete_policy(&mut self, arn: &str) -> Result<(), Fault> {
        let versions = self.policy(arn)?.versions.len();
        let conflict = |why: &str| Err(Fault::new(409, "DeleteConflict", why));
        if self.entities.iter().any(|it| it.attached.contains(arn) || it.boundary.as_deref() == Some(arn)) {
            return conflict("Cannot delete a policy attached to entities.");
        }
        if versions > 1 {
            return conflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions.");
        }
        self.policies.retain(|it| it.arn() != arn);
        Ok(())
    }

    pub(super) fn attach(&mut self, kind: Kind, account: &str, name: &str, policy: &str) -> Result<(), Fault> {
        self.policy(policy)?;
        let entity = self.entity_mut(kind, account, name)?;
        if entity.attached.len() >= MOST_ATTACHED && !entity.attached.contains(policy) {
            return Err(limit(&format!("PoliciesPer{}", kind.word()), MOST_ATTACHED));
        }
        entity.attached.insert(policy.to_owned());
        Ok(())
    }

    /// To whom a policy is attached.
    pub(super) fn holders(&self, policy: &str) -> impl Iterator<Item = &Entity> {
        self.entities.iter().filter(move |it| it.attached.contains(policy))
    }

    /// Whom a policy bounds.
    pub(super) fn bounded(&self, policy: &str) -> impl Iterator<Item = &Entity> {
        self.entities.iter().filter(move |it| it.boundary.as_deref() == Some(policy))
    }

    /// What bounds its policies, by ARN.
    pub(super) fn boundary_of(&self, entity: &Entity) -> Option<Named> {
        let arn = entity.boundary.as_ref()?;
        Some((arn.clone(), self.policy(arn).map(Managed::document).unwrap_or_default()))
    }

    pub(super) fn organization(&self, account: &str) -> Option<&Value> {
        self.organization.get(account)
    }

    /// Its own policies, and those of its groups.
    pub(super) fn policies_of(&self, entity: &Entity) -> Vec<Named> {
        let groups =
            self.entities(Kind::Group, &entity.account).filter(|it| entity.kind == Kind::User && it.members.contains(&entity.name));
        let mut found = Vec::new();
        for holder in std::iter::once(entity).chain(groups) {
            found.extend(holder.inline.iter().map(|(name, text)| (name.clone(), read(text))));
            let attached = holder.attached.iter().filter_map(|arn| self.policy(arn).ok());
            found.extend(attached.map(|it| (it.name.clone(), it.document())));
        }
        found
    }
}

/// A policy that is new but for its document.
pub(super) fn managed(account: &str, name: &str, path: &str, tags: BTreeMap<String, String>) -> Managed {
    let (account, name, path) = (account.to_owned(), name.to_owned(), path.to_owned());
    Managed { account, name, path, id: unique("ANPA"), versions: BTreeMap::new(), default: 0, tags, next: 1 }
}

pub(super) fn missing(what: &str, name: &str) -> Fault {
    Fault::new(404, "NoSuchEntity", &format!("The {} with name {name} cannot be found.", what.to_lowercase()))
}

fn no_policy(arn: &str) -> Fault {
    Fault::new(404, "NoSuchEntity", &format!("Policy {arn} was not found."))
}

fn limit(quota: &str, most: usize) -> Fault {
    Fault::new(409, "LimitExceeded", &format!("Cannot exceed quota for {quota}: {most}"))
}

/// What was checked when it was written.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn unique(prefix: &str) -> String {
    format!("{prefix}{}", &hex(&random::<9>()).to_uppercase()[..17])
}
