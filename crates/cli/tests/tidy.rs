//! The laws of ARCHITECTURE.md that neither the compiler nor clippy can check, read from the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What each crate may depend on, of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("shiftkey", &["shiftkey-wire"]),
    ("audit", &["shiftkey", "shiftkey-wire"]),
    ("proxy", &["shiftkey", "shiftkey-wire"]),
    ("sandbox", &["shiftkey-wire"]),
    ("cli", &["shiftkey", "shiftkey-audit", "shiftkey-proxy", "shiftkey-sandbox"]),
];

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    for (name, allowed) in ARROWS {
        let manifest = read(&root().join("crates").join(name).join("Cargo.toml"));
        for dependency in section(&manifest, "[dependencies]").filter(|dependency| dependency.starts_with("shiftkey")) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    assert_eq!(fs::read_dir(root().join("crates")).unwrap().count(), ARROWS.len(), "a crate without arrows");
    let wheel = read(&root().join("python/Cargo.toml"));
    let ours: Vec<_> = section(&wheel, "[dependencies]").filter(|dependency| dependency.starts_with("shiftkey")).collect();
    assert_eq!(ours, ["shiftkey"]);
}

/// The library's modules in a line: each may use what stands before it. (`dsn` and `policy` stand beside.)
const LINE: [&str; 15] = [
    "error",
    "secret",
    "env",
    "clock",
    "observe",
    "backoff",
    "trust",
    "shared",
    "target",
    "credential",
    "identity",
    "issue",
    "discover",
    "cache",
    "dial",
];

#[test]
fn modules_of_the_library_use_only_what_stands_before_them() {
    let place = |module: &str| LINE.iter().position(|name| *name == module);
    let src = root().join("crates/shiftkey/src");
    let mut edges = 0;
    for (path, text) in product_sources("shiftkey") {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let Some(user) = place(first.trim_end_matches(".rs")) else { continue };
        for used in used_modules(&text).iter().filter_map(|module| place(module)) {
            assert!(used <= user, "{} uses {}, which stands after it", path.display(), LINE[used]);
            edges += usize::from(used < user);
        }
    }
    assert!(edges > 50, "the sources are not read as they are written any more: {edges}");
}

/// What follows `crate::`, in paths and in lists as rustfmt writes them.
fn used_modules(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => found.push(rest),
            Some(list) if list.starts_with('\n') => {
                let lines = list.lines().skip(1).take_while(|line| !line.starts_with('}'));
                found.extend(lines.filter(|line| line.starts_with("    ") && !line.starts_with("     ")).map(str::trim_start));
            }
            Some(list) => found.extend(list.split_once("};").map_or(list, |(list, _)| list).split(", ")),
        }
    }
    let word = |text: &'_ str| text.find(|char: char| !char.is_ascii_lowercase() && char != '_').unwrap_or(text.len());
    found.into_iter().map(|text| &text[..word(text)]).collect()
}

