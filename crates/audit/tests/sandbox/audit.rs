//! What an audit sees, with which rights.

use std::time::SystemTime;

use shiftkey_audit::{
    cloudtrail,
    findings::{Finding, Surroundings},
    inventory::{self, PasswordState},
    policies,
    report::Report,
};
use shiftkey_sandbox::{
    engine::Engine,
    seed::analytics,
    world::{ConnectionRecord, DbUser, WarehouseId, WarehouseKind},
};

use crate::{World, engines};

fn record(user: &str, event: &str, method: &str, guid: Option<&str>) -> ConnectionRecord {
    ConnectionRecord {
        event: event.into(),
        at: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000),
        user: user.into(),
        database: "dev".into(),
        auth_method: method.into(),
        guid: guid.map(str::to_owned),
        remote: None,
        session: 1,
        application: String::new(),
        driver: String::new(),
        plugin: String::new(),
        system: String::new(),
    }
}

#[tokio::test]
async fn a_superuser_sees_all_and_every_risk_is_named() {
    for engine in engines() {
        let world = World::start(engine).await;
        world.add(&["we\"ird", "Ünit"]);
        world.sandbox.world().update(&analytics(), |it| it.users.get_mut("Ünit").unwrap().roles = vec!["sys:dba".into(), "loader".into()]);
        for (user, event, method, guid) in [
            ("etl", "authenticated", "password", None),
            ("IAM:alice", "authenticated", "IAM AssumeUser", Some("guid-1")),
            ("awsuser", "authenticated", "password", None),
            ("stage", "authentication failure", "", None),
        ] {
            // A name that any client can give hides nobody.
            let application = if user == "etl" { "shiftkey lockdown".into() } else { String::new() };
            let record = ConnectionRecord { application, ..record(user, event, method, guid) };
            world.sandbox.world().log_connection(&analytics(), record);
        }
        let mut session = world.session(&world.target("prod/analytics", Some("awsuser"))).await;
        let mut seen = inventory::read(&mut session, false, true).await.unwrap();
        let event = r#"{"eventTime":"2023-11-14T22:00:00Z","eventName":"GetClusterCredentials","requestID":"GUID-1","userIdentity":{"arn":"arn:a"}}"#;
        cloudtrail::join(&mut seen, &cloudtrail::parse(event.as_bytes()).unwrap());
        assert_eq!((seen.reader.as_str(), seen.reader_is_superuser, seen.passwords_are_told), ("awsuser", true, true));
        assert_eq!(seen.log, "stl_connection_log");
        assert_eq!(seen.unseen.iter().map(|it| it.what.split(' ').next().unwrap()).collect::<Vec<_>>(), ["who"]);
        let around = Surroundings {
            break_glass: None,
            known: None,
            log: true,
            mapped: false,
            now: SystemTime::UNIX_EPOCH,
            policies: &[],
            ways: None,
        };
        let report = Report::new("t", seen, &around);
        let found: Vec<(&str, String)> = report
            .ranked()
            .iter()
            .map(|(user, found)| (user.name.as_str(), found.iter().map(|it| it.code).collect::<Vec<_>>().join(" ")))
            .collect();
        let expected = [
            ("awsuser", "superuser_uses_password"),
            ("etl", "uses_password"),
            ("reporting", "has_password"),
            ("stage", "still_tried nobody_comes"),
            ("we\"ird", "has_password no_iam_path"),
            ("Ünit", "has_password no_iam_path"),
            ("alice", ""),
        ];
        assert_eq!(found, expected.map(|(name, codes)| (name, codes.to_owned())));
        let alice = report.seen.user("alice").unwrap();
        assert_eq!((alice.groups.as_slice(), alice.principals.as_slice()), (&["analysts".to_owned()][..], &["arn:a".to_owned()][..]));
        assert_eq!(report.seen.user("Ünit").unwrap().roles, ["loader", "sys:dba"]);
        assert!(report.html().contains("role sys:dba") && report.csv().contains("has_password no_iam_path,,loader sys:dba\r\n"));
        let json = report.json();
        assert_eq!(
            (json["summary"]["critical"].as_u64(), json["users"][2]["findings"][0]["code"].as_str()),
            (Some(1), Some("uses_password"))
        );
        assert_eq!(report.csv().lines().count(), 9, "a heading, seven users and the warehouse");
        assert_eq!(report.seen.groups, ["analysts", "engineers"]);
        world.sandbox.stop().await;
    }
}

