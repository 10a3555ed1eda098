//! Everything in an account that bears on signing in, by IAM's one call that tells all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Element, Iam, document};
use crate::{
    error::Result,
    policy::reach::{Account, Policy, Principal, matters},
};

/// The action that [`Iam::account`] calls; it knows no narrower resource than `*`.
pub const READS_ACCOUNT: &str = "iam:GetAccountAuthorizationDetails";

/// So many things on a page, which bounds how much of it is in memory.
const PAGE: &str = "200";

/// What nobody can assume but AWS itself.
const OF_AWS: &str = "/aws-service-role/";

/// A user, role or group as it is listed.
struct Holder {
    principal: Principal,
    groups: Vec<String>,
    attached: Vec<String>,
    bound: String,
}

/// What was listed, by name or ARN.
#[derive(Default)]
struct Listed {
    account: Account,
    /// Managed policies; `None` for those that have nothing to do with signing in.
    managed: BTreeMap<String, Option<usize>>,
    groups: BTreeMap<String, Holder>,
    holders: Vec<Holder>,
}

impl Iam {
    /// Reads users, roles, groups and their policies.
    ///
    /// # Errors
    /// As for any AWS call: Denied to whom [`READS_ACCOUNT`] is not allowed.
    pub async fn account(&self) -> Result<Account> {
        let kinds = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
        let numbered = kinds.iter().enumerate().map(|(n, kind)| (format!("Filter.member.{}", n + 1), (*kind).to_owned()));
        let parameters: Vec<_> = numbered.chain([("MaxItems".to_owned(), PAGE.to_owned())]).collect();
        let mut listed = Listed::default();
        self.walk(READS_ACCOUNT, &parameters, |page| listed.read(page)).await?;
        Ok(listed.resolved())
    }
}

impl Listed {
    fn read(&mut self, page: &Element) {
        for policy in page.list("Policies") {
            let arn = policy.text(&["Arn"]);
            let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
            let versions = policy.list("PolicyVersionList");
            let Some(version) = versions.iter().find(|it| it.text(&["IsDefaultVersion"]) == "true") else { continue };
            let place = self.policy(name, arn.clone(), &version.text(&["Document"]));
            self.managed.insert(arn, place);
        }
        for group in page.list("GroupDetailList") {
            let holder = self.holder(&group, "Group");
            self.groups.insert(holder.principal.name.clone(), holder);
        }
        for (list, kind) in [("UserDetailList", "User"), ("RoleDetailList", "Role")] {
            for entity in page.list(list).iter().filter(|it| !it.text(&["Path"]).starts_with(OF_AWS)) {
                let holder = self.holder(entity, kind);
                self.holders.push(holder);
            }
        }
    }

    fn holder(&mut self, entity: &Element, kind: &str) -> Holder {
        let name = entity.text(&[&format!("{kind}Name")]);
        let inline = entity.list(&format!("{kind}PolicyList"));
        let own = inline.iter().filter_map(|policy| {
            let label = format!("{} of {} {name}", policy.text(&["PolicyName"]), kind.to_ascii_lowercase());
            self.policy(label, String::new(), &policy.text(&["PolicyDocument"]))
        });
        Holder {
            principal: Principal {
                is_user: kind == "User",
                policies: own.collect(),
                arn: entity.text(&["Arn"]),
                id: entity.text(&[&format!("{kind}Id")]),
                tags: entity.list("Tags").iter().map(|tag| (tag.text(&["Key"]), tag.text(&["Value"]))).collect(),
                boundary: None,
                name,
            },
            groups: entity.list("GroupList").iter().map(|group| group.text(&[])).collect(),
            attached: entity.list("AttachedManagedPolicies").iter().map(|policy| policy.text(&["PolicyArn"])).collect(),
            bound: entity.text(&["PermissionsBoundary", "PermissionsBoundaryArn"]),
        }
    }

    /// The place of a policy that matters.
    fn policy(&mut self, name: String, arn: String, encoded: &str) -> Option<usize> {
        let Ok(document) = document(encoded) else {
            self.account.unread.insert(format!("the policy {name}, which is no JSON"));
            return None;
        };
        matters(&document).then(|| {
            self.account.policies.push(Policy { name, arn, document });
            self.account.policies.len() - 1
        })
    }

    /// Puts together what belongs together. A page may tell of a policy after its holder.
    fn resolved(mut self) -> Account {
        let mut unread = BTreeSet::new();
        let mut managed = |arn: &String| {
            let known = self.managed.get(arn).copied();
            if known.is_none() {
                unread.insert(format!("the policy {arn}"));
            }
            known.flatten()
        };
        for Holder { mut principal, groups, attached, bound } in self.holders {
            principal.policies.extend(attached.iter().filter_map(&mut managed));
            for group in groups.iter().filter_map(|group| self.groups.get(group)) {
                principal.policies.extend(&group.principal.policies);
                principal.policies.extend(group.attached.iter().filter_map(&mut managed));
            }
            principal.boundary = Some(&bound).filter(|arn| !arn.is_empty()).and_then(&mut managed);
            // A boundary that says nothing of signing in allows none of it.
            let shut = self.managed.get(&bound) == Some(&None);
            if !principal.policies.is_empty() && !shut {
                self.account.principals.push(principal);
            }
        }
        self.account.unread.append(&mut unread);
        self.account
    }
}
