use serde_json::{Value, json};

use super::*;

const LOG_IN: &str = "redshift:GetClusterCredentials";

fn place() -> Place {
    Place { partition: "aws".into(), region: "us-east-1".into(), account: "111122223333".into(), spot: Spot::Cluster("c".into()) }
}

fn catalog() -> Catalog<'static> {
    Catalog {
        users: [("root", true), ("alice", false), ("etl_a", false), ("etl_b", false)].into(),
        groups: ["analysts", "admins"].into(),
        database: "dev",
    }
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:redshift:us-east-1:111122223333:{kind}:c/{name}")
}

fn allow(action: &str, resource: &str, condition: &Value) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition })
}

fn login(name: &str) -> Value {
    allow(LOG_IN, &arn("dbuser", name), &json!({}))
}

fn deny(resource: &str, condition: &Value) -> Value {
    json!({ "Effect": "Deny", "Action": "*", "Resource": resource, "Condition": condition })
}

/// The user or role `alice` with one policy of these statements.
fn account(is_user: bool, statements: &Value) -> Account {
    let id = if is_user { "AIDA1" } else { "AROA1" };
    let kind = if is_user { "user" } else { "role" };
    let principal = Principal {
        is_user,
        arn: format!("arn:aws:iam::111122223333:{kind}/alice"),
        name: "alice".into(),
        id: id.into(),
        policies: vec![0],
        ..Principal::default()
    };
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    let policy = Policy { name: "p".into(), arn: String::new(), document };
    Account { policies: vec![policy], principals: vec![principal], ..Account::default() }
}

fn found(account: &Account) -> Vec<Reach> {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    reach(account, &place(), &catalog(), now).statements
}

/// `any`, by pattern, by name, missing; and whether they may be created.
fn told(names: &Names) -> String {
    let set = |it: &BTreeSet<String>| it.iter().cloned().collect::<Vec<_>>().join("+");
    format!("{}|{}|{}|{}", if names.any { "any" } else { "" }, set(&names.by_pattern), set(&names.by_name), set(&names.missing))
}

