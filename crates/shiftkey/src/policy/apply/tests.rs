use serde_json::json;

use super::*;
use crate::policy::Statement;

/// An IAM of maps, to which steps are done as IAM does them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pretend {
    found: Found,
    arns: usize,
}

impl Pretend {
    fn arn(name: &str) -> String {
        format!("arn:aws:iam::1:policy/shiftkey/team/{name}")
    }

    fn policy(&mut self, arn: &str) -> &mut FoundPolicy {
        let arn = if arn.starts_with("arn:") { arn.to_owned() } else { Self::arn(arn) };
        self.found.policies.iter_mut().find(|policy| policy.arn == arn).expect("the policy is there")
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::CreatePolicy { name, document, tags, .. } => {
                let document = serde_json::from_str(document).unwrap();
                let policy =
                    FoundPolicy { name: name.clone(), arn: Self::arn(name), document, tags: tags.clone(), ..FoundPolicy::default() };
                self.found.policies.push(policy);
            }
            Step::CreateGroup { name, path } => {
                self.found.group = Some(FoundGroup { name: name.clone(), path: path.clone(), ..FoundGroup::default() });
            }
            Step::CreateVersion { arn, document } => {
                self.arns += 1;
                let old = format!("v{}", self.arns);
                let policy = self.policy(arn);
                policy.document = serde_json::from_str(document).unwrap();
                policy.old_versions.push(old);
                assert!(policy.old_versions.len() < 5, "IAM takes no sixth version");
            }
            Step::DeleteVersion { arn, version } => self.policy(arn).old_versions.retain(|old| old != version),
            Step::Attach { holder, arn } => {
                let policy = self.policy(arn);
                policy.holders.insert(holder.to_string());
                let arn = policy.arn.clone();
                match holder {
                    Holder::Group(_) => self.found.group.as_mut().expect("the group is there").attached.insert(arn),
                    Holder::Role(_) => self.found.role_has.insert(arn),
                };
            }
            Step::Detach { holder, arn } => {
                self.policy(arn).holders.remove(&holder.to_string());
                match holder {
                    Holder::Group(_) => self.found.group.as_mut().expect("the group is there").attached.remove(arn),
                    Holder::Role(_) => self.found.role_has.remove(arn),
                };
            }
            Step::AddMember { user, .. } => {
                self.found.group.as_mut().expect("the group is there").members.insert(user.clone());
            }
            Step::RemoveMember { user, .. } => {
                self.found.group.as_mut().expect("the group is there").members.remove(user);
            }
            Step::Record { arn, tags, gone } => {
                let policy = self.policy(arn);
                policy.tags.extend(tags.clone());
                policy.tags.retain(|key, _| !gone.contains(key));
            }
            Step::DeleteGroup { .. } => {
                let group = self.found.group.take().expect("the group is there");
                assert!(group.members.is_empty() && group.attached.is_empty() && group.inline.is_empty(), "IAM refuses: {group:?}");
            }
            Step::DeletePolicy { arn } => {
                let policy = self.policy(arn).clone();
                assert!(policy.holders.is_empty() && policy.old_versions.is_empty(), "IAM refuses: {policy:?}");
                self.found.policies.retain(|other| other.arn != *arn);
            }
        }
        self.found.policies.sort_by_key(|policy| (policy.name.len(), policy.name.clone()));
    }

    fn carry_out(&mut self, plan: &Plan) {
        plan.steps.iter().for_each(|step| self.perform(step));
    }
}

fn document(text: &str) -> Document {
    Document::new(vec![Statement {
        effect: "Allow",
        action: vec!["redshift:JoinGroup"],
        resource: vec![text.to_owned()],
        ..Statement::default()
    }])
}

