//! Names with quotes, in other scripts and of full length, all the way through a warehouse's own parser.

use shiftkey_audit::changes;
use shiftkey_sandbox::seed::analytics;

use crate::{World, engines};

#[tokio::test]
async fn the_user_that_is_meant_is_the_user_that_is_changed() {
    let long = "n".repeat(127);
    let names = ["plain", "Mixed Case", "we\"ird", "\"\"", "semi;colon--", "it's", "back\\slash", "名前", "tab\there", "$1", &long];
    for engine in engines() {
        let world = World::start(engine).await;
        world.add(&names);
        // A name that a careless quoting would hit instead.
        world.add(&["we", "mixed case", "semi"]);
        let mut session = world.session(&world.target("prod/analytics", Some("awsuser"))).await;
        for name in names {
            session.change(&changes::disable(name).unwrap()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!world.has_password(name), "{name}");
        }
        assert!(["we", "mixed case", "semi"].iter().all(|name| world.has_password(name)));
        for name in names {
            session.change(&changes::drop_user(name).unwrap()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(world.sandbox.world().db_user(&analytics(), name).is_none(), "{name}");
        }
        world.sandbox.stop().await;
    }
}
