//! `audit` and `lockdown`, as the security team types them.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    sync::Arc,
};

use shiftkey_sandbox::{Sandbox, engine::Engine, seed::analytics, world::DbUser};
use tempfile::TempDir;

use crate::harness::{Own, Ran, Test, installed};

const USERS: [&str; 4] = ["etl", "one", "reporting", "two"];

/// A sandbox with four ordinary users that have passwords, and a place for one story.
pub(crate) fn story() -> (Own, Arc<TempDir>) {
    let sandbox = Own::start(Engine::Embedded);
    for name in ["one", "two"] {
        let user = DbUser { name: name.into(), password: Some("Secret-of-all-1".into()), ..DbUser::default() };
        sandbox.world().create_user(&analytics(), user);
    }
    (sandbox, Arc::new(tempfile::tempdir().unwrap()))
}

pub(crate) fn typed(sandbox: &Sandbox, dir: &Arc<TempDir>, args: &[&str]) -> Test {
    Test::against_as(sandbox, "security", dir).env("SHIFTKEY_RATE", "1000:1000").args(args).args(["prod/analytics", "--db-user", "awsuser"])
}

fn run(sandbox: &Sandbox, dir: &Arc<TempDir>, args: &[&str]) -> Ran {
    typed(sandbox, dir, args).run()
}

fn with_password(sandbox: &Sandbox) -> Vec<String> {
    let users = sandbox.world().warehouse(&analytics()).unwrap().users;
    users.into_values().filter(|user| user.password.is_some()).map(|user| user.name).collect()
}

#[test]
fn an_audit_is_printed_for_everyone_who_reads_it() {
    let (sandbox, dir) = story();
    run(&sandbox, &dir, &["audit"]).success().out("medium has_password").out("7 users: 0 critical");
    let json = run(&sandbox, &dir, &["audit", "--json"]).success().json();
    assert_eq!((json["summary"]["medium"].as_u64(), json["reader"].as_str()), (Some(4), Some("awsuser")));
    assert_eq!(json["users"][2]["password"], serde_json::json!({ "state": "yes", "told_by": "pg_shadow" }));
    assert_eq!(run(&sandbox, &dir, &["audit", "--format", "csv", "--no-iam"]).success().stdout.lines().count(), 8);
    let page = run(&sandbox, &dir, &["audit", "--format", "html"]).success().stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>") && page.contains(">etl<"));
    run(&sandbox, &dir, &["audit", "--fail-on", "high"]).success();
    run(&sandbox, &dir, &["audit", "--fail-on", "medium"]).status(1);
    run(&sandbox, &dir, &["audit", "--no-iam"])
        .success()
        .out("not seen: IAM policies that are wider than their users, and users to whom none leads (IAM was not to be read)");
    // A user without rights, and a workgroup.
    let small = Test::against(&sandbox).args(["audit", "prod/analytics"]).run().success();
    small.out("read as alice, from the catalog and no connection log").out("not seen: who has a password");
    Test::against(&sandbox).args(["audit", "prod/adhoc"]).run().success().out("read as IAM:alice");
}

/// A policy of a group that reaches an admin by a pattern, as everyone reads of it.
#[test]
fn a_policy_that_is_wider_than_its_users_is_told_in_every_format() {
    let (sandbox, dir) = story();
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": {
        "Sid": "Wide",
        "Effect": "Allow",
        "Action": "redshift:GetClusterCredentials",
        "Resource": "arn:aws:redshift:us-east-1:111122223333:dbuser:analytics/aws*"
    } });
    run(&sandbox, &dir, &["audit", "--fail-on", "high"]).success();
    sandbox.put_user_policy("intern", "wide", Some(&document));
    run(&sandbox, &dir, &["audit", "--fail-on", "high"]).status(1);
    run(&sandbox, &dir, &["audit", "--fail-on", "high", "--no-iam"]).success();
    let told = "policy wide of user intern, statement 1 'Wide': lets them sign in as awsuser by a pattern, superusers among them: awsuser";
    run(&sandbox, &dir, &["audit"]).out(&format!("high policy_reaches_superuser: {told}; `shiftkey policy generate`"));
    run(&sandbox, &dir, &["audit", "--format", "csv"]).out(&format!("high,policy_reaches_superuser,\"{told}\""));
    let page = run(&sandbox, &dir, &["audit", "--format", "html"]).stdout;
    assert!(page.contains(&told.replace('\'', "&#39;")) && page.contains("<code>shiftkey policy generate</code>"), "{page}");
    let finding = &run(&sandbox, &dir, &["audit", "--json"]).json()["findings"][0];
    assert_eq!(
        finding["policy"],
        serde_json::json!({
            "policy": "wide of user intern", "statement": 1, "sid": "Wide", "holders": ["user intern"],
            "reaches": ["awsuser"], "reaches_count": 1, "hangs_on": []
        })
    );
    // Whoever may not read IAM is told what to allow, and an IAM that fails is no failure of the audit.
    let small = || Test::against(&sandbox).args(["audit", "prod/analytics"]);
    small().run().success().out("not seen: IAM policies").out("\"Action\": \"iam:GetAccountAuthorizationDetails\"");
    sandbox.faults().add("GetAccountAuthorizationDetails:400,code=Nonsense".parse().unwrap());
    small().run().success().out("not seen: IAM policies").out("Nonsense").out("; try again, or let");
}

