//! IAM itself: the only part of `policy` that asks AWS.

mod account;
mod client;
mod endpoint;
mod entities;
mod explain;
mod xml;

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

pub use self::account::READS_ACCOUNT;
use self::{client::Client, xml::Element};
use super::apply::{Desired, Found, FoundGroup, FoundPolicy, Holder, Plan, Step, Tags, path, plan, plan_destroy};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Caller, Identity},
};

/// IAM as one caller sees it.
#[derive(Debug)]
pub struct Iam {
    client: Client,
    caller: Caller,
    /// Whether the keys belong to a user for good, so that no second factor stands behind them.
    long_term: bool,
}

impl Iam {
    pub(crate) fn new(identity: Identity, caller: Caller) -> Self {
        let long_term = identity.access_key_id().starts_with("AKIA");
        let client = Client::new(identity.in_account(Some(caller.account.clone())), caller.partition());
        Self { client, caller, long_term }
    }

    /// Reads what stands there and plans the way to what is wanted.
    ///
    /// # Errors
    /// As for any AWS call; and as [`plan`].
    pub async fn plan(&self, desired: &Desired) -> Result<Plan> {
        let found = self.found(&desired.name, desired.group.as_deref(), desired.role.as_deref()).await?;
        plan(desired, &found)
    }

    /// Reads what stands there and plans its removal.
    ///
    /// # Errors
    /// As for any AWS call; and as [`plan_destroy`].
    pub async fn plan_destroy(&self, name: &str) -> Result<Plan> {
        plan_destroy(name, &self.found(name, None, None).await?)
    }

    /// Does one step of a plan for the set of this name. What is done already is no failure: somebody who did it may not have been
    /// told.
    ///
    /// # Errors
    /// As for any AWS call. The steps before have been done; a new plan takes up from there.
    pub async fn perform(&self, set: &str, step: &Step) -> Result<()> {
        let done = match step {
            Step::AddMember { .. } | Step::Attach { .. } | Step::CreateVersion { .. } | Step::Record { .. } => "",
            Step::CreateGroup { .. } | Step::CreatePolicy { .. } => "EntityAlreadyExists",
            Step::DeleteGroup { .. }
            | Step::DeletePolicy { .. }
            | Step::DeleteVersion { .. }
            | Step::Detach { .. }
            | Step::RemoveMember { .. } => "NoSuchEntity",
        };
        let Err(error) = self.act(set, step).await else { return Ok(()) };
        let code = client::code(&error).unwrap_or_default().to_owned();
        if code != done || code.is_empty() {
            return Err(match code.as_str() {
                "NoSuchEntity" => error
                    .with_hint("IAM may need some seconds to know what was just made; if the name is right, run the same command again"),
                "LimitExceeded" => error
                    .with_hint("remove something, or ask AWS for a higher quota; then run the same command again, it takes up from here"),
                _ => error,
            });
        }
        match step {
            // Of another path it is somebody else's.
            Step::CreatePolicy { name, .. } if self.policy(&self.policy_arn(set, name)).await?.is_none() => {
                Err(error.with_hint("choose another --name: this one is taken by a policy that shiftkey did not make"))
            }
            _ => Ok(()),
        }
    }

    /// What a managed policy says that is in force.
    ///
    /// # Errors
    /// As for any AWS call.
    pub async fn document(&self, arn: &str) -> Result<Value> {
        self.managed(arn).await
    }

    /// The unique id of a role, `AROA...`.
    ///
    /// # Errors
    /// As for any AWS call.
    pub async fn role_id(&self, name: &str) -> Result<String> {
        Ok(self.client.ask("iam:GetRole", &pairs(&[("RoleName", name)])).await?.text(&["Role", "RoleId"]))
    }

