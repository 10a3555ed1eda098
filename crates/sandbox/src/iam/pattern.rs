//! Wildcards and policy variables (IAM User Guide, "IAM policy elements: Variables and tags").

use super::Context;

/// A literal `*`, `?` or `$` that came from `${*}` and so on, or from a variable's value, must not act as a wildcard:
/// pattern text is a list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Any,
    Literal(char),
    One,
}

/// Reads a pattern and fills its variables in. `None` when a variable has no value: the statement then does not match.
pub(super) fn expand(pattern: &str, context: &Context, variables: bool) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        if let Some((inside, after)) = rest.strip_prefix("${").filter(|_| variables).and_then(|it| it.split_once('}')) {
            pieces.extend(variable(inside, context)?.chars().map(Piece::Literal));
            rest = after;
            continue;
        }
        pieces.push(wildcard(next));
        rest = &rest[next.len_utf8()..];
    }
    Some(pieces)
}

/// Matches a whole text; case matters.
pub(super) fn matches(pattern: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(Piece::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Piece::One) => (p, t) = (p + 1, t + 1),
            Some(Piece::Literal(it)) if *it == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|it| *it == Piece::Any)
}

/// `*` and `?` only, no variables.
pub(crate) fn matches_text(pattern: &str, text: &str) -> bool {
    let pieces: Vec<Piece> = pattern.chars().map(wildcard).collect();
    matches(&pieces, text)
}

/// Segment by segment, so that `*` in one of the first five never swallows a colon; the service takes no wildcard.
pub(super) fn matches_arn(pattern: &[Piece], arn: &str) -> bool {
    if pattern == [Piece::Any] {
        return true;
    }
    let patterns: Vec<&[Piece]> = pattern.splitn(6, |it| *it == Piece::Literal(':')).collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let wild_service = patterns.get(2).is_some_and(|it| it.iter().any(|piece| !matches!(piece, Piece::Literal(_))));
    patterns.len() == 6 && parts.len() == 6 && !wild_service && patterns.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
}

fn wildcard(it: char) -> Piece {
    match it {
        '*' => Piece::Any,
        '?' => Piece::One,
        other => Piece::Literal(other),
    }
}

/// `key`, `key, 'default'`, or one of the three escapes.
fn variable(inside: &str, context: &Context) -> Option<String> {
    if matches!(inside, "*" | "?" | "$") {
        return Some(inside.to_owned());
    }
    let (key, default) = match inside.split_once(',') {
        Some((key, default)) => (key, default.trim().strip_prefix('\'').and_then(|it| it.strip_suffix('\''))),
        None => (inside, None),
    };
    match context.get(&key.trim().to_ascii_lowercase()).map(Vec::as_slice) {
        Some([value]) => Some(value.clone()),
        Some(_) => None, // a key with many values cannot be a variable
        None => default.map(str::to_owned),
    }
}
