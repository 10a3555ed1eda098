//! A policy document with the lines of its statements.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    error::{Error, Result},
    policy::evaluate::{acts, acts_on, texts},
};

/// A document.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) version: Option<String>,
    pub(super) statements: Vec<Statement>,
    pub(super) length: usize,
}

/// One of its statements.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) value: Value,
    pub(super) line: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    version: Option<String>,
    #[serde(borrow)]
    statement: &'a RawValue,
}

impl Read {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |error: serde_json::Error| {
            Error::config(format!("line {}: this is not a policy document: {error}", error.line()))
                .with_hint("a document is JSON with Version and Statement, as `aws iam get-policy-version` prints it under Document")
        };
        let document: Document<'_> = serde_json::from_str(text).map_err(wrong)?;
        let raw: Vec<&RawValue> = if document.statement.get().starts_with('[') {
            serde_json::from_str(document.statement.get()).map_err(wrong)?
        } else {
            vec![document.statement]
        };
        let mut statements = Vec::new();
        for statement in raw {
            let value: Value = serde_json::from_str(statement.get()).map_err(wrong)?;
            if !value.is_object() {
                return Err(Error::config("this is not a policy document: a statement is not an object"));
            }
            // What was parsed is borrowed from the text, so it lies in it.
            let offset = (statement.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            let line = 1 + text.get(..offset).unwrap_or_default().matches('\n').count();
            statements.push(Statement { value, line });
        }
        Ok(Self { version: document.version, statements, length: crate::policy::document::length(text) })
    }

    /// Statements that allow one of these actions, with their places.
    pub(super) fn allowing<'a>(&'a self, actions: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a Statement)> {
        self.statements
            .iter()
            .enumerate()
            .filter(|(_, statement)| statement.allows() && actions.iter().any(|action| statement.acts(action)))
    }
}

impl Statement {
    pub(super) fn allows(&self) -> bool {
        self.value["Effect"] == "Allow"
    }

    /// Whether the statement is about the action.
    pub(super) fn acts(&self, action: &str) -> bool {
        acts(&self.value, action)
    }

    /// Its ARNs. A statement with `NotResource` is taken for all that there is.
    pub(super) fn resources(&self) -> Vec<&str> {
        match self.value.get("Resource") {
            Some(resources) => texts(resources),
            None => vec!["*"],
        }
    }

    /// The names of this kind that it is about: of `arn:...:dbuser:CLUSTER/NAME` with the cluster, `*/*` for a lone star.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        let name = |arn: &str| {
            if arn == "*" {
                return Some("*/*".to_owned());
            }
            let rest = arn.splitn(6, ':').nth(5)?;
            match rest.split_once(':') {
                Some((pattern, name)) if acts_on(pattern, kind) => Some(name.to_owned()),
                // `*` and `db*` reach over the colon.
                None if rest.ends_with('*') && kind.starts_with(rest.trim_end_matches('*')) => Some("*/*".to_owned()),
                _ => None,
            }
        };
        self.resources().into_iter().filter_map(name).collect()
    }

    /// Every operator, key and value of its condition.
    pub(super) fn conditions(&self) -> Vec<(&str, &str, Vec<&str>)> {
        let operators = self.value["Condition"].as_object().into_iter().flatten();
        let keys =
            operators.flat_map(|(operator, keys)| keys.as_object().into_iter().flatten().map(move |(key, value)| (operator, key, value)));
        keys.map(|(operator, key, value)| (operator.as_str(), key.as_str(), texts(value))).collect()
    }

    /// Whether it has a condition on a key, or one that begins so.
    pub(super) fn has_key(&self, start: &str) -> bool {
        let start = start.to_ascii_lowercase();
        self.conditions().iter().any(|(_, key, _)| key.to_ascii_lowercase().starts_with(&start))
    }
}
