//! Will the caller's request pass? AWS is asked to simulate it; where it does not let us, the policies that may be read are evaluated.

use std::{collections::BTreeSet, time::SystemTime};

use serde_json::Value;

use super::{Element, Iam, entities::Principal};
use crate::{
    error::{Error, ErrorKind, Result},
    issue::{Api, Request},
    policy::{
        Needs, Statement,
        evaluate::{Context, Decision, Judgement, evaluate},
        explain::{Check, Explanation, How},
        statements,
    },
};

const MFA: &str = "aws:MultiFactorAuthPresent";

/// Keys of the request and their values.
type Keys = Vec<(String, Vec<String>)>;

impl Iam {
    /// Explains `request` at a warehouse in `region`.
    ///
    /// # Errors
    /// As for any AWS call; a denial of IAM's is none.
    pub(crate) async fn explain(
        &self,
        request: &Request,
        region: &str,
        workgroup_arn: Option<&str>,
        now: SystemTime,
    ) -> Result<Explanation> {
        let (partition, account) = (self.caller.partition(), self.caller.account.as_str());
        if self.caller.user_name().or(self.caller.session_name()).is_none() {
            let message = format!("{} is neither a user nor a session of a role, so there are no policies to look at", self.caller.arn);
            return Err(Error::config(message).with_hint("ask as the user or role that is to log in"));
        }
        let needs = statements(&Needs { partition, account, region, request, workgroup_arn });
        let identified = self.identified().await?;
        let keys = self.keys(request, region, &identified, now);
        let mut notes = Vec::new();
        if self.caller.user_name().is_none() {
            notes.push("what the session itself was given is not seen: tags, and a policy that narrows it".to_owned());
        }
        match self.simulate(&identified.arn, &needs, &keys).await {
            Ok(checks) => {
                notes.push("AWS's simulation leaves out service control policies that have conditions".to_owned());
                return Ok(Explanation::new(identified.arn, How::Simulated, checks, needs, notes));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Config) => {
                tracing::debug!(%error, "AWS simulates nothing for this caller");
            }
            Err(error) => return Err(error),
        }
        let principal = self.with_policies(identified).await?;
        notes.push("service control policies of the organization are not seen".to_owned());
        if !principal.unread.is_empty() {
            notes.push(format!("not allowed, so not read: iam:SimulatePrincipalPolicy, {}", principal.unread.join(", ")));
        }
        let how = if principal.policies.is_empty() && !principal.unread.is_empty() { How::NotAtAll } else { How::Evaluated };
        let user = self.caller.user_name().is_some();
        let checks = each(&needs).map(|(action, resource)| judge(&principal, user, action, resource, &keys)).collect();
        Ok(Explanation::new(principal.arn, how, checks, needs, notes))
    }

    /// What is known of the request. A key without values is known to be absent.
    fn keys(&self, request: &Request, region: &str, principal: &Principal, now: SystemTime) -> Keys {
        let caller = &self.caller;
        let mut keys: Keys = Vec::new();
        let mut know = |key: &str, value: Option<String>| keys.push((key.to_owned(), value.into_iter().collect()));
        know("aws:userid", Some(caller.user_id.clone()));
        know("aws:username", caller.user_name().map(str::to_owned));
        know("aws:PrincipalArn", Some(principal.arn.clone()));
        know("aws:PrincipalAccount", Some(caller.account.clone()));
        know("aws:RequestedRegion", Some(region.to_owned()));
        know("aws:SecureTransport", Some("true".to_owned()));
        know("aws:CurrentTime", Some(humantime::format_rfc3339_seconds(now).to_string()));
        if self.long_term {
            know(MFA, None);
        }
        if request.api != Api::Serverless {
            know("redshift:DbUser", request.db_user.clone());
            know("redshift:DbName", Some(request.database.clone()));
            know("redshift:DurationSeconds", Some(request.duration.as_secs().to_string()));
        }
        for (key, value) in principal.tags.iter().flatten() {
            know(&format!("aws:PrincipalTag/{key}"), Some(value.clone()));
        }
        keys
    }

    /// AWS's own answer. What it denies for want of a second factor that the session may have is not known.
    async fn simulate(&self, source: &str, needs: &[Statement], keys: &Keys) -> Result<Vec<Check>> {
        let mut checks = self.simulated(source, needs, keys).await?;
        let hangs = |check: &Check| check.decision != Decision::Allowed && check.unknown.iter().any(|key| key.eq_ignore_ascii_case(MFA));
        if !checks.iter().any(hangs) {
            checks.iter_mut().for_each(|check| check.unknown.clear());
            return Ok(checks);
        }
        let with: Keys = keys.iter().filter(|(key, _)| key != MFA).cloned().chain([(MFA.to_owned(), vec!["true".to_owned()])]).collect();
        let passed = self.simulated(source, needs, &with).await?;
        for (check, with) in checks.iter_mut().zip(passed) {
            check.unknown.clear();
            if check.decision != with.decision {
                check.unknown.insert(MFA.to_owned());
                check.decision = if self.long_term { check.decision } else { Decision::Unknown };
            }
        }
        Ok(checks)
    }

