use shiftkey_sandbox::engine::Engine;

use crate::harness::{Test, installed, listing};

#[test]
fn creds_are_printed_for_people_and_for_scripts() {
    Test::new().args(["creds", "prod/analytics"]).run().success().out("user      IAM:alice").out("database  dev");
    let ran = Test::new().args(["creds", "prod/analytics", "--json"]).run().success();
    let json = ran.json();
    assert_eq!(json["db_user"], "IAM:alice");
    assert_eq!((json["host"].as_str(), json["database"].as_str()), (Some("localhost"), Some("dev")));
    assert_eq!((json["target"].as_str(), json["cached"].as_bool()), (Some("prod/analytics"), Some(false)));
    assert!(json["db_password"].as_str().unwrap().len() > 20 && json["port"].is_u64());
    let expiration = json["expiration"].as_str().unwrap();
    assert!(expiration.ends_with('Z') && expiration.len() == 20, "{expiration}");
}

#[test]
fn every_issuing_api_is_reached() {
    Test::new().args(["creds", "prod/adhoc"]).run().success().out("IAM:alice");
    Test::new().args(["creds", "cluster:finance@us-east-1", "--mapping", "iam"]).run().success().out("IAM:alice");
    Test::new().args(["creds", "cluster:finance", "--auto-create", "--db-group", "analysts"]).run().success().out("IAMA:alice");
    Test::new()
        .args(["creds", "prod/finance", "--profile", "engineer", "--db-user", "{session_name}", "--auto-create"])
        .run()
        .success()
        .out("IAMA:alice");
    Test::new()
        .args(["creds", "staging/analytics", "--profile", "staging-reader", "--db-user", "{session_name}"])
        .run()
        .success()
        .out("IAM:alice");
}

#[test]
fn a_url_is_printed_in_every_format() {
    for format in
        ["jdbc", "jdbc-postgresql", "odbc", "uri", "keyword", "sqlalchemy", "dotnet", "env", "pgpass", "pg-service", "dbt", "airflow"]
    {
        let ran = Test::new().args(["url", "prod/analytics", "--format", format]).run().success();
        assert!(ran.stdout.contains("IAM"), "{format}: {}", ran.stdout);
        Test::new().args(["url", "prod/analytics", "--format", format, "--via-proxy", "127.0.0.1:6000"]).run().success().out("6000");
    }
    let json = Test::new().args(["url", "prod/analytics", "--json"]).run().success().json();
    assert!(json["url"].as_str().unwrap().starts_with("jdbc:redshift://localhost:"));
}

#[test]
fn targets_are_listed_and_discovered() {
    Test::new().args(["targets"]).run().success().out("prod/analytics").out("cluster:analytics");
    let ran = Test::new().args(["targets", "--discover", "--region", "eu-west-1"]).run().success();
    assert!(ran.stdout.contains("cluster:marketing@eu-west-1") && ran.stdout.contains("workgroup:science@eu-west-1"), "{}", ran.stdout);
    let json = Test::new().args(["targets", "--discover", "--json"]).run().success().json();
    assert!(json.as_array().unwrap().iter().any(|row| row["target"] == "cluster:finance@us-east-1"));
    let same: Vec<_> = json.as_array().unwrap().iter().filter(|row| row["target"] == "cluster:analytics@us-east-1").collect();
    assert!(same.len() == 2 && same[0]["environment"] != same[1]["environment"], "two accounts are told apart: {json}");
}

#[test]
fn whoami_names_the_caller_and_the_role_that_a_profile_assumes() {
    Test::new().args(["whoami"]).run().success().out("arn:aws:iam::111122223333:user/alice");
    Test::new().args(["whoami", "--profile", "engineer"]).run().success().out("assumed-role/DataEngineer/alice");
    Test::new().args(["whoami", "--profile", "partner"]).run().success().out("assumed-role/Partner/alice");
    Test::new().args(["whoami", "--profile", "staging-reader"]).run().success().out("444455556666:assumed-role/StagingReader/alice");
    assert_eq!(Test::of("etl").args(["whoami", "--json"]).run().success().json()["account"], "111122223333");
}

#[test]
fn the_configuration_is_shown_with_origins() {
    let ran = Test::bare()
        .file(".config/shiftkey/config.toml", "[environments.prod]\nregion = \"us-east-1\"\n")
        .env("SHIFTKEY_DATABASE", "sales")
        .args(["config", "--show", "--json"])
        .run()
        .success();
    let json = ran.json();
    assert_eq!(json[0]["key"], "environments.prod.region");
    assert!(json[0]["origin"].as_str().unwrap().starts_with("user file "));
    assert_eq!(json[1]["origin"], "environment SHIFTKEY_DATABASE");
}

