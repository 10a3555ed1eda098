use crate::harness::Test;

#[test]
fn each_kind_of_failure_has_its_status_and_a_hint() {
    Test::new().args(["creds", "prod/analytics", "--duration", "2h"]).run().status(2).err("15m to 1h");
    Test::new().args(["creds", "prod/analytics", "--db-user", "select"]).run().status(2).err("reserved");
    Test::bare().args(["creds"]).run().status(2);
    Test::bare().args(["creds", "cluster:x", "--region", "us-east-1"]).run().status(3).err("no AWS identity").err("hint: sign in first");
    Test::new().args(["whoami", "--profile", "nobody"]).run().status(3).err("known profiles: ").err("engineer");
    Test::new().args(["whoami", "--profile", "mfa"]).run().status(3).err("MFA device");
    Test::of("intern")
        .args(["creds", "prod/analytics"])
        .run()
        .status(4)
        .err("\"redshift:GetClusterCredentials\"")
        .err(":dbname:analytics/dev");
    Test::bare()
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .env("AWS_REGION", "us-east-1")
        .args(["whoami"])
        .run()
        .status(5)
        .err("could not be reached");
    Test::new().args(["doctor", "prod/analytics", "--database", "nothere"]).run().status(6).out("3D000");
    Test::new().args(["creds", "prod/analytic"]).run().status(7).err("did you mean 'prod/analytics'?");
    Test::new().args(["creds", "cluster:nothere"]).run().status(7).err("Cluster nothere not found");
    Test::new().args(["connect", "prod/analytics", "--client", "no-such-client"]).run().status(8).err("was not found");
    Test::new().args(["connect", "prod/analytics", "--client", "/dev/null"]).run().status(8).err("could not be started").err("hint: ");
    Test::new().args(["whoami", "--region", "mars"]).run().status(2).err("'mars' is not an AWS region").err("us-east-1");
    Test::new().args(["url", "prod/analytics", "--via-proxy", "here"]).run().status(2).err("hint: ");
    Test::bare().args(["targets", "--discover"]).run().status(3).err("shiftkey: no AWS identity was found\n");
    Test::new().args(["creds", "nothing"]).run().status(7).err("shiftkey: nothing: there is no such target\n");
}

#[test]
fn a_program_is_missing_even_if_a_part_of_path_is_closed() {
    // A directory of the program's name is refused as a closed place is, and also to root.
    let mut test = Test::new().args(["exec", "prod/analytics", "--", "no-such-program"]);
    let closed = test.path().join("closed");
    std::fs::create_dir_all(closed.join("no-such-program")).unwrap();
    test.command().env("PATH", &closed);
    test.run().status(8).err("'no-such-program' was not found").err("hint: ");
}

#[test]
fn a_failure_is_one_line_a_hint_and_with_json_an_object() {
    let ran = Test::new().args(["creds", "prod/nothing", "--json"]).run().status(7);
    let json = ran.json();
    assert_eq!(json["error"]["kind"], "no_such_target");
    assert!(json["error"]["message"].as_str().unwrap().starts_with("prod/nothing: "));
    assert!(ran.stderr.starts_with("shiftkey: prod/nothing: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().nth(1).unwrap().split(':').next(), Some("hint"));
}

#[test]
fn mistyped_command_lines_are_told_as_every_failure_is() {
    for (args, message, hint) in [
        (["creds", "a", "--nope"].as_slice(), "unexpected argument '--nope' found", "Usage: shiftkey creds"),
        (&["conect"], "unrecognized subcommand 'conect'", "a similar subcommand exists: 'connect'"),
        (&["creds"], "the following required arguments were not provided: <TARGET>", "Usage: shiftkey creds <TARGET>"),
        (&["url", "a", "--format", "jbdc"], "invalid value 'jbdc' for '--format <FORMAT>': 'jbdc' is not a format", "--help"),
        (&["config", "--show", "--check"], "the argument '--show' cannot be used with '--check'", "Usage"),
    ] {
        let ran = Test::bare().args(args).run().status(2).err(&format!("shiftkey: {message}")).err(hint);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("\nhint: "), "{}", ran.stderr);
        let json = Test::bare().args(["--json"]).args(args).run().status(2).json();
        assert_eq!(json["error"]["kind"], "config");
        assert!(json["error"]["message"].as_str().unwrap().starts_with(message), "{json}");
    }
    // `--json` of the command that is run is none of ours.
    assert!(Test::bare().args(["exec", "--nope", "--", "x", "--json"]).run().status(2).stdout.is_empty());
}

#[test]
fn without_a_command_the_help_is_shown() {
    Test::bare().run().status(2).err("Commands:");
    assert_eq!(Test::bare().args(["--json"]).run().status(2).json()["error"]["message"], "no command is given");
    Test::bare().args(["--version"]).run().success().out("shiftkey 0.");
    Test::bare().args(["help", "creds"]).run().success().out("Usage: shiftkey creds");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for args in
        [["--help"].as_slice(), &["man"], &["completions", "bash"], &["config"], &["targets", "--json"], &["creds", "prod/analytics"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut test = Test::new().args(args);
        let ran = test.command().stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn an_untrusted_certificate_stops_the_sign_in() {
    let ran = Test::new().env("SHIFTKEY_CA_FILE", "").args(["doctor", "prod/analytics"]).run().status(2);
    ran.out("TLS            failed").out("is not accepted");
}

#[test]
fn a_project_file_cannot_redirect() {
    let hostile = "[environments.prod]\nendpoint_url = \"http://127.0.0.1:1\"\n";
    Test::bare().file("shiftkey.toml", hostile).args(["targets"]).run().status(2).err("may not set endpoint_url");
}