    async fn simulated(&self, source: &str, needs: &[Statement], keys: &Keys) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for statement in needs {
            let mut parameters = super::pairs(&[("PolicySourceArn", source)]);
            let numbered = |prefix: &str, values: &[String]| {
                let pair = |(n, value): (usize, &String)| (format!("{prefix}.member.{}", n + 1), value.clone());
                values.iter().enumerate().map(pair).collect::<Vec<_>>()
            };
            let actions: Vec<String> = statement.action.iter().map(|action| (*action).to_owned()).collect();
            parameters.extend(numbered("ActionNames", &actions));
            parameters.extend(numbered("ResourceArns", &statement.resource));
            for (n, (key, values)) in keys.iter().filter(|(_, values)| !values.is_empty()).enumerate() {
                let entry = format!("ContextEntries.member.{}", n + 1);
                parameters.push((format!("{entry}.ContextKeyName"), key.clone()));
                parameters.push((format!("{entry}.ContextKeyType"), kind(key).to_owned()));
                parameters.extend(numbered(&format!("{entry}.ContextKeyValues"), values));
            }
            let results = self.pages("iam:SimulatePrincipalPolicy", &parameters, "EvaluationResults").await?;
            checks.extend(results.iter().flat_map(decided_by_aws));
        }
        Ok(checks)
    }
}

fn kind(key: &str) -> &'static str {
    match key {
        "aws:CurrentTime" => "date",
        MFA | "aws:SecureTransport" => "boolean",
        _ => "string",
    }
}

/// One result for each action, with what is decided for each resource inside (API reference, `EvaluationResult`); one for each of
/// both where nothing is inside, as it used to be.
fn decided_by_aws(result: &Element) -> Vec<Check> {
    let action = result.text(&["EvalActionName"]);
    let inside = result.list("ResourceSpecificResults");
    let organization = result.text(&["OrganizationsDecisionDetail", "AllowedByOrganizations"]) == "false";
    if inside.is_empty() {
        return vec![check(&action, result, "EvalDecision", organization)];
    }
    inside.iter().map(|it| check(&action, it, "EvalResourceDecision", organization)).collect()
}

/// What a statement of the identity's own would not change is named as what decides.
fn check(action: &str, result: &Element, decision: &str, organization: bool) -> Check {
    let decision = match result.text(&[decision]).as_str() {
        "allowed" => Decision::Allowed,
        "explicitDeny" => Decision::ExplicitlyDenied,
        "implicitDeny" => Decision::ImplicitlyDenied,
        _ => Decision::Unknown,
    };
    let mut by: BTreeSet<String> = result.list("MatchedStatements").iter().map(|statement| statement.text(&["SourcePolicyId"])).collect();
    let boundary = result.text(&["PermissionsBoundaryDecisionDetail", "AllowedByPermissionsBoundary"]) == "false";
    for (shut, name) in [(organization, "a service control policy"), (boundary, "the permissions boundary")] {
        if shut && decision != Decision::Allowed {
            by.insert(name.to_owned());
        }
    }
    Check {
        action: action.to_owned(),
        resource: result.text(&["EvalResourceName"]),
        decision,
        by,
        unknown: result.list("MissingContextValues").iter().map(|key| key.text(&[])).collect(),
    }
}

fn each(needs: &[Statement]) -> impl Iterator<Item = (&'static str, &String)> {
    needs
        .iter()
        .flat_map(|statement| statement.action.iter().flat_map(|action| statement.resource.iter().map(|resource| (*action, resource))))
}

/// What can be told from the policies that were read. More could stand in those that were not.
fn judge(principal: &Principal, user: bool, action: &str, resource: &str, keys: &Keys) -> Check {
    let (names, documents): (Vec<String>, Vec<Value>) = principal.policies.iter().cloned().unzip();
    let found = decided(&documents, principal, user, action, resource, keys);
    let mut by: BTreeSet<String> = found.by.iter().map(|(policy, _)| names[*policy].clone()).collect();
    let (mut decision, mut unknown) = (found.decision, found.unknown);
    if let Some((name, boundary)) = &principal.boundary
        && matches!(decision, Decision::Allowed | Decision::Unknown)
    {
        let bound = decided(std::slice::from_ref(boundary), principal, user, action, resource, keys);
        if bound.decision != Decision::Allowed {
            (decision, unknown, by) = (bound.decision, bound.unknown, BTreeSet::from([name.clone()]));
        }
    }
    if !principal.unread.is_empty() && decision != Decision::ExplicitlyDenied {
        decision = Decision::Unknown;
    }
    Check { action: action.to_owned(), resource: resource.to_owned(), decision, by, unknown }
}