#[test]
fn mistakes_in_the_configuration_are_all_told_and_stop_only_what_they_concern() {
    let wrong = "[environments.prod]\nregion = \"us-east-1\"\n\n[targets.\"prod/good\"]\ncluster = \"a\"\n\n\
                 [targets.\"prod/bad\"]\nclustr = \"a\"\nduration = \"2h\"\n";
    let run = |args: &[&str]| Test::bare().file(".config/shiftkey/config.toml", wrong).args(args).run();
    let ran = run(&["config", "--check"]).status(2).err("config.toml:8: unknown key 'clustr'\nhint: did you mean 'cluster'?\n");
    ran.err("config.toml:9: a credential lives from 15m to 1h, not 2h\n");
    let json = run(&["config", "--check", "--json"]).status(2).json();
    assert_eq!((json["mistakes"][0]["line"].as_u64(), json["mistakes"][1]["line"].as_u64()), (Some(8), Some(9)));
    assert_eq!(json["error"]["kind"], "config");
    let ran = run(&["targets"]).status(2).out("prod/good").err("config.toml:8: ").err("config.toml:9: ");
    assert!(!ran.stdout.contains("prod/bad"), "{}", ran.stdout);
    run(&["config"]).success().out("config.toml:2\n").err("config.toml:8: ");
    run(&["doctor"]).status(2).out("configuration  failed").out("config --check");
    run(&["creds", "prod/bad"]).status(2).err("shiftkey: prod/bad: the configuration has 2 mistakes\nhint: correct each of these:\n");
    run(&["creds", "prod/good"]).status(3).err("no AWS identity");
}

#[test]
fn a_configuration_without_mistakes_says_so() {
    Test::new().args(["config", "--check"]).run().success().err("no mistakes; targets: ");
    let json = Test::new().args(["config", "--check", "--json"]).run().success().json();
    assert_eq!(json, serde_json::json!({ "mistakes": [] }));
    // Before there is any, and when it cannot be parsed at all.
    Test::bare().args(["config", "--check"]).run().success().err("targets: 0");
    Test::bare().file("shiftkey.toml", "nonsense").args(["config", "--check"]).run().status(2).err("shiftkey.toml:1: ");
}

#[test]
fn doctor_checks_every_step() {
    let ran = Test::new().args(["doctor", "prod/analytics"]).run().success();
    for step in ["configuration", "identity", "endpoint", "credential", "network", "TLS", "query"] {
        assert!(ran.stdout.lines().any(|line| line.starts_with(step) && line.contains(" ok ")), "{step}\n{}", ran.stdout);
    }
    Test::of("intern").args(["doctor", "prod/analytics"]).run().status(4).out("credential     failed").out("query          skipped");
    assert_eq!(Test::new().args(["doctor", "--json"]).run().success().json()[1]["verdict"], "ok");
}

#[test]
fn the_demo_tells_the_whole_story() {
    let ran = Test::bare().args(["demo", "--engine", "embedded"]).run().success();
    ran.out("GetClusterCredentials was called 1 time\n")
        .out("50 of 50 have a credential; GetClusterCredentials was called once (1)")
        .out("->  alice, dev")
        .out("IAM Authentication token has expired (28000)")
        .out("dbuser:analytics/intern")
        .out("password=********");
}

#[test]
fn the_sandbox_runs_a_command_inside_and_counts_calls() {
    let ran = Test::bare()
        .args([
            "sandbox",
            "--engine",
            "embedded",
            "--",
            env!("CARGO_BIN_EXE_shiftkey"),
            "exec",
            "prod/analytics",
            "--",
            "sh",
            "-c",
            "echo $PGUSER; exit 3",
        ])
        .run()
        .status(3);
    ran.out("IAM:alice").err("GetClusterCredentials");
}

