//! The `Condition` block (IAM User Guide, "IAM JSON policy elements: Condition operators").

use serde_json::Value;

use super::pattern::{Piece, expand, matches, matches_arn};
use super::{Context, strings};

#[derive(Clone, Copy, PartialEq)]
enum Set {
    AllValues,
    AnyValue,
    Single,
}

/// Whether every operator and key of the block holds. A malformed block never holds.
pub(super) fn holds(block: &Value, context: &Context, variables: bool) -> bool {
    match block {
        Value::Null => true,
        Value::Object(operators) => operators.iter().all(|(operator, keys)| {
            keys.as_object().is_some_and(|keys| {
                keys.iter().all(|(key, wanted)| test(operator, &key.to_ascii_lowercase(), &strings(wanted), context, variables))
            })
        }),
        _ => false,
    }
}

fn test(operator: &str, key: &str, wanted: &[String], context: &Context, variables: bool) -> bool {
    let (set, operator) = match operator.split_once(':') {
        Some(("ForAllValues", rest)) => (Set::AllValues, rest),
        Some(("ForAnyValue", rest)) => (Set::AnyValue, rest),
        Some(_) => return false,
        None => (Set::Single, operator),
    };
    let actual = context.get(key).map(Vec::as_slice).unwrap_or_default();
    if operator == "Null" {
        return wanted.iter().any(|it| (it == "true") == actual.is_empty());
    }
    let (operator, if_exists) = operator.strip_suffix("IfExists").map_or((operator, false), |it| (it, true));
    let (base, negated) = match operator {
        "StringNotEquals" => ("StringEquals", true),
        "StringNotEqualsIgnoreCase" => ("StringEqualsIgnoreCase", true),
        "StringNotLike" => ("StringLike", true),
        "ArnNotEquals" | "ArnNotLike" => ("ArnLike", true),
        "ArnEquals" => ("ArnLike", false),
        "NumericNotEquals" => ("NumericEquals", true),
        "DateNotEquals" => ("DateEquals", true),
        other => (other, false),
    };
    if actual.is_empty() {
        return if_exists || set == Set::AllValues || (negated && set == Set::Single);
    }
    let fits = |value: &String| wanted.iter().any(|it| compare(base, it, value, context, variables)) != negated;
    match set {
        Set::AllValues => actual.iter().all(fits),
        Set::AnyValue | Set::Single => actual.iter().any(fits),
    }
}

fn compare(operator: &str, wanted: &str, actual: &str, context: &Context, variables: bool) -> bool {
    if let Some(how) = operator.strip_prefix("Numeric") {
        return order(how, wanted.parse::<f64>().ok(), actual.parse::<f64>().ok());
    }
    if let Some(how) = operator.strip_prefix("Date") {
        return order(how, seconds(wanted), seconds(actual));
    }
    let Some(pattern) = expand(wanted, context, variables) else { return false };
    match operator {
        "StringEquals" => plain(&pattern) == actual,
        "StringEqualsIgnoreCase" => plain(&pattern).eq_ignore_ascii_case(actual),
        "Bool" => plain(&pattern).eq_ignore_ascii_case(actual),
        "StringLike" => matches(&pattern, actual),
        "ArnLike" => matches_arn(&pattern, actual),
        _ => false,
    }
}

fn order<T: PartialOrd>(how: &str, wanted: Option<T>, actual: Option<T>) -> bool {
    let (Some(wanted), Some(actual)) = (wanted, actual) else { return false };
    match how {
        "Equals" => actual == wanted,
        "LessThan" => actual < wanted,
        "LessThanEquals" => actual <= wanted,
        "GreaterThan" => actual > wanted,
        "GreaterThanEquals" => actual >= wanted,
        _ => false,
    }
}

/// RFC 3339 or epoch seconds.
fn seconds(text: &str) -> Option<f64> {
    let parsed = humantime::parse_rfc3339_weak(text).ok();
    let since = parsed.and_then(|it| it.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    since.map(|it| it.as_secs_f64()).or_else(|| text.parse().ok())
}

/// `StringEquals` takes `*` as a star.
fn plain(pattern: &[Piece]) -> String {
    let letter = |it: &Piece| match it {
        Piece::Any => '*',
        Piece::Literal(letter) => *letter,
        Piece::One => '?',
    };
    pattern.iter().map(letter).collect()
}
