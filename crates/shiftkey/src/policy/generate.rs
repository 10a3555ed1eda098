//! From an intent to the narrowest policies that grant it.
//!
//! Statements: Amazon Redshift Management Guide, "Using identity-based policies" and "Generating database credentials for an
//! IAM identity"; keys and resources: Service Authorization Reference.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Place, Spot,
    document::{Condition, Document, LONGEST, Statement},
};
use crate::{
    error::{Error, Result},
    target::names,
};

/// So many managed policies a group can have (IAM User Guide, "IAM and AWS STS quotas").
pub const MOST_POLICIES: usize = 10;

const LOG_IN: &str = "redshift:GetClusterCredentials";
const CREATE: &str = "redshift:CreateClusterUser";

/// Who logs in as which database user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// Everybody as this one database user.
    Fixed(String),
    /// As the user that AWS makes from the IAM identity.
    Mapped,
    /// Sessions of a role, each as its session's name.
    Sessions {
        /// The role's unique id, `AROA...`: `aws:userid` is this, a colon and the session's name.
        role_id: String,
        /// What the session's name has after the database user's: `@example.com`, or nothing.
        suffix: String,
    },
    /// As the value of this principal tag says.
    Tag(String),
    /// IAM users, each as this says, in which `{user_name}` stands for the user's name.
    Users(String),
}

/// What is allowed at one warehouse.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// Where.
    pub place: Place,
    /// Who.
    pub who: Who,
    /// Databases to log in to. IAM knows none of a workgroup.
    pub databases: Vec<String>,
    /// Groups that may be joined. IAM ties them to the cluster, not to the user.
    pub groups: Vec<String>,
    /// Whether missing database users may be created.
    pub auto_create: bool,
    /// The longest life of a credential; `None` for AWS's own limit of an hour. IAM knows none of a workgroup's.
    pub longest: Option<Duration>,
    /// Database users that nobody may be: the admin. Case does not matter.
    pub admins: Vec<String>,
    /// Whether the warehouse's address is looked up.
    pub lookup: bool,
}

/// What is to be allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Intent {
    /// At each warehouse.
    pub grants: Vec<Grant>,
    /// Whether only sessions that were opened with a second factor may log in.
    pub mfa: bool,
}

/// Policies, all of which are to be attached, and what they cannot say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Generated {
    /// One, or as many as IAM's limit of length asks for. Each is safe alone.
    pub documents: Vec<Document>,
    /// One sentence each.
    pub notes: Vec<String>,
}

/// Writes the policies of an intent.
///
/// # Errors
/// For an intent that IAM cannot express, one that names the admin, and one that needs more policies than a group can have.
pub fn generate(intent: &Intent) -> Result<Generated> {
    intent.grants.iter().try_for_each(check)?;
    let documents = split(&intent.grants, intent.mfa)?;
    if documents.len() > MOST_POLICIES {
        let message = format!("this needs {} managed policies; a group, user or role can have {MOST_POLICIES}", documents.len());
        return Err(Error::config(message).with_hint("generate for fewer targets at a time, for groups of their own"));
    }
    Ok(Generated { documents, notes: notes(intent) })
}

fn check(grant: &Grant) -> Result<()> {
    grant.groups.iter().try_for_each(|group| names::group(group))?;
    grant.databases.iter().try_for_each(|database| names::database(database))?;
    let cluster = matches!(grant.place.spot, Spot::Cluster(_));
    match &grant.who {
        Who::Mapped => {
            if !grant.groups.is_empty() || grant.auto_create {
                return Err(Error::config("groups and auto-create cannot be chosen where AWS makes the user from the IAM identity")
                    .with_hint("give rights to the user IAM:NAME or IAMR:ROLE in the warehouse"));
            }
        }
        _ if !cluster => return Err(Error::config("the user of a workgroup cannot be chosen: AWS makes it from the IAM identity")),
        Who::Fixed(user) => {
            names::db_user(user)?;
            if grant.admins.iter().any(|admin| admin.eq_ignore_ascii_case(user)) {
                return Err(Error::config(format!("'{user}' is the admin user of {}, to which no policy is written", grant.place.spot))
                    .with_hint("name a user with the rights that are needed, and keep the admin for emergencies"));
            }
        }
        Who::Sessions { role_id, suffix } => {
            let id = role_id.len() >= 16 && role_id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let legal = suffix.chars().all(|char| char.is_ascii_alphanumeric() || "_+=,.@-".contains(char));
            if !id || !role_id.starts_with("AROA") || !legal {
                return Err(Error::config(format!("'{role_id}' with '{suffix}' is not a role's id and the end of a session's name"))
                    .with_hint("a role's id is AROA and at least 12 capitals and digits; `aws iam get-role` shows it as RoleId"));
            }
        }
        Who::Tag(key) => {
            let legal = key.chars().all(|char| char.is_ascii_alphanumeric() || "_.:/=+-@".contains(char));
            if key.is_empty() || key.len() > 128 || !legal {
                return Err(Error::config(format!("'{}' is not a tag's key", names::shown(key))));
            }
        }
        Who::Users(template) => {
            names::db_user_template(template)?;
            if !template.contains("{user_name}") || template.contains("{session_name}") {
                return Err(Error::config(format!("'{template}' does not stand for an IAM user")));
            }
        }
    }
    if cluster && grant.databases.is_empty() {
        return Err(Error::config(format!("no database is named for {}", grant.place.spot)));
    }
    Ok(())
}

