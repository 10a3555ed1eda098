use std::process::Stdio;

use serde_json::{Value, json};
use shiftkey_sandbox::{Sandbox, engine::Engine};

use crate::harness::{Own, Ran, Test, sandbox};

const NAME: &str = "team";

/// The administrator of production, who does not have to wait for the pace.
fn security(sandbox: &Sandbox) -> Test {
    Test::against(sandbox).env("SHIFTKEY_RATE", "1000:1000").args(["--profile", "security", "--no-cache"])
}

fn apply(sandbox: &Sandbox, members: &[&str], act: bool) -> Test {
    let mut args = vec!["policy", "apply", "prod/analytics", "--name", NAME, "--db-group", "analysts"];
    members.iter().for_each(|user| args.extend(["--member", user]));
    security(sandbox).args(args).args(act.then_some("--apply"))
}

fn destroy(sandbox: &Sandbox) -> Test {
    security(sandbox).args(["policy", "apply", "--name", NAME, "--destroy", "--apply"])
}

/// Whether the intern is issued a credential.
fn intern_gets_in(sandbox: &Sandbox) -> bool {
    let ran = Test::against(sandbox).args(["--no-cache", "--profile", "intern", "creds", "prod/analytics", "--json"]).run();
    assert!(matches!(ran.status, 0 | 4), "{}", ran.stderr);
    ran.status == 0
}

#[test]
fn a_policy_is_generated_in_every_language() {
    let ran = Test::new().args(["policy", "generate", "prod/analytics", "prod/adhoc", "--db-group", "analysts", "--mfa"]).run().success();
    let ran = ran.err("IAM cannot limit the database");
    let text = "arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/${aws:username}";
    assert_eq!(ran.json()["Statement"][0]["Resource"][0], text);
    let terraform = Test::new().args(["policy", "generate", "prod/analytics", "--format", "terraform", "--name", "team"]).run().success();
    terraform.out("resource \"aws_iam_policy\" \"team\"").out("analytics/$${aws:username}");
    let template = Test::new().args(["policy", "generate", "prod/analytics", "--format", "cloudformation"]).run().success().json();
    assert_eq!(template["Resources"]["RedshiftLoginPolicy"]["Type"], "AWS::IAM::ManagedPolicy");
    let json = Test::new().args(["policy", "generate", "prod/analytics", "--for", "mapped", "--json"]).run().success().json();
    assert_eq!(json["policies"][0]["Statement"][0]["Action"][0], "redshift:GetClusterCredentialsWithIAM");
}

#[test]
fn what_cannot_be_generated_is_told_with_a_remedy() {
    for (args, status, message) in [
        (["--for", "db-user:awsuser"].as_slice(), 2, "is the admin user of cluster analytics"),
        (&["--for", "db-user:root", "--admin-user", "Root"], 2, "is the admin user"),
        (&["--for", "nobody"], 2, "write users, role:NAME"),
        (&["--for", "role:DataEngineer"], 4, "hint: with --for role-id:"),
        (&["--for", "role-id:x"], 2, "is not a role's id"),
        (&["--longest", "2h"], 2, "15m to 1h"),
        (&["staging/analytics"], 2, "one policy for each account"),
    ] {
        Test::new().args(["policy", "generate", "prod/analytics"]).args(args).run().status(status).err(message);
    }
    // Nobody is asked where all is given.
    let offline = ["policy", "generate", "cluster:analytics@cn-north-1", "--for", "tag:DbUser", "--account", "111122223333"];
    Test::bare().args(offline).run().success().out("arn:aws-cn:redshift:cn-north-1:111122223333:dbuser").err("taken to be awsuser");
    Test::bare().args(offline).args(["--admin-user", "root"]).run().success().out("\"root\"");
    Test::bare().args(["policy", "generate", "workgroup:adhoc@us-east-1", "--account", "111122223333"]).run().status(2).err("hint: ");
}

