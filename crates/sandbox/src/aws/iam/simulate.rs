//! `SimulatePrincipalPolicy`: the same evaluator that decides real calls, with the context that the caller makes up.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Signed;
use super::super::fault::{Fault, escape};
use super::super::redshift::{Form, list};
use super::directory::{Directory, Kind, Named};
use super::{invalid, members, required};
use crate::iam::{Context, Decision, decide, one_or_many};

/// Whose policies are tried, and what bounds them.
struct Tried {
    policies: Vec<Named>,
    boundary: Option<Named>,
    /// AWS leaves out service control policies that have conditions (IAM User Guide, "IAM policy testing with the IAM policy simulator").
    organization: Option<Value>,
}

/// What was decided for one resource.
struct Outcome<'a> {
    resource: &'a str,
    decision: Decision,
    matched: String,
    bounded: Option<bool>,
}

pub(super) fn simulate(directory: &Directory, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let source = required(form, "PolicySourceArn")?;
    let actions = list(form, "ActionNames.member.");
    if actions.is_empty() {
        return Err(invalid("ActionNames must not be empty"));
    }
    let mut tried = tried(directory, call, source)?;
    for (n, text) in list(form, "PolicyInputList.member.").iter().enumerate() {
        let document = serde_json::from_str(text).map_err(|_| Fault::new(400, "InvalidInput", "The policy input is not JSON."))?;
        tried.policies.push((format!("PolicyInputList.{}", n + 1), document));
    }
    let resources = list(form, "ResourceArns.member.");
    let context = context(form);
    let documents = tried.policies.iter().chain(&tried.boundary).map(|(_, document)| document);
    let missing: BTreeSet<String> = documents.flat_map(keys).filter(|key| !context.contains_key(&key.to_ascii_lowercase())).collect();
    let missing = format!("<MissingContextValues>{}</MissingContextValues>", members(missing.iter().map(|it| escape(it))));
    let results = actions.iter().map(|action| {
        let name = format!("<EvalActionName>{}</EvalActionName>", escape(action));
        if resources.is_empty() {
            let it = tried.decide(action, "*", &context);
            let organization = tried.organization(action, &["*".to_owned()], &context);
            let (decision, bounded) = (word(it.decision), it.boundary_xml());
            return format!(
                "{name}<EvalResourceName>*</EvalResourceName><EvalDecision>{decision}</EvalDecision>\
                 <MatchedStatements>{}</MatchedStatements>{missing}{bounded}{organization}",
                it.matched
            );
        }
        // One result for each action; what is decided for each resource stands inside (API reference, `EvaluationResult`).
        let all: Vec<Outcome<'_>> = resources.iter().map(|resource| tried.decide(action, resource, &context)).collect();
        let worst =
            [Decision::ExplicitlyDenied, Decision::ImplicitlyDenied].into_iter().find(|it| all.iter().any(|one| one.decision == *it));
        let each = members(all.iter().map(|it| {
            format!(
                "<EvalResourceName>{}</EvalResourceName><EvalResourceDecision>{}</EvalResourceDecision>\
                 <MatchedStatements>{}</MatchedStatements>{missing}{}",
                escape(it.resource),
                word(it.decision),
                it.matched,
                it.boundary_xml()
            )
        }));
        let organization = tried.organization(action, &resources, &context);
        format!(
            "{name}<EvalDecision>{}</EvalDecision>{organization}<ResourceSpecificResults>{each}</ResourceSpecificResults>",
            word(worst.unwrap_or(Decision::Allowed))
        )
    });
    Ok(format!("<IsTruncated>false</IsTruncated><EvaluationResults>{}</EvaluationResults>", members(results)))
}

