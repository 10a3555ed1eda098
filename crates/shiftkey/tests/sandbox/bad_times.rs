use shiftkey::Pace;

use super::*;

#[tokio::test]
async fn a_credential_that_died_early_is_refused_and_the_next_one_is_not() {
    let world = World::with(&["GetClusterCredentials:expire-early=0s@1"]).await;
    let target = world.target("prod/analytics");
    let dead = world.shiftkey.login(&target).await.unwrap();
    let error = world.connect(&dead).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused);
    assert!(error.to_string().contains("28000"), "{error}");
    world.shiftkey.invalidate(&target, &dead.credential).await;
    world.connect(&world.shiftkey.login(&target).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_warehouse_that_moved_is_found_again_when_it_does_not_answer() {
    let world = World::new().await;
    let target = world.target("prod/analytics");
    let login = world.process(&[]).login(&target).await.unwrap();
    let port = world.sandbox.move_endpoint(&warehouse(WarehouseKind::Cluster, "analytics")).await.unwrap();
    assert_eq!(world.connect(&login).await.unwrap_err().kind(), ErrorKind::Unreachable);
    let process = world.later(10);
    assert_eq!(process.renew_endpoint(&target, &login.endpoint).await.unwrap().port, port);
    let login = process.login(&target).await.unwrap();
    assert_eq!((login.endpoint.port, login.origin.is_cached()), (port, true), "the credential is as good as it was");
    world.connect(&login).await.unwrap();
}

#[tokio::test]
async fn a_password_that_was_changed_is_refused() {
    let world = World::new().await;
    let target = world.target("prod/analytics");
    let login = world.shiftkey.login(&target).await.unwrap();
    assert_eq!(world.sandbox.world().revoke_grants(&warehouse(WarehouseKind::Cluster, "analytics")), 1);
    let error = world.connect(&login).await.unwrap_err();
    assert!(error.kind() == ErrorKind::LoginRefused && error.to_string().contains("28P01"), "{error}");
}

/// A client that loses no time between its calls.
fn hasty(world: &World) -> Shiftkey {
    Shiftkey::builder().env(world.env.clone()).pace(Pace { per_second: 1_000.0, burst: 1_000.0 }).build()
}

#[tokio::test]
async fn throttles_are_not_counted_among_broken_answers() {
    let throttles = "GetClusterCredentials:throttle,retry-after=0s@1..3";
    for (broken, succeeds) in [("GetClusterCredentials:503@4..6", true), ("GetClusterCredentials:503@4..7", false)] {
        let world = World::with(&[throttles, broken]).await;
        let outcome = hasty(&world).credential(&world.target("prod/analytics")).await;
        assert_eq!(outcome.is_ok(), succeeds, "{broken}");
    }
}

#[tokio::test]
async fn a_throttled_sts_is_waited_out_like_any_other_service() {
    let world = World::with(&["GetCallerIdentity:throttle,retry-after=0s@1..5"]).await;
    hasty(&world).credential(&world.target("prod/analytics")).await.unwrap();
    assert_eq!(world.calls("GetCallerIdentity"), 6);
}

#[tokio::test]
async fn a_role_is_waited_for_through_some_throttling() {
    let world = World::with(&["AssumeRole:throttle,retry-after=0s@1..5"]).await;
    let flags = Overrides { profile: Some("engineer".into()), db_user: Some("alice".into()), ..Overrides::default() };
    hasty(&world).credential(&world.config.resolve("prod/analytics", &flags).unwrap()).await.unwrap();
    assert_eq!(world.calls("AssumeRole"), 6);
}