#[test]
fn a_policy_is_linted_for_people_and_for_machines() {
    let wide = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "redshift:GetClusterCredentials", "Resource": "*"}]}"#;
    let lint = |args: &[&str]| Test::bare().file("wide.json", wide).args(["policy", "lint", "wide.json"]).args(args).run();
    lint(&[]).status(2).out("wide.json:2: error [any-user] statement 1: ").out("\n  fix: ").err("2 findings");
    let json = lint(&["--format", "json"]).status(2).json();
    assert_eq!((json["findings"][0]["rule"].as_str(), json["error"]["kind"].as_str()), (Some("any-user"), Some("config")));
    assert_eq!(lint(&["--json"]).status(2).json(), json);
    let sarif = lint(&["--format", "sarif"]).status(2).json();
    assert_eq!(sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
    Test::bare().file("bad.json", "[]").args(["policy", "lint", "bad.json"]).run().status(2).err("bad.json: line 1: this is not a policy");
    Test::bare().args(["policy", "lint", "nothere.json"]).run().status(2).err("nothere.json: it could not be read");
}

#[test]
fn only_findings_as_grave_as_asked_for_make_it_fail() {
    let loose = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "redshift:JoinGroup",
        "Resource": "arn:aws:redshift:us-east-1:111122223333:dbgroup:c/*"}}"#;
    for (fail_on, status) in [("note", 2), ("warning", 2), ("error", 0)] {
        let ran = Test::bare().file("p.json", loose).args(["policy", "lint", "p.json", "--fail-on", fail_on]).run().status(status);
        ran.out("any-group");
    }
}

#[test]
fn what_is_put_into_iam_lets_people_in_and_taking_it_out_keeps_them_out() {
    let own = Own::start(Engine::Embedded);
    assert!(!intern_gets_in(&own));
    let plan = apply(&own, &["intern"], false).run().success().out("+ policy /shiftkey/team/team\n").out("+ user intern in group team\n");
    plan.err("nothing was changed");
    assert!(!intern_gets_in(&own), "a plan alone changes nothing");
    apply(&own, &["intern"], true).run().success().err("done: 4 steps");
    assert!(intern_gets_in(&own));
    apply(&own, &["intern"], true).run().success().err("nothing to do");
    // Her fellow only.
    let arn = "arn:aws:iam::111122223333:policy/shiftkey/team/team";
    security(&own).args(["policy", "lint", arn]).run().success();
    apply(&own, &["etl"], true).run().success().out("- user intern from group team").out("+ user etl in group team");
    assert!(!intern_gets_in(&own));
    // Another intent is another version of the same policy, and the sixth one takes the place of the oldest.
    for database in ["a", "b", "c", "d", "e", "f"] {
        apply(&own, &["etl"], true).args(["-d", database]).run().success().out("~ policy team: another document");
    }
    destroy(&own).run().success().out("- policy team\n");
    destroy(&own).run().success().err("nothing to do");
    let ran = Test::against(&own).args(["policy", "apply", "prod/analytics", "--name", NAME]).run().status(4);
    ran.err("iam:ListPolicies: AccessDenied");
}

#[test]
fn a_role_gets_its_policy_and_its_sessions_their_own_names() {
    let own = Own::start(Engine::Embedded);
    let run = |args: &[&str]| security(&own).args(["policy", "apply", "--name", NAME]).args(args).run();
    let ran = run(&["prod/finance", "--for", "role:DataEngineer", "--apply"]).success().out("+ policy team for role DataEngineer");
    ran.err("sts:RoleSessionName");
    run(&["prod/finance", "--for", "role:DataEngineer", "--apply"]).success().err("nothing to do");
    run(&["prod/finance", "--for", "role:DataEngineer", "--member", "alice"]).status(2).err("a role has no members");
    run(&["prod/finance", "--for", "users", "--apply"]).status(2).err("attached to DataEngineer").err("--destroy");
    run(&["--destroy", "--apply"]).success().out("- policy team from role DataEngineer");
}

