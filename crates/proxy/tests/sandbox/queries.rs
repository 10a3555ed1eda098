use futures::{SinkExt as _, TryStreamExt as _};

use super::*;

#[tokio::test]
async fn a_client_signs_in_with_no_password_on_the_socket_and_on_tcp() {
    let world = World::new().await;
    for config in [world.unix(), world.tcp(), world.tcp().password("not asked for").clone(), world.tcp().dbname("dev").clone()] {
        let client = connect(&config).await.unwrap();
        assert_eq!(one(&client, "select current_user").await, "alice");
        assert_eq!(one(&client, "select current_database()").await, "dev");
        let rows = client.query("select current_user", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "alice");
    }
    world.end().await;
}

#[tokio::test]
async fn a_hundred_clients_at_once_cost_one_call() {
    let world = World::new().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let config = world.tcp();
        clients.spawn(async move { one(&connect(&config).await.unwrap(), "select current_user").await });
    }
    assert!(clients.join_all().await.iter().all(|user| user == "alice"));
    assert_eq!(world.issued(), 1);
    let stats = Arc::clone(world.proxy.stats());
    world.end().await;
    let counts = stats.counts();
    assert_eq!((counts.accepted, counts.signed_in, counts.open, counts.issued + counts.saved), (100, 100, 0, 100));
    assert!(counts.from_clients > 0 && counts.to_clients > counts.from_clients, "{counts:?}");
}

#[tokio::test]
async fn a_credential_that_the_warehouse_has_forgotten_is_replaced_unnoticed() {
    let world = World::new().await;
    connect(&world.tcp()).await.unwrap();
    world.sandbox.world().revoke_grants(&world.warehouse());
    let client = connect(&world.tcp()).await.unwrap();
    assert_eq!(one(&client, "select current_user").await, "alice");
    assert_eq!(world.issued(), 2);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_session_outlives_its_credential_and_the_next_one_gets_a_new_one() {
    let world = World::new().await;
    let first = connect(&world.unix()).await.unwrap();
    world.sandbox.clock().advance(std::time::Duration::from_secs(2 * 3600));
    assert_eq!(one(&first, "select current_user").await, "alice");
    let second = connect(&world.unix()).await.unwrap();
    assert_eq!(one(&second, "select current_user").await, "alice");
    assert_eq!(world.issued(), 2, "one for each");
    drop((first, second));
    world.end().await;
}

#[tokio::test]
async fn a_credential_in_use_is_renewed_before_anybody_needs_it() {
    let settings = Settings { renew_every: std::time::Duration::from_millis(1), ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    one(&connect(&world.tcp()).await.unwrap(), "select 1").await;
    assert_eq!(world.issued(), 1);
    world.sandbox.clock().advance(std::time::Duration::from_secs(57 * 60));
    while world.issued() < 2 {
        tokio::task::yield_now().await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_session_that_the_warehouse_cuts_ends_and_the_next_finds_the_new_place() {
    let world = World::new().await;
    let client = connect(&world.tcp()).await.unwrap();
    world.sandbox.move_endpoint(&world.warehouse()).await.unwrap();
    // What AWS said a moment ago is not asked for again.
    world.sandbox.clock().advance(std::time::Duration::from_secs(60));
    assert!(client.simple_query("select 1").await.is_err());
    let client = connect(&world.tcp()).await.unwrap();
    assert_eq!(one(&client, "select current_user").await, "alice");
    assert_eq!(world.proxy.stats().open_sessions().len(), 1);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn open_sessions_are_told() {
    let world = World::new().await;
    let client = connect(world.tcp().application_name("report")).await.unwrap();
    one(&client, "select 1").await;
    let sessions = world.proxy.stats().open_sessions();
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!((session.target.as_str(), session.database.as_str(), session.db_user.as_str()), ("prod/analytics", "dev", "IAM:alice"));
    assert_eq!((session.application.as_str(), session.uid), ("report", Some(rustix::process::geteuid().as_raw())));
    assert!(session.from_client > 0 && session.to_client > 0);
    let log = world.sandbox.world().connection_log(&world.warehouse());
    assert!(log.iter().any(|record| record.application == "report"), "the client's own parameters go upstream: {log:?}");
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_query_is_cancelled_and_the_session_goes_on() {
    let Some(world) = World::postgres().await else { return };
    let client = connect(&world.unix()).await.unwrap();
    let token = client.cancel_token();
    let mut query = Box::pin(client.simple_query("select pg_sleep(3600)"));
    let mut sent = 0;
    let cancelled = loop {
        // A request that comes before the query is for nothing, so they are sent until one meets it.
        tokio::select! {
            outcome = &mut query => break outcome.unwrap_err(),
            request = token.cancel_query(NoTls) => request.unwrap(),
        }
        sent += 1;
        assert!(sent < 1000, "no request reached the query");
    };
    drop(query);
    assert_eq!(cancelled.code().unwrap().code(), "57014");
    // One of the requests may still be on its way, and meets this.
    while client.simple_query("select 1").await.is_err() {}
    assert!(world.proxy.stats().counts().cancels > 0);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn copy_goes_both_ways_in_bulk() {
    let Some(world) = World::postgres().await else { return };
    let client = connect(&world.tcp()).await.unwrap();
    client.batch_execute("create temp table numbers (number int, text text)").await.unwrap();
    let sink = client.copy_in("copy numbers from stdin").await.unwrap();
    tokio::pin!(sink);
    let padding = "x".repeat(500);
    for chunk in 0..100 {
        let lines: String = (0..200).map(|line| format!("{}\t{padding}\n", chunk * 200 + line)).collect();
        sink.send(bytes::Bytes::from(lines)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 20_000);
    let stream = client.copy_out("copy (select * from numbers order by number) to stdout").await.unwrap();
    let copied: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    let text = String::from_utf8(copied.concat()).unwrap();
    assert_eq!(text.lines().count(), 20_000);
    assert!(text.lines().enumerate().all(|(number, line)| line == format!("{number}\t{padding}")));
    let long = one(&client, "select repeat('y', 20000000)").await;
    assert_eq!(long.len(), 20_000_000);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_day_of_clients_that_come_back_costs_a_call_an_hour_and_none_waits_for_it() {
    let settings = Settings { renew_every: std::time::Duration::from_millis(1), ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let lasting = connect(&world.unix()).await.unwrap();
    let minutes = 7;
    for _ in 0..24 * 60 / minutes {
        world.sandbox.clock().advance(std::time::Duration::from_secs(minutes * 60));
        let client = connect(&world.tcp()).await.unwrap();
        assert_eq!(one(&client, "select current_user").await, "alice");
    }
    assert_eq!(one(&lasting, "select current_user").await, "alice");
    let counts = world.proxy.stats().counts();
    // A credential is good for an hour and renewed in its last fifth: one in 48 to 60 minutes.
    assert!((24..=31).contains(&world.issued()), "{} calls", world.issued());
    assert!(counts.failed == 0 && counts.signed_in == 1 + 24 * 60 / minutes, "{counts:?}");
    let log = world.sandbox.world().connection_log(&world.warehouse());
    assert!(log.iter().all(|record| record.event != "authentication failure"), "none had expired: {log:?}");
    drop(lasting);
    world.end().await;
}