impl Tried {
    fn decide<'a>(&self, action: &str, resource: &'a str, context: &Context) -> Outcome<'a> {
        let documents: Vec<Value> = self.policies.iter().map(|(_, document)| document.clone()).collect();
        let by = |document: &Value| decide(std::slice::from_ref(document), action, resource, context);
        let identity = decide(&documents, action, resource, context);
        let boundary = self.boundary.as_ref().map(|(_, document)| by(document));
        let layers = [Some(identity), boundary, self.organization.as_ref().map(by)];
        let worst = [Decision::ExplicitlyDenied, Decision::ImplicitlyDenied].into_iter().find(|it| layers.contains(&Some(*it)));
        let decision = worst.unwrap_or(Decision::Allowed);
        let deciding = self.policies.iter().chain(&self.boundary).filter(|(_, document)| by(document) == decision);
        let shown =
            |(name, _): &Named| format!("<SourcePolicyId>{}</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType>", escape(name));
        let matched = if decision == Decision::ImplicitlyDenied { String::new() } else { members(deciding.map(shown)) };
        Outcome { resource, decision, matched, bounded: boundary.map(|it| it == Decision::Allowed) }
    }

    fn organization(&self, action: &str, resources: &[String], context: &Context) -> String {
        let allows = |document: &Value| {
            resources.iter().all(|resource| decide(std::slice::from_ref(document), action, resource, context) == Decision::Allowed)
        };
        let shown = |document: &Value| {
            let allowed = allows(document);
            format!("<OrganizationsDecisionDetail><AllowedByOrganizations>{allowed}</AllowedByOrganizations></OrganizationsDecisionDetail>")
        };
        self.organization.as_ref().map(shown).unwrap_or_default()
    }
}

impl Outcome<'_> {
    fn boundary_xml(&self) -> String {
        let shown = |allowed| {
            format!(
                "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>{allowed}</AllowedByPermissionsBoundary>\
                 </PermissionsBoundaryDecisionDetail>"
            )
        };
        self.bounded.map(shown).unwrap_or_default()
    }
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::ExplicitlyDenied => "explicitDeny",
        Decision::ImplicitlyDenied => "implicitDeny",
    }
}

/// Of a user, group or role; the ARN of a session is not taken.
fn tried(directory: &Directory, call: &Signed<'_>, source: &str) -> Result<Tried, Fault> {
    let state = directory.lock();
    let entity = Kind::ALL.into_iter().find_map(|kind| state.entities(kind, &call.caller.account).find(|it| it.arn() == source));
    match entity {
        Some(entity) => {
            let conditional = |document: &Value| one_or_many(&document["Statement"]).iter().any(|it| it.get("Condition").is_some());
            Ok(Tried {
                policies: state.policies_of(entity),
                boundary: state.boundary_of(entity),
                organization: state.organization(&entity.account).filter(|it| !conditional(it)).cloned(),
            })
        }
        None if source.contains(":iam::") => Err(Fault::new(404, "NoSuchEntity", &format!("{source} does not exist."))),
        None => Err(Fault::new(400, "InvalidInput", "Invalid Entity Arn: only users, groups and roles can be simulated.")),
    }
}

fn context(form: &Form) -> Context {
    let entry = |n: usize| {
        let prefix = format!("ContextEntries.member.{n}.");
        let key = form.get(&format!("{prefix}ContextKeyName"))?.to_ascii_lowercase();
        Some((key, list(form, &format!("{prefix}ContextKeyValues.member."))))
    };
    (1..).map_while(entry).collect()
}

/// Every key that a policy asks for, in a condition or by a variable.
fn keys(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for statement in one_or_many(&document["Statement"]) {
        let operators = statement["Condition"].as_object();
        found.extend(operators.into_iter().flatten().filter_map(|(_, keys)| keys.as_object()).flat_map(|keys| keys.keys().cloned()));
        let text = statement.to_string();
        let variables = text.split("${").skip(1).filter_map(|it| it.split(['}', ',']).next()).map(str::trim);
        found.extend(variables.filter(|it| !matches!(*it, "*" | "?" | "$")).map(str::to_owned));
    }
    found
}