    async fn act(&self, set: &str, step: &Step) -> Result<()> {
        let arn_of = |arn: &String| if arn.starts_with("arn:") { arn.clone() } else { self.policy_arn(set, arn) };
        let (action, parameters) = match step {
            Step::AddMember { group, user } => ("iam:AddUserToGroup", pairs(&[("GroupName", group), ("UserName", user)])),
            Step::Attach { holder: Holder::Group(group), arn } => {
                ("iam:AttachGroupPolicy", pairs(&[("GroupName", group), ("PolicyArn", &arn_of(arn))]))
            }
            Step::Attach { holder: Holder::Role(role), arn } => {
                ("iam:AttachRolePolicy", pairs(&[("RoleName", role), ("PolicyArn", &arn_of(arn))]))
            }
            Step::CreateGroup { name, path } => ("iam:CreateGroup", pairs(&[("GroupName", name), ("Path", path)])),
            Step::CreatePolicy { name, path, document, tags } => {
                let mut parameters = pairs(&[("PolicyName", name), ("Path", path), ("PolicyDocument", document)]);
                parameters.extend(tagged(tags));
                ("iam:CreatePolicy", parameters)
            }
            Step::CreateVersion { arn, document } => {
                ("iam:CreatePolicyVersion", pairs(&[("PolicyArn", arn), ("PolicyDocument", document), ("SetAsDefault", "true")]))
            }
            Step::DeleteGroup { name } => ("iam:DeleteGroup", pairs(&[("GroupName", name)])),
            Step::DeletePolicy { arn } => ("iam:DeletePolicy", pairs(&[("PolicyArn", arn)])),
            Step::DeleteVersion { arn, version } => ("iam:DeletePolicyVersion", pairs(&[("PolicyArn", arn), ("VersionId", version)])),
            Step::Detach { holder: Holder::Group(group), arn } => {
                ("iam:DetachGroupPolicy", pairs(&[("GroupName", group), ("PolicyArn", arn)]))
            }
            Step::Detach { holder: Holder::Role(role), arn } => ("iam:DetachRolePolicy", pairs(&[("RoleName", role), ("PolicyArn", arn)])),
            Step::RemoveMember { group, user } => ("iam:RemoveUserFromGroup", pairs(&[("GroupName", group), ("UserName", user)])),
            Step::Record { arn, tags, gone } => {
                if !tags.is_empty() {
                    let mut parameters = pairs(&[("PolicyArn", arn)]);
                    parameters.extend(tagged(tags));
                    self.client.ask("iam:TagPolicy", &parameters).await?;
                }
                if gone.is_empty() {
                    return Ok(());
                }
                let mut parameters = pairs(&[("PolicyArn", arn)]);
                parameters.extend(gone.iter().enumerate().map(|(n, key)| (format!("TagKeys.member.{}", n + 1), key.clone())));
                ("iam:UntagPolicy", parameters)
            }
        };
        self.client.ask(action, &parameters).await.map(drop)
    }

    /// The ARN that a policy of the set has, or will have.
    fn policy_arn(&self, set: &str, name: &str) -> String {
        format!("arn:{}:iam::{}:policy{}{name}", self.caller.partition(), self.caller.account, path(set))
    }

    async fn found(&self, name: &str, group: Option<&str>, role: Option<&str>) -> Result<Found> {
        let mut found = Found::default();
        let path = path(name);
        for policy in self.pages("iam:ListPolicies", &pairs(&[("Scope", "Local"), ("PathPrefix", &path)]), "Policies").await? {
            found.policies.extend(self.policy(&policy.text(&["Arn"])).await?);
        }
        found.policies.sort_by_key(|policy| (policy.name.len(), policy.name.clone()));
        let recorded = found.record();
        if let Some(group) = group.map(str::to_owned).or(recorded.group) {
            found.group = self.group(&group).await?;
        }
        if let Some(role) = role.map(str::to_owned).or(recorded.role) {
            let attached = self.pages("iam:ListAttachedRolePolicies", &pairs(&[("RoleName", &role)]), "AttachedPolicies").await?;
            found.role_has = attached.iter().map(|policy| policy.text(&["PolicyArn"])).collect();
        }
        Ok(found)
    }

