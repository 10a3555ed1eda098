//! What policies decide about a request (IAM User Guide, "Policy evaluation logic"). Pure. Where a key of the request is not known,
//! the answer is that it cannot be told, unless it would be the same for every value.

mod condition;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(super) use self::text::{Part, covers, is_variable, parts};
use self::text::{arn_fits, fill, fits};

/// The outcome for one action on one resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitlyDenied,
    /// No statement says anything.
    ImplicitlyDenied,
    /// It hangs on something that is not known.
    Unknown,
}

impl Decision {
    /// As `--json` prints it, in the words of SimulatePrincipalPolicy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitlyDenied => "explicitDeny",
            Self::ImplicitlyDenied => "implicitDeny",
            Self::Unknown => "unknown",
        }
    }
}

/// The keys of a request, in lower case.
#[derive(Clone, Debug, Default)]
pub struct Context {
    known: BTreeMap<String, Vec<String>>,
    all_known: bool,
}

impl Context {
    /// A request with these keys and no others.
    pub fn complete(known: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self { known: lower(known), all_known: true }
    }

    /// A request with these keys, and perhaps others. A key without values is known to be absent.
    pub fn partial(known: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self { known: lower(known), all_known: false }
    }

    /// Says what a key of the request is; without values it is known to be absent.
    pub(super) fn know(&mut self, key: &str, values: Vec<String>) {
        self.known.insert(key.to_ascii_lowercase(), values);
    }

    /// Says that nobody knows what a key of the request is.
    pub(super) fn forget(&mut self, key: &str) {
        self.known.remove(&key.to_ascii_lowercase());
    }

    /// The key's values; none when it is absent, `Err` when nobody knows.
    fn get(&self, key: &str) -> Result<&[String], Unknown> {
        match self.known.get(&key.to_ascii_lowercase()) {
            Some(values) => Ok(values),
            None if self.all_known => Ok(&[]),
            None => Err(Unknown(BTreeSet::from([key.to_owned()]))),
        }
    }
}

fn lower(known: impl IntoIterator<Item = (String, Vec<String>)>) -> BTreeMap<String, Vec<String>> {
    known.into_iter().map(|(key, values)| (key.to_ascii_lowercase(), values)).collect()
}

/// The keys that would have to be known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Unknown(BTreeSet<String>);

/// Yes, no, or what it hangs on.
type Truth = Result<bool, Unknown>;

/// All of them, in Kleene's logic: one no decides.
fn all(truths: impl IntoIterator<Item = Truth>) -> Truth {
    let mut unknown = Unknown::default();
    for truth in truths {
        match truth {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(Unknown(keys)) => unknown.0.extend(keys),
        }
    }
    if unknown.0.is_empty() { Ok(true) } else { Err(unknown) }
}

/// One of them: one yes decides.
fn any(truths: impl IntoIterator<Item = Truth>) -> Truth {
    not(all(truths.into_iter().map(not)))
}

fn not(truth: Truth) -> Truth {
    truth.map(|yes| !yes)
}

/// A decision, and where it comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// What.
    pub decision: Decision,
    /// The statements that decide, by policy and place in it.
    pub by: Vec<(usize, usize)>,
    /// The statements that would allow it if what is not known were as they want it; of [`Decision::Unknown`] only.
    pub perhaps: Vec<(usize, usize)>,
    /// The keys that it hangs on.
    pub unknown: BTreeSet<String>,
}

/// Decides whether `action` on `resource` passes these identity policies.
pub fn evaluate(policies: &[Value], action: &str, resource: &str, context: &Context) -> Judgement {
    let (mut allows, mut denies) = (Vec::new(), Vec::new());
    for (policy, document) in policies.iter().enumerate() {
        let variables = document["Version"] == "2012-10-17";
        for (place, statement) in list(&document["Statement"]).iter().enumerate() {
            let applies = applies(statement, action, resource, context, variables);
            match statement["Effect"].as_str() {
                Some("Allow") => allows.push(((policy, place), applies)),
                Some("Deny") => denies.push(((policy, place), applies)),
                _ => {}
            }
        }
    }
    let sure = |found: &[((usize, usize), Truth)]| found.iter().filter(|it| it.1 == Ok(true)).map(|it| it.0).collect::<Vec<_>>();
    let maybe =
        |found: &[((usize, usize), Truth)]| found.iter().filter_map(|it| it.1.clone().err()).flat_map(|it| it.0).collect::<BTreeSet<_>>();
    let judgement = |decision, by, unknown| Judgement { decision, by, perhaps: Vec::new(), unknown };
    let (denied, allowed) = (sure(&denies), sure(&allows));
    if !denied.is_empty() {
        return judgement(Decision::ExplicitlyDenied, denied, BTreeSet::new());
    }
    let (may_deny, may_allow) = (maybe(&denies), maybe(&allows));
    match (allowed.is_empty(), may_deny.is_empty(), may_allow.is_empty()) {
        (false, true, _) => judgement(Decision::Allowed, allowed, BTreeSet::new()),
        // A deny that may strike changes nothing where nothing allows.
        (true, _, true) => judgement(Decision::ImplicitlyDenied, Vec::new(), BTreeSet::new()),
        _ => {
            let perhaps = allows.iter().filter(|it| it.1.is_err()).map(|it| it.0).collect();
            Judgement { perhaps, ..judgement(Decision::Unknown, allowed, may_deny.into_iter().chain(may_allow).collect()) }
        }
    }
}

fn applies(statement: &Value, action: &str, resource: &str, context: &Context, variables: bool) -> Truth {
    // Most statements are about something else, which is told fast.
    if !acts(statement, action) {
        return Ok(false);
    }
    let arns = |arn: &str| Ok(arn_fits(&fill(arn, context, variables)?, resource));
    all([listed(statement, "Resource", "NotResource", &arns), condition::holds(statement.get("Condition"), context, variables)])
}

/// Whether a statement is about the action.
pub(super) fn acts(statement: &Value, action: &str) -> bool {
    listed(statement, "Action", "NotAction", &|name: &str| Ok(acts_on(name, action))) == Ok(true)
}

/// Whether an action's pattern covers an action; case does not matter.
pub(super) fn acts_on(pattern: &str, action: &str) -> bool {
    fits(&parts(&pattern.to_ascii_lowercase()), &action.to_ascii_lowercase())
}

/// An element or its opposite, of which a statement has one.
fn listed(statement: &Value, name: &str, opposite: &str, test: &dyn Fn(&str) -> Truth) -> Truth {
    match (statement.get(name), statement.get(opposite)) {
        (Some(wanted), None) => any(texts(wanted).into_iter().map(test)),
        (None, Some(unwanted)) => not(any(texts(unwanted).into_iter().map(test))),
        _ => Ok(false),
    }
}

/// What may be one thing or a list.
pub(super) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(items) => items,
        item => std::slice::from_ref(item),
    }
}

/// The texts of what may be one text or a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
