//! What is wrong, where, and what it stops.

use super::*;

const WRONG: &str = r#"
[defaults]
duration = "2h"

[environments.prod]
regoin = "us-east-1"

[environments.test]
region = "mars"
endpoint_url = "localhost:1"

[targets."prod/both"]
cluster = "a"
workgroup = "abc"

[targets."prod/serverless"]
workgroup = "adhoc"
db_user = "bob"
groups = ["a"]

[targets."qa/lost"]
cluster = "a"

[targets."test/words"]
cluster = "Upper"
groups = ["fine", "Not"]
db_user = "{role}"
mapping = "magic"
port = 99999
host = "a host"
endpoint = "h:1/dev"

[targets."test/empty"]

[targets."test/tunnel"]
endpoint = "127.0.0.1:5439"

[targets.plain]
cluster = "a"

[target."prod/a"]
"#;

fn lines(mistakes: &[Mistake]) -> Vec<String> {
    let line = |mistake: &Mistake| format!("{}: {}", mistake.line.unwrap_or_default(), mistake.message);
    mistakes.iter().map(line).collect()
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line() {
    let place = Place::new();
    place.write("home/.config/shiftkey/config.toml", WRONG);
    let mistakes = place.load().unwrap().mistakes();
    assert_eq!(
        lines(&mistakes),
        [
            "3: a credential lives from 15m to 1h, not 2h",
            "6: unknown key 'regoin'",
            "9: 'mars' is not an AWS region",
            "10: 'localhost:1' is not a URL",
            "14: a target is a cluster or a workgroup, not both",
            "18: db_user cannot be chosen with a serverless workgroup: AWS makes the user from the IAM identity",
            "19: groups cannot be chosen with a serverless workgroup: AWS makes the user from the IAM identity",
            "21: there is no environment 'qa'",
            "25: 'Upper' is not a cluster identifier: one has lower-case letters, digits and hyphens only",
            "26: the database group 'Not' has capital letters; AWS takes lower case only",
            "27: the database user '{role}' has an unknown mark",
            "28: mapping: unknown variant `magic`, expected `iam` or `user`",
            "29: port: invalid value: integer `99999`, expected u16",
            "30: 'a host' is not a host name",
            "31: 'h:1/dev' names a database too",
            "33: a target needs a cluster, a workgroup or an endpoint",
            "36: the host '127.0.0.1' does not say which cluster or workgroup it leads to",
            "38: 'plain' is not a target's name",
            "41: unknown section 'target'",
        ]
    );
    assert!(place.load().unwrap().environments().is_empty(), "AWS is asked in none that is written wrong");
    let hint = |line| mistakes.iter().find(|mistake| mistake.line == Some(line)).unwrap().hint.as_deref().unwrap();
    assert_eq!((hint(6), hint(31), hint(41)), ("did you mean 'region'?", "say database = \"dev\"", "did you mean 'targets'?"));
    assert!(mistakes[0].to_string().ends_with("/config.toml:3: a credential lives from 15m to 1h, not 2h"));
}

#[test]
fn a_mistake_stops_what_it_concerns_and_nothing_else() {
    let good = "[environments.prod]\nregion = \"us-east-1\"\n[environments.test]\nregion = \"us-east-1\"\n\
                [targets.\"prod/a\"]\ncluster = \"a\"\n[targets.\"prod/b\"]\ncluster = \"b\"\n[targets.\"test/a\"]\ncluster = \"a\"\n";
    for (wrong, stopped) in [
        ("groups = [\"A\"]\n", ["test/a"].as_slice()),
        ("clustr = \"a\"\n", &["test/a"]),
        ("[environments.test.x]\n", &["test/a"]),
        ("[targets.\"prod/c\"]\ncluster = \"-\"\n", &["prod/c"]),
        ("[targets.\"qa/a\"]\ncluster = \"a\"\n", &["qa/a"]),
        ("[defaults]\nduration = \"2h\"\n", &["prod/a", "prod/b", "test/a", "cluster:a"]),
        ("[default]\nduration = \"2h\"\n", &["prod/a", "prod/b", "test/a", "cluster:a"]),
        ("targets = 3", &["prod/a", "prod/b", "test/a", "cluster:a"]),
        ("", &[]),
    ] {
        let place = Place::new();
        let text = if wrong.contains("targets =") { format!("{wrong}\n") } else { format!("{good}{wrong}") };
        place.write("home/.config/shiftkey/config.toml", &text);
        let config = place.load().unwrap();
        for name in ["prod/a", "prod/b", "test/a", "prod/c", "qa/a", "cluster:a"] {
            let resolved = config.resolve(name, &Overrides::default());
            let known = name == "cluster:a" || config.target_names().iter().any(|known| known == name);
            assert_eq!(resolved.is_ok(), known && !stopped.contains(&name), "{wrong}: {name}: {resolved:?}");
            if stopped.contains(&name) && known {
                let error = resolved.unwrap_err();
                assert!(error.kind() == ErrorKind::Config && error.message().contains("config.toml:"), "{error}");
            }
        }
        assert_eq!(config.mistakes().is_empty(), stopped.is_empty(), "{wrong}");
    }
}

#[test]
fn a_flag_or_a_layer_above_sets_a_value_right() {
    let place = Place::new();
    let wrong = "[environments.prod]\nregion = \"us-east-1\"\n[targets.\"prod/a\"]\ncluster = \"a\"\nduration = \"2h\"\n";
    place.write("home/.config/shiftkey/config.toml", wrong);
    let config = place.load().unwrap();
    assert!(config.resolve("prod/a", &Overrides::default()).unwrap_err().message().contains("config.toml:5: "));
    let flags = Overrides { duration: Some("30m".into()), ..Overrides::default() };
    assert_eq!(config.resolve("prod/a", &flags).unwrap().duration.as_secs(), 1800);
    place.write("home/work/shiftkey.toml", "[targets.\"prod/a\"]\nduration = \"45m\"\n");
    let config = place.load().unwrap();
    assert_eq!(config.resolve("prod/a", &Overrides::default()).unwrap().duration.as_secs(), 2700);
    assert_eq!(lines(&config.mistakes()), ["5: a credential lives from 15m to 1h, not 2h"], "it is still told");
}

#[test]
fn what_cannot_be_parsed_stops_everything_and_hides_nothing() {
    let place = Place::new();
    place.write("home/.config/shiftkey/config.toml", "[environments.prod]\nregion = \"mars\"\n");
    place.write("home/work/shiftkey.toml", "[targets\nnonsense\n");
    let error = place.load().unwrap_err();
    assert!(error.message().starts_with("the configuration has ") && error.message().ends_with(" mistakes"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("config.toml:2: 'mars' is not an AWS region; a region looks like us-east-1\n"), "{hint}");
    assert!(hint.contains("shiftkey.toml:1: "), "{hint}");
    assert_eq!(Config::check(&place.env, None).len(), hint.lines().count() - 1);
}

#[test]
fn what_was_typed_is_told_by_its_own_name() {
    let mut place = Place::new();
    place.write("home/.config/shiftkey/config.toml", CONFIG);
    place.env.vars.insert("SHIFTKEY_DURATION".into(), "2h".into());
    let config = place.load().unwrap();
    let error = config.resolve("prod/analytics", &Overrides::default()).unwrap_err();
    assert_eq!(error.message(), "SHIFTKEY_DURATION: a credential lives from 15m to 1h, not 2h");
    let flags = Overrides { duration: Some("3h".into()), ..Overrides::default() };
    let error = config.resolve("prod/analytics", &flags).unwrap_err();
    assert_eq!(error.message(), "a credential lives from 15m to 1h, not 3h", "no place in a file is to blame");
    assert!(config.mistakes().is_empty(), "the files are right");
}
