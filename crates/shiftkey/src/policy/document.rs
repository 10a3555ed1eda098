//! A policy as it is written: documents, statements, and how IAM counts their length.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The most characters of a managed policy, white space left out (IAM User Guide, "IAM and AWS STS quotas").
pub const LONGEST: usize = 6_144;

/// Operators, each with its keys and their values.
pub type Condition = BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>;

/// One statement of a policy.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Letters and digits, unique in its document; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sid: String,
    /// `Allow` or `Deny`.
    pub effect: &'static str,
    /// Actions.
    pub action: Vec<&'static str>,
    /// ARNs.
    pub resource: Vec<String>,
    /// All must hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "plain")]
    pub condition: Condition,
}

/// A value that stands alone is written without a list, which some readers of policies do not expect there.
fn plain<S: Serializer>(condition: &Condition, serializer: S) -> Result<S::Ok, S::Error> {
    let value = |values: &Vec<String>| match &values[..] {
        [only] => Value::from(only.as_str()),
        many => Value::from(many),
    };
    let keys = |keys: &BTreeMap<&'static str, Vec<String>>| keys.iter().map(|(key, values)| (*key, value(values))).collect();
    let operators: BTreeMap<_, BTreeMap<_, _>> = condition.iter().map(|(operator, it)| (*operator, keys(it))).collect();
    operators.serialize(serializer)
}

/// One policy.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// Without this version variables would be literal text.
    pub version: &'static str,
    /// Statements.
    pub statement: Vec<Statement>,
}

impl Document {
    /// A document of these statements, each named after what it does.
    pub(super) fn new(mut statements: Vec<Statement>) -> Self {
        let mut seen = BTreeMap::new();
        for statement in &mut statements {
            let count = seen.entry(statement.sid.clone()).and_modify(|count| *count += 1).or_insert(1);
            if *count > 1 {
                statement.sid = format!("{}{count}", statement.sid);
            }
        }
        Self { version: "2012-10-17", statement: statements }
    }

    /// Its length as IAM counts it.
    pub fn length(&self) -> usize {
        length(&self.to_json())
    }

    /// As IAM takes it, on several lines.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and lists of strings always serialise")
    }
}

/// The length of a policy's text as IAM counts it: white space is free.
pub(super) fn length(text: &str) -> usize {
    text.chars().filter(|char| !char.is_whitespace()).count()
}

/// Statements as a person pastes them: one object alone, several as a list.
pub fn to_json(statements: &[Statement]) -> String {
    let text = match statements {
        [only] => serde_json::to_string_pretty(only),
        many => serde_json::to_string_pretty(many),
    };
    text.expect("strings and lists of strings always serialise")
}