#[test]
fn files_that_are_wrong_are_told_before_anybody_is_asked() {
    let (sandbox, dir) = story();
    std::fs::write(dir.path().join("events"), "no json").unwrap();
    std::fs::write(dir.path().join("known"), "# names\netl\n").unwrap();
    run(&sandbox, &dir, &["audit", "--cloudtrail", "events"]).status(2).err("events: the file is not JSON");
    run(&sandbox, &dir, &["audit", "--known", "nowhere"]).status(2).err("nowhere cannot be read");
    assert_eq!(sandbox.calls().count("GetClusterCredentials"), 0);
    run(&sandbox, &dir, &["audit", "--known", "known"]).success();
}

#[test]
fn nothing_is_changed_without_apply() {
    let (sandbox, dir) = story();
    let ran = run(&sandbox, &dir, &["lockdown", "--all-except", "two"]).success();
    ran.out("3 to do").out("awsuser    leave it              the break-glass user").err("nothing was changed");
    assert_eq!(with_password(&sandbox), ["awsuser", "etl", "one", "reporting", "two"]);
    run(&sandbox, &dir, &["lockdown"]).status(2).err("nobody is chosen");
    run(&sandbox, &dir, &["lockdown", "--users", "Etl"]).status(2).err("there is no user 'Etl'");
    run(&sandbox, &dir, &["lockdown", "--verify"]).status(2).err("no lockdown was made");
    Test::against(&sandbox).args(["lockdown", "prod/analytics", "--users", "etl", "--apply"]).run().status(2).err("needs a superuser");
    run(&sandbox, &dir, &["lockdown", "--users", "awsuser", "--apply"]).success().out("awsuser  leave it").out("0 of 0 users are done");
    assert_eq!(with_password(&sandbox).len(), 5);
}

