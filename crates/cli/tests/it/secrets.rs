//! Canaries: the caller's AWS secret, and the password of the credential that is issued.

use crate::harness::{Test, sandbox};

fn aws_secret() -> String {
    let environment = sandbox().environment();
    environment.into_iter().find(|(name, _)| name == "AWS_SECRET_ACCESS_KEY").unwrap().1
}

#[test]
fn no_log_or_error_shows_a_secret() {
    let ran = Test::new().args(["-vvv", "creds", "prod/analytics", "--json"]).run().success();
    let password = ran.json()["db_password"].as_str().unwrap().to_owned();
    assert!(!ran.stderr.is_empty(), "the test needs something to look at");
    assert!(!ran.stderr.contains(&password) && !ran.stderr.contains(&aws_secret()), "{}", ran.stderr);
    let explain = ["-vvv", "policy", "explain", "prod/analytics"];
    let others = [["-vvv", "doctor", "prod/analytics"], ["-vvv", "whoami", "--no-input"], ["-vvv", "creds", "cluster:nothere"]];
    for args in others.iter().map(|args| &args[..]).chain([&explain[..]]) {
        let ran = Test::new().args(args).run();
        assert!(!ran.stderr.contains(&aws_secret()) && !ran.stdout.contains(&aws_secret()), "{}", ran.stderr);
    }
}

#[test]
fn no_argument_or_variable_of_a_child_holds_the_password() {
    let ran = Test::new().args(["creds", "prod/analytics", "--json"]).run().success();
    let password = ran.json()["db_password"].as_str().unwrap().to_owned();
    // With --direct the child gets it, by a file: that is the canary's canary.
    let script =
        "test -z \"$PGPASSFILE\" || cat \"$PGPASSFILE\" >&2; cat /proc/self/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'";
    let client = |test: Test| test.program("client", script);
    for way in ["--tcp", "--direct"] {
        let ran = client(ran.again()).args(["-vvv", "connect", "prod/analytics", way, "--client", "client"]).run().success();
        assert!(ran.stdout.contains("PGUSER=IAM:alice") && !ran.stdout.contains(&password));
        assert_eq!(ran.stderr.contains(&password), way == "--direct");
    }
    let ran = client(ran.again()).args(["-vvv", "exec", "prod/analytics", "--", "client"]).run().success();
    assert!(ran.stdout.contains("PGUSER=IAM:alice") && !ran.stdout.contains(&password) && !ran.stderr.contains(&password));
}

#[test]
fn a_masked_url_is_all_that_the_demo_shows() {
    let ran = Test::bare().args(["-vvv", "demo", "--engine", "embedded"]).run().success();
    for caller in sandbox().environment() {
        if caller.0 == "AWS_SECRET_ACCESS_KEY" {
            assert!(!ran.stdout.contains(&caller.1) && !ran.stderr.contains(&caller.1));
        }
    }
    assert!(ran.stdout.contains("password=********"));
}

#[test]
fn of_all_that_is_kept_one_file_holds_the_password_and_none_an_aws_secret() {
    let ran = Test::new().args(["creds", "prod/analytics", "--json"]).run().success();
    let password = ran.json()["db_password"].as_str().unwrap().to_owned();
    let holding = |secret: &str| -> Vec<_> {
        let files = ran.files().into_iter();
        files.filter(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(secret)).collect()
    };
    let found = holding(&password);
    assert!(found.len() == 1 && found[0].extension().is_some_and(|ending| ending == "cred"), "{found:?}");
    assert_eq!(holding(&aws_secret()), Vec::<std::path::PathBuf>::new());
    for args in
        [&["cache", "list", "--json"][..], &["cache", "list"], &["-vvv", "url", "prod/analytics", "--format", "env", "--via-proxy", "h:1"]]
    {
        let again = ran.again().args(args).run().success();
        assert!(!again.stdout.contains(&password) && !again.stderr.contains(&password), "{args:?}");
    }
    let warm = ran.again().args(["-vvv", "creds", "prod/analytics"]).run().success();
    assert!(warm.stdout.contains(&password) && !warm.stderr.contains(&password));
}
