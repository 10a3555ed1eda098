use proptest::prelude::*;

use super::*;

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
