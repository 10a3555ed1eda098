//! Every command line that help, documents and examples show is one that can be typed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;

use super::*;

#[test]
fn every_command_has_an_example_of_itself() {
    let mut commands = 0;
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name}: no examples")).1;
        let examples = examples.split("\n\n").next().unwrap_or_default();
        assert!(examples.starts_with(&format!("  shiftkey {name}")), "{name}: {examples}");
        let found: usize = examples.lines().map(|line| typed(line).iter().map(|words| check(words, name)).count()).sum();
        assert!(found >= examples.lines().count(), "{name}: {examples}");
        commands += 1;
    }
    assert!(commands >= 12, "{commands}");
    let whole = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
    whole.lines().flat_map(typed).for_each(|words| check(&words, "the whole"));
}

#[test]
fn every_command_line_in_the_documents_can_be_typed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = 0;
    for path in documents(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let markdown = path.extension().is_some_and(|extension| extension == "md");
        for line in if markdown { shown(&text) } else { commented(&text) } {
            for words in typed(&line) {
                check(&words, &path.display().to_string());
                found += 1;
            }
        }
    }
    assert!(found >= 20, "only {found} command lines were found");
}

#[test]
fn command_lines_are_found_where_a_shell_would() {
    for (line, expected) in [
        ("shiftkey whoami   # who", vec!["shiftkey whoami"]),
        ("$ shiftkey whoami && shiftkey targets", vec!["shiftkey whoami", "shiftkey targets"]),
        ("eval \"$(shiftkey url a --format env)\"", vec!["shiftkey url a --format env"]),
        ("X=1 shiftkey exec a -- psql -c 'select 1; shiftkey'", vec!["shiftkey exec a -- psql -c select 1; shiftkey"]),
        ("shiftkey sandbox -- shiftkey creds a", vec!["shiftkey sandbox -- shiftkey creds a", "shiftkey creds a"]),
        ("shiftkey creds a --json | jq -r .x > shiftkey", vec!["shiftkey creds a --json"]),
        ("the shiftkey binary", vec![]),
        ("shiftkey: prod/a: no such target", vec![]),
    ] {
        let found: Vec<String> = typed(line).iter().map(|words| words.join(" ")).collect();
        assert_eq!(found, expected, "{line}");
    }
    assert_eq!(shown("a `shiftkey x` b\n```sh\nshiftkey y \\\n  z\n```\n"), ["shiftkey x", "shiftkey y   z"]);
    assert_eq!(commented("# shiftkey x\n#   shiftkey y\nz = 1 # shiftkey w\n"), ["shiftkey x", "shiftkey y", "z = 1 # shiftkey w"]);
}

#[test]
fn a_commands_own_options_stand_under_their_own_heading() {
    // Options of a command are built when it is run.
    let mut whole = Cli::command();
    whole.build();
    for (name, own) in [("connect", "client"), ("exec", "direct"), ("url", "format"), ("url", "via_proxy")] {
        let command = whole.find_subcommand(name).unwrap();
        let argument = command.get_arguments().find(|argument| argument.get_id() == own).unwrap();
        assert_eq!(argument.get_help_heading(), None, "{name} {own}");
    }
}

/// What people read: Markdown at the top and in docs, and all examples.
fn documents(root: &Path) -> Vec<PathBuf> {
    let entries = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = [root.to_owned(), root.join("docs")].into_iter().flat_map(entries).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut rest: Vec<PathBuf> = entries(root.join("examples")).collect();
    while let Some(path) = rest.pop() {
        if path.is_dir() { rest.extend(entries(path)) } else { found.push(path) }
    }
    found
}

/// The code of a Markdown text: lines of fences, joined where a backslash says so, and spans.
fn shown(text: &str) -> Vec<String> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for line in text.replace("\\\n", "").lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The lines of another file, without the mark of a comment.
fn commented(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_start_matches(['#', ' ']).to_owned()).collect()
}

/// The calls of shiftkey in one line of a shell: words without quotes. Enough of a shell for what documents show.
fn typed(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut outside = line.trim_start_matches("$ ").to_owned();
    while let Some(start) = outside.rfind("$(") {
        let Some(length) = outside[start..].find(')') else { break };
        found.extend(typed(&outside[start + 2..start + length]));
        outside.replace_range(start..=start + length, "substituted");
    }
    for words in commands(&outside) {
        let words = words.iter().skip_while(|word| word.contains('=') && !word.starts_with('-')).cloned().collect::<Vec<_>>();
        if words.first().is_some_and(|word| word == "shiftkey") && words.len() > 1 {
            if let Some(inner) = words.iter().position(|word| word == "--").map(|at| words[at + 1..].to_vec())
                && inner.first().is_some_and(|word| word == "shiftkey")
            {
                found.push(words);
                found.push(inner);
            } else {
                found.push(words);
            }
        }
    }
    found
}

/// The words of each simple command in a line.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None::<char>);
    for char in line.chars() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '>' | '<') => {
                let last = commands.last_mut().expect("there is always one");
                last.extend(word.take());
                if char != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    commands.last_mut().expect("there is always one").extend(word);
    commands
}

#[track_caller]
fn check(words: &[String], place: &str) {
    if let Err(error) = Cli::try_parse_from(words) {
        let asked = matches!(error.kind(), clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion);
        assert!(asked, "{place}: {}: {error}", words.join(" "));
    }
}