#[test]
fn iam_is_asked_where_it_is_said_to_be() {
    let arn = "arn:aws:iam::111122223333:policy/x";
    let lint = || Test::of("security").args(["--no-cache", "policy", "lint", arn]);
    lint().run().status(2).err("NoSuchEntity");
    lint().env("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:1").run().status(5).err("iam:GetPolicy: AWS could not be reached");
    // What a profile says of one service goes before what it says of all.
    let services = format!(
        "[default]\nendpoint_url = {}\nservices = own\n[services own]\niam =\n  endpoint_url = http://127.0.0.1:1\n",
        sandbox().endpoint_url()
    );
    let mut test = lint().file("config", &services);
    let file = test.path().join("config").display().to_string();
    test.command().env_remove("AWS_ENDPOINT_URL");
    test.env("AWS_CONFIG_FILE", &file).run().status(5).err("iam:GetPolicy: AWS could not be reached");
}

/// Killed before a call has its effect and after it, at each call that changes something; on the way there and on the way back.
#[test]
fn whoever_is_killed_at_any_step_is_taken_up_again() {
    let own = Own::start(Engine::Embedded);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kill = |mut test: Test, action: &str, fault: &str| {
        own.faults().clear();
        own.faults().add(format!("{action}:{fault}@1").parse().unwrap());
        let seen = own.calls().count(action);
        let mut child = test.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        runtime.block_on(own.calls().reached(action, seen + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        own.faults().clear();
    };
    let members = ["intern", "etl"];
    for fault in ["hang", "delay=1h"] {
        for action in ["CreatePolicy", "CreateGroup", "AttachGroupPolicy", "AddUserToGroup"] {
            kill(apply(&own, &members, true), action, fault);
            apply(&own, &members, true).run().success();
            apply(&own, &members, true).run().success().err("nothing to do");
            assert!(intern_gets_in(&own), "{action} {fault}");
            destroy(&own).run().success();
        }
        for action in ["RemoveUserFromGroup", "DetachGroupPolicy", "DeleteGroup", "DeletePolicy"] {
            apply(&own, &members, true).run().success();
            kill(destroy(&own), action, fault);
            destroy(&own).run().success();
            destroy(&own).run().success().err("nothing to do");
            assert!(!intern_gets_in(&own), "{action} {fault}");
        }
        for action in ["CreatePolicyVersion", "TagPolicy"] {
            apply(&own, &members, true).run().success();
            let other = || apply(&own, &["etl", "stage2"], true).args(["-d", "sales"]);
            own.create_user("stage2");
            kill(other(), action, fault);
            other().run().success();
            other().run().success().err("nothing to do");
            destroy(&own).run().success();
        }
    }
}

/// The call had its effect, and the client, which was not told, makes it once more.
#[test]
fn an_answer_that_got_lost_is_no_failure() {
    let own = Own::start(Engine::Embedded);
    let lose = |action: &str| {
        own.faults().clear();
        own.faults().add(format!("{action}:truncate@1").parse().unwrap());
    };
    for action in ["CreatePolicy", "CreateGroup", "AttachGroupPolicy", "AddUserToGroup"] {
        lose(action);
        apply(&own, &["intern", "etl"], true).run().success();
        assert!(intern_gets_in(&own), "{action}");
        own.faults().clear();
        destroy(&own).run().success();
    }
    for action in ["RemoveUserFromGroup", "DetachGroupPolicy", "DeleteGroup", "DeletePolicyVersion", "DeletePolicy"] {
        apply(&own, &["intern"], true).run().success();
        apply(&own, &["intern"], true).args(["-d", "sales"]).run().success();
        lose(action);
        destroy(&own).run().success();
        destroy(&own).run().success().err("nothing to do");
    }
}

fn verdict(ran: &Ran) -> (String, String) {
    let json = ran.json();
    (json["verdict"].as_str().unwrap().to_owned(), json["how"].as_str().unwrap().to_owned())
}

#[test]
fn an_explanation_is_as_good_as_what_may_be_seen() {
    let own = Own::start(Engine::Embedded);
    let explain = |profile: &str, args: &[&str]| {
        let command = ["--profile", profile, "--no-cache", "policy", "explain", "prod/analytics", "--json"];
        Test::against(&own).env("SHIFTKEY_RATE", "1000:1000").args(command).args(args).run()
    };
    let grant = |user: &str, actions: Value| {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        own.put_user_policy(user, "look", Some(&json!({ "Version": "2012-10-17", "Statement": statement })));
    };
    let words = |verdict: &str, how: &str| (verdict.to_owned(), how.to_owned());
    // Nothing may be seen.
    let ran = explain("alice", &[]).status(1);
    assert_eq!(verdict(&ran), words("unknown", "not_at_all"));
    assert!(ran.json()["notes"].to_string().contains("iam:SimulatePrincipalPolicy"));
    for (actions, how) in [(json!("iam:SimulatePrincipalPolicy"), "simulated"), (json!(["iam:Get*", "iam:List*"]), "evaluated")] {
        grant("alice", actions.clone());
        assert_eq!(verdict(&explain("alice", &[]).status(0)), words("yes", how));
        // Not her own name, and a group that she may not join: what is missing is named, and nothing else.
        let ran = explain("alice", &["--db-user", "etl", "--db-group", "engineers", "--auto-create"]).status(4);
        assert_eq!(verdict(&ran), words("no", how));
        let missing = ran.json()["missing"].as_array().unwrap().clone();
        let rows: Vec<String> = missing.iter().map(|it| format!("{} {}", it["Action"][0], it["Resource"])).collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0].contains("dbuser:analytics/etl") && !rows[0].contains("dbname"), "{rows:?}");
        assert!(rows[1].contains("CreateClusterUser") && rows[2].contains("dbgroup:analytics/engineers"), "{rows:?}");
        // A deny is told as one, with the policy that it stands in.
        let deny = json!({ "Effect": "Deny", "Action": "redshift:*", "Resource": "*" });
        own.put_user_policy("alice", "never", Some(&json!({ "Version": "2012-10-17", "Statement": deny })));
        let json = explain("alice", &[]).status(4).json();
        assert_eq!((json["checks"][0]["decision"].as_str(), json["checks"][0]["by"][0].as_str()), (Some("explicitDeny"), Some("never")));
        assert_eq!(json["missing"], json!([]));
        own.put_user_policy("alice", "never", None);
        own.put_user_policy("alice", "look", None);
    }
    // A part may be seen, in which nothing allows it: more may stand in the rest.
    grant("intern", json!(["iam:ListUserPolicies", "iam:GetUserPolicy", "iam:GetUser"]));
    let ran = explain("intern", &[]).status(1);
    assert_eq!(verdict(&ran), words("unknown", "evaluated"));
    assert!(ran.json()["notes"].to_string().contains("iam:ListGroupsForUser"));
    // Through a group.
    grant("intern", json!(["iam:ListUserPolicies", "iam:GetUserPolicy", "iam:GetUser", "iam:List*", "iam:Get*"]));
    assert_eq!(verdict(&explain("intern", &[]).status(4)), words("no", "evaluated"));
    apply(&own, &["intern"], true).run().success();
    let ran = explain("intern", &[]).status(0);
    assert_eq!(ran.json()["checks"][0]["by"], json!(["team"]));
    // What the session of a role may do hangs on the second factor that only the session knows of.
    security(&own)
        .args(["policy", "apply", "prod/analytics", "--name", "strict", "--member", "intern", "--mfa", "--apply"])
        .run()
        .success();
    destroy(&own).run().success();
    let ran = explain("intern", &[]).status(4);
    assert_eq!(ran.json()["checks"][0]["decision"], "implicitDeny", "long-term keys have no second factor");
    grant("intern", json!("iam:SimulatePrincipalPolicy"));
    let ran = explain("intern", &[]).status(4);
    assert_eq!(ran.json()["checks"][0]["unknown"], json!(["aws:MultiFactorAuthPresent"]));
}

