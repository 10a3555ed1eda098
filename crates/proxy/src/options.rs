//! `options` of a startup message: a command line for the server, which may set what else stands in parameters of its own
//! (libpq's documentation, `options`; postgres(1), `-c name=value` and `--name=value`).

/// What becomes of a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It passes as it is.
    Kept,
    /// It passes with this value.
    Changed(Vec<u8>),
    /// It does not pass.
    Dropped,
}

/// The same command line with `fate` (of a name in small letters and a value) done to its settings. What is no setting, and all of it
/// when nothing changes, is left byte for byte.
pub(crate) fn with(line: &[u8], fate: impl Fn(&str, &[u8]) -> Fate) -> Vec<u8> {
    let words = words(line);
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut changed = false;
    let mut rest = words.into_iter();
    while let Some(word) = rest.next() {
        // Flag and setting stand in one word or in two.
        let (flag, setting) = match word {
            b"-c" => match rest.next() {
                Some(setting) => (&b"-c "[..], setting),
                None => (&b""[..], word),
            },
            _ => word.split_at(if word.starts_with(b"-c") || word.starts_with(b"--") { 2 } else { 0 }),
        };
        let equals = setting.iter().position(|byte| *byte == b'=').filter(|_| !flag.is_empty());
        let judged = equals.map_or(Fate::Kept, |equals| {
            let name = String::from_utf8_lossy(&setting[..equals]).to_ascii_lowercase().replace('-', "_");
            fate(&name, &setting[equals + 1..])
        });
        let value = match judged {
            Fate::Kept => setting.to_vec(),
            Fate::Changed(value) => [&setting[..=equals.unwrap_or_default()], &value].concat(),
            Fate::Dropped => {
                changed = true;
                continue;
            }
        };
        changed |= value != setting;
        kept.push([flag, &value].concat());
    }
    if changed { kept.join(&b" "[..]) } else { line.to_vec() }
}

/// Words apart by white space that no backslash precedes (PostgreSQL's `pg_split_opts`), as they stand.
fn words(line: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let (mut start, mut escaped) = (None, false);
    for (place, byte) in line.iter().enumerate() {
        if byte.is_ascii_whitespace() && !escaped {
            words.extend(start.take().map(|start| &line[start..place]));
        } else {
            start.get_or_insert(place);
        }
        escaped = *byte == b'\\' && !escaped;
    }
    words.extend(start.map(|start| &line[start..]));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fate(name: &str, value: &[u8]) -> Fate {
        match name {
            "refused_setting" => Fate::Dropped,
            "bounded" if value != b"2" => Fate::Changed(b"2".to_vec()),
            _ => Fate::Kept,
        }
    }

    #[test]
    fn settings_are_found_however_they_are_written() {
        for (line, expected) in [
            ("", ""),
            ("  -c  x=1 ", "  -c  x=1 "),
            ("-c refused_setting=on", ""),
            ("-crefused_setting=on -c x=1", "-c x=1"),
            ("--Refused-Setting=on --x=1", "--x=1"),
            ("-c x=1 -c bounded=3 -d 5", "-c x=1 -c bounded=2 -d 5"),
            ("--bounded=3", "--bounded=2"),
            ("-c bounded=2  -c x=1", "-c bounded=2  -c x=1"),
            ("-c x=a\\ -c\\ refused_setting=1", "-c x=a\\ -c\\ refused_setting=1"),
            ("-c x=\\\\ -c refused_setting=1", "-c x=\\\\"),
            ("refused_setting=on -c", "refused_setting=on -c"),
            ("-c refused_setting", "-c refused_setting"),
        ] {
            assert_eq!(String::from_utf8(with(line.as_bytes(), fate)).unwrap(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_when_nothing_is_set(line in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(with(&line, |_, _| Fate::Kept), line);
        }
    }
}
