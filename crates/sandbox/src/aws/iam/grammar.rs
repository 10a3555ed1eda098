//! What IAM takes for a policy document (IAM User Guide, "Grammar of the IAM JSON policy language" and "IAM and AWS STS quotas").

use serde_json::Value;

use super::super::fault::Fault;
use crate::iam::{one_or_many, strings};

/// The most characters of a managed policy and of a user's or group's own, white space left out.
pub(super) const MANAGED: usize = 6_144;
pub(super) const INLINE: usize = 2_048;

pub(super) fn check(text: &str, most: usize) -> Result<(), Fault> {
    let malformed = |why: &str| Err(Fault::new(400, "MalformedPolicyDocument", why));
    let legal = |it: char| matches!(it, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    if !text.chars().all(legal) {
        return malformed("The specified value for policyDocument is invalid.");
    }
    if text.chars().filter(|it| !it.is_whitespace()).count() > most {
        return Err(Fault::new(409, "LimitExceeded", &format!("Cannot exceed quota for PolicySize: {most}")));
    }
    let Ok(document) = serde_json::from_str::<Value>(text) else { return malformed("Syntax errors in policy.") };
    let version = document["Version"].as_str();
    let elements = document.as_object().is_some_and(|it| it.keys().all(|key| matches!(key.as_str(), "Version" | "Id" | "Statement")));
    let statements = one_or_many(&document["Statement"]);
    if !elements || statements.is_empty() || !version.is_none_or(|it| matches!(it, "2012-10-17" | "2008-10-17")) {
        return malformed("Syntax errors in policy.");
    }
    let mut sids = Vec::new();
    for statement in statements {
        if let Some(why) = wrong(statement) {
            return malformed(why);
        }
        if let Some(sid) = statement["Sid"].as_str() {
            if sids.contains(&sid) {
                return malformed("Statement IDs (SID) in a single policy must be unique.");
            }
            sids.push(sid);
        }
    }
    Ok(())
}

fn wrong(statement: &Value) -> Option<&'static str> {
    const ELEMENTS: [&str; 7] = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    let Some(object) = statement.as_object() else { return Some("Syntax errors in policy.") };
    if let Some(key) = object.keys().find(|key| !ELEMENTS.contains(&key.as_str())) {
        return Some(if key == "Principal" { "Policy document should not specify a principal." } else { "Syntax errors in policy." });
    }
    let one = |a: &str, b: &str| object.contains_key(a) != object.contains_key(b);
    if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) || !one("Action", "NotAction") || !one("Resource", "NotResource") {
        return Some("Syntax errors in policy.");
    }
    if statement["Sid"].as_str().is_some_and(|it| !it.chars().all(|it| it.is_ascii_alphanumeric())) {
        return Some("Statement IDs (SID) do not conform to the requirements.");
    }
    let actions = [&statement["Action"], &statement["NotAction"]].into_iter().flat_map(strings);
    if actions.into_iter().any(|it| it != "*" && it.split_once(':').is_none_or(|(vendor, name)| vendor.is_empty() || name.is_empty())) {
        return Some("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
    }
    let resources: Vec<String> = [&statement["Resource"], &statement["NotResource"]].into_iter().flat_map(strings).collect();
    let arn = |it: &String| {
        let parts: Vec<&str> = it.splitn(6, ':').collect();
        it == "*" || (parts.len() == 6 && parts[0] == "arn" && !parts[..5].iter().any(|it| it.contains("${")))
    };
    (!resources.iter().all(arn)).then_some("Resource must be in ARN format or \"*\".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_taken_or_refused_as_the_grammar_says() {
        let arn = "arn:aws:redshift:us-east-1:111122223333:dbuser:c/${aws:username}";
        let good = json!({ "Sid": "A1", "Effect": "Allow", "Action": "redshift:*", "Resource": [arn, "*"] });
        let with = |key: &str, value: Value| {
            let mut statement = good.clone();
            statement[key] = value;
            json!({ "Version": "2012-10-17", "Statement": statement })
        };
        for (name, document, taken) in [
            ("a good one", with("Sid", json!("x")), true),
            ("an old one", json!({ "Statement": [good] }), true),
            ("no statement", json!({ "Version": "2012-10-17" }), false),
            ("another version", json!({ "Version": "2020-01-01", "Statement": good }), false),
            ("an unknown element", json!({ "Statement": good, "Name": "x" }), false),
            ("a principal", with("Principal", json!("*")), false),
            ("another effect", with("Effect", json!("allow")), false),
            ("both of two", with("NotAction", json!("s3:*")), false),
            ("an action without service", with("Action", json!("GetClusterCredentials")), false),
            ("no ARN", with("Resource", json!("dbuser:c/x")), false),
            ("a variable too far left", with("Resource", json!("arn:aws:redshift:${aws:region}:1:dbuser:c/x")), false),
            ("a name with a space", with("Sid", json!("a b")), false),
            ("two of one name", json!({ "Statement": [good, good] }), false),
            ("a letter outside of Latin 1", with("Resource", json!(format!("{arn}ł"))), false),
            ("too long", with("Resource", json!(vec![arn; 100])), false),
        ] {
            assert_eq!(check(&document.to_string(), MANAGED).is_ok(), taken, "{name}");
        }
        assert_eq!(check("{", MANAGED).unwrap_err().code, "MalformedPolicyDocument");
    }
}
