use proptest::prelude::*;
use serde_json::json;

use super::{text::fits, *};

const ALICE: &str = "arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/alice";
const ACTION: &str = "redshift:GetClusterCredentials";

fn known() -> Vec<(String, Vec<String>)> {
    [("aws:username", "alice"), ("aws:PrincipalTag/team", "*")].map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).to_vec()
}

fn judged(statements: &Value, context: &Context) -> Judgement {
    evaluate(&[json!({ "Version": "2012-10-17", "Statement": statements })], ACTION, ALICE, context)
}

/// What is not known decides only where it matters. (The rest of the language is held against the sandbox's evaluator.)
#[test]
fn what_is_not_known_is_said_and_only_where_it_matters() {
    let allow = |condition: Value| json!({ "Effect": "Allow", "Action": ACTION, "Resource": ALICE, "Condition": condition });
    let mfa = json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } });
    let without = json!({ "BoolIfExists": { "aws:MultiFactorAuthPresent": "false" } });
    let deny = |condition: Value| json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition });
    let elsewhere = json!({ "Effect": "Allow", "Action": ACTION, "Resource": "arn:aws:redshift:*:*:dbuser:*/bob", "Condition": mfa });
    let both = json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" }, "StringEquals": { "aws:username": "bob" } });
    let tagged = json!({ "Effect": "Allow", "Action": ACTION, "Resource": "arn:aws:redshift:*:*:dbuser:*/${aws:PrincipalTag/x}" });
    for (name, statements, expected) in [
        ("an allow that may hold", json!([allow(mfa.clone())]), Decision::Unknown),
        ("an allow that holds beside it", json!([allow(mfa.clone()), allow(json!({}))]), Decision::Allowed),
        ("a deny that may strike", json!([allow(json!({})), deny(without.clone())]), Decision::Unknown),
        ("a deny that may strike what is not allowed", json!([deny(without)]), Decision::ImplicitlyDenied),
        ("an unknown key of another resource", json!([elsewhere]), Decision::ImplicitlyDenied),
        ("a condition that fails anyway", json!([allow(both)]), Decision::ImplicitlyDenied),
        ("a variable that is not known", json!([tagged]), Decision::Unknown),
        ("a deny that strikes for sure", json!([allow(mfa), deny(json!({}))]), Decision::ExplicitlyDenied),
    ] {
        assert_eq!(judged(&statements, &Context::partial(known())).decision, expected, "{name}");
    }
}

#[test]
fn the_deciding_statements_and_the_missing_keys_are_named() {
    let mfa =
        json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } } });
    let found = judged(&json!([mfa]), &Context::partial(known()));
    assert_eq!(found.unknown.into_iter().collect::<Vec<_>>(), ["aws:MultiFactorAuthPresent"]);
    let plain = json!({ "Effect": "Allow", "Action": "redshift:Get*", "Resource": "*" });
    let found = judged(&json!([{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }, plain]), &Context::partial(known()));
    assert_eq!((found.decision, found.by), (Decision::Allowed, vec![(0, 1)]));
    let found = judged(
        &json!([plain, mfa, { "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": { "Bool": { "x:y": "true" } } }]),
        &Context::partial(known()),
    );
    assert_eq!((found.decision, found.by, found.perhaps), (Decision::Unknown, vec![(0, 0)], vec![(0, 1)]));
    let absent = Context::partial([("aws:MultiFactorAuthPresent".to_owned(), Vec::new())]);
    assert_eq!(judged(&json!([mfa]), &absent).decision, Decision::ImplicitlyDenied, "known to be absent");
}

#[test]
fn one_pattern_covers_another() {
    for (wide, narrow, expected) in
        [("*", "a*b?", true), ("a*", "a?", true), ("a?", "a*", false), ("a*c", "abc", true), ("a", "a*", false), ("*/x", "*/*", false)]
    {
        assert_eq!(covers(&parts(wide), &parts(narrow)), expected, "{wide} {narrow}");
    }
}

proptest! {
    /// The fast way and the thorough one.
    #[test]
    fn a_pattern_fits_a_text_as_it_covers_it(pattern in "[ab*?]{0,8}", text in "[ab*]{0,8}") {
        let letters: Vec<Part> = text.chars().map(Part::Letter).collect();
        prop_assert_eq!(fits(&parts(&pattern), &text), covers(&parts(&pattern), &letters));
    }
}
