//! Whether a request will pass, as far as that can be known, and what is missing if not. No IO: [`super::iam`] asks.

use std::collections::BTreeSet;

use super::{Statement, evaluate::Decision};

/// How it was found out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The policies that could be read were evaluated here.
    Evaluated,
    /// Nothing could be read.
    NotAtAll,
    /// AWS simulated it.
    Simulated,
}

impl How {
    /// As `--json` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluated => "evaluated",
            Self::NotAtAll => "not_at_all",
            Self::Simulated => "simulated",
        }
    }
}

/// One action on one resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The action.
    pub action: String,
    /// The ARN.
    pub resource: String,
    /// What was decided.
    pub decision: Decision,
    /// The policies that decide.
    pub by: BTreeSet<String>,
    /// The keys of the request that would have to be known.
    pub unknown: BTreeSet<String>,
}

/// The whole answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// Whose policies were looked at.
    pub principal: String,
    /// How it was found out.
    pub how: How,
    /// All that the request needs.
    pub checks: Vec<Check>,
    /// What would have to be allowed besides.
    pub missing: Vec<Statement>,
    /// What could not be seen, one sentence each.
    pub notes: Vec<String>,
}

impl Explanation {
    /// Puts it together; `needs` is what the request asks of policies.
    pub(super) fn new(principal: String, how: How, checks: Vec<Check>, needs: Vec<Statement>, mut notes: Vec<String>) -> Self {
        let shut = checks.iter().filter(|check| check.decision == Decision::ImplicitlyDenied).flat_map(|check| &check.by);
        let shut: BTreeSet<&str> = shut.map(String::as_str).collect();
        if !shut.is_empty() {
            let names = shut.into_iter().collect::<Vec<_>>().join(", ");
            notes.push(format!("what is missing has to be allowed by {names} too: a policy of the identity alone does not help"));
        }
        let lacking = |action: &&'static str, resource: &String| {
            checks
                .iter()
                .any(|check| check.action == **action && check.resource == *resource && check.decision == Decision::ImplicitlyDenied)
        };
        let missing = needs.into_iter().filter_map(|statement| {
            let action: Vec<&'static str> = statement
                .action
                .iter()
                .filter(|action| statement.resource.iter().any(|resource| lacking(action, resource)))
                .copied()
                .collect();
            let resource: Vec<String> = statement
                .resource
                .iter()
                .filter(|resource| statement.action.iter().any(|action| lacking(action, resource)))
                .cloned()
                .collect();
            (!action.is_empty()).then_some(Statement { action, resource, ..statement })
        });
        let missing = missing.collect();
        Self { principal, how, checks, missing, notes }
    }

    /// Denied as soon as a part is, and allowed when all is.
    pub fn verdict(&self) -> Decision {
        let any = |decision| self.checks.iter().any(|check| check.decision == decision);
        let order = [Decision::ExplicitlyDenied, Decision::ImplicitlyDenied, Decision::Unknown];
        order.into_iter().find(|decision| any(*decision)).unwrap_or(Decision::Allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lacking_is_named() {
        let statement = |action: &'static str, resource: &[&str]| Statement {
            effect: "Allow",
            action: vec![action],
            resource: resource.iter().map(|arn| (*arn).to_owned()).collect(),
            ..Statement::default()
        };
        let check = |action: &str, resource: &str, decision| Check {
            action: action.into(),
            resource: resource.into(),
            decision,
            by: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        let needs = vec![statement("get", &["user", "database"]), statement("create", &["user"]), statement("join", &["group"])];
        let told = |checks: Vec<Check>| Explanation::new(String::new(), How::Simulated, checks, needs.clone(), Vec::new());
        let explanation = told(vec![
            check("get", "user", Decision::Allowed),
            check("get", "database", Decision::ImplicitlyDenied),
            check("create", "user", Decision::Unknown),
            check("join", "group", Decision::Allowed),
        ]);
        assert_eq!(explanation.missing, [statement("get", &["database"])]);
        assert_eq!(explanation.verdict(), Decision::ImplicitlyDenied);
        // No permission helps against a deny, and what is not known is not said to be missing.
        let explanation = told(vec![check("get", "user", Decision::ExplicitlyDenied), check("create", "user", Decision::ImplicitlyDenied)]);
        assert_eq!((explanation.missing.len(), explanation.verdict()), (1, Decision::ExplicitlyDenied));
        assert_eq!(
            told(vec![check("get", "user", Decision::Unknown), check("join", "group", Decision::Allowed)]).verdict(),
            Decision::Unknown
        );
        assert_eq!(told(vec![check("get", "user", Decision::Allowed)]).verdict(), Decision::Allowed);
        // What bounds the identity has to allow it too.
        let bounded = Check { by: BTreeSet::from(["arn:b".into()]), ..check("get", "user", Decision::ImplicitlyDenied) };
        let notes = told(vec![bounded, check("get", "database", Decision::Allowed)]).notes;
        assert_eq!(notes, ["what is missing has to be allowed by arn:b too: a policy of the identity alone does not help"]);
    }
}
