//! What docs and examples say, held against the binary and the library.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;
use shiftkey::{ErrorKind, target::host::HostName};
use shiftkey_sandbox::{engine::Engine, seed::analytics};

use crate::harness::{Own, Test};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_example_configuration_has_no_mistakes_and_every_key() {
    let text = read("examples/config.toml");
    Test::bare().file(".config/shiftkey/config.toml", &text).args(["config", "--check"]).run().success().err("targets: 7");
    let said: BTreeSet<&str> = text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()).collect();
    for key in keys() {
        // The one key of which a good example would be a bad example.
        assert!(said.contains(key.as_str()) || ["endpoint_url", "ca_file"].contains(&key.as_str()), "{key} is not shown");
    }
}

#[test]
fn the_document_explains_every_key() {
    let text = read("docs/configuration.md");
    for key in keys() {
        assert!(text.contains(&format!("`{key}`")), "{key} is not explained");
    }
}

#[test]
fn configurations_in_documents_have_no_mistakes() {
    let mut found = 0;
    for name in ["README.md", "docs/configuration.md", "docs/identity.md"] {
        for block in read(name).split("```toml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            Test::bare().file("own.toml", block).args(["config", "--check", "--config", "own.toml"]).run().success();
            found += 1;
        }
    }
    assert!(found > 0);
}

#[test]
fn the_document_for_rust_knows_every_kind_of_error_and_every_example() {
    let text = read("docs/rust.md");
    let rows: Vec<_> =
        text.split_once("| may pass by itself |\n|---|---|---|\n").unwrap().1.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), ErrorKind::ALL.len());
    for (row, kind) in rows.iter().zip(ErrorKind::ALL) {
        let ending = if kind.is_transient() { "| yes |" } else { "| no |" };
        assert!(row.starts_with(&format!("| `{kind:?}` |")) && row.ends_with(ending), "{kind:?}: {row}");
    }
    for link in text.split("](../").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(!read(link).is_empty());
    }
    assert!(text.matches("](../crates/shiftkey/examples/").count() == 3);
}

/// All keys of the grammar, as the binary tells them to somebody who has mistyped one beyond recognition.
fn keys() -> BTreeSet<String> {
    let wrong = "[defaults]\nzzzzzzzzzzzzzzzzz = 1\n[environments.a]\nzzzzzzzzzzzzzzzzz = 1\n[targets.\"a/b\"]\nzzzzzzzzzzzzzzzzz = 1\n";
    let json = Test::bare().file("shiftkey.toml", wrong).args(["config", "--check", "--json"]).run().status(2).json();
    let hints = json["mistakes"].as_array().unwrap().iter().filter_map(|mistake| mistake["hint"].as_str()?.strip_prefix("keys: "));
    let keys: BTreeSet<String> = hints.flat_map(|hint| hint.split(", ")).map(str::to_owned).collect();
    assert!(keys.len() >= 16, "{keys:?}");
    keys
}

#[test]
fn host_names_are_read_as_the_document_says() {
    let text = read("docs/configuration.md");
    let rows = text.split_once("| host | read as |\n|---|---|\n").unwrap().1.lines().take_while(|line| line.starts_with('|'));
    let mut found = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let expected = match HostName::parse(cells[0].trim_matches('`')) {
            HostName::Cluster { id, region } => format!("cluster {id} in {region}"),
            HostName::Workgroup { name, region } => format!("workgroup {name} in {region}"),
            HostName::Nameless { region, serverless } => {
                let what = if serverless { "workgroup" } else { "cluster or workgroup" };
                format!("nothing but {}: name the {what}", region.unwrap())
            }
            HostName::Foreign => "a custom domain: AWS is asked which cluster it belongs to".to_owned(),
        };
        assert_eq!(cells[1], expected, "{row}");
        found += 1;
    }
    assert!(found >= 10, "{found}");
}

#[test]
fn the_document_shows_each_rule_of_lint_as_it_is() {
    let text = read("docs/policy.md");
    let rows: Vec<&str> = text
        .split_once("| rule | severity | finds |\n|---|---|---|\n")
        .unwrap()
        .1
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    let rules: Vec<String> =
        shiftkey::policy::lint::RULES.iter().map(|it| format!("| `{}` | {} | {} |", it.name, it.severity.name(), it.about)).collect();
    assert_eq!(rows, rules);
}

#[test]
fn the_document_shows_what_generate_and_lint_print() {
    let text = read("docs/policy.md");
    let shown = |command: &str| text.split_once(&format!("$ {command}\n")).unwrap().1.split_once("```").unwrap().0.to_owned();
    let generate = ["policy", "generate", "prod/analytics", "--db-group", "analysts"];
    assert_eq!(Test::new().args(generate).run().success().stdout, shown(&format!("shiftkey {}", generate.join(" "))));
    let wide = "{\"Version\": \"2012-10-17\", \"Statement\":\n  {\"Effect\": \"Allow\", \"Action\": \"redshift:GetClusterCredentials\",\n   \
                \"Resource\": \"arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/*\"}}";
    let ran = Test::bare().file("wide.json", wide).args(["policy", "lint", "wide.json"]).run().status(2);
    assert!(ran.stdout.starts_with(&shown("shiftkey policy lint wide.json")), "{}", ran.stdout);
    let own = Own::start(Engine::Embedded);
    let look = json!({ "Effect": "Allow", "Action": ["iam:Get*", "iam:List*"], "Resource": "*" });
    own.put_user_policy("alice", "look", Some(&json!({ "Version": "2012-10-17", "Statement": look })));
    let explain = ["policy", "explain", "prod/analytics", "--db-user", "etl"];
    assert_eq!(Test::against(&own).args(explain).run().status(4).stdout, shown(&format!("shiftkey {}", explain.join(" "))));
    let apply = ["policy", "apply", "prod/analytics", "--name", "analysts", "--member", "alice", "--member", "bob"];
    let ran = Test::against(&own).args(["--no-cache", "--profile", "security"]).args(apply).run().success();
    assert_eq!(ran.stdout, shown(&format!("shiftkey {}", apply.join(" "))));
}

/// In order, in one place, as `security` in a sandbox of its own.
#[test]
fn every_command_of_the_migration_guide_runs() {
    let sandbox = Own::start(Engine::Embedded);
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let text = read("docs/migration.md").replace("\\\n", " ");
    let mut found = 0;
    for block in text.split("```sh\n").skip(1) {
        for line in block.split("\n```").next().unwrap().lines().filter(|line| line.starts_with("shiftkey ")) {
            // Inside of a sandbox already.
            if line.starts_with("shiftkey sandbox") {
                continue;
            }
            let mut test = Test::against_as(&sandbox, "security", &dir).env("SHIFTKEY_RATE", "100:100");
            let plain = test.command();
            let mut command = std::process::Command::new("sh");
            let bin = Path::new(plain.get_program()).parent().unwrap().to_owned();
            let rest = std::env::var_os("PATH").unwrap();
            let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&rest))).unwrap();
            command.args(["-ec", line]).env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.env("PATH", path).current_dir(dir.path());
            let output = command.output().unwrap();
            let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "{line}\n{}\n{}", told(&output.stdout), told(&output.stderr));
            found += 1;
        }
    }
    assert!(found >= 12, "{found}");
    let warehouse = sandbox.world().warehouse(&analytics()).unwrap();
    assert!(warehouse.users["etl"].password.is_none() && warehouse.users["reporting"].password.is_some());
}
