use serde_json::json;

use super::*;

const ALICE: &str = "arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/alice";
const ACTION: &str = "redshift:GetClusterCredentials";

fn context() -> Context {
    let pairs = [
        ("aws:username", "alice"),
        ("aws:userid", "AIDAALICE"),
        ("redshift:durationseconds", "900"),
        ("aws:currenttime", "2026-01-01T00:00:00Z"),
        ("aws:principaltag/team", "*"),
    ];
    pairs.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect()
}

fn verdict(version: &str, mut statement: Value) -> Decision {
    for (key, value) in [("Effect", "Allow"), ("Action", ACTION), ("Resource", "*")] {
        let overridden = statement.get(key).is_some() || statement.get(format!("Not{key}")).is_some();
        if !overridden {
            statement[key] = json!(value);
        }
    }
    decide(&[json!({ "Version": version, "Statement": [statement] })], ACTION, ALICE, &context())
}

#[test]
fn statements_match_as_the_user_guide_says() {
    let arn = |rest: &str| json!({ "Resource": format!("arn:aws:redshift:{rest}") });
    let cond = |operator: &str, key: &str, value: &str| json!({ "Condition": { operator: { key: value } } });
    let cases = [
        ("the exact resource", json!({ "Resource": ALICE }), true),
        ("another user", arn("us-east-1:111122223333:dbuser:analytics/bob"), false),
        ("a resource in another case", arn("us-east-1:111122223333:dbuser:analytics/Alice"), false),
        ("a star inside segments", arn("*:*:dbuser:*/alice"), true),
        ("a star never spans the first five segments", arn("*:dbuser:analytics/alice"), false),
        ("a star spans the slash", arn("us-east-1:111122223333:dbuser:*"), true),
        ("no wildcard in the service", json!({ "Resource": "arn:aws:*:*:*:*" }), false),
        ("an own-name variable", arn("*:*:dbuser:*/${aws:username}"), true),
        ("a variable without value", arn("*:*:dbuser:*/${aws:nothing}"), false),
        ("a default", arn("*:*:dbuser:*/${aws:nothing, 'alice'}"), true),
        ("a tag value's star is literal", arn("*:*:dbuser:*/${aws:PrincipalTag/team}"), false),
        ("an escaped star is literal", arn("*:*:dbuser:*/${*}"), false),
        ("an action in another case", json!({ "Action": "REDSHIFT:getcluster*" }), true),
        ("another action", json!({ "Action": "redshift:JoinGroup" }), false),
        ("NotAction of another", json!({ "NotAction": "redshift:JoinGroup" }), true),
        ("NotResource of this", json!({ "NotResource": ALICE }), false),
        ("StringEquals", cond("StringEquals", "AWS:UserName", "alice"), true),
        ("StringEquals takes no wildcard", cond("StringEquals", "aws:username", "al*"), false),
        ("StringLike", cond("StringLike", "aws:username", "al*"), true),
        ("absent key, positive", cond("StringEquals", "aws:none", "x"), false),
        ("absent key, negated", cond("StringNotEquals", "aws:none", "x"), true),
        ("absent key, IfExists", cond("BoolIfExists", "aws:none", "false"), true),
        ("Null of an absent key", cond("Null", "aws:none", "true"), true),
        ("a duration within the bound", cond("NumericLessThanEquals", "redshift:DurationSeconds", "900"), true),
        ("a duration over the bound", cond("NumericLessThan", "redshift:DurationSeconds", "900"), false),
        ("a date that has passed", cond("DateLessThan", "aws:CurrentTime", "2025-01-01T00:00:00Z"), false),
        ("an unknown operator", cond("StringSounds", "aws:username", "alice"), false),
        ("ForAllValues of an absent key", cond("ForAllValues:StringEquals", "aws:none", "x"), true),
        ("ForAnyValue of an absent key", cond("ForAnyValue:StringEquals", "aws:none", "x"), false),
    ];
    for (name, statement, allowed) in cases {
        assert_eq!(verdict("2012-10-17", statement) == Decision::Allowed, allowed, "{name}");
    }
}

#[test]
fn old_versions_take_variables_as_text() {
    let statement = json!({ "Resource": "arn:aws:redshift:*:*:dbuser:*/${aws:username}" });
    assert_eq!(verdict("2008-10-17", statement), Decision::ImplicitlyDenied);
}

#[test]
fn a_deny_beats_every_allow() {
    let allow = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
    let deny = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "redshift:*", "Resource": ALICE } });
    assert_eq!(decide(&[deny, allow], ACTION, ALICE, &context()), Decision::ExplicitlyDenied);
}

proptest::proptest! {
    #[test]
    fn any_policy_text_is_evaluated_without_panic(pattern in ".{0,40}", text in ".{0,40}") {
        if let Some(pieces) = expand(&pattern, &context(), true) {
            let _ = pattern::matches(&pieces, &text);
            let _ = matches_arn(&pieces, &text);
        }
        proptest::prop_assert!(matches_text("*", &text));
    }
}
