//! `SimulatePrincipalPolicy`: the same evaluator that decides real calls, with the context that the caller makes up.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::super::Signed;
use super::super::fault::{Fault, escape};
use super::super::redshift::{Form, list};
use super::directory::{Directory, Kind, Named};
use super::{invalid, members, required};
use crate::iam::{Context, Decision, decide, one_or_many};

pub(super) fn simulate(directory: &Directory, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let source = required(form, "PolicySourceArn")?;
    let actions = list(form, "ActionNames.member.");
    if actions.is_empty() {
        return Err(invalid("ActionNames must not be empty"));
    }
    let mut policies = policies(directory, call, source)?;
    for (n, text) in list(form, "PolicyInputList.member.").iter().enumerate() {
        let document = serde_json::from_str(text).map_err(|_| Fault::new(400, "InvalidInput", "The policy input is not JSON."))?;
        policies.push((format!("PolicyInputList.{}", n + 1), document));
    }
    let mut resources = list(form, "ResourceArns.member.");
    if resources.is_empty() {
        resources.push("*".to_owned());
    }
    let context = context(form);
    let documents: Vec<Value> = policies.iter().map(|(_, document)| document.clone()).collect();
    let missing: BTreeSet<String> =
        documents.iter().flat_map(keys).filter(|key| !context.contains_key(&key.to_ascii_lowercase())).collect();
    let mut results = String::new();
    for action in &actions {
        for resource in &resources {
            let decision = decide(&documents, action, resource, &context);
            let deciding = policies.iter().filter(|(_, document)| {
                decision != Decision::ImplicitlyDenied && decide(std::slice::from_ref(document), action, resource, &context) == decision
            });
            let matched = members(deciding.map(|(name, _)| {
                format!("<SourcePolicyId>{}</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType>", escape(name))
            }));
            let _ = write!(
                results,
                "<member><EvalActionName>{}</EvalActionName><EvalResourceName>{}</EvalResourceName><EvalDecision>{}</EvalDecision>\
                 <MatchedStatements>{matched}</MatchedStatements><MissingContextValues>{}</MissingContextValues></member>",
                escape(action),
                escape(resource),
                word(decision),
                members(missing.iter().map(|it| escape(it)))
            );
        }
    }
    Ok(format!("<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"))
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::ExplicitlyDenied => "explicitDeny",
        Decision::ImplicitlyDenied => "implicitDeny",
    }
}

/// Of a user, group or role; the ARN of a session is not taken.
fn policies(directory: &Directory, call: &Signed<'_>, source: &str) -> Result<Vec<Named>, Fault> {
    let state = directory.lock();
    let entity = Kind::ALL.into_iter().find_map(|kind| state.entities(kind, &call.caller.account).find(|it| it.arn() == source));
    match entity {
        Some(entity) => Ok(state.policies_of(entity)),
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
