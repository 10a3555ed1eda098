//! Generated policies grant what was asked for and nothing else: judged by the sandbox's evaluator, which shares no line with ours,
//! and by ours.

#![allow(clippy::unwrap_used)]

mod world; // intents and requests at random, and what was asked for, in so many words

use proptest::prelude::*;
use serde_json::Value;
use shiftkey::policy::{
    LONGEST,
    evaluate::{self, Context},
    generate::{Generated, generate},
    lint::{Expectations, lint},
};
use shiftkey_sandbox::iam;

use self::world::{Asked, asked, cases_file, intents, requests};

fn documents(generated: &Generated) -> Vec<Value> {
    generated.documents.iter().map(|it| serde_json::from_str(&it.to_json()).unwrap()).collect()
}

/// Whether all that the call needs is allowed, by the sandbox and by us.
fn verdicts(policies: &[Value], request: &Asked) -> (bool, bool) {
    let keys = request.context();
    let theirs: iam::Context = keys.iter().cloned().collect();
    let ours = Context::complete(keys);
    let needs = request.needs();
    (
        needs.iter().all(|(action, arn)| iam::decide(policies, action, arn, &theirs) == iam::Decision::Allowed),
        needs.iter().all(|(action, arn)| evaluate::evaluate(policies, action, arn, &ours).decision == evaluate::Decision::Allowed),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn what_is_generated_grants_what_was_asked_for(intent in intents(), requests in prop::collection::vec(requests(), 12)) {
        let generated = generate(&intent).unwrap();
        let policies = documents(&generated);
        prop_assert!(generated.documents.iter().all(|it| it.length() <= LONGEST));
        for document in &generated.documents {
            // Intents without an admin do not deny one.
            let mut findings = lint(&document.to_json(), &Expectations::default()).unwrap();
            findings.retain(|it| it.rule != "admin");
            prop_assert!(findings.is_empty(), "{findings:?} {policies:#?}");
        }
        for request in &requests {
            // Half of the requests are bent to fit a grant, or nearly none would.
            for request in [request.clone(), request.bent(&intent)] {
                let expected = asked(&intent, &request);
                let (theirs, ours) = verdicts(&policies, &request);
                prop_assert_eq!(theirs, expected, "the sandbox: {:#?} {:#?}", request, policies);
                prop_assert_eq!(ours, expected, "ours: {:#?} {:#?}", request, policies);
                cases_file(&policies, &request);
            }
        }
    }
}

#[test]
fn requests_that_fit_are_not_rare() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut allowed = 0;
    for _ in 0..500 {
        let intent = intents().new_tree(&mut runner).unwrap().current();
        let request = requests().new_tree(&mut runner).unwrap().current().bent(&intent);
        allowed += usize::from(asked(&intent, &request));
    }
    assert!((100..450).contains(&allowed), "{allowed} of 500");
}

#[test]
fn what_does_not_fit_into_one_policy_is_split_into_policies_that_together_grant_the_same() {
    let many = world::many(40);
    let generated = generate(&many).unwrap();
    assert!((2..=10).contains(&generated.documents.len()), "{}", generated.documents.len());
    assert!(generated.documents.iter().all(|it| it.length() <= LONGEST));
    let policies = documents(&generated);
    for request in world::every(&many).into_iter().step_by(3) {
        assert!(asked(&many, &request));
        assert_eq!(verdicts(&policies, &request), (true, true), "{request:?}");
        let admin = Asked { db_user: "AwsUser".into(), caller: world::user("AwsUser"), ..request };
        // Each is safe alone.
        for policy in &policies {
            assert_eq!(verdicts(std::slice::from_ref(policy), &admin), (false, false), "{admin:?}");
        }
    }
    let wide = world::wide(30, 40);
    let generated = generate(&wide).unwrap();
    assert!(generated.documents.len() > 1 && generated.documents.iter().all(|it| it.length() <= LONGEST));
    let policies = documents(&generated);
    assert!(world::every(&wide).iter().step_by(7).all(|request| verdicts(&policies, request) == (true, true)));
    let error = generate(&world::many(400)).unwrap_err();
    assert!(error.message().contains("a group, user or role can have 10"), "{error}");
}