/// As few documents as the limit of length allows, in order.
fn split(grants: &[Grant], mfa: bool) -> Result<Vec<Document>> {
    let mut documents: Vec<Document> = Vec::new();
    let mut rest: Vec<Grant> = grants.iter().rev().cloned().collect();
    let mut together: Vec<Grant> = Vec::new();
    while let Some(grant) = rest.pop() {
        together.push(grant);
        let document = document(&together, mfa);
        if document.length() <= LONGEST {
            if together.len() > 1 {
                documents.pop();
            }
            documents.push(document);
            continue;
        }
        let last = together.pop().expect("it was just put there");
        if together.is_empty() {
            let (one, other) = halves(last)?;
            rest.extend([other, one]);
        } else {
            together.clear();
            rest.push(last);
        }
    }
    Ok(documents)
}

/// Two grants that allow together what one did: half of the databases each, or half of the groups.
fn halves(grant: Grant) -> Result<(Grant, Grant)> {
    let half = |list: &[String]| (list[..list.len() / 2].to_vec(), list[list.len() / 2..].to_vec());
    if grant.databases.len() > 1 && grant.databases.len() >= grant.groups.len() {
        let (one, other) = half(&grant.databases);
        return Ok((Grant { databases: one, ..grant.clone() }, Grant { databases: other, groups: Vec::new(), ..grant }));
    }
    if grant.groups.len() > 1 {
        let (one, other) = half(&grant.groups);
        let databases = grant.databases[..1].to_vec();
        return Ok((Grant { groups: one, ..grant.clone() }, Grant { groups: other, databases, ..grant }));
    }
    Err(Error::config(format!("what is asked for at {} does not fit into a managed policy of {LONGEST} characters", grant.place.spot)))
}

fn document(grants: &[Grant], mfa: bool) -> Document {
    let mut statements = Statements(Vec::new());
    for grant in grants {
        match (&grant.place.spot, &grant.who) {
            (Spot::Workgroup { arn, .. }, _) => {
                statements.allow("LogInServerless", "redshift-serverless:GetCredentials", [arn.clone()], with(mfa, []));
            }
            (Spot::Cluster(_), Who::Mapped) => {
                let databases = grant.databases.iter().map(|name| grant.place.of_cluster("dbname", name));
                statements.allow("LogInMapped", "redshift:GetClusterCredentialsWithIAM", databases, at_login(grant, mfa));
            }
            (Spot::Cluster(_), who) => chosen(&mut statements, grant, who, mfa),
        }
    }
    for grant in grants.iter().filter(|grant| grant.lookup) {
        match &grant.place.spot {
            Spot::Workgroup { arn, .. } => {
                statements.allow("LookUpServerless", "redshift-serverless:GetWorkgroup", [arn.clone()], Condition::new());
            }
            Spot::Cluster(name) => {
                statements.allow("LookUp", "redshift:DescribeClusters", [grant.place.arn("cluster", name)], Condition::new());
            }
        }
    }
    Document::new(statements.0)
}

/// A user that the caller names.
fn chosen(statements: &mut Statements, grant: &Grant, who: &Who, mfa: bool) {
    let user = grant.place.of_cluster("dbuser", &pattern(who));
    let databases = grant.databases.iter().map(|name| grant.place.of_cluster("dbname", name));
    statements.allow("LogIn", LOG_IN, std::iter::once(user.clone()).chain(databases), at_login(grant, mfa));
    if grant.auto_create {
        statements.allow("CreateUser", CREATE, [user], with(mfa, session(who)));
    }
    if !grant.groups.is_empty() {
        let groups = grant.groups.iter().map(|name| grant.place.of_cluster("dbgroup", name));
        statements.allow("JoinGroup", "redshift:JoinGroup", groups, with(mfa, []));
    }
    if !matches!(who, Who::Fixed(_)) && !grant.admins.is_empty() {
        // Whether AWS folds the name's case is not known, so no spelling of it passes.
        let mut admins: Vec<String> = grant.admins.iter().map(|admin| admin.to_ascii_lowercase()).collect();
        admins.sort();
        admins.dedup();
        let condition = BTreeMap::from([("StringEqualsIgnoreCase", BTreeMap::from([("redshift:DbUser", admins)]))]);
        statements.add("NeverAdmin", "Deny", vec![LOG_IN, CREATE], [grant.place.of_cluster("dbuser", "*")], condition);
    }
}

