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
fn an_untrusted_certificate_stops_the_sign_in() {
    let ran = Test::new().env("SHIFTKEY_CA_FILE", "").args(["doctor", "prod/analytics"]).run().status(2);
    ran.out("TLS            failed").out("is not accepted");
}

#[test]
fn a_project_file_cannot_redirect() {
    let hostile = "[environments.prod]\nendpoint_url = \"http://127.0.0.1:1\"\n";
    Test::bare().file("shiftkey.toml", hostile).args(["targets"]).run().status(2).err("may not set endpoint_url");
}
