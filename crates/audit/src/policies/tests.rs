use serde_json::Value;
use shiftkey::policy::reach::Policy;

use super::*;
use crate::inventory::User;

fn seen() -> Inventory {
    let user = |name: &str, superuser, groups: &[&str]| User {
        name: name.into(),
        superuser,
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        ..User::default()
    };
    Inventory { users: vec![user("alice", false, &["analysts"]), user("root", true, &["admins"])], ..Inventory::default() }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn judged(reach: Reach) -> Vec<Finding> {
    let policy = Policy { name: "wide".into(), arn: "arn:p".into(), document: Value::Null };
    let account = Account { policies: vec![policy], ..Account::default() };
    let reach = Reach { holders: set(&["role x", "user a"]), ..reach };
    findings(&account, &Reached { statements: vec![reach], stride: 1, ways: BTreeMap::new() }, &seen())
}

#[test]
fn what_reaches_further_than_its_users_is_told_with_its_severity() {
    let users = |any, by_pattern: &[&str], by_name: &[&str], missing: &[&str]| Reach {
        ordinary: true,
        users: Names { any, by_pattern: set(by_pattern), by_name: set(by_name), missing: set(missing) },
        ..Reach::default()
    };
    let groups = |reach: Reach| Reach { groups: reach.users, users: Names::default(), ..reach };
    let strangers = |ordinary, any| Reach { ordinary, strangers: set(&["user b"]), ..users(any, &[], &[], &[]) };
    for (sentence, reach, expected) in [
        ("one by name", users(false, &[], &["alice"], &[]), vec![]),
        ("anybody", users(true, &["alice", "root"], &[], &[]), vec!["high policy_reaches_anybody"]),
        ("anybody, by administrators", Reach { ordinary: false, ..users(true, &[], &[], &[]) }, vec!["medium policy_reaches_anybody"]),
        ("a superuser by a pattern", users(false, &["root"], &[], &[]), vec!["high policy_reaches_superuser"]),
        ("a superuser by name", users(false, &[], &["root"], &[]), vec!["medium policy_reaches_superuser"]),
        ("some by a pattern", users(false, &["alice"], &[], &[]), vec!["medium policy_wider_than_users"]),
        (
            "both",
            users(false, &["alice"], &["root"], &["bob"]),
            vec!["medium policy_wider_than_users", "medium policy_reaches_superuser", "low policy_names_nobody"],
        ),
        ("nobody", users(false, &[], &[], &["bob"]), vec!["low policy_names_nobody"]),
        ("nobody, who is created", Reach { creates: true, ..users(false, &[], &[], &["bob"]) }, vec!["medium policy_names_nobody"]),
        ("a group by name", groups(users(false, &[], &["analysts"], &[])), vec![]),
        ("any group", groups(users(true, &["analysts"], &[], &[])), vec!["medium policy_joins_groups"]),
        ("groups by a pattern", groups(users(false, &["analysts"], &[], &[])), vec!["medium policy_joins_groups"]),
        ("the superusers' group", groups(users(false, &[], &["admins"], &[])), vec!["medium policy_joins_groups"]),
        ("no group", groups(users(false, &[], &[], &["gone"])), vec!["low policy_names_nobody"]),
        ("strangers", strangers(true, false), vec!["low policy_lets_in_strangers"]),
        ("strangers who administer", strangers(false, false), vec!["low policy_lets_in_strangers"]),
        ("strangers among anybody", strangers(true, true), vec!["high policy_reaches_anybody"]),
    ] {
        let found: Vec<String> = judged(reach).iter().map(|it| format!("{} {}", it.severity.name(), it.code)).collect();
        assert_eq!(found, expected, "{sentence}");
    }
}

#[test]
fn the_statement_its_holders_and_whom_it_reaches_are_named() {
    let names: Vec<String> = (0..150).map(|n| format!("user{n:03}")).collect();
    let users = Names { by_pattern: names.into_iter().collect(), ..Names::default() };
    let reach = Reach { statement: 1, sid: "Wide".into(), ordinary: true, users, hangs_on: set(&["aws:SourceIp"]), ..Reach::default() };
    let found = judged(reach).remove(0);
    assert_eq!(
        found.message,
        "policy wide, statement 2 'Wide', held by role x, user a: lets them sign in as user000, user001, user002 and 147 more by a pattern; \
         where its conditions hold on aws:SourceIp"
    );
    assert!(found.fix.contains("`shiftkey policy lint arn:p`"), "{}", found.fix);
    let fault = *found.policy.unwrap();
    assert_eq!((fault.statement, fault.reaches.len(), fault.reaches_count), (2, 100, 150));
    assert_eq!((fault.policy.as_str(), fault.holders), ("wide", set(&["role x", "user a"])));
}