#[tokio::test]
async fn who_may_see_less_is_told_what_is_missing() {
    for engine in engines() {
        let world = World::start(engine).await;
        let mut session = world.session(&world.target("prod/analytics", Some("alice"))).await;
        let seen = inventory::read(&mut session, false, false).await.unwrap();
        assert_eq!((seen.reader_is_superuser, seen.log, seen.users.len()), (false, "", 5));
        let missing: Vec<&str> = seen.unseen.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(missing[..2], ["who has a password", "who signs in, and how"]);
        assert!(seen.unseen[0].why.contains("42501"), "{:?}", seen.unseen[0]);
        assert_eq!(seen.user("etl").unwrap().password.state, PasswordState::Unknown);
        assert_eq!(seen.user("alice").unwrap().groups, ["analysts"], "groups are everybody's to see");
        assert_eq!(missing[2], "roles of other users");
        // A monitor sees who signs in.
        world.sandbox.world().update(&analytics(), |it| it.users.get_mut("alice").unwrap().monitor = true);
        world.sandbox.world().log_connection(&analytics(), record("etl", "authenticated", "password", None));
        let seen = inventory::read(&mut session, false, false).await.unwrap();
        let etl = seen.user("etl").unwrap().password;
        assert_eq!((etl.state, etl.told_by), (PasswordState::Yes, "a sign-in by password in the log"));
        assert_eq!(seen.user("alice").unwrap().roles, ["sys:monitor"]);
        world.sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_workgroup_is_read_by_its_own_log() {
    for engine in engines() {
        let world = World::start(engine).await;
        let id = WarehouseId { kind: WarehouseKind::Workgroup, name: "adhoc".into(), ..analytics() };
        let mapped = DbUser { name: "IAM:security".into(), superuser: true, password: Some("Secret-of-all-1".into()), ..DbUser::default() };
        world.sandbox.world().create_user(&id, mapped);
        let mut session = world.session(&world.target("prod/adhoc", None)).await;
        let seen = inventory::read(&mut session, true, false).await.unwrap();
        assert_eq!((seen.reader.as_str(), seen.log), ("IAM:security", "sys_connection_log"));
        assert!(seen.user("IAM:security").unwrap().last_iam_login.is_some());
        world.sandbox.stop().await;
    }
}

/// The findings of the policies about this target, and what was not seen.
async fn of_policies(world: &World, name: &str, user: Option<&str>) -> (Vec<String>, Vec<String>) {
    let target = world.target(name, user);
    let mut session = world.session(&target).await;
    let mut seen = inventory::read(&mut session, false, false).await.unwrap();
    seen.unseen.clear();
    let found = policies::read(&world.shiftkey, &target, &mut seen, SystemTime::UNIX_EPOCH).await.findings;
    let line = |it: &Finding| format!("{} {}: {}", it.severity.name(), it.code, it.message);
    (found.iter().map(line).collect(), seen.unseen.iter().map(|it| format!("{}; {}", it.what, it.hint)).collect())
}

#[tokio::test]
async fn policies_are_held_against_the_users_that_there_are() {
    let world = World::start(Engine::Embedded).await;
    let user = |name: &str| format!("arn:aws:redshift:*:*:dbuser:analytics/{name}");
    let login = |sid: &str, resource: String| serde_json::json!({ "Sid": sid, "Effect": "Allow", "Action": "redshift:GetClusterCredentials", "Resource": resource });
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": [
        login("Reports", user("report*")),
        login("Own", user("${aws:username}")),
        login("Gone", user("left")),
        login("Elsewhere", "arn:aws:redshift:*:*:dbuser:finance/*".to_owned()),
    ] });
    world.sandbox.put_user_policy("intern", "loose", Some(&document));
    let security = "policy sandbox0 of user security, statement 1: lets";
    let admin = "; they administer IAM, and could give themselves as much";
    let (found, unseen) = of_policies(&world, "prod/analytics", Some("awsuser")).await;
    let (strangers, rest): (Vec<String>, Vec<String>) = found.iter().cloned().partition(|it| it.contains("strangers"));
    assert_eq!(
        rest,
        [
            "medium policy_wider_than_users: policy loose of user intern, statement 1 'Reports': lets them sign in as \
             reporting by a pattern"
                .to_owned(),
            format!(
                "medium policy_reaches_anybody: {security} them sign in as any name, so as 5 users, superusers among them: awsuser, and creates users by signing in{admin}"
            ),
            format!("medium policy_joins_groups: {security} their sessions join any group, so analysts, engineers{admin}"),
            "low policy_names_nobody: policy loose of user intern, statement 3 'Gone': names what the warehouse does not have: left"
                .to_owned(),
        ]
    );
    assert_eq!((strangers.len(), unseen.len()), (4, 0), "{strangers:?} {unseen:?}");
    assert!(
        strangers[0].ends_with("statement 2: lets in, as users that AWS makes of them, who has none here: user alice"),
        "{strangers:?}"
    );
    // More than one page of IAM's.
    for number in 0..450 {
        world.sandbox.create_user(&format!("crowd{number}"));
    }
    let calls = world.sandbox.calls().count("GetAccountAuthorizationDetails");
    assert_eq!(of_policies(&world, "prod/analytics", Some("awsuser")).await.0, found);
    assert_eq!(world.sandbox.calls().count("GetAccountAuthorizationDetails") - calls, 3);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn users_whom_aws_issues_no_credential_for_are_those_to_whom_no_policy_leads() {
    let world = World::start(Engine::Embedded).await;
    world.add(&["orphan"]);
    let target = world.target("prod/analytics", Some("awsuser"));
    let mut session = world.session(&target).await;
    // Whoever may be anybody is no way of anybody's own.
    let deny = serde_json::json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Action": "redshift:GetClusterCredentials", "Resource": "arn:aws:redshift:*:*:dbuser:analytics/reporting" } });
    world.sandbox.put_user_policy("security", "denied", Some(&deny));
    // Sessions of roles have the names that are wanted, within their boundary.
    let etl = serde_json::json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "redshift:*", "Resource": ["arn:aws:redshift:*:*:dbuser:*/etl", "arn:aws:redshift:*:*:dbname:*/*"] } });
    for role in ["DataEngineer", "Guarded", "Partner"] {
        world.sandbox.put_boundary(&format!("role/{role}"), Some(&etl));
    }
    let mut seen = inventory::read(&mut session, false, false).await.unwrap();
    let ways = policies::read(&world.shiftkey, &target, &mut seen, SystemTime::UNIX_EPOCH).await.ways;
    let around = Surroundings {
        break_glass: None,
        known: None,
        log: true,
        mapped: false,
        now: SystemTime::UNIX_EPOCH,
        policies: &[],
        ways: ways.as_ref(),
    };
    let report = Report::new("t", seen, &around);
    let code = |name: &str| {
        let ranked = report.ranked();
        let (_, found) = ranked.iter().find(|(user, _)| user.name == name).unwrap();
        found.iter().find(|it| it.code.contains("path")).map(|it| it.message.clone())
    };
    let anybody = |who: &str| {
        format!("without its password nobody comes in: nobody may be issued a credential for it but who may for any name: {who}")
    };
    assert_eq!(code("etl"), None, "etl's own keys");
    assert_eq!(code("orphan"), Some(anybody("user security")));
    assert_eq!(
        code("reporting").as_deref(),
        Some("without its password nobody comes in: no IAM user or role of the account may be issued a credential for it")
    );
    // AWS agrees.
    for (caller, user, expected) in
        [("security", "orphan", true), ("security", "reporting", false), ("etl", "etl", true), ("etl", "reporting", false)]
    {
        let vars = world.sandbox.environment_for(caller).unwrap().into_iter().collect();
        let shiftkey = World::library(&shiftkey::Env { vars, ..shiftkey::Env::default() });
        let issued = shiftkey.credential(&world.target("prod/analytics", Some(user))).await;
        assert_eq!(issued.is_ok(), expected, "{caller} for {user}");
    }
    // A role's session that is called alice may be alice, but for the boundary. A denial is remembered in the cache, which differs here.
    for (cache, expected) in [("bound", false), ("free", true)] {
        let vars = world
            .sandbox
            .environment_for("alice")
            .unwrap()
            .into_iter()
            .filter(|(key, _)| !key.ends_with("_KEY") && !key.ends_with("_KEY_ID"));
        let mut vars: std::collections::BTreeMap<String, String> = vars.collect();
        vars.insert("AWS_PROFILE".into(), "engineer".into());
        vars.insert("SHIFTKEY_CACHE_DIR".into(), format!("{}/{cache}", vars["SHIFTKEY_CACHE_DIR"]));
        let engineer = World::library(&shiftkey::Env { vars: vars.into_iter().collect(), ..shiftkey::Env::default() });
        let issued = engineer.credential(&world.target("prod/analytics", Some("alice"))).await;
        assert_eq!(issued.is_ok(), expected, "{cache}");
        world.sandbox.put_boundary("role/DataEngineer", None);
    }
    world.sandbox.stop().await;
}

#[tokio::test]
async fn who_may_not_read_iam_is_told_what_to_allow() {
    let world = World::start(Engine::Embedded).await;
    let denied = serde_json::json!({ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "iam:Get*", "Resource": "*" } });
    world.sandbox.put_user_policy("security", "denied", Some(&denied));
    let (found, unseen) = of_policies(&world, "prod/analytics", Some("awsuser")).await;
    assert_eq!((found, unseen.len()), (Vec::new(), 1));
    assert!(unseen[0].contains(r#"{"Effect": "Allow", "Action": "iam:GetAccountAuthorizationDetails", "Resource": "*"}"#), "{unseen:?}");
    world.sandbox.stop().await;
}