#[test]
fn each_statement_reaches_what_the_evaluator_lets_through() {
    let session = json!({ "StringEquals": { "aws:userid": "AROA1:${redshift:DbUser}" } });
    let any_session = json!({ "StringLike": { "aws:userid": "AROA1:*" } });
    let mfa = json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } });
    let office = json!({ "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } });
    let over = json!({ "DateLessThan": { "aws:CurrentTime": "2020-01-01T00:00:00Z" } });
    let only = json!({ "StringEquals": { "redshift:DbUser": "etl_a" } });
    let echo = &arn("dbuser", "${redshift:DbUser}");
    let all = &arn("dbuser", "*");
    for (sentence, is_user, statements, expected) in [
        ("one by name", true, json!([login("alice")]), "||alice|"),
        ("a superuser by name", true, json!([login("root")]), "||root|"),
        ("themselves", true, json!([login("${aws:username}")]), "||alice|"),
        ("a role has no user name", false, json!([login("${aws:username}")]), ""),
        ("a beginning", true, json!([login("etl_*")]), "|etl_a+etl_b||"),
        ("an end", true, json!([login("*_a")]), "|etl_a||"),
        ("a letter", true, json!([login("et?_a")]), "|etl_a||"),
        ("two by name that differ in a letter", true, json!([login("etl_a"), login("etl_b")]), "||etl_a| ||etl_b|"),
        ("everybody", true, json!([login("*")]), "any|alice+etl_a+etl_b+root||"),
        ("everything", true, json!([allow("*", "*", &json!({}))]), "any|alice+etl_a+etl_b+root||"),
        (
            "every cluster's",
            true,
            json!([allow("redshift:*", "arn:aws:redshift:*:*:dbuser:*/*", &json!({}))]),
            "any|alice+etl_a+etl_b+root||",
        ),
        ("another cluster's", true, json!([allow(LOG_IN, "arn:aws:redshift:*:*:dbuser:d/*", &json!({}))]), ""),
        ("another region's", true, json!([allow(LOG_IN, "arn:aws:redshift:eu-west-1:*:dbuser:*/*", &json!({}))]), ""),
        ("everybody but the superuser", true, json!([login("*"), deny(&arn("dbuser", "root"), &json!({}))]), "any|alice+etl_a+etl_b||"),
        ("everybody, and one by name", true, json!([login("*"), login("alice")]), "any|alice+etl_a+etl_b+root|| ||alice|"),
        ("the request's own echo", false, json!([allow(LOG_IN, echo, &json!({}))]), "any|alice+etl_a+etl_b+root||"),
        ("bound to the session's name", false, json!([allow(LOG_IN, echo, &session)]), ""),
        ("bound to another role's", true, json!([allow(LOG_IN, echo, &session)]), ""),
        ("bound to no session in particular", false, json!([allow(LOG_IN, echo, &any_session)]), "any|alice+etl_a+etl_b+root||"),
        ("all, and a condition that leaves one", true, json!([allow(LOG_IN, all, &only)]), "||etl_a|"),
        ("with a second factor", true, json!([allow(LOG_IN, &arn("dbuser", "etl_*"), &mfa)]), "|etl_a+etl_b||"),
        ("at a time that is over", true, json!([allow(LOG_IN, all, &over)]), ""),
        ("nobody that there is", true, json!([login("bob")]), "|||bob"),
        ("as a tag says that the user has not", true, json!([login("${aws:PrincipalTag/x}")]), ""),
        ("as a tag says that the session may have", false, json!([login("${aws:PrincipalTag/x}")]), ""),
        ("something else", true, json!([allow("redshift:DescribeClusters", "*", &json!({}))]), ""),
        ("where one is", true, json!([allow(LOG_IN, &arn("dbuser", "etl_*"), &office)]), "|etl_a+etl_b||"),
    ] {
        let found = found(&account(is_user, &statements));
        assert_eq!(found.iter().map(|it| told(&it.users)).collect::<Vec<_>>().join(" "), expected, "{sentence}");
        let hangs: Vec<&String> = found.iter().flat_map(|it| &it.hangs_on).collect();
        assert_eq!(hangs.is_empty(), sentence != "where one is", "{sentence}: {hangs:?}");
    }
}

#[test]
fn a_user_to_whom_nobody_has_a_way_is_told() {
    let session = |role: &str| json!({ "StringEquals": { "aws:userid": format!("{role}:${{redshift:DbUser}}") } });
    let starts = json!({ "StringLike": { "aws:userid": "AROA1:etl-*" } });
    let team = json!({ "StringEquals": { "aws:PrincipalTag/team": "load" } });
    let office = json!({ "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } });
    let echo = arn("dbuser", "${redshift:DbUser}");
    let load = |condition: &Value| json!([allow(LOG_IN, &arn("dbuser", "etl_a"), condition)]);
    let all = ["alice", "etl_a", "etl_b", "root"];
    for (sentence, is_user, statements, ways, own) in [
        ("one by name", true, json!([login("etl_a")]), &all[1..2], true),
        ("by a pattern", true, json!([login("etl_*")]), &all[1..3], true),
        ("themselves", true, json!([login("${aws:username}")]), &all[..1], true),
        ("everybody", true, json!([login("*")]), &all, false),
        ("everybody but one", true, json!([login("*"), deny(&arn("dbuser", "etl_a"), &json!({}))]), &["alice", "etl_b", "root"], false),
        ("nobody", true, json!([login("bob")]), &[], false),
        ("whose name the session has", false, json!([allow(LOG_IN, &echo, &session("AROA1"))]), &all, false),
        ("a user has no session", true, json!([allow(LOG_IN, &echo, &session("AROA1"))]), &[], false),
        ("one, by sessions of some names", false, load(&starts), &all[1..2], true),
        ("one, by a session's tag", false, load(&team), &all[1..2], true),
        ("one, by a tag that the user has not", true, load(&team), &[], false),
        ("whom the session's tag names", false, json!([login("${aws:PrincipalTag/x}")]), &all, false),
        ("denied, whatever the session", false, json!([login("${aws:PrincipalTag/x}"), deny("*", &json!({}))]), &[], false),
        ("from one address", true, load(&office), &all[1..2], true),
    ] {
        let reached = reach(&account(is_user, &statements), &place(), &catalog(), SystemTime::UNIX_EPOCH);
        assert_eq!(reached.ways.keys().map(String::as_str).collect::<Vec<_>>(), ways, "{sentence}");
        let who = BTreeSet::from([if is_user { "user alice" } else { "role alice" }.to_owned()]);
        assert!(reached.ways.values().all(|it| (it.own, it.count, &it.who) == (own, 1, &who)), "{sentence}: {:?}", reached.ways);
    }
}

#[test]
fn a_way_that_leads_to_one_in_particular_is_told_before_those_that_lead_anywhere() {
    let mut it = account(true, &json!([login("*")]));
    let own = json!({ "Version": "2012-10-17", "Statement": login("etl_a") });
    it.policies.push(Policy { name: "own".into(), arn: "arn:own".into(), document: own });
    let named = |name: &str, policy| Principal { name: name.into(), policies: vec![policy], ..it.principals[0].clone() };
    it.principals = (1..=5).map(|n| named(&format!("load{n}"), 1)).chain([named("any", 0)]).collect();
    let told = |account: &Account| {
        let ways = reach(account, &place(), &catalog(), SystemTime::UNIX_EPOCH).ways;
        ["etl_a", "etl_b"].map(|name| (ways[name].own, ways[name].count, ways[name].who.iter().cloned().collect::<Vec<_>>().join("+")))
    };
    let expected = [(true, 5, "user load1+user load2+user load3".to_owned()), (false, 1, "user any".to_owned())];
    assert_eq!(told(&it), expected);
    // What bounds them all bounds the way.
    it.policies.push(Policy { name: "b".into(), arn: "arn:b".into(), document: json!({ "Statement": login("etl_b") }) });
    it.principals.iter_mut().for_each(|it| it.boundary = Some(2));
    let ways = reach(&it, &place(), &catalog(), SystemTime::UNIX_EPOCH).ways;
    assert_eq!(ways.keys().collect::<Vec<_>>(), ["etl_b"]);
}

#[test]
fn users_are_created_and_groups_joined_only_where_that_is_allowed() {
    let create = |name: &str| allow(CREATE, &arn("dbuser", name), &json!({}));
    for (sentence, statements, expected) in [
        ("everybody, and nobody new", json!([login("*")]), false),
        ("anybody", json!([login("*"), create("*")]), true),
        ("a pattern's", json!([login("etl_*"), create("etl_*")]), true),
        ("a missing one", json!([login("bob"), create("bob")]), true),
        ("another one", json!([login("bob"), create("carol")]), false),
        ("one who is there", json!([login("alice"), create("alice")]), false),
    ] {
        assert_eq!(found(&account(true, &statements))[0].creates, expected, "{sentence}");
    }
    for (group, expected) in
        [("analysts", "||analysts|"), ("*", "any|admins+analysts||"), ("a*", "|admins+analysts||"), ("gone", "|||gone")]
    {
        let found = found(&account(true, &json!([allow(JOIN, &arn("dbgroup", group), &json!({}))])));
        assert_eq!((told(&found[0].groups), found[0].users.any), (expected.to_owned(), false), "{group}");
    }
}

#[test]
fn holders_are_told_with_what_bounds_them() {
    let mut it = account(true, &json!([{ "Sid": "All", "Effect": "Allow", "Action": "redshift:*", "Resource": "*" }]));
    let bound = json!({ "Version": "2012-10-17", "Statement": login("etl_*") });
    it.policies.push(Policy { name: "b".into(), arn: "arn:b".into(), document: bound });
    // One that bounds nothing.
    let free = json!({ "Version": "2012-10-17", "Statement": allow("*", "*", &json!({})) });
    it.policies.push(Policy { name: "f".into(), arn: "arn:f".into(), document: free });
    let two = Principal { name: "two".into(), is_user: false, boundary: Some(2), ..it.principals[0].clone() };
    let bounded = Principal { name: "three".into(), boundary: Some(1), ..it.principals[0].clone() };
    it.principals = vec![bounded];
    let reached = found(&it);
    assert_eq!((told(&reached[0].users), reached[0].sid.as_str()), ("|etl_a+etl_b||".to_owned(), "All"));
    it.principals.push(two);
    let reached = found(&it);
    assert_eq!(reached[0].holders, BTreeSet::from(["role two".to_owned(), "user three".to_owned()]));
    assert!(reached[0].users.any && reached[0].ordinary);
    // Whoever administers IAM could give himself all of it.
    it.policies[0].document = json!({ "Statement": allow("*", "*", &json!({})) });
    assert!(found(&it)[0].ordinary, "the one in bounds does not");
    it.principals.remove(0);
    assert!(!found(&it)[0].ordinary);
}

#[test]
fn who_has_no_user_is_a_stranger_where_aws_maps_identities() {
    let statement = |resource: &str| json!([allow("redshift-serverless:GetCredentials", resource, &json!({}))]);
    let workgroup = "arn:aws:redshift-serverless:us-east-1:111122223333:workgroup/u";
    let spot = Spot::Workgroup { name: "w".into(), arn: workgroup.into() };
    let strangers = |is_user, resource: &str, user: &'static str| {
        let catalog = Catalog { users: [(user, false)].into(), ..Catalog::default() };
        let place = Place { spot: spot.clone(), ..place() };
        let reached = reach(&account(is_user, &statement(resource)), &place, &catalog, SystemTime::UNIX_EPOCH);
        reached.statements.into_iter().flat_map(|it| it.strangers).collect::<Vec<_>>()
    };
    assert_eq!(strangers(true, workgroup, "IAM:alice"), [""; 0]);
    assert_eq!(strangers(true, workgroup, "IAMR:alice"), ["user alice"]);
    assert_eq!(strangers(false, "*", "IAM:alice"), ["role alice"]);
    assert_eq!(strangers(true, "arn:aws:redshift-serverless:us-east-1:111122223333:workgroup/other", "x"), [""; 0]);
    let ways = |is_user, statements: Value| {
        let catalog = Catalog { users: [("IAM:alice", false), ("IAMR:alice", false), ("etl", false)].into(), ..Catalog::default() };
        let place = Place { spot: spot.clone(), ..place() };
        reach(&account(is_user, &statements), &place, &catalog, SystemTime::UNIX_EPOCH).ways.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(ways(true, statement(workgroup)), ["IAM:alice"]);
    assert_eq!(ways(false, statement(workgroup)), ["IAMR:alice"]);
    assert_eq!(ways(true, json!([login("*")])), [""; 0], "no user is asked for by name");
    let session = json!({ "StringEquals": { "aws:userid": "AROA1:x" } });
    assert_eq!(ways(false, json!([allow("redshift-serverless:GetCredentials", workgroup, &session)])), ["IAMR:alice"]);
    let mapped = json!([allow("redshift:GetClusterCredentialsWithIAM", &arn("dbname", "dev"), &json!({}))]);
    assert_eq!(found(&account(true, &mapped))[0].strangers, BTreeSet::from(["user alice".to_owned()]));
}

#[test]
fn of_too_many_users_some_are_tried_and_who_matters_always() {
    let names: Vec<String> = (0..2_000).map(|n| format!("user{n:04}")).collect();
    let users = names.iter().map(|name| (name.as_str(), false)).chain([("root", true), ("two", false)]);
    let catalog = Catalog { users: users.collect(), ..Catalog::default() };
    let mut it = account(true, &json!([login("${aws:username}"), login("user1*"), login("user0001")]));
    let named = |name: &str| Principal { name: name.into(), ..it.principals[0].clone() };
    it.principals = vec![named("root"), named("two"), named("nobody")];
    assert_eq!(reach(&it, &place(), &catalog, SystemTime::UNIX_EPOCH).stride, 1);
    let reached = reach_within(4_000, &it, &place(), &catalog, SystemTime::UNIX_EPOCH);
    assert_eq!(reached.stride, 2);
    let [own, pattern, named] = &reached.statements[..] else { panic!("{}", reached.statements.len()) };
    assert_eq!((told(&own.users), told(&named.users)), ("||root+two|".to_owned(), "||user0001|".to_owned()));
    assert_eq!(pattern.users.by_pattern.len(), 500, "one in two of user1000 to user1999");
}
