use proptest::prelude::*;
use shiftkey::{Config, Env, Overrides, Shiftkey, dial::Options};
use shiftkey_sandbox::{Sandbox, engine::Engine};

use super::*;
use crate::{Session, queries::Query};

#[test]
fn texts_are_what_redshift_documents() {
    let hash = Hash::of(&Secret::new("Secret123".into()), "bob");
    for (change, expected) in [
        (disable("we\"ird"), "ALTER USER \"we\"\"ird\" PASSWORD DISABLE"),
        (set_password("bob", &hash), "ALTER USER \"bob\" PASSWORD 'md5cbfadc9dea71aeb63ae53ccb22bfeb86'"),
        (set_password("bob", &Hash::of_nothing(&[0xab; 16])), "ALTER USER \"bob\" PASSWORD 'md5abababababababababababababababab'"),
        (create("bob", &hash), "CREATE USER \"bob\" PASSWORD 'md5cbfadc9dea71aeb63ae53ccb22bfeb86' NOCREATEUSER NOCREATEDB"),
        (drop_user("bob"), "DROP USER IF EXISTS \"bob\""),
    ] {
        let change = change.unwrap();
        assert_eq!(change.text(), expected);
        assert_eq!(format!("{change:?} {hash:?}"), "Change(..) Hash([secret])");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    assert!(disable(&"n".repeat(127)).is_ok() && disable(&"é".repeat(63)).is_ok());
    for name in ["", "a\0b", "a\u{fffd}", &"n".repeat(128), &"é".repeat(64)] {
        assert!(disable(name).is_err(), "{name}");
    }
}

/// Reads a quoted identifier the way PostgreSQL's scanner does, and gives what follows it.
fn scanned(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), text.strip_prefix('"')?);
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        match rest[end + 1..].strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, &rest[end + 1..])),
        }
    }
}

proptest! {
    #[test]
    fn a_name_cannot_leave_its_quotes(name in "[^\0\u{fffd}]{1,31}") {
        let change = disable(&name).unwrap();
        let read = scanned(change.text().strip_prefix("ALTER USER ").unwrap());
        prop_assert_eq!(read, Some((name.clone(), " PASSWORD DISABLE")));
    }

    #[test]
    fn hashes_are_hexadecimal(random: [u8; 16], password in "\\PC*", user in "\\PC*") {
        for hash in [Hash::of_nothing(&random), Hash::of(&Secret::new(password), &user)] {
            let digits = hash.0.expose().strip_prefix("md5").unwrap();
            prop_assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}

/// The sandbox passes statements about roles on as they are; to PostgreSQL, `ROLE` and `USER` are one.
fn of_role(change: &Change) -> Change {
    Change(Secret::new(change.text().replacen(" USER ", " ROLE ", 1).replace(" NOCREATEUSER", "")))
}

/// Names that are hard to quote, every character of ASCII among them.
fn hostile() -> Vec<String> {
    let ascii = (1..=127_u8).map(|byte| format!("a{}b", char::from(byte)));
    let long = ["n".repeat(127), "é".repeat(63), format!("{}{}", "\"".repeat(63), "n".repeat(64))];
    let others = [
        "\"",
        "\"\"",
        "'",
        "\\",
        "\\\"",
        "\"; DROP ROLE awsuser; --",
        "\" PASSWORD NULL --",
        "'; DROP ROLE awsuser; --",
        "$1",
        "$$",
        "$x$",
        "--",
        "/*",
        "*/",
        " ",
        "\n",
        "U&\"\\0041\"",
        "E'\\''",
        "名前",
        "Ünit",
        "🔑",
        "\u{202e}",
        "select",
        "Mixed Case",
        "a\r\nb",
    ];
    ascii.chain(long).chain(others.map(str::to_owned)).collect()
}

/// PostgreSQL cuts names at 63 bytes, where Redshift has 127: at the end of a letter.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(63)).rev().find(|end| name.is_char_boundary(*end)).unwrap();
    &name[..end]
}

/// PostgreSQL's own parser reads the name that is meant, and the rest of the text after it.
#[tokio::test]
async fn postgresql_reads_the_names_as_they_are_meant() {
    if !Engine::postgres_is_installed() {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    }
    let sandbox = Sandbox::builder().engine(Engine::Postgres).start().await.unwrap();
    let env = Env { vars: sandbox.environment_for("security").unwrap().into_iter().collect(), ..Env::default() };
    let config = Config::load(&env, env.var("SHIFTKEY_CONFIG").map(std::path::Path::new)).unwrap();
    let overrides = Overrides { db_user: Some("awsuser".into()), ..Overrides::default() };
    let target = config.resolve("prod/analytics", &overrides).unwrap();
    let shiftkey = Shiftkey::builder().env(env.clone()).build();
    let mut session = Session::open(&shiftkey, &target, &Options { env, ..Options::default() }).await.unwrap();
    const NEWEST: Query = Query("select rolname, rolpassword, (select count(*) from pg_authid) from pg_authid order by oid desc limit 1");
    let before = session.query(NEWEST).await.unwrap();
    for name in hostile() {
        let hash = |password: &str| Hash::of(&Secret::new(password.into()), &name);
        let [first, second] = ["one", "two"].map(hash);
        session.change(&of_role(&create(&name, &first).unwrap())).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        session.change(&of_role(&set_password(&name, &second).unwrap())).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let newest = session.query(NEWEST).await.unwrap().remove(0);
        assert_eq!((newest[0].as_deref(), newest[1].as_deref()), (Some(cut(&name)), Some(second.0.expose())), "{name:?}");
        // The one clause that PostgreSQL does not know is where it stops reading, the name behind it.
        let error = session.change(&of_role(&disable(&name).unwrap())).await.unwrap_err();
        assert!(error.sqlstate() == Some("42601") && error.message().contains("at or near \"DISABLE\""), "{name:?}: {error}");
        session.change(&of_role(&drop_user(&name).unwrap())).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(session.query(NEWEST).await.unwrap(), before, "{name:?}");
    }
    sandbox.stop().await;
}
