use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::*;
use crate::world::{ConnectionRecord, DbUser, Warehouse, WarehouseKind};

/// A warehouse with the superuser `root`, and `bob`, who has a password, and `eve`, who has none.
fn world() -> (World, WarehouseId) {
    let id = WarehouseId { kind: WarehouseKind::Cluster, account: "1".into(), region: "r".into(), name: "w".into() };
    let user = |name: &str, superuser, password: Option<&str>| {
        (name.to_owned(), DbUser { name: name.into(), superuser, password: password.map(str::to_owned), ..DbUser::default() })
    };
    let world = World::new([Warehouse {
        id: id.clone(),
        uuid: String::new(),
        endpoint: None,
        databases: vec!["dev".into()],
        groups: vec!["readers".into()],
        users: BTreeMap::from([user("root", true, Some("Secret123")), user("bob", false, Some("Secret123")), user("eve", false, None)]),
        admin: "root".into(),
        tags: BTreeMap::new(),
        custom_domain: None,
        keeps_passwords: Vec::new(),
    }]);
    (world, id)
}

fn run(world: &World, id: &WarehouseId, user: &str, sql: &str) -> Result<(), &'static str> {
    let catalog = Catalog::new(world, id, user);
    for piece in read(sql).map_err(|it| it.code)?.expect("it concerns the catalog") {
        match piece {
            Piece::Change(change) => catalog.change(change).map_err(|it| it.code)?,
            Piece::Other { reads, .. } => {
                for table in reads {
                    catalog.rows(table).map_err(|it| it.code)?;
                }
            }
        }
    }
    catalog.commit();
    Ok(())
}

#[test]
fn changes_follow_redshifts_rules() {
    for (user, sql, expected) in [
        ("root", "ALTER USER bob PASSWORD DISABLE", Ok(())),
        ("root", "alter user BOB with password disable", Ok(())),
        ("root", "ALTER USER \"BOB\" PASSWORD DISABLE", Err("42704")),
        ("root", "ALTER USER root PASSWORD DISABLE", Err("0A000")),
        ("root", "ALTER USER eve CREATEUSER", Err("0A000")),
        ("root", "ALTER USER eve CREATEUSER PASSWORD 'Secret123'", Ok(())),
        ("root", "CREATE USER new PASSWORD DISABLE CREATEUSER", Err("0A000")),
        ("root", "CREATE USER new PASSWORD DISABLE IN GROUP readers", Ok(())),
        ("root", "CREATE USER new PASSWORD DISABLE IN GROUP nobody", Err("42704")),
        ("root", "CREATE USER bob PASSWORD DISABLE", Err("42710")),
        ("root", "CREATE USER new", Err("42601")),
        ("root", "CREATE USER new PASSWORD 'weak'", Err("22023")),
        ("root", "CREATE USER new PASSWORD 'md5c06dbd68e80d3ef7c5b1a4cf8cd6d1c5'", Ok(())),
        ("root", "CREATE USER new PASSWORD 'Secret123' VALID UNTIL '2030-01-01'", Ok(())),
        ("root", "ALTER USER bob VALID UNTIL 'soon'", Err("22007")),
        ("root", "ALTER USER bob RENAME TO eve", Err("42710")),
        ("root", "DROP USER bob, nobody", Err("42704")),
        ("root", "DROP USER IF EXISTS bob, nobody", Ok(())),
        ("root", "ALTER GROUP readers ADD USER bob; DROP GROUP readers", Ok(())),
        ("root", "GRANT ROLE sys:monitor TO bob", Ok(())),
        ("root", "ALTER USER bob PASSWORD", Err("42601")),
        ("bob", "ALTER USER bob PASSWORD 'Another123'", Ok(())),
        ("bob", "ALTER USER bob PASSWORD DISABLE", Err("42501")),
        ("bob", "ALTER USER eve PASSWORD 'Another123'", Err("42501")),
        ("bob", "ALTER USER bob PASSWORD 'Another123' CREATEUSER", Err("42501")),
        ("eve", "ALTER USER eve PASSWORD 'Another123'", Err("42501")),
        ("eve", "CREATE USER new PASSWORD DISABLE", Err("42501")),
        ("eve", "SELECT * FROM pg_user u JOIN pg_catalog.pg_group g ON true", Ok(())),
        ("eve", "SELECT * FROM pg_shadow", Err("42501")),
        ("eve", "SELECT * FROM stl_connection_log", Err("42501")),
    ] {
        let (world, id) = world();
        assert_eq!(run(&world, &id, user, sql), expected, "{user}: {sql}");
    }
}

#[test]
fn a_renamed_user_has_no_password_and_keeps_the_rest() {
    let (world, id) = world();
    run(&world, &id, "root", "ALTER GROUP readers ADD USER bob; ALTER USER bob RENAME TO \"Rob \"\"B\"\"\"").unwrap();
    let user = world.db_user(&id, "Rob \"B\"").unwrap();
    assert_eq!((user.password, user.groups), (None, vec!["readers".to_owned()]));
}

#[test]
fn a_reader_sees_what_redshift_would_show() {
    let (world, id) = world();
    world.log_connection(
        &id,
        ConnectionRecord {
            event: "authenticated".into(),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            user: "n".repeat(60),
            database: "dev".into(),
            auth_method: "password".into(),
            guid: None,
            remote: None,
            session: 7,
            application: String::new(),
            driver: String::new(),
            plugin: String::new(),
            system: String::new(),
        },
    );
    let rows = |user: &str, name: &str| {
        let table = tables::TABLES.iter().find(|it| it.name == name).unwrap();
        Catalog::new(&world, &id, user).rows(table)
    };
    let names = |rows: Vec<Vec<Cell>>| rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect::<Vec<_>>();
    assert_eq!(names(rows("bob", "pg_user").unwrap()), ["rdsdb", "bob", "eve", "root"]);
    assert_eq!(names(rows("bob", "svv_user_info").unwrap()), ["bob"]);
    assert!(rows("bob", "pg_user").unwrap().iter().all(|row| row[5].as_deref() == Some("********")));
    let kept: Vec<_> = rows("root", "pg_shadow").unwrap().into_iter().map(|row| row[5].clone()).collect();
    assert_eq!(kept[2], None, "eve's is disabled");
    assert_eq!(kept[1].as_deref(), Some("md5cbfadc9dea71aeb63ae53ccb22bfeb86"), "md5 of Secret123bob");
    let log = rows("root", "stl_connection_log").unwrap();
    assert_eq!(log[0][0].as_ref().map(String::len), Some(50), "padded");
    assert_eq!(log[0][6].as_deref(), Some("n".repeat(50).as_str()), "cut");
    assert_eq!(log[0][1].as_deref(), Some("1970-01-01 00:00:01.500000"));
    assert!(rows("eve", "sys_connection_log").is_err());
    run(&world, &id, "root", "GRANT ROLE sys:monitor TO eve").unwrap();
    assert_eq!(rows("eve", "sys_connection_log").unwrap().len(), 1);
}

#[test]
fn texts_that_do_not_concern_the_catalog_stay_as_they_are() {
    for sql in ["SELECT current_user", "SELECT 1; SELECT 2", "SELECT 'pg_user'", "SELECT count(*) FROM users GROUP BY 1", "no sql 'at all"]
    {
        assert!(read(sql).unwrap().is_none(), "{sql}");
    }
}
