//! Wildcards and variables (IAM User Guide, "IAM policy elements: Variables and tags").

use super::{Context, Unknown};

/// A piece of a pattern. What comes from a variable is a letter, whatever it looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::policy) enum Part {
    Letter(char),
    Many,
    One,
}

/// A text's wildcards and letters.
pub(in crate::policy) fn parts(text: &str) -> Vec<Part> {
    let part = |char| match char {
        '*' => Part::Many,
        '?' => Part::One,
        letter => Part::Letter(letter),
    };
    text.chars().map(part).collect()
}

/// A pattern with its variables filled in. `Ok(None)` when one has no value, so that nothing fits.
pub(super) fn fill(text: &str, context: &Context, variables: bool) -> Result<Option<Vec<Part>>, Unknown> {
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some((before, inside, after)) = variable(rest).filter(|_| variables) {
        filled.extend(parts(before));
        let Some(value) = value(inside, context)? else { return Ok(None) };
        filled.extend(value.chars().map(Part::Letter));
        rest = after;
    }
    filled.extend(parts(rest));
    Ok(Some(filled))
}

/// Whether a text has a variable in it (and not just an escaped letter).
pub(in crate::policy) fn is_variable(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, inside, after)) = variable(rest) {
        if !matches!(inside, "*" | "?" | "$") {
            return true;
        }
        rest = after;
    }
    false
}

/// What stands before the first `${...}`, in it and after it.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (inside, after) = rest.split_once('}')?;
    Some((before, inside, after))
}

fn value(inside: &str, context: &Context) -> Result<Option<String>, Unknown> {
    if matches!(inside, "*" | "?" | "$") {
        return Ok(Some(inside.to_owned()));
    }
    let (key, default) = inside.split_once(',').unwrap_or((inside, ""));
    match context.get(key.trim())? {
        [] => Ok(default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).map(str::to_owned)),
        [only] => Ok(Some(only.clone())),
        // Of many values none can be chosen.
        _ => Ok(None),
    }
}

/// Whether a pattern is the whole of a text.
pub(super) fn fits(pattern: &[Part], text: &str) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    // What follows the last `*`, and from where on it was tried.
    let mut star = None;
    loop {
        let mut ahead = rest.clone();
        match (pattern.get(at), ahead.next()) {
            (None, None) => return true,
            (Some(Part::Many), _) => {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            (Some(Part::One), Some(_)) => {}
            (Some(Part::Letter(wanted)), Some(letter)) if *wanted == letter => {}
            _ => {
                let Some((after, from)) = &mut star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (at, rest) = (*after, from.clone());
                continue;
            }
        }
        (at, rest) = (at + 1, ahead);
    }
}

/// Whether one pattern fits all that another one fits. (`*` of the second is taken for a letter that only `*` stands for.)
pub(in crate::policy) fn covers(wide: &[Part], narrow: &[Part]) -> bool {
    // Row by row over `wide`: which beginnings of `narrow` fit what was read of it.
    let mut reached = vec![false; narrow.len() + 1];
    reached[0] = true;
    for part in wide {
        let mut next = vec![false; narrow.len() + 1];
        for at in 0..=narrow.len() {
            next[at] = match part {
                Part::Many => reached[at] || (at > 0 && next[at - 1]),
                Part::One => at > 0 && reached[at - 1] && narrow[at - 1] != Part::Many,
                Part::Letter(_) => at > 0 && reached[at - 1] && narrow[at - 1] == *part,
            };
        }
        reached = next;
    }
    reached[narrow.len()]
}

/// Whether an ARN's pattern fits an ARN: part by part, so that no `*` of the first five reaches over a colon. The service takes no
/// wildcard. A lone `*` is everything.
pub(super) fn arn_fits(pattern: &Option<Vec<Part>>, arn: &str) -> bool {
    let Some(pattern) = pattern else { return false };
    if pattern[..] == [Part::Many] {
        return true;
    }
    let pattern: Vec<&[Part]> = pattern.splitn(6, |part| *part == Part::Letter(':')).collect();
    let arn: Vec<&str> = arn.splitn(6, ':').collect();
    pattern.len() == 6
        && arn.len() == 6
        && pattern[2].iter().all(|part| matches!(part, Part::Letter(_)))
        && pattern.iter().zip(arn).all(|(pattern, part)| fits(pattern, part))
}