fn desired(documents: &[&str], members: &[&str]) -> Desired {
    Desired {
        name: "team".into(),
        documents: documents.iter().map(|text| document(text)).collect(),
        group: Some("team".into()),
        role: Some("Engineer".into()),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let mut iam = Pretend::default();
    let wishes = [
        desired(&["a", "b"], &["alice", "bob"]),
        desired(&["a", "c"], &["alice", "carol"]),
        desired(&["d"], &["alice"]),
        desired(&["e"], &[]),
        desired(&["f"], &[]),
        desired(&["g"], &[]),
        desired(&["h"], &[]),
        desired(&["i", "j", "k"], &["alice"]),
    ];
    for wish in wishes {
        let steps = plan(&wish, &iam.found).unwrap();
        iam.carry_out(&steps);
        assert_eq!(plan(&wish, &iam.found).unwrap(), Plan::default(), "{wish:?}");
        assert_eq!(iam.found.policies.len(), wish.documents.len());
        assert_eq!(iam.found.group.as_ref().unwrap().members, wish.members);
    }
    let steps = plan_destroy("team", &iam.found).unwrap();
    iam.carry_out(&steps);
    assert_eq!((iam.found, steps.kept.len()), (Found::default(), 0));
}

/// From whatever step a run was killed at, the next one ends where the first would have, and the way back leaves nothing.
#[test]
fn whoever_is_killed_is_taken_up_again() {
    let first = desired(&["a", "b"], &["alice", "bob"]);
    let second = desired(&["c"], &["bob", "carol"]);
    let whole = |from: &Pretend, wish: &Desired| {
        let mut iam = from.clone();
        iam.carry_out(&plan(wish, &from.found).unwrap());
        iam
    };
    let start = whole(&Pretend::default(), &first);
    for (from, wish) in [(Pretend::default(), &first), (start, &second)] {
        let steps = plan(wish, &from.found).unwrap().steps;
        assert!(steps.len() >= 6, "{steps:?}");
        for killed in 0..=steps.len() {
            let mut iam = from.clone();
            steps[..killed].iter().for_each(|step| iam.perform(step));
            let again = whole(&iam, wish);
            let mut expected = whole(&from, wish);
            expected.arns = again.arns;
            assert_eq!(again, expected, "killed after {killed} of {steps:#?}");
            let back = plan_destroy("team", &iam.found).unwrap().steps;
            for killed in 0..=back.len() {
                let mut iam = iam.clone();
                back[..killed].iter().for_each(|step| iam.perform(step));
                iam.carry_out(&plan_destroy("team", &iam.found).unwrap());
                assert_eq!(iam.found, Found::default(), "{back:#?}");
            }
        }
    }
}

#[test]
fn what_others_made_stays() {
    let mut iam = Pretend::default();
    // Dave was there before, in a group that is not ours.
    iam.found.group =
        Some(FoundGroup { name: "team".into(), path: "/".into(), members: ["dave".to_owned()].into(), ..FoundGroup::default() });
    let wish = desired(&["a"], &["alice", "dave"]);
    iam.carry_out(&plan(&wish, &iam.found.clone()).unwrap());
    assert_eq!(iam.found.group.as_ref().unwrap().members.len(), 2);
    let mut tagged = iam.clone();
    tagged.found.policies[0].tags.insert("cost".into(), "1".into());
    assert_eq!(plan(&wish, &tagged.found).unwrap(), Plan::default(), "a tag of others is none of our business");
    let steps = plan_destroy("team", &iam.found).unwrap();
    iam.carry_out(&steps);
    assert!(steps.kept[0].contains("shiftkey did not make it"), "{:?}", steps.kept);
    let group = iam.found.group.unwrap();
    assert_eq!((group.members, group.attached.len(), iam.found.policies.len()), (["dave".to_owned()].into(), 0, 0));

    // Bob was ours, left, and was put back by others.
    let mut iam = Pretend::default();
    iam.carry_out(&plan(&desired(&["a"], &["alice", "bob"]), &Found::default()).unwrap());
    iam.carry_out(&plan(&desired(&["a"], &["alice"]), &iam.found.clone()).unwrap());
    iam.found.group.as_mut().unwrap().members.insert("bob".into());
    iam.carry_out(&plan_destroy("team", &iam.found.clone()).unwrap());
    assert_eq!(iam.found.group.unwrap().members, ["bob".to_owned()].into());

    let mut iam = Pretend::default();
    iam.carry_out(&plan(&wish, &Found::default()).unwrap());
    iam.found.group.as_mut().unwrap().members.insert("erin".into());
    iam.found.policies[0].holders.insert("user frank".into());
    let steps = plan_destroy("team", &iam.found).unwrap();
    iam.carry_out(&steps);
    assert!(
        steps.kept.iter().any(|kept| kept.contains("erin")) && steps.kept.iter().any(|kept| kept.contains("user frank")),
        "{:?}",
        steps.kept
    );
    assert_eq!(iam.found.group.unwrap().members, ["erin".to_owned()].into());
    assert_eq!(iam.found.policies[0].holders, ["user frank".to_owned()].into());
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let mut iam = Pretend::default();
    iam.carry_out(&plan(&desired(&["a"], &[]), &Found::default()).unwrap());
    let mut foreign = iam.found.clone();
    foreign.policies[0].tags.clear();
    for error in [plan(&desired(&["a"], &[]), &foreign).unwrap_err(), plan_destroy("team", &foreign).unwrap_err()] {
        assert!(error.message().contains("not shiftkey's"), "{error}");
    }
    let elsewhere = Desired { group: Some("other".into()), ..desired(&["a"], &[]) };
    assert!(plan(&elsewhere, &iam.found).unwrap_err().message().contains("attached to team"));
    assert!(plan(&desired(&["a"], &["a,b"]), &Found::default()).unwrap_err().message().contains("comma"));
    let crowd: Vec<String> = (0..200).map(|n| format!("{n:0>60}")).collect();
    let crowd = Desired { members: crowd.into_iter().collect(), ..desired(&["a"], &[]) };
    assert!(plan(&crowd, &Found::default()).unwrap_err().message().contains("so many members"));
}

#[test]
fn members_are_written_down_in_tags_that_iam_takes() {
    let members: BTreeSet<String> = (0..100).map(|n| format!("user{n}@example.com")).collect();
    let record = Record { group: Some("g".into()), role: None, members };
    let tags = record.tags().unwrap();
    assert!(tags.values().all(|value| value.len() <= 256) && tags.len() <= 50);
    assert_eq!(Record::read(&tags), record);
    assert_eq!(json!(tags.get(MARK)), json!("policy-apply"));
}