/// A user has the tags that IAM tells and no others; a session may have been given more.
fn decided(documents: &[Value], principal: &Principal, user: bool, action: &str, resource: &str, keys: &Keys) -> Judgement {
    let found = evaluate(documents, action, resource, &Context::partial(keys.iter().cloned()));
    let absent =
        found.unknown.iter().filter(|key| user && principal.tags.is_some() && key.to_ascii_lowercase().starts_with("aws:principaltag/"));
    let absent: Keys = absent.map(|key| (key.clone(), Vec::new())).collect();
    if absent.is_empty() {
        return found;
    }
    evaluate(documents, action, resource, &Context::partial(keys.iter().cloned().chain(absent)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::apply::Tags;

    fn allow(condition: &Value) -> Value {
        json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition } })
    }

    #[test]
    fn both_forms_of_a_simulation_are_read() {
        let read = |text: &str| {
            let xml = format!("<R><member><EvalActionName>a</EvalActionName>{text}</member></R>");
            let result = Element::parse(&xml).unwrap();
            let told = |it: Check| format!("{} {} {:?} {:?}", it.resource, it.decision.name(), it.by, it.unknown);
            decided_by_aws(&result.at(&["member"])).into_iter().map(told).collect::<Vec<_>>()
        };
        let matched = "<MatchedStatements><member><SourcePolicyId>p</SourcePolicyId></member></MatchedStatements>";
        let missing = "<MissingContextValues><member>k</member></MissingContextValues>";
        let organization =
            "<OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail>";
        let boundary = "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>";
        let old = format!("<EvalResourceName>r</EvalResourceName><EvalDecision>allowed</EvalDecision>{matched}{missing}");
        assert_eq!(read(&old), [r#"r allowed {"p"} {"k"}"#]);
        let inside = |resource: &str, decision: &str, more: &str| {
            format!(
                "<member><EvalResourceName>{resource}</EvalResourceName><EvalResourceDecision>{decision}</EvalResourceDecision>{more}</member>"
            )
        };
        let new = format!(
            "<EvalDecision>implicitDeny</EvalDecision><ResourceSpecificResults>{}{}{}</ResourceSpecificResults>",
            inside("r", "allowed", matched),
            inside("s", "implicitDeny", missing),
            inside("t", "implicitDeny", boundary)
        );
        let expected = [r#"r allowed {"p"} {}"#, r#"s implicitDeny {} {"k"}"#, r#"t implicitDeny {"the permissions boundary"} {}"#];
        assert_eq!(read(&new), expected);
        let shut = format!("<EvalResourceName>r</EvalResourceName><EvalDecision>implicitDeny</EvalDecision>{organization}");
        assert_eq!(read(&shut), [r#"r implicitDeny {"a service control policy"} {}"#]);
    }

    #[test]
    fn what_was_not_read_and_what_bounds_it_is_taken_into_account() {
        let free = allow(&json!({}));
        let tagged = allow(&json!({ "StringEquals": { "aws:PrincipalTag/team": "x" } }));
        let read = |document: &Value| Principal {
            policies: vec![("p".into(), document.clone())],
            tags: Some(Tags::new()),
            ..Principal::default()
        };
        let bounded = |boundary: Value| Principal { boundary: Some(("b".into(), boundary)), ..read(&free) };
        let nothing = json!({ "Version": "2012-10-17", "Statement": [] });
        for (name, principal, user, expected) in [
            ("allowed", read(&free), true, Decision::Allowed),
            ("with something unread", Principal { unread: vec!["iam:x".into()], ..read(&free) }, true, Decision::Unknown),
            ("within its boundary", bounded(free.clone()), true, Decision::Allowed),
            ("beyond its boundary", bounded(nothing.clone()), true, Decision::ImplicitlyDenied),
            (
                "a boundary alone allows nothing",
                Principal { policies: Vec::new(), ..bounded(free.clone()) },
                true,
                Decision::ImplicitlyDenied,
            ),
            ("a tag that a user has not", read(&tagged), true, Decision::ImplicitlyDenied),
            ("a tag that a session may have", read(&tagged), false, Decision::Unknown),
            ("a tag that could not be read", Principal { tags: None, ..read(&tagged) }, true, Decision::Unknown),
        ] {
            assert_eq!(judge(&principal, user, "redshift:JoinGroup", "arn:aws:redshift:a:b:c", &Keys::new()).decision, expected, "{name}");
        }
        assert_eq!(judge(&bounded(nothing), true, "a:b", "*", &Keys::new()).by, BTreeSet::from(["b".to_owned()]));
    }
}
