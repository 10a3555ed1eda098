//! Policies in the languages that infrastructure is written in.

use std::{fmt::Write as _, str::FromStr};

use serde_json::{Map, Value, json};

use super::Document;
use crate::error::{Error, Result};

/// What a policy is printed as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// A CloudFormation template.
    CloudFormation,
    /// The policy language itself; a list of policies when one was not enough.
    #[default]
    Json,
    /// Terraform's language.
    Terraform,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cloudformation" => Ok(Self::CloudFormation),
            "json" => Ok(Self::Json),
            "terraform" => Ok(Self::Terraform),
            other => Err(Error::config(format!("'{other}' is not a format")).with_hint("formats: json, terraform, cloudformation")),
        }
    }
}

impl Format {
    /// The text for `documents`, which are called `name`, `name-2` and so on.
    pub fn render(self, name: &str, documents: &[Document]) -> String {
        match (self, documents) {
            (Self::Json, [only]) => only.to_json(),
            (Self::Json, many) => serde_json::to_string_pretty(many).expect("documents always serialise"),
            (Self::Terraform, many) => many.iter().enumerate().map(|(n, it)| terraform(&nth(name, n), it)).collect::<Vec<_>>().join("\n"),
            (Self::CloudFormation, many) => cloudformation(name, many),
        }
    }
}

/// The name of the policy at this place: the first has the name itself.
pub(crate) fn nth(name: &str, n: usize) -> String {
    if n == 0 { name.to_owned() } else { format!("{name}-{}", n + 1) }
}

/// A heredoc, in which `${` would be Terraform's own.
fn terraform(name: &str, document: &Document) -> String {
    let label: String = name.chars().map(|char| if char.is_ascii_alphanumeric() || "-_".contains(char) { char } else { '_' }).collect();
    let label = if label.starts_with(|char: char| char.is_ascii_alphabetic()) { label } else { format!("_{label}") };
    let mut text = format!("resource \"aws_iam_policy\" \"{label}\" {{\n  name   = \"{name}\"\n  policy = <<-POLICY\n");
    for line in document.to_json().replace("${", "$${").replace("%{", "%%{").lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push_str("  POLICY\n}");
    text
}

/// A template in JSON. Outside of `Fn::Sub` nothing in it is substituted.
fn cloudformation(name: &str, documents: &[Document]) -> String {
    let words = name.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    let mut resources = Map::new();
    for (n, document) in documents.iter().enumerate() {
        let key = if n == 0 { format!("{id}Policy") } else { format!("{id}Policy{}", n + 1) };
        let properties = json!({ "ManagedPolicyName": nth(name, n), "PolicyDocument": document });
        resources.insert(key, json!({ "Type": "AWS::IAM::ManagedPolicy", "Properties": properties }));
    }
    let template = json!({ "AWSTemplateFormatVersion": "2010-09-09", "Resources": Value::Object(resources) });
    serde_json::to_string_pretty(&template).expect("a template always serialises")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Statement;

    #[test]
    fn what_a_language_takes_for_its_own_is_escaped() {
        let statement = Statement { resource: vec!["x/${aws:username}".into()], ..Statement::default() };
        let documents = [Document::new(vec![statement.clone()]), Document::new(vec![statement])];
        let text = Format::Terraform.render("1 team", &documents);
        assert!(text.contains("\"_1_team\"") && text.contains("x/$${aws:username}") && !text.contains("x/${"), "{text}");
        assert!(text.contains("name   = \"1 team-2\""), "{text}");
        let template: Value = serde_json::from_str(&Format::CloudFormation.render("my-team", &documents)).unwrap();
        let policy = &template["Resources"]["MyTeamPolicy2"]["Properties"];
        assert_eq!((policy["ManagedPolicyName"].as_str(), &policy["PolicyDocument"]["Version"]), (Some("my-team-2"), &json!("2012-10-17")));
        assert_eq!(policy["PolicyDocument"]["Statement"][0]["Resource"][0], "x/${aws:username}");
    }
}
