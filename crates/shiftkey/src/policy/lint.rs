//! What is wrong with a policy about Redshift: each rule with the statement at fault, the reason and the fix. No IO.

mod read;
mod rules;
mod sarif;

use std::{fmt, str::FromStr};

use self::{read::Read, rules::Rule};
pub use self::{rules::RULES, sarif::sarif};
use crate::error::{Error, Result};

/// How bad it is. The greatest is the worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Worth a look.
    Note,
    /// More is allowed, or less works, than was probably meant.
    Warning,
    /// Somebody becomes who they should not be, or the policy does not do what it says.
    Error,
}

impl Severity {
    /// As it is printed, and as SARIF has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Note, Self::Warning, Self::Error];
        let found = all.into_iter().find(|severity| severity.name() == text);
        found.ok_or_else(|| Error::config(format!("'{text}' is not a severity")).with_hint("severities: note, warning, error"))
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The rule's stable name.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The statement's place, from 0; `None` when it is the policy as a whole.
    pub statement: Option<usize>,
    /// The statement's `Sid`, if it has one.
    pub sid: Option<String>,
    /// The line on which the statement begins, from 1.
    pub line: usize,
    /// What is wrong, in one sentence.
    pub reason: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.sid, self.statement) {
            (Some(sid), _) => format!(" statement {sid}:"),
            (None, Some(n)) => format!(" statement {}:", n + 1),
            (None, None) => String::new(),
        };
        write!(f, "{}: {} [{}]{place} {}", self.line, self.severity.name(), self.rule, self.reason)
    }
}

/// What the policy is held against.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expectations {
    /// Database users that nobody may be. `awsuser` when it is empty, which is what the console proposes.
    pub admins: Vec<String>,
    /// Whether missing database users are to be created.
    pub auto_create: bool,
    /// The partition that it is for; when absent, ARNs have to agree with each other and with their regions.
    pub partition: Option<String>,
}

/// Finds all that is wrong with a policy document, in the order of its lines.
///
/// # Errors
/// When the text is no policy document.
pub fn lint(text: &str, expectations: &Expectations) -> Result<Vec<Finding>> {
    let policy = Read::parse(text)?;
    let mut findings = Vec::new();
    for Rule { name, severity, check, .. } in RULES {
        for fault in check(&policy, expectations) {
            let statement = fault.statement.map(|n| &policy.statements[n]);
            findings.push(Finding {
                rule: name,
                severity: *severity,
                statement: fault.statement,
                sid: statement.and_then(|statement| statement.value["Sid"].as_str()).map(str::to_owned),
                line: statement.map_or(1, |statement| statement.line),
                reason: fault.reason,
                fix: fault.fix,
            });
        }
    }
    findings.sort_by_key(|finding| finding.line);
    Ok(findings)
}

#[cfg(test)]
mod tests;
