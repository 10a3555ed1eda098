//! IAM policy evaluation (IAM User Guide, "Policy evaluation logic"), pure: policies and a request in, a decision out.

mod condition;
mod pattern;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use pattern::matches_text;
use pattern::{expand, matches_arn};

/// The condition context: keys in lower case, each with its values.
pub type Context = BTreeMap<String, Vec<String>>;

/// The outcome for one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Some statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitlyDenied,
    /// No statement says anything.
    ImplicitlyDenied,
}

/// Decides whether `action` on `resource` passes these identity policies (JSON documents).
/// A malformed statement never allows; a malformed `Deny` denies.
pub fn decide(policies: &[Value], action: &str, resource: &str, context: &Context) -> Decision {
    let mut decision = Decision::ImplicitlyDenied;
    for policy in policies {
        let variables = policy["Version"] == "2012-10-17";
        for statement in one_or_many(&policy["Statement"]) {
            let applies = applies(statement, action, Some(resource), context, variables);
            match statement["Effect"].as_str() {
                Some("Deny") if applies => return Decision::ExplicitlyDenied,
                Some("Allow") if applies => decision = Decision::Allowed,
                _ => {}
            }
        }
    }
    decision
}

/// Decides whether a role's trust policy lets `principals` (the caller's ARN, its account's root ARN, its account id) in.
pub fn trusts(policy: &Value, principals: &[String], action: &str, context: &Context) -> bool {
    let variables = policy["Version"] == "2012-10-17";
    let mut allowed = false;
    for statement in one_or_many(&policy["Statement"]) {
        let principal = &statement["Principal"];
        let named = principal == "*" || strings(&principal["AWS"]).iter().any(|it| it == "*" || principals.contains(it));
        if !named || !applies(statement, action, None, context, variables) {
            continue;
        }
        match statement["Effect"].as_str() {
            Some("Allow") => allowed = true,
            _ => return false,
        }
    }
    allowed
}

fn applies(statement: &Value, action: &str, resource: Option<&str>, context: &Context, variables: bool) -> bool {
    let action_fits = |it: &String| matches_text(&it.to_ascii_lowercase(), &action.to_ascii_lowercase());
    let acts = match (statement.get("Action"), statement.get("NotAction")) {
        (Some(list), None) => strings(list).iter().any(action_fits),
        (None, Some(list)) => !strings(list).iter().any(action_fits),
        _ => false,
    };
    let touches = resource.is_none_or(|resource| {
        let fits = |it: &String| expand(it, context, variables).is_some_and(|it| matches_arn(&it, resource));
        match (statement.get("Resource"), statement.get("NotResource")) {
            (Some(list), None) => strings(list).iter().any(fits),
            (None, Some(list)) => !strings(list).iter().any(fits),
            _ => false,
        }
    });
    acts && touches && condition::holds(&statement["Condition"], context, variables)
}

/// A JSON value that may be one item or a list.
pub(crate) fn one_or_many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        item => vec![item],
    }
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    let text = |it: &Value| match it {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    one_or_many(value).into_iter().map(text).collect()
}

#[cfg(test)]
mod tests;
