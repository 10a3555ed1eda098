//! The `Condition` element (IAM User Guide, "IAM JSON policy elements: Condition operators").

use std::{cmp::Ordering, time::UNIX_EPOCH};

use serde_json::Value;

use super::{
    Context, Truth, all,
    text::{Part, arn_fits, fill, fits},
};

/// How a key of many values is tested.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Over {
    All,
    Any,
    One,
}

/// Whether every operator and key holds. One that is not known to IAM never does.
pub(super) fn holds(block: Option<&Value>, context: &Context, variables: bool) -> Truth {
    let Some(block) = block else { return Ok(true) };
    let Some(operators) = block.as_object() else { return Ok(false) };
    let tests = operators.iter().map(|(operator, keys)| match keys.as_object() {
        Some(keys) => all(keys.iter().map(|(key, wanted)| test(operator, key, &values(wanted), context, variables))),
        None => Ok(false),
    });
    all(tests)
}

/// Numbers and booleans may stand without quotes.
fn values(wanted: &Value) -> Vec<String> {
    super::list(wanted).iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}

fn test(operator: &str, key: &str, wanted: &[String], context: &Context, variables: bool) -> Truth {
    let actual = context.get(key)?;
    let (over, operator) = match operator.split_once(':') {
        None => (Over::One, operator),
        Some(("ForAllValues", rest)) => (Over::All, rest),
        Some(("ForAnyValue", rest)) => (Over::Any, rest),
        Some(_) => return Ok(false),
    };
    if operator == "Null" {
        return Ok(wanted.iter().any(|value| (value == "true") == actual.is_empty()));
    }
    let (operator, if_exists) = operator.strip_suffix("IfExists").map_or((operator, false), |rest| (rest, true));
    // `StringNotEquals` is `StringEquals` that must not hold, and so on.
    let negated = operator.contains("Not");
    let positive = operator.replacen("Not", "", 1);
    if actual.is_empty() {
        return Ok(if_exists || over == Over::All || (negated && over == Over::One));
    }
    let mut fitting = Vec::new();
    for value in actual {
        let mut found = false;
        for it in wanted {
            found |= compare(&positive, it, value, context, variables)?;
        }
        fitting.push(found != negated);
    }
    Ok(match over {
        Over::All => fitting.iter().all(|fits| *fits),
        Over::Any | Over::One => fitting.contains(&true),
    })
}

fn compare(operator: &str, wanted: &str, actual: &str, context: &Context, variables: bool) -> Truth {
    if let Some(order) = operator.strip_prefix("Numeric") {
        return Ok(ordered(order, number(wanted), number(actual)));
    }
    if let Some(order) = operator.strip_prefix("Date") {
        return Ok(ordered(order, instant(wanted), instant(actual)));
    }
    let Some(filled) = fill(wanted, context, variables)? else { return Ok(false) };
    let letters = || -> String {
        let letter = |part: &Part| match part {
            Part::Letter(char) => *char,
            Part::Many => '*',
            Part::One => '?',
        };
        filled.iter().map(letter).collect()
    };
    Ok(match operator {
        "StringEquals" => letters() == actual,
        "StringEqualsIgnoreCase" | "Bool" => letters().eq_ignore_ascii_case(actual),
        "StringLike" => fits(&filled, actual),
        "ArnLike" | "ArnEquals" => arn_fits(&Some(filled), actual),
        _ => false,
    })
}

fn ordered(order: &str, wanted: Option<f64>, actual: Option<f64>) -> bool {
    let Some(found) = wanted.and_then(|wanted| actual?.partial_cmp(&wanted)) else { return false };
    match order {
        "Equals" => found == Ordering::Equal,
        "LessThan" => found == Ordering::Less,
        "LessThanEquals" => found != Ordering::Greater,
        "GreaterThan" => found == Ordering::Greater,
        "GreaterThanEquals" => found != Ordering::Less,
        _ => false,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// RFC 3339, or seconds since 1970.
fn instant(text: &str) -> Option<f64> {
    let time = humantime::parse_rfc3339_weak(text).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64()).or_else(|| number(text))
}
