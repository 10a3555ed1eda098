use tokio_postgres::error::DbError;

use super::*;

async fn refused(config: &tokio_postgres::Config) -> DbError {
    let error = connect(config).await.map(|_| ()).unwrap_err();
    error.as_db_error().unwrap_or_else(|| panic!("no ErrorResponse: {error:?}")).clone()
}

#[tokio::test]
async fn a_wrong_database_is_told_in_the_warehouses_own_words() {
    let world = World::new().await;
    let error = refused(world.tcp().dbname("nothere")).await;
    assert_eq!((error.code().code(), error.severity()), ("3D000", "FATAL"));
    assert!(!error.message().starts_with("shiftkey"), "{error:?}");
    let error = refused(world.tcp().dbname("no such name")).await;
    assert!(error.code().code() == "22023" && error.message().starts_with("shiftkey: "), "{error:?}");
    assert_eq!(world.proxy.stats().counts().failed, 2);
    assert_eq!(world.proxy.stats().failures()[0].code, "22023");
    world.end().await;
}

#[tokio::test]
async fn a_denial_names_the_action_and_the_policy() {
    let choice = Choice { engine: Engine::Embedded, caller: Some("intern"), ..Choice::default() };
    let world = World::with(choice).await;
    let error = refused(&world.unix()).await;
    assert_eq!(error.code().code(), "42501");
    assert!(error.message().starts_with("shiftkey: prod/analytics: "), "{error:?}");
    assert!(error.hint().unwrap().contains("redshift:GetClusterCredentials"), "{error:?}");
    world.end().await;
}

#[tokio::test]
async fn a_warehouse_that_is_down_is_told() {
    let overrides = Overrides { host: Some("127.0.0.1".into()), port: Some(1), ..Overrides::default() };
    let world = World::with(Choice { engine: Engine::Embedded, overrides, ..Choice::default() }).await;
    let error = refused(&world.tcp()).await;
    assert!(error.code().code() == "08001" && error.hint().unwrap().contains("network"), "{error:?}");
    world.end().await;
}

#[tokio::test]
async fn the_name_to_verify_is_not_the_host_that_is_dialled() {
    let world = World::new().await;
    let port = world.sandbox.world().warehouse(&world.warehouse()).unwrap().endpoint.unwrap().1;
    let tunnel = |server_name: &str| {
        let mut target = world.target.clone();
        (target.host, target.port, target.server_name) = (Some("127.0.0.1".into()), Some(port), Some(server_name.into()));
        Listener::bind(&"0".parse().unwrap(), Audience::users(Admission::same_user()), Routes::to(&target)).unwrap()
    };
    for (server_name, code) in [("localhost", None), ("elsewhere.example.com", Some("22023"))] {
        let listener = tunnel(server_name);
        let Listen::Tcp(address) = *listener.address() else { panic!("TCP was asked for") };
        let (proxy, stop) = (world.proxy.clone(), Arc::new(Notify::new()));
        let running = tokio::spawn({
            let stop = Arc::clone(&stop);
            async move { proxy.run(vec![listener], stop.notified()).await }
        });
        let outcome = connect(&at(address)).await.map(|_| ());
        let told = outcome.err().map(|error| error.code().unwrap().code().to_owned());
        assert_eq!(told.as_deref(), code, "{server_name}");
        stop.notify_one();
        running.await.unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn a_sign_in_that_takes_too_long_is_told() {
    let settings = Settings { sign_in: std::time::Duration::ZERO, ..Settings::default() };
    let choice = Choice { engine: Engine::Embedded, settings, faults: &["*:hang"], ..Choice::default() };
    let world = World::with(choice).await;
    let error = refused(&world.tcp()).await;
    assert!(error.code().code() == "08001" && error.message().contains("in time"), "{error:?}");
    world.end().await;
}

#[tokio::test]
async fn one_session_too_many_is_told() {
    let settings = Settings { sessions: 1, ..Settings::default() };
    let world = World::with(Choice { engine: Engine::Embedded, settings, ..Choice::default() }).await;
    let first = connect(&world.tcp()).await.unwrap();
    let error = refused(&world.tcp()).await;
    assert!(error.code().code() == "53300" && error.hint().unwrap().contains("--max-sessions"), "{error:?}");
    assert_eq!(one(&first, "select 1").await, "1");
    drop(first);
    world.end().await;
}