#[test]
fn wire_depends_on_nothing_that_does_io() {
    let manifest = read(&root().join("crates/wire/Cargo.toml"));
    for dependency in section(&manifest, "[dependencies]") {
        assert!(!["tokio", "rustls", "rand", "getrandom", "mio", "futures"].contains(&dependency), "wire depends on {dependency}");
    }
    for (path, text) in product_sources("wire") {
        for word in ["std::net", "std::fs", "std::io", "std::time", "std::env"] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn aws_sdk_crates_are_named_only_where_aws_is_called() {
    for (name, _) in ARROWS {
        for (path, text) in product_sources(name) {
            let place = path.strip_prefix(root().join("crates")).unwrap().to_string_lossy().into_owned();
            let allowed = ["shiftkey/src/identity", "shiftkey/src/issue", "shiftkey/src/discover", "shiftkey/src/policy/iam"];
            if !allowed.iter().any(|prefix| place.starts_with(prefix)) {
                assert!(
                    !["aws_sdk_", "aws_config", "aws_runtime", "aws_smithy_"].iter().any(|word| text.contains(word)),
                    "{place} names the AWS SDK"
                );
            }
        }
    }
}

/// The verbs of SQL that change something.
const CHANGING: [&str; 9] = ["ALTER", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "REVOKE", "TRUNCATE", "UPDATE"];
const OBJECTS: [&str; 6] = ["from", "group", "into", "role", "table", "user"];

#[test]
fn sql_that_changes_anything_stands_in_one_file() {
    let mut found = 0;
    for name in ["shiftkey", "proxy", "audit", "cli"] {
        for (path, text) in product_sources(name) {
            let changes = path.ends_with("audit/src/changes.rs");
            for literal in text.split('"').skip(1).step_by(2) {
                let mut words = literal.split_whitespace();
                let (verb, object) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let known = CHANGING.iter().any(|word| verb.eq_ignore_ascii_case(word));
                // In lower case the same words begin sentences.
                let sql = verb == verb.to_ascii_uppercase() || OBJECTS.iter().any(|word| object.eq_ignore_ascii_case(word));
                if known && sql {
                    assert!(changes, "{} holds {literal:?}", path.display());
                    found += 1;
                }
            }
            // Whoever could make a query could send any text.
            assert!(path.ends_with("audit/src/session.rs") || !text.contains("Frontend::Query("), "{} sends SQL", path.display());
            assert!(changes || !text.contains("Change(Secret"), "{} makes a change", path.display());
        }
    }
    assert!(found >= 3, "the texts are not written as they were: {found}");
    let queries = read(&root().join("crates/audit/src/queries.rs"));
    for text in queries.split("Query(").skip(2).filter_map(|rest| rest.split('"').nth(1)) {
        assert!(text.starts_with("select "), "{text}");
    }
}

#[test]
fn secrets_are_neither_displayed_nor_serialised() {
    for (path, text) in product_sources("shiftkey") {
        for trait_name in ["Display", "Serialize"] {
            assert!(!text.contains(&format!("{trait_name} for Secret ")), "{}: a secret has no {trait_name}", path.display());
        }
        if let Some((before, _)) = text.split_once("struct Secret(").or_else(|| text.split_once("struct Secret {")) {
            let attributes: Vec<_> = before.lines().rev().take_while(|line| !line.is_empty()).collect();
            assert!(
                !attributes.iter().any(|line| line.starts_with("#[") && line.contains("Serialize")),
                "{}: a secret derives Serialize",
                path.display()
            );
        }
    }
}

#[test]
fn files_stay_under_500_lines() {
    for folder in ["crates", "python"] {
        for (path, text) in sources(&root().join(folder)) {
            assert!(text.lines().count() <= 500, "{} is too long", path.display());
        }
    }
}

#[test]
fn sources_name_no_place_of_one_machine() {
    for folder in ["crates", "python", "benches"] {
        for (path, text) in sources(&root().join(folder)) {
            // Put together here so that this file does not name them.
            for place in [["/work/", "main"], ["/work/", "shared"], ["/root/", "."]] {
                assert!(!text.contains(&place.concat()), "{} names {}", path.display(), place.concat());
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the sources are there")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the dependencies in one section of a manifest.
fn section<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().skip_while(move |line| *line != header).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty())
}

/// Rust files of a crate's `src`, without its unit tests.
fn product_sources(name: &str) -> Vec<(PathBuf, String)> {
    let mut found = sources(&root().join("crates").join(name).join("src"));
    found.retain(|(path, _)| !path.ends_with("tests.rs"));
    for (_, text) in &mut found {
        if let Some(tests) = text.find("#[cfg(test)]\nmod tests {") {
            text.truncate(tests);
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources are there").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| ["py", "pyi", "rs"].contains(&extension.to_string_lossy().as_ref())) {
            found.push((path.clone(), read(&path)));
        }
    }
    found
}
