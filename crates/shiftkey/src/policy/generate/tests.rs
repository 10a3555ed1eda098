use super::*;

fn grant(who: Who) -> Grant {
    Grant {
        place: Place {
            partition: "aws".into(),
            region: "us-east-1".into(),
            account: "111122223333".into(),
            spot: Spot::Cluster("analytics".into()),
        },
        who,
        databases: vec!["dev".into()],
        groups: Vec::new(),
        auto_create: false,
        longest: None,
        admins: vec!["awsuser".into()],
        lookup: false,
    }
}

fn sessions(role_id: &str, suffix: &str) -> Who {
    Who::Sessions { role_id: role_id.into(), suffix: suffix.into() }
}

#[test]
fn the_statements_are_those_of_the_guide() {
    let base = "arn:aws:redshift:us-east-1:111122223333";
    for (who, user) in [
        (Who::Fixed("reporting".into()), "reporting"),
        (Who::Users("{user_name}".into()), "${aws:username}"),
        (Who::Users("svc_{user_name}".into()), "svc_${aws:username}"),
        (Who::Tag("RedshiftDbUser".into()), "${aws:PrincipalTag/RedshiftDbUser}"),
        (sessions("AROAEXAMPLEEXAMPLE12", "@example.com"), "${redshift:DbUser}"),
    ] {
        let generated = generate(&Intent { grants: vec![grant(who.clone())], mfa: false }).unwrap();
        let statement = &generated.documents[0].statement[0];
        assert_eq!(statement.resource, [format!("{base}:dbuser:analytics/{user}"), format!("{base}:dbname:analytics/dev")]);
        assert_eq!(statement.condition["StringEquals"]["redshift:DbName"], ["dev"]);
        let bound = statement.condition["StringEquals"].get("aws:userid").map(|ids| ids.join(" "));
        assert_eq!(bound.is_some(), user == "${redshift:DbUser}", "{user}");
        assert!(bound.is_none_or(|id| id == "AROAEXAMPLEEXAMPLE12:${redshift:DbUser}@example.com"));
    }
}

#[test]
fn what_iam_cannot_say_is_refused_with_a_reason() {
    let refused = |grant: Grant| generate(&Intent { grants: vec![grant], mfa: false }).unwrap_err().to_string();
    let mapped = Grant { groups: vec!["a".into()], ..grant(Who::Mapped) };
    for (grant, reason) in [
        (grant(Who::Fixed("AWSuser".into())), "is the admin user of cluster analytics"),
        (grant(Who::Fixed("a b".into())), "is not a database user"),
        (grant(sessions("AIDAEXAMPLEEXAMPLE12", "")), "is not a role's id"),
        (grant(sessions("AROAEXAMPLEEXAMPLE12", "*")), "is not a role's id"),
        (grant(Who::Tag("a*".into())), "is not a tag's key"),
        (grant(Who::Users("{session_name}".into())), "does not stand for an IAM user"),
        (mapped, "cannot be chosen"),
        (Grant { databases: Vec::new(), ..grant(Who::Fixed("a".into())) }, "no database is named"),
        (Grant { groups: vec!["A".into()], ..grant(Who::Fixed("a".into())) }, "lower case"),
    ] {
        let message = refused(grant);
        assert!(message.contains(reason), "{message}");
    }
    let place = Place { spot: Spot::Workgroup { name: "adhoc".into(), arn: "arn".into() }, ..grant(Who::Mapped).place };
    assert!(refused(Grant { place, ..grant(Who::Fixed("a".into())) }).contains("workgroup cannot be chosen"));
}

#[test]
fn a_lifetime_is_all_numbers_up_to_it_and_no_other() {
    for most in (900..3600).step_by(37).chain([900, 999, 1000, 1800, 2700, 3599]) {
        let patterns = up_to(most);
        assert!(patterns.len() <= 30, "{patterns:?}");
        for seconds in 0..10_000u64 {
            let text = seconds.to_string();
            let fits = |it: &String| it.len() == text.len() && it.chars().zip(text.chars()).all(|(a, b)| a == '?' || a == b);
            assert_eq!(patterns.iter().any(fits), (900..=most).contains(&seconds), "{seconds} in {patterns:?}");
        }
    }
    assert_eq!(up_to(900), ["900"]);
}

#[test]
fn what_a_reader_must_know_is_noted() {
    let told = |grants: Vec<Grant>| generate(&Intent { grants, mfa: true }).unwrap().notes.join("\n");
    assert!(told(vec![grant(sessions("AROAEXAMPLEEXAMPLE12", ""))]).contains("sts:RoleSessionName"));
    assert!(told(vec![grant(Who::Tag("x".into()))]).contains("iam:TagUser"));
    assert_eq!(told(vec![grant(Who::Fixed("a".into()))]), "");
    let two = vec![Grant { groups: vec!["g".into()], ..grant(Who::Fixed("a".into())) }, grant(Who::Fixed("b".into()))];
    assert!(told(two).contains("groups of both"));
}