#[test]
fn an_explanation_sees_a_boundary_and_says_of_the_organization_what_it_can() {
    let own = Own::start(Engine::Embedded);
    let ask =
        |args: &[&str]| Test::against(&own).env("SHIFTKEY_RATE", "1000:1000").args(["--profile", "alice", "--no-cache"]).args(args).run();
    let explain = |user: &str| ask(&["policy", "explain", "prod/analytics", "--json", "--db-user", user]);
    let document = |statements: Value| json!({ "Version": "2012-10-17", "Statement": statements });
    let allow = |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let look = |actions: Value| {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        own.put_user_policy("alice", "look", Some(&document(statement)));
    };
    let names = |ran: &Ran| ran.json()["checks"][0]["by"].clone();
    let notes = |ran: &Ran| ran.json()["notes"].to_string();
    own.put_user_policy("alice", "any", Some(&document(allow("redshift:*", "*"))));
    // In the boundary stands etl and not alice: AWS, its simulation and our evaluation agree.
    let within = json!([
        allow("iam:*", "*"),
        allow("redshift:Describe*", "*"),
        allow("redshift:GetClusterCredentials", "arn:aws:redshift:*:*:dbuser:analytics/etl"),
        allow("redshift:GetClusterCredentials", "arn:aws:redshift:*:*:dbname:*/*")
    ]);
    own.put_boundary("user/alice", Some(&document(within)));
    for (actions, how, name) in [
        (json!("iam:SimulatePrincipalPolicy"), "simulated", "the permissions boundary"),
        (json!(["iam:Get*", "iam:List*"]), "evaluated", "arn:aws:iam::111122223333:policy/boundary-of-alice"),
    ] {
        look(actions);
        assert_eq!(verdict(&explain("etl").status(0)), ("yes".to_owned(), how.to_owned()));
        let ran = explain("alice").status(4);
        assert_eq!((verdict(&ran), names(&ran)), (("no".to_owned(), how.to_owned()), json!([name])));
        assert!(notes(&ran).contains(&format!("has to be allowed by {name} too")), "{}", notes(&ran));
    }
    ask(&["creds", "prod/analytics", "--db-user", "etl"]).success();
    ask(&["creds", "prod/analytics", "--db-user", "alice"]).status(4);
    own.put_boundary("user/alice", None);
    // An organization's policy cannot be read: what is evaluated says yes, and that it has not seen it.
    let deny = |condition: Option<Value>| {
        let mut deny = json!({ "Effect": "Deny", "Action": "redshift:GetClusterCredentials", "Resource": "*" });
        condition.into_iter().for_each(|it| deny["Condition"] = it);
        own.put_service_control_policy("111122223333", Some(&document(json!([allow("*", "*"), deny]))));
    };
    deny(None);
    let ran = explain("alice").status(0);
    assert!(notes(&ran).contains("service control policies of the organization are not seen"), "{}", notes(&ran));
    ask(&["creds", "prod/analytics"]).status(4);
    // AWS's simulation sees it.
    look(json!("iam:SimulatePrincipalPolicy"));
    let ran = explain("alice").status(4);
    assert_eq!((&ran.json()["checks"][0]["decision"], names(&ran)), (&json!("explicitDeny"), json!(["a service control policy"])));
    // But not one with conditions, of which it is said.
    deny(Some(json!({ "StringEquals": { "aws:RequestedRegion": "us-east-1" } })));
    let ran = explain("alice").status(0);
    assert!(notes(&ran).contains("leaves out service control policies that have conditions"), "{}", notes(&ran));
    ask(&["creds", "prod/analytics"]).status(4);
}