    async fn policy(&self, arn: &str) -> Result<Option<FoundPolicy>> {
        let parameters = pairs(&[("PolicyArn", arn)]);
        let Some(answer) = found(self.client.ask("iam:GetPolicy", &parameters).await)? else { return Ok(None) };
        let policy = answer.at(&["Policy"]);
        let default = policy.text(&["DefaultVersionId"]);
        let document = self.version(arn, &default).await?;
        let versions = self.pages("iam:ListPolicyVersions", &parameters, "Versions").await?;
        let mut old_versions: Vec<String> =
            versions.iter().map(|version| version.text(&["VersionId"])).filter(|id| *id != default).collect();
        old_versions.sort_by_key(|id| (id.len(), id.clone()));
        let mut holders = BTreeSet::new();
        self.walk("iam:ListEntitiesForPolicy", &parameters, |page| {
            for (list, key, kind) in
                [("PolicyGroups", "GroupName", "group"), ("PolicyRoles", "RoleName", "role"), ("PolicyUsers", "UserName", "user")]
            {
                holders.extend(page.list(list).iter().map(|entity| format!("{kind} {}", entity.text(&[key]))));
            }
        })
        .await?;
        let tags = policy.list("Tags").iter().map(|tag| (tag.text(&["Key"]), tag.text(&["Value"]))).collect();
        Ok(Some(FoundPolicy { name: policy.text(&["PolicyName"]), arn: arn.to_owned(), document, old_versions, holders, tags }))
    }

    /// The document of one version.
    async fn version(&self, arn: &str, version: &str) -> Result<Value> {
        let answer = self.client.ask("iam:GetPolicyVersion", &pairs(&[("PolicyArn", arn), ("VersionId", version)])).await?;
        document(&answer.text(&["PolicyVersion", "Document"]))
    }

    async fn group(&self, name: &str) -> Result<Option<FoundGroup>> {
        let parameters = pairs(&[("GroupName", name)]);
        let Some(answer) = found(self.client.ask("iam:GetGroup", &parameters).await)? else { return Ok(None) };
        let members = if answer.text(&["IsTruncated"]) == "true" {
            self.pages("iam:GetGroup", &parameters, "Users").await?
        } else {
            answer.list("Users")
        };
        let attached = self.pages("iam:ListAttachedGroupPolicies", &parameters, "AttachedPolicies").await?;
        let inline = self.pages("iam:ListGroupPolicies", &parameters, "PolicyNames").await?;
        Ok(Some(FoundGroup {
            name: answer.text(&["Group", "GroupName"]),
            path: answer.text(&["Group", "Path"]),
            members: members.iter().map(|user| user.text(&["UserName"])).collect(),
            attached: attached.iter().map(|policy| policy.text(&["PolicyArn"])).collect(),
            inline: inline.iter().map(|name| name.text(&[])).collect(),
        }))
    }

    /// A whole list.
    async fn pages(&self, action: &'static str, parameters: &[(String, String)], list: &str) -> Result<Vec<Element>> {
        let mut items = Vec::new();
        self.walk(action, parameters, |page| items.extend(page.list(list))).await?;
        Ok(items)
    }

    /// Every page of a listing.
    async fn walk(&self, action: &'static str, parameters: &[(String, String)], mut see: impl FnMut(&Element)) -> Result<()> {
        let mut marked = parameters.to_vec();
        loop {
            let page = self.client.ask(action, &marked).await?;
            see(&page);
            let marker = page.text(&["Marker"]);
            if page.text(&["IsTruncated"]) != "true" || marker.is_empty() {
                return Ok(());
            }
            marked.truncate(parameters.len());
            marked.push(("Marker".to_owned(), marker));
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tagged(tags: &Tags) -> Vec<(String, String)> {
    let numbered = tags.iter().enumerate();
    numbered
        .flat_map(|(n, (key, value))| {
            [(format!("Tags.member.{}.Key", n + 1), key.clone()), (format!("Tags.member.{}.Value", n + 1), value.clone())]
        })
        .collect()
}

/// `None` for what IAM does not have.
fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if client::code(&error) == Some("NoSuchEntity") => Ok(None),
        Err(error) => Err(error),
    }
}

/// A document as IAM sends it: percent-encoded JSON.
fn document(encoded: &str) -> Result<Value> {
    let text = percent_decode_str(encoded).decode_utf8().ok();
    let document = text.and_then(|text| serde_json::from_str(&text).ok());
    document.ok_or_else(|| Error::new(ErrorKind::Unexpected, "IAM sent a policy that is no JSON"))
}