#[test]
fn a_whole_lockdown_from_plan_to_proof_and_back() {
    let (sandbox, dir) = story();
    std::fs::write(dir.path().join("who"), "etl\none\n").unwrap();
    let ran = run(&sandbox, &dir, &["-vvv", "lockdown", "--users", "@who,two", "--apply"]).success().out("3 of 3 users are done");
    assert!(!ran.stderr.contains("md5"), "{}", ran.stderr);
    assert_eq!(with_password(&sandbox), ["awsuser", "reporting"]);
    run(&sandbox, &dir, &["lockdown", "--report"]).success().out("etl   done").out("3 of 3 users of the last plan are done");
    let json = run(&sandbox, &dir, &["lockdown", "--verify", "--json"]).success().json();
    assert!(json.as_array().unwrap().iter().all(|it| it["verdict"] == "refused"), "{json}");
    let known = dir.path().join("known");
    std::fs::write(&known, "etl:Sandbox-Etl-1\nawsuser:Sandbox-Admin-1\n").unwrap();
    std::fs::set_permissions(&known, PermissionsExt::from_mode(0o644)).unwrap();
    run(&sandbox, &dir, &["lockdown", "--verify", "--known-passwords", "known"]).status(2).err("chmod 600 known");
    std::fs::set_permissions(&known, PermissionsExt::from_mode(0o600)).unwrap();
    run(&sandbox, &dir, &["lockdown", "--verify", "--known-passwords", "known"]).success().err("awsuser was not locked down");
    let ran = run(&sandbox, &dir, &["-vvv", "lockdown", "--reenable", "etl"]).success();
    let password = ran.stdout.trim().to_owned();
    assert!(password.len() == 24 && !ran.stderr.contains(&password) && !ran.stderr.contains("md5"));
    std::fs::write(&known, format!("one:{password}\n")).unwrap();
    run(&sandbox, &dir, &["lockdown", "--verify", "--known-passwords", "known"]).success();
    let journal = dir.path().join(".local/state/shiftkey/lockdown/prod+analytics.jsonl");
    assert_eq!(std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(journal).unwrap();
    assert!(!text.contains(&password) && !text.contains("md5"), "{text}");
    assert_eq!(with_password(&sandbox), ["awsuser", "etl", "reporting"]);
    // A journal is of one target.
    let other = [
        "lockdown",
        "prod/finance",
        "--db-user",
        "awsuser",
        "--users",
        "etl",
        "--journal",
        ".local/state/shiftkey/lockdown/prod+analytics.jsonl",
    ];
    Test::against_as(&sandbox, "security", &dir).args(other).run().status(2).err("is of prod/analytics");
    // What the log does not reach is said.
    run(&sandbox, &dir, &["lockdown", "--users", "etl", "--inactive-for", "7d"]).success().err("the log begins at");
}

/// After each line that it prints: between two steps, or in the midst of the next one.
#[test]
fn a_lockdown_that_is_killed_goes_on_where_it_was() {
    for lines in [1, 2, 4, 5, 6, 9, 12, 15] {
        let (sandbox, dir) = story();
        let mut test = typed(&sandbox, &dir, &["-v", "lockdown", "--users", "etl,one,reporting,two", "--apply", "--batch", "2"]);
        let mut child = test.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(told.by_ref().take(lines).count(), lines);
        child.kill().unwrap();
        child.wait().unwrap();
        let ran = run(&sandbox, &dir, &["lockdown", "--users", "etl", "--apply"]);
        assert!(ran.status == 2 && ran.stderr.contains("not finished") || ran.status == 0, "{lines}: {}", ran.stderr);
        run(&sandbox, &dir, &["lockdown", "--resume"]).success().out("users are done");
        assert_eq!(with_password(&sandbox), ["awsuser"], "{lines}");
        let users = sandbox.world().warehouse(&analytics()).unwrap().users;
        assert!(!users.keys().any(|user| user.contains("canary")), "{lines}");
        run(&sandbox, &dir, &["lockdown", "--verify"]).success();
        // Nobody is locked out.
        for user in USERS {
            let doctor = ["doctor", "prod/analytics", "--db-user", user];
            Test::against_as(&sandbox, "security", &dir).env("SHIFTKEY_RATE", "1000:1000").args(doctor).run().success();
        }
    }
}

#[test]
fn a_surprise_is_told_and_nothing_more_is_done() {
    let (sandbox, dir) = story();
    sandbox.faults().add("GetClusterCredentials:deny@4..".parse().unwrap());
    let ran = run(&sandbox, &dir, &["lockdown", "--users", "etl,one,reporting,two", "--apply", "--batch", "2"]).status(4);
    ran.err("2 of 4 users are done; nothing was done after this:").err("prod/analytics: reporting: ").err("--resume");
    assert_eq!(with_password(&sandbox), ["awsuser", "reporting", "two"]);
    run(&sandbox, &dir, &["lockdown", "--report"]).success().out("reporting  to do").out("stopped: reporting: ");
}

/// The page in a browser that may load nothing: it must show all the same.
#[test]
fn the_page_needs_nothing_else() {
    if !installed("chromium") {
        eprintln!("skipped: chromium is not installed");
        return;
    }
    let (sandbox, dir) = story();
    let page = run(&sandbox, &dir, &["audit", "--format", "html"]).success().stdout;
    std::fs::write(dir.path().join("audit.html"), page).unwrap();
    let mut command = std::process::Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]);
    let output = command.arg(dir.path().join("audit.html")).env("HOME", dir.path()).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(dom.matches("<tr class=").count() == 7 && dom.contains("Who can still use a password: prod/analytics"), "{dom}");
}