/// The name's part of the ARN.
fn pattern(who: &Who) -> String {
    match who {
        Who::Fixed(user) => user.clone(),
        Who::Mapped => String::new(),
        Who::Sessions { .. } => "${redshift:DbUser}".to_owned(),
        Who::Tag(key) => format!("${{aws:PrincipalTag/{key}}}"),
        Who::Users(template) => template.replace("{user_name}", "${aws:username}"),
    }
}

/// `${redshift:DbUser}` is whatever is asked for, so it has to be who asks.
fn session(who: &Who) -> Option<(&'static str, Vec<String>)> {
    match who {
        Who::Sessions { role_id, suffix } => Some(("aws:userid", vec![format!("{role_id}:${{redshift:DbUser}}{suffix}")])),
        _ => None,
    }
}

/// A credential for no database in particular opens them all, so one has to be named.
fn at_login(grant: &Grant, mfa: bool) -> Condition {
    let mut databases = grant.databases.clone();
    databases.sort();
    databases.dedup();
    let mut condition = with(mfa, session(&grant.who).into_iter().chain([("redshift:DbName", databases)]));
    if let Some(longest) = grant.longest.filter(|longest| longest.as_secs() < 3600) {
        // Left out it is 900 s, which is never too long.
        condition.insert("StringLikeIfExists", BTreeMap::from([("redshift:DurationSeconds", up_to(longest.as_secs()))]));
    }
    condition
}

fn with(mfa: bool, equal: impl IntoIterator<Item = (&'static str, Vec<String>)>) -> Condition {
    let equal: BTreeMap<_, _> = equal.into_iter().collect();
    let mut condition = Condition::new();
    if !equal.is_empty() {
        condition.insert("StringEquals", equal);
    }
    if mfa {
        // The key is absent from calls by long-term keys, and then this does not hold.
        condition.insert("Bool", BTreeMap::from([("aws:MultiFactorAuthPresent", vec!["true".to_owned()])]));
    }
    condition
}

/// Patterns for the numbers from 900 to `most`: the key is a string (Service Authorization Reference), which AWS is not known to
/// compare as a number.
fn up_to(most: u64) -> Vec<String> {
    let (mut patterns, mut from) = (Vec::new(), 900);
    while from <= most {
        let digits = (0..4).rev().find(|digits| from % 10u64.pow(*digits) == 0 && from + 10u64.pow(*digits) - 1 <= most).unwrap_or(0);
        let size = 10u64.pow(digits);
        patterns.push(format!("{}{}", from / size, "?".repeat(digits as usize)));
        from += size;
    }
    patterns
}

/// Statements that differ in nothing but their resources are one.
struct Statements(Vec<Statement>);

impl Statements {
    fn allow(&mut self, sid: &str, action: &'static str, resources: impl IntoIterator<Item = String>, condition: Condition) {
        self.add(sid, "Allow", vec![action], resources, condition);
    }

    fn add(
        &mut self,
        sid: &str,
        effect: &'static str,
        action: Vec<&'static str>,
        resources: impl IntoIterator<Item = String>,
        condition: Condition,
    ) {
        let same = |it: &&mut Statement| it.effect == effect && it.action == action && it.condition == condition;
        let statement = match self.0.iter_mut().find(same) {
            Some(statement) => statement,
            None => {
                self.0.push(Statement { sid: sid.to_owned(), effect, action, resource: Vec::new(), condition });
                self.0.last_mut().expect("it was just put there")
            }
        };
        for resource in resources {
            if !statement.resource.contains(&resource) {
                statement.resource.push(resource);
            }
        }
    }
}

fn notes(intent: &Intent) -> Vec<String> {
    let any = |test: fn(&Grant) -> bool| intent.grants.iter().any(test);
    let serverless = |grant: &Grant| matches!(grant.place.spot, Spot::Workgroup { .. });
    let mut notes = Vec::new();
    if any(serverless) {
        notes.push("IAM cannot limit the database or the lifetime of a workgroup's credentials; give rights in the warehouse to IAM:NAME or IAMR:ROLE".to_owned());
    }
    if any(|grant| matches!(grant.who, Who::Sessions { .. })) {
        notes.push(
            "whoever may assume the role chooses the session's name, and by it the database user: let the role's trust policy ask for \
             sts:RoleSessionName = ${aws:username}, or let only your identity provider assume it"
                .to_owned(),
        );
    }
    for grant in intent.grants.iter() {
        if let Who::Tag(key) = &grant.who {
            let note = format!(
                "whoever may set the tag {key} of a principal (iam:TagUser, iam:TagRole, sts:TagSession) chooses its database user"
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let joins = |a: &Grant, b: &Grant| a.place == b.place && a.who != Who::Mapped && b.who != Who::Mapped && (a.groups != b.groups);
    if intent.grants.iter().enumerate().any(|(n, a)| intent.grants[n + 1..].iter().any(|b| joins(a, b))) {
        notes.push(
            "IAM ties a group to its cluster, not to a user: each user of a cluster that is named here twice may join the groups of both"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests;
