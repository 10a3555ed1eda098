//! Users, passwords and system tables, as a client sees them through each engine.

use super::*;

const HASH: &str = "md5";

async fn root(fixture: &Fixture) -> Client {
    fixture.sign_in("root", "Root-Secret-1", "dev").await.unwrap().0
}

#[tokio::test]
async fn a_password_that_is_disabled_opens_nothing_and_a_new_one_does() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let mut root = root(&fixture).await;
        let code = |outcome: Result<_, (String, String)>| outcome.map(|_| ()).map_err(|(code, _)| code);
        for (sql, password, expected) in [
            ("SELECT 1", "own password", Ok(())),
            ("ALTER USER etl PASSWORD DISABLE", "own password", Err("28P01".to_owned())),
            ("ALTER USER etl PASSWORD 'Fresh-Secret-2'", "Fresh-Secret-2", Ok(())),
            ("ALTER USER etl PASSWORD 'sha256|Fresh-Secret-4'", "Fresh-Secret-4", Ok(())),
        ] {
            query(&mut root, sql).await.unwrap();
            assert_eq!(code(fixture.sign_in("etl", password, "dev").await), expected, "{sql}");
        }
        let sql = format!("ALTER USER etl PASSWORD '{HASH}{}'", hash("Fresh-Secret-5etl"));
        query(&mut root, &sql).await.unwrap();
        assert_eq!(code(fixture.sign_in("etl", "Fresh-Secret-5", "dev").await), Ok(()));
        // IAM does not mind.
        query(&mut root, "ALTER USER bob PASSWORD DISABLE").await.unwrap();
        assert_eq!(code(fixture.sign_in("IAM:bob", "first/+=", "dev").await), Ok(()));
        fixture.gate.stop().await;
    }
}

fn hash(text: &str) -> String {
    use ::md5::{Digest as _, Md5};
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn hashes_answer_the_challenges_that_they_can() {
    for (challenge, proven) in [(Challenge::Cleartext, true), (Challenge::Md5, true), (Challenge::Digest, false), (Challenge::Scram, false)]
    {
        let fixture = fixture(Engine::Embedded, challenge).await;
        let stored = format!("{HASH}{}", hash("Fresh-Secret-5etl"));
        fixture.world.update(&fixture.id, |it| it.users.get_mut("etl").unwrap().password = Some(stored));
        assert_eq!(fixture.sign_in("etl", "Fresh-Secret-5", "dev").await.is_ok(), proven, "{challenge}");
        assert!(fixture.sign_in("etl", "Fresh-Secret-6", "dev").await.is_err(), "{challenge}");
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn system_tables_are_joined_and_denied_as_in_redshift() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let (mut bob, _) = fixture.sign_in("IAM:bob", "first/+=", "dev").await.unwrap();
        let mut root = root(&fixture).await;
        for sql in ["CREATE GROUP \"Ünit's\"", "ALTER GROUP \"Ünit's\" ADD USER bob", "CREATE USER \"we\"\"ird\" PASSWORD DISABLE"] {
            query(&mut root, sql).await.unwrap();
        }
        for (sql, expected) in [
            ("SELECT count(*) FROM pg_user WHERE usesuper", Ok("2")),
            ("SELECT usename FROM pg_catalog.pg_user WHERE usename LIKE 'we%'", Ok("we\"ird")),
            ("WITH supers AS (SELECT * FROM pg_user WHERE usesuper) SELECT count(*) FROM supers", Ok("2")),
            ("SELECT case when usesuper then 't' else 'f' end FROM pg_user WHERE usename = 'root'", Ok("t")),
            ("SELECT usesuper FROM pg_user WHERE usename = 'root'", Ok("t")),
            ("SELECT count(*) FROM svv_user_info", Ok("1")),
            ("SELECT grolist FROM pg_group WHERE groname LIKE '%nit%'", Ok("{100}")),
            ("SELECT passwd FROM pg_shadow", Err("42501")),
            ("SELECT count(*) FROM stl_connection_log", Err("42501")),
            ("ALTER USER bob PASSWORD 'Secret-of-bob-1'", Err("42501")),
            ("SELECT 1", Ok("1")),
        ] {
            assert_eq!(query(&mut bob, sql).await, expected.map(str::to_owned).map_err(str::to_owned), "{sql}");
        }
        let methods = "SELECT count(*) FROM stl_connection_log WHERE trim(authmethod) = 'IAM AssumeUser' \
                       AND trim(iamauthguid) = 'guid-first/+=' AND trim(event) = 'authenticated'";
        assert_eq!(query(&mut root, methods).await.as_deref(), Ok("1"));
        let latest = "SELECT max(record_time) FROM sys_connection_log WHERE auth_method = 'password' GROUP BY user_name";
        assert!(query(&mut root, latest).await.unwrap().starts_with("20"));
        assert_eq!(query(&mut root, "SELECT count(*) FROM pg_shadow WHERE passwd IS NULL").await.as_deref(), Ok("3"));
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn roles_follow_renames_drops_and_superusers() {
    if !Engine::postgres_is_installed() {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    }
    let fixture = fixture(Engine::Postgres, Challenge::Cleartext).await;
    let mut root = root(&fixture).await;
    let (mut etl, _) = fixture.sign_in("etl", "own password", "dev").await.unwrap();
    query(&mut etl, "CREATE TABLE kept (n int)").await.unwrap();
    query(&mut root, "ALTER USER etl RENAME TO loader").await.unwrap();
    query(&mut root, "ALTER USER loader PASSWORD 'Fresh-Secret-2' CREATEUSER").await.unwrap();
    let (mut loader, _) = fixture.sign_in("loader", "Fresh-Secret-2", "dev").await.unwrap();
    assert_eq!(query(&mut loader, "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'").await.as_deref(), Ok("loader"));
    assert_eq!(query(&mut loader, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").await.as_deref(), Ok("t"));
    assert_eq!(query(&mut root, "DROP USER loader").await, Err("2BP01".to_owned()), "it owns a table");
    fixture.gate.stop().await;
}
