//! A user's or role's policies, as far as the caller may read them.

use serde_json::Value;

use super::{Iam, document, pairs};
use crate::{
    error::{ErrorKind, Result},
    policy::apply::Tags,
};

/// What could be read of a principal.
#[derive(Debug, Default)]
pub(super) struct Principal {
    /// The user's or role's ARN.
    pub(super) arn: String,
    /// Its tags; `None` when they could not be read.
    pub(super) tags: Option<Tags>,
    /// Names and documents.
    pub(super) policies: Vec<(String, Value)>,
    /// The permissions boundary.
    pub(super) boundary: Option<(String, Value)>,
    /// The calls that were refused.
    pub(super) unread: Vec<String>,
}

/// The calls that read one kind of holder of policies.
struct Calls {
    key: &'static str,
    attached: &'static str,
    names: &'static str,
    one: &'static str,
}

const USER: Calls =
    Calls { key: "UserName", attached: "iam:ListAttachedUserPolicies", names: "iam:ListUserPolicies", one: "iam:GetUserPolicy" };
const ROLE: Calls =
    Calls { key: "RoleName", attached: "iam:ListAttachedRolePolicies", names: "iam:ListRolePolicies", one: "iam:GetRolePolicy" };
const GROUP: Calls =
    Calls { key: "GroupName", attached: "iam:ListAttachedGroupPolicies", names: "iam:ListGroupPolicies", one: "iam:GetGroupPolicy" };

impl Iam {
    /// The same with its policies, its groups' among them. What is refused is noted and passed over.
    pub(super) async fn with_policies(&self, mut principal: Principal) -> Result<Principal> {
        let name = principal.arn.rsplit('/').next().unwrap_or_default().to_owned();
        if self.caller.user_name().is_none() {
            self.held(&mut principal, &ROLE, &name).await?;
            return Ok(principal);
        }
        self.held(&mut principal, &USER, &name).await?;
        let groups = self.pages("iam:ListGroupsForUser", &pairs(&[("UserName", &name)]), "Groups").await;
        for group in allowed(&mut principal.unread, "iam:ListGroupsForUser", groups)?.unwrap_or_default() {
            self.held(&mut principal, &GROUP, &group.text(&["GroupName"])).await?;
        }
        Ok(principal)
    }

    /// Its ARN, tags and boundary. The ARN of a session leaves out the role's path, which only IAM knows.
    pub(super) async fn identified(&self) -> Result<Principal> {
        let mut principal = Principal::default();
        let role = self.caller.arn.split('/').nth(1).unwrap_or_default();
        let (action, parameters, kind) = match self.caller.user_name() {
            Some(name) => ("iam:GetUser", pairs(&[("UserName", name)]), "User"),
            None => ("iam:GetRole", pairs(&[("RoleName", role)]), "Role"),
        };
        let answer = self.client.ask(action, &parameters).await;
        let Some(answer) = allowed(&mut principal.unread, action, answer)? else {
            principal.arn = match self.caller.user_name() {
                Some(_) => self.caller.arn.clone(),
                None => format!("arn:{}:iam::{}:role/{role}", self.caller.partition(), self.caller.account),
            };
            return Ok(principal);
        };
        let entity = answer.at(&[kind]);
        principal.arn = entity.text(&["Arn"]);
        principal.tags = Some(entity.list("Tags").iter().map(|tag| (tag.text(&["Key"]), tag.text(&["Value"]))).collect());
        let boundary = entity.text(&["PermissionsBoundary", "PermissionsBoundaryArn"]);
        if !boundary.is_empty() {
            let read = self.managed(&boundary).await;
            principal.boundary = allowed(&mut principal.unread, "iam:GetPolicyVersion", read)?.map(|document| (boundary, document));
        }
        Ok(principal)
    }

    /// The document of a managed policy that is in force.
    pub(super) async fn managed(&self, arn: &str) -> Result<Value> {
        let policy = self.client.ask("iam:GetPolicy", &pairs(&[("PolicyArn", arn)])).await?;
        self.version(arn, &policy.text(&["Policy", "DefaultVersionId"])).await
    }

    async fn held(&self, principal: &mut Principal, calls: &Calls, name: &str) -> Result<()> {
        let whose = pairs(&[(calls.key, name)]);
        let attached = self.pages(calls.attached, &whose, "AttachedPolicies").await;
        for policy in allowed(&mut principal.unread, calls.attached, attached)?.unwrap_or_default() {
            let read = self.managed(&policy.text(&["PolicyArn"])).await;
            let read = allowed(&mut principal.unread, "iam:GetPolicyVersion", read)?;
            principal.policies.extend(read.map(|document| (policy.text(&["PolicyName"]), document)));
        }
        let names = self.pages(calls.names, &whose, "PolicyNames").await;
        for policy in allowed(&mut principal.unread, calls.names, names)?.unwrap_or_default() {
            let policy = policy.text(&[]);
            let read = self.client.ask(calls.one, &pairs(&[(calls.key, name), ("PolicyName", &policy)])).await;
            let read = read.and_then(|answer| document(&answer.text(&["PolicyDocument"])));
            let read = allowed(&mut principal.unread, calls.one, read)?;
            principal.policies.extend(read.map(|document| (policy, document)));
        }
        Ok(())
    }
}

/// `None` for what was refused, which is noted.
fn allowed<T>(unread: &mut Vec<String>, action: &str, answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Denied => {
            if !unread.iter().any(|known| known == action) {
                unread.push(action.to_owned());
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
