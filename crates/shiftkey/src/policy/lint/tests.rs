use serde_json::{Value, json};

use super::*;

fn found_in(document: &Value, expectations: &Expectations) -> Vec<String> {
    lint(&document.to_string(), expectations).unwrap().into_iter().map(|finding| finding.rule.to_owned()).collect()
}

fn document(statements: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn arn(rest: &str) -> String {
    format!("arn:aws:redshift:us-east-1:111122223333:{rest}")
}

fn allow(actions: &[&str], resources: &[&str]) -> Value {
    let resources: Vec<String> =
        resources.iter().map(|it| if it.contains("arn:") || *it == "*" { (*it).to_owned() } else { arn(it) }).collect();
    let actions: Vec<String> =
        actions.iter().map(|it| if it.contains(':') || *it == "*" { (*it).to_owned() } else { format!("redshift:{it}") }).collect();
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn when(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

const GET: &str = "GetClusterCredentials";
const OWN: &str = "dbuser:c/${aws:username}";

/// What each rule finds, and what it leaves alone.
#[test]
fn each_rule_finds_its_fault_and_no_other() {
    let db = json!({ "StringEquals": { "redshift:DbName": "dev" } });
    let good = || when(allow(&[GET], &[OWN, "dbname:c/dev"]), db.clone());
    let echo = |condition: Value| {
        let mut both = json!({ "StringEquals": { "redshift:DbName": "dev" } });
        for (key, value) in condition.as_object().into_iter().flatten() {
            both["StringEquals"][key] = value.clone();
        }
        let guard = json!({ "Effect": "Deny", "Action": "redshift:Get*", "Resource": arn("dbuser:c/awsuser") });
        json!([when(allow(&[GET], &["dbuser:c/${redshift:DbUser}", "dbname:c/dev"]), both), guard])
    };
    let chosen = |deny: Value| json!([when(allow(&[GET], &["dbuser:c/${aws:PrincipalTag/DbUser}", "dbname:c/dev"]), db.clone()), deny]);
    let deny = |resource: &str, condition: Value| {
        let mut deny = json!({ "Effect": "Deny", "Action": "redshift:GetClusterCredentials", "Resource": arn(resource) });
        if !condition.is_null() {
            deny["Condition"] = condition;
        }
        deny
    };
    let key = |user: &str| json!({ "StringEqualsIgnoreCase": { "redshift:DbUser": user } });
    let uuid = "arn:aws:redshift-serverless:us-east-1:1:workgroup/00000000-0000-4000-8000-000000000001";
    let get_serverless = "redshift-serverless:GetCredentials";
    let tables = [
        ("a good one", json!([good()]), vec![]),
        ("one statement without a list", good(), vec![]),
        ("a star", json!([allow(&[GET], &["*"])]), vec!["any-database", "any-user"]),
        ("all of Redshift", json!([allow(&["redshift:*"], &["*"])]), vec!["any-database", "any-group", "any-user"]),
        ("every user of every cluster", json!([when(allow(&[GET], &["dbuser:*/*", "dbname:*/dev"]), db.clone())]), vec!["any-user"]),
        (
            "a star with a named user",
            json!([when(allow(&[GET], &["*"]), json!({ "StringEquals": { "redshift:DbUser": "etl", "redshift:DbName": "dev" } }))]),
            vec![],
        ),
        ("any user's echo", echo(json!({})), vec!["echoed-user"]),
        ("an echo of who asks", echo(json!({ "aws:userid": "AROAX:${redshift:DbUser}" })), vec![]),
        ("an echo bound to a tag", echo(json!({ "aws:PrincipalTag/DbUser": "${redshift:DbUser}" })), vec![]),
        ("an echo beside an id", echo(json!({ "aws:userid": "AROAX:*" })), vec!["echoed-user"]),
        ("the admin", json!([when(allow(&[GET], &["dbuser:c/AwsUser", "dbname:c/dev"]), db.clone())]), vec!["admin"]),
        ("a pattern that the admin fits", json!([when(allow(&[GET], &["dbuser:c/aws*", "dbname:c/dev"]), db.clone())]), vec!["admin"]),
        ("a tag that may say admin", chosen(deny("dbuser:d/awsuser", Value::Null)), vec!["admin"]),
        ("a tag, the admin denied", chosen(deny("dbuser:*/awsuser", Value::Null)), vec![]),
        ("a tag, the admin denied by key", chosen(deny("dbuser:c/*", key("awsuser"))), vec![]),
        ("a tag, another denied by key", chosen(deny("dbuser:c/*", key("root"))), vec!["admin"]),
        (
            "a tag, the admin denied at times",
            chosen(deny("dbuser:c/awsuser", json!({ "Bool": { "aws:SecureTransport": "false" } }))),
            vec!["admin"],
        ),
        (
            "a variable too far left",
            json!([good(), allow(&["DescribeClusters"], &["arn:aws:redshift:${aws:RequestedRegion}:1:cluster:c"])]),
            vec!["variable-place"],
        ),
        (
            "a numeric variable",
            json!([when(allow(&["DescribeClusters"], &["cluster:c"]), json!({ "NumericLessThan": { "a:b": "${a:c}" } }))]),
            vec!["numeric-variable"],
        ),
        (
            "a workgroup's name",
            json!([allow(&[get_serverless], &["arn:aws:redshift-serverless:us-east-1:1:workgroup/adhoc"])]),
            vec!["workgroup-name"],
        ),
        ("a workgroup's id", json!([allow(&[get_serverless], &[uuid])]), vec![]),
        ("every workgroup", json!([allow(&[get_serverless], &["*"])]), vec!["any-workgroup"]),
        (
            "China by the name of others",
            json!([allow(&["DescribeClusters"], &["arn:aws:redshift:cn-north-1:1:cluster:c"])]),
            vec!["partition"],
        ),
        (
            "two partitions",
            json!([allow(&["DescribeClusters"], &["arn:aws:redshift:*:1:cluster:c", "arn:aws-cn:redshift:*:1:cluster:c"])]),
            vec!["partition"],
        ),
        ("GovCloud", json!([allow(&["DescribeClusters"], &["arn:aws-us-gov:redshift:us-gov-west-1:1:cluster:c"])]), vec![]),
        (
            "a key that is not there",
            json!([when(allow(&["JoinGroup"], &["dbgroup:c/g"]), json!({ "StringEquals": { "redshift:DbGroups": "g" } }))]),
            vec!["unknown-key"],
        ),
        ("tags at will", json!([allow(&["iam:Tag*"], &["*"])]), vec!["tags-itself"]),
        ("sessions with any tag", json!([allow(&["sts:TagSession"], &["arn:aws:iam::1:role/x"])]), vec!["tags-itself"]),
        (
            "some tags",
            json!([when(allow(&["iam:TagUser"], &["*"]), json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["team"] } }))]),
            vec![],
        ),
        ("creation is wider", json!([good(), allow(&["CreateClusterUser"], &["dbuser:c/svc_*"])]), vec!["wider-create"]),
        ("creation is as wide", json!([good(), allow(&["CreateClusterUser"], &[OWN])]), vec![]),
        ("no database", json!([allow(&[GET], &[OWN])]), vec!["no-database"]),
        ("every database", json!([allow(&[GET], &[OWN, "dbname:c/*"])]), vec!["any-database"]),
        ("a database that need not be named", json!([allow(&[GET], &[OWN, "dbname:c/dev"])]), vec!["unnamed-database"]),
        ("every group", json!([allow(&["JoinGroup"], &["dbgroup:c/*"])]), vec!["any-group"]),
        ("all but one", json!([{ "Effect": "Allow", "NotAction": "iam:*", "Resource": arn("cluster:c") }]), vec!["not-elements"]),
        ("a deny of all", json!([{ "Effect": "Deny", "NotAction": "iam:*", "Resource": "*" }]), vec![]),
        ("nothing of Redshift", json!([allow(&["s3:*"], &["*"])]), vec![]),
    ];
    for (name, statements, expected) in tables {
        let mut found = found_in(&document(&statements), &Expectations::default());
        found.sort();
        found.dedup();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn rules_about_the_whole_and_about_what_is_expected() {
    let own = || when(allow(&[GET], &[OWN, "dbname:c/dev"]), json!({ "StringEquals": { "redshift:DbName": "dev" } }));
    let old = json!({ "Version": "2008-10-17", "Statement": [own(), allow(&["DescribeClusters"], &["cluster:c"])] });
    assert_eq!(found_in(&old, &Expectations::default()), ["old-version"]);
    let many: Vec<String> = (0..150).map(|n| arn(&format!("cluster:a-cluster-{n}"))).collect();
    let long = document(&json!([{ "Effect": "Allow", "Action": "redshift:DescribeClusters", "Resource": many }]));
    assert_eq!(found_in(&long, &Expectations::default()), ["too-long"]);
    let creates = Expectations { auto_create: true, ..Expectations::default() };
    assert_eq!(found_in(&document(&json!([own()])), &creates), ["no-create"]);
    assert!(
        found_in(&document(&json!([own(), allow(&["CreateClusterUser"], &["dbuser:c/*"])])), &creates).iter().all(|it| it != "no-create")
    );
    let china = Expectations { partition: Some("aws-cn".into()), ..Expectations::default() };
    assert_eq!(found_in(&document(&json!([own()])), &china), ["partition"]);
    let root = Expectations { admins: vec!["root".into()], ..Expectations::default() };
    let user = |name: &str| {
        document(&json!([when(
            allow(&[GET], &[&format!("dbuser:c/{name}"), "dbname:c/dev"]),
            json!({ "StringEquals": { "redshift:DbName": "dev" } })
        )]))
    };
    assert_eq!((found_in(&user("root"), &root), found_in(&user("awsuser"), &root)), (vec!["admin".to_owned()], Vec::new()));
}

#[test]
fn every_rule_is_named_once_and_explained() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn a_finding_names_statement_and_line() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\"Effect\": \"Deny\", \"Action\": \"*\", \"Resource\": \"*\"},\n    \
                {\"Sid\": \"All\", \"Effect\": \"Allow\", \"Action\": \"redshift:JoinGroup\", \"Resource\": \"*\"}\n  ]\n}\n";
    let found = lint(text, &Expectations::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].statement, found[0].sid.as_deref()), (5, Some(1), Some("All")));
    assert!(found[0].to_string().starts_with("5: warning [any-group] statement All: allows"), "{}", found[0]);
    let report = sarif("team.json", &found);
    let result = &report["runs"][0]["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("any-group"), Some("warning")));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((place["artifactLocation"]["uri"].as_str(), place["region"]["startLine"].as_u64()), (Some("team.json"), Some(5)));
}

#[test]
fn what_is_no_policy_is_said_with_its_line() {
    for (text, line) in
        [("", "line 1"), ("{\n\"Version\": 1}", "line 2"), ("{\"Statement\": [1]}", "not an object"), ("[]", "line 1"), ("{}", "Statement")]
    {
        let error = lint(text, &Expectations::default()).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains("not a policy document"), "{text}: {error}");
    }
}