#[test]
fn the_sandbox_plays_bad_times() {
    let sandbox = |options: &[&str], script: &str| {
        let shiftkey = env!("CARGO_BIN_EXE_shiftkey");
        let args = [&["sandbox", "--engine", "embedded"], options, &["--", "sh", "-c", script, "sh", shiftkey]].concat();
        Test::bare().args(args).run()
    };
    let twice = "\"$1\" whoami -q >/dev/null && \"$1\" whoami";
    sandbox(&["--fault", "GetCallerIdentity:deny@2"], twice).status(4).err("service control policy").err("AccessDenied");
    sandbox(&["--fault", "*:deny@2", "--fault", "GetCallerIdentity:deny@1"], twice).status(4);
    sandbox(&["--fault", "GetCallerIdentity:throttle,retry-after=60s@2"], twice).status(5).err("Rate exceeded");
    // It would be waited out for 20 s; the table of calls tells all that is asked here.
    let impatient = "\"$1\" whoami -q >/dev/null; timeout 1 \"$1\" whoami; true";
    sandbox(&["--rate-limit", "0.001/s,burst=1"], impatient).success().err("Throttling");
    sandbox(&["--fault", "*:hangs"], "").status(2).err("there is no fault 'hangs'; there are throttle");
    sandbox(&["--rate-limit", "2"], "").status(2).err("no rate such as 2/s");
    sandbox(&[], "test -n \"$SHIFTKEY_SANDBOX_TOKEN\" && echo $SHIFTKEY_SANDBOX_URL").success().out("/sandbox");
}

#[test]
fn the_sandbox_has_a_private_cache_of_its_own() {
    let script = "stat -c %a \"$SHIFTKEY_CACHE_DIR\"; test \"$SHIFTKEY_CACHE_DIR\" != /real || echo mixed";
    let ran = Test::bare().env("SHIFTKEY_CACHE_DIR", "/real").args(["sandbox", "--engine", "embedded", "--", "sh", "-c", script]).run();
    assert_eq!(ran.success().stdout, "700\n");
}

#[test]
fn a_real_postgresql_answers_when_it_is_installed() {
    if !Engine::postgres_is_installed() {
        return;
    }
    let ran = Test::bare().args(["demo", "--engine", "postgres"]).run().success();
    ran.out("->  alice, dev").out("GetClusterCredentials was called 1 time\n");
}

#[test]
fn manual_pages_are_made_for_the_whole_and_for_each_command() {
    Test::bare().args(["man"]).run().success().out(".TH shiftkey 1").out(".SH \"EXAMPLES\"\n.nf\nshiftkey targets \\-\\-discover\n");
    Test::bare().args(["man"]).run().success().out(".SH \"EXIT STATUS\"\n.nf\n0  done\n1  unexpected\n");
    Test::bare().args(["man", "connect"]).run().success().out(".TH shiftkey-connect 1").out("\nshiftkey connect prod/analytics\n");
    Test::bare().args(["man", "conect"]).run().status(2).err("there is no command 'conect'").err("connect, ");
    let mut test = Test::bare().args(["man", "--all", "man/man1"]);
    let dir = test.path().join("man/man1");
    assert!(test.command().status().unwrap().success());
    let names: Vec<_> = listing(&dir).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.contains(&"shiftkey.1".to_owned()) && names.contains(&"shiftkey-doctor.1".to_owned()), "{names:?}");
    Test::bare().file("taken", "").args(["man", "--all", "taken"]).run().status(2).err("cannot be written to taken");
}

#[test]
fn shells_take_the_completions() {
    let complete = |shell: &str, script: &str| {
        let text = Test::bare().args(["completions", shell]).run().success().stdout;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script"), text).unwrap();
        let ran = std::process::Command::new(shell).args(["-c", script]).current_dir(dir.path()).env("HOME", dir.path()).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    if installed("bash") {
        let script = "source ./script; COMP_WORDS=(shiftkey con); COMP_CWORD=1; _shiftkey shiftkey con shiftkey; echo ${COMPREPLY[@]}";
        assert_eq!(complete("bash", script), "config connect\n");
    }
    if installed("zsh") {
        let script = "autoload -Uz compinit && compinit -u && source ./script && whence -w _shiftkey && print ${_comps[shiftkey]}";
        assert_eq!(complete("zsh", script), "_shiftkey: function\n_shiftkey\n");
    }
    if installed("fish") {
        let found = complete("fish", "source ./script; complete -C 'shiftkey con'");
        assert!(found.contains("config\t") && found.contains("connect\t"), "{found}");
    }
}

#[test]
fn help_lists_every_command() {
    let help = Test::bare().args(["--help"]).run().success();
    for command in
        ["completions", "config", "connect", "creds", "demo", "doctor", "exec", "man", "proxy", "sandbox", "targets", "url", "whoami"]
    {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}");
        Test::bare().args([command, "--help"]).run().success().out(&format!("Examples:\n  shiftkey {command}"));
    }
}
