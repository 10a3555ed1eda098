use std::time::Duration;

use ::deadpool::managed::{Object, Pool};
use ::sqlx::{PgConnection, Postgres, pool::PoolConnection, postgres::PgPoolOptions};

use super::*;

#[path = "../../examples/deadpool.rs"]
#[allow(dead_code, reason = "its main")]
mod deadpool;

#[path = "../../examples/sqlx.rs"]
#[allow(dead_code, reason = "its main")]
mod sqlx;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Deadpool,
    Sqlx,
}

/// The examples' pools behind one face.
enum Either {
    Deadpool(Pool<deadpool::Manager>),
    Sqlx(Box<sqlx::Warehouse>),
}

enum Session {
    Deadpool(Object<deadpool::Manager>),
    Sqlx(PoolConnection<Postgres>),
}

impl Either {
    /// A pool for which a credential stands in the cache already.
    async fn new(kind: Kind, world: &World) -> Self {
        let (shiftkey, target) = (world.shiftkey(), world.target());
        shiftkey.login(&target).await.unwrap();
        match kind {
            Kind::Deadpool => Self::Deadpool(Pool::builder(deadpool::Manager::new(shiftkey, target)).build().unwrap()),
            Kind::Sqlx => Self::Sqlx(Box::new(sqlx::Warehouse::new(shiftkey, target, PgPoolOptions::new()).await.unwrap())),
        }
    }

    async fn acquire(&self) -> Session {
        match self {
            Self::Deadpool(pool) => Session::Deadpool(pool.get().await.unwrap()),
            Self::Sqlx(warehouse) => Session::Sqlx(warehouse.acquire().await.unwrap()),
        }
    }
}

impl Session {
    async fn ask(&mut self, question: &'static str) -> String {
        match self {
            Self::Deadpool(client) => client.query_one(question, &[]).await.unwrap().get(0),
            Self::Sqlx(session) => ::sqlx::query_scalar(question).fetch_one::<&mut PgConnection>(session).await.unwrap(),
        }
    }
}

/// What is less than a pool's own limit of sessions.
const SESSIONS: usize = 3;

#[tokio::test]
async fn a_pool_outlives_credentials_at_one_call_for_each() {
    for (engine, kind) in engines().into_iter().flat_map(|engine| [(engine.clone(), Kind::Deadpool), (engine, Kind::Sqlx)]) {
        let world = World::new(engine.clone()).await;
        let pool = Either::new(kind, &world).await;
        let mut held = Vec::new();
        for lifetime in 1..=SESSIONS {
            // Those of before are held, so that a new one has to be opened.
            held.push(pool.acquire().await);
            assert_eq!(world.issued(), lifetime, "{kind:?}");
            world.sandbox.clock().advance(Duration::from_secs(3_601));
        }
        for session in &mut held {
            assert_eq!(session.ask("select current_user").await, "alice", "an open session outlives its credential");
        }
        let (entered, refused) = (world.events("authenticated"), world.events("authentication failure"));
        assert_eq!((entered, refused), (SESSIONS, 0), "{engine:?}, {kind:?}");
    }
}

#[tokio::test]
async fn a_cached_credential_that_the_warehouse_refuses_is_rejected_once() {
    for kind in [Kind::Deadpool, Kind::Sqlx] {
        // 28000, as of one that has expired.
        let world =
            World::of(Sandbox::builder().engine(Engine::Embedded).fault(format!("{ISSUE}:expire-early=0s@1").parse().unwrap())).await;
        let pool = Either::new(kind, &world).await;
        let mut held = vec![pool.acquire().await, pool.acquire().await];
        assert_eq!((world.issued(), world.events("authentication failure")), (2, 1), "{kind:?}");
        // 28P01, as of one that was revoked.
        world.sandbox.world().revoke_grants(&analytics());
        held.extend([pool.acquire().await, pool.acquire().await]);
        assert_eq!((world.issued(), world.events("authentication failure")), (3, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn deadpool_uses_a_session_again_unless_it_has_ended() {
    for engine in engines() {
        let world = World::new(engine.clone()).await;
        let Either::Deadpool(pool) = Either::new(Kind::Deadpool, &world).await else { panic!("it was asked for") };
        drop(pool.get().await.unwrap());
        let session = pool.get().await.unwrap();
        assert_eq!(world.events("authenticated"), 1, "{engine:?}");
        // The embedded engine does not know how, and fails without ending the session.
        let ended = session.query_one("select pg_terminate_backend(pg_backend_pid())", &[]).await;
        assert!(ended.is_err());
        drop(session);
        pool.get().await.unwrap().query_one("select 1", &[]).await.unwrap();
        let expected = if engine == Engine::Postgres { 2 } else { 1 };
        assert_eq!(world.events("authenticated"), expected, "{engine:?}");
    }
}

#[tokio::test]
async fn sqlx_asks_for_no_setting_that_redshift_might_refuse() {
    if !Engine::postgres_is_installed() {
        return;
    }
    let world = World::new(Engine::Postgres).await;
    let digits = Either::new(Kind::Sqlx, &world).await.acquire().await.ask("show extra_float_digits").await;
    assert_eq!(digits, "1", "PostgreSQL's own");
}
