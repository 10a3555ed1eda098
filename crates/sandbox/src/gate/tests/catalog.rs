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
async fn changes_of_users_wait_for_the_end_of_their_transaction() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let (mut root, mut other) = (root(&fixture).await, root(&fixture).await);
        query(&mut root, "CREATE TABLE t (n int)").await.unwrap();
        let count = "SELECT count(*) FROM pg_user WHERE usename IN ('eve', 'mallory')";
        // Statements, each a message; what the session sees then; how it ends; what is true then.
        for (sentence, statements, own, end, after) in [
            ("rolled back", &["BEGIN", "CREATE USER eve PASSWORD DISABLE"][..], "1", "ROLLBACK", "0"),
            ("two of them", &["BEGIN", "CREATE USER eve PASSWORD DISABLE", "CREATE USER mallory PASSWORD DISABLE"], "2", "ROLLBACK", "0"),
            ("and dropped", &["BEGIN", "CREATE USER eve PASSWORD DISABLE", "DROP USER eve"], "0", "COMMIT", "0"),
            ("a failed one", &["BEGIN", "CREATE USER eve PASSWORD DISABLE", "SELECT nothing FROM nowhere"], "25P02", "COMMIT", "0"),
            ("a refused one", &["BEGIN", "CREATE USER eve PASSWORD DISABLE", "ALTER USER nobody CREATEDB"], "25P02", "COMMIT", "0"),
            ("in one message", &["BEGIN; CREATE USER eve PASSWORD DISABLE"], "1", "ABORT", "0"),
            ("a message that fails", &["CREATE USER eve PASSWORD DISABLE; SELECT nothing FROM nowhere"], "0", "SELECT 1", "0"),
            ("a message that is refused", &["CREATE USER eve PASSWORD DISABLE; ALTER USER nobody CREATEDB"], "0", "SELECT 1", "0"),
            ("committed", &["BEGIN", "CREATE USER eve PASSWORD DISABLE", "INSERT INTO t VALUES (1)"], "1", "COMMIT", "1"),
            ("without a transaction", &["DROP USER eve"], "0", "SELECT 1", "0"),
            ("a message with all of it", &["BEGIN; CREATE USER eve PASSWORD DISABLE; COMMIT"], "1", "SELECT 1", "1"),
        ] {
            let before = query(&mut other, count).await.unwrap();
            for sql in statements {
                let _ = query(&mut root, sql).await;
            }
            assert_eq!(query(&mut root, count).await.unwrap_or_else(|code| code), own, "{sentence}");
            if end != "SELECT 1" {
                assert_eq!(query(&mut other, count).await.unwrap(), before, "{sentence}, for others");
            }
            query(&mut root, end).await.unwrap();
            for client in [&mut root, &mut other] {
                assert_eq!(query(client, count).await.unwrap(), after, "{sentence}, in the end");
            }
        }
        fixture.gate.stop().await;
    }
}

#[tokio::test]
async fn a_password_goes_when_its_transaction_is_committed_and_not_when_the_session_is_cut() {
    for engine in engines() {
        let fixture = fixture(engine, Challenge::Cleartext).await;
        let opens = async || fixture.sign_in("etl", "own password", "dev").await.is_ok();
        for cut in [true, false] {
            let mut root = root(&fixture).await;
            query(&mut root, "BEGIN").await.unwrap();
            query(&mut root, "ALTER USER etl PASSWORD DISABLE").await.unwrap();
            assert!(opens().await, "the transaction is open");
            if cut {
                drop(root);
                continue;
            }
            query(&mut root, "COMMIT").await.unwrap();
        }
        assert!(!opens().await);
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
    for sql in ["BEGIN", "ALTER USER etl RENAME TO loader", "ROLLBACK", "ALTER USER etl RENAME TO loader"] {
        query(&mut root, sql).await.unwrap();
    }
    query(&mut root, "ALTER USER loader PASSWORD 'Fresh-Secret-2' CREATEUSER").await.unwrap();
    let (mut loader, _) = fixture.sign_in("loader", "Fresh-Secret-2", "dev").await.unwrap();
    assert_eq!(query(&mut loader, "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'").await.as_deref(), Ok("loader"));
    assert_eq!(query(&mut loader, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").await.as_deref(), Ok("t"));
    assert_eq!(query(&mut root, "DROP USER loader").await, Err("2BP01".to_owned()), "it owns a table");
    query(&mut loader, "DROP TABLE kept").await.unwrap();
    query(&mut root, "DROP USER loader").await.unwrap();
    assert_eq!(query(&mut root, "SELECT count(*) FROM pg_roles WHERE rolname = 'loader'").await.as_deref(), Ok("0"));
    fixture.gate.stop().await;
}
