//! The rules for names, checked here before any call, since AWS's answer would come late and say little.
//!
//! Source: Amazon Redshift API Reference, `GetClusterCredentials` (DbUser, DbName, DbGroups) and `CreateCluster`;
//! Amazon Redshift Serverless API Reference, `CreateWorkgroup`; Database Developer Guide, "Reserved words".

use std::time::Duration;

use crate::error::{Error, Result};

/// Reserved words; START and CONNECT are listed by AWS but not truly reserved, so they pass.
const RESERVED: &str = " AES128 AES256 ALL ALLOWOVERWRITE ANALYSE ANALYZE AND ANY ARRAY AS ASC AUTHORIZATION AZ64 BACKUP \
BETWEEN BINARY BLANKSASNULL BOTH BYTEDICT BZIP2 CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE CREDENTIALS CROSS \
CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_USER_ID DEFAULT DEFERRABLE DEFLATE DEFRAG DELTA DELTA32K \
DESC DISABLE DISTINCT DO ELSE EMPTYASNULL ENABLE ENCODE ENCRYPT ENCRYPTION END EXCEPT EXPLICIT FALSE FOR FOREIGN FREEZE \
FROM FULL GLOBALDICT256 GLOBALDICT64K GRANT GROUP GZIP HAVING IDENTITY IGNORE ILIKE IN INITIALLY INNER INTERSECT INTERVAL \
INTO IS ISNULL JOIN LANGUAGE LEADING LEFT LIKE LIMIT LOCALTIME LOCALTIMESTAMP LUN LUNS LZO LZOP MINUS MOSTLY16 MOSTLY32 \
MOSTLY8 NATURAL NEW NOT NOTNULL NULL NULLS OFF OFFLINE OFFSET OID OLD ON ONLY OPEN OR ORDER OUTER OVERLAPS PARALLEL \
PARTITION PERCENT PERMISSIONS PIVOT PLACING PRIMARY RAW READRATIO RECOVER REFERENCES REJECTLOG RESORT RESPECT RESTORE RIGHT \
SELECT SESSION_USER SIMILAR SNAPSHOT SOME SYSDATE SYSTEM TABLE TAG TDES TEXT255 TEXT32K THEN TIMESTAMP TO TOP TRAILING \
TRUE TRUNCATECOLUMNS UNION UNIQUE UNNEST UNPIVOT USER USING VERBOSE WALLET WHEN WHERE WITH WITHOUT ";

/// A database user: 1 to 64 of letters, digits and `_ + . @ -`, a letter first, not reserved.
///
/// # Errors
/// Says which rule is broken.
pub fn db_user(name: &str) -> Result<()> {
    if let Some((prefix, rest)) = name.split_once(':').filter(|(prefix, _)| matches!(*prefix, "IAM" | "IAMA" | "IAMR")) {
        return Err(Error::config(format!("the database user '{}' has AWS's prefix '{prefix}:'", shown(name)))
            .with_hint(format!("AWS adds the prefix by itself; say --db-user {}", shown(rest))));
    }
    identifier("database user", name, char::is_ascii_alphabetic)
}

/// A database user as configured: a name, in which `{session_name}` and `{user_name}` stand for who asks.
///
/// # Errors
/// As [`db_user`], and for unknown marks.
pub fn db_user_template(template: &str) -> Result<()> {
    // The marks stand for names that are legal by themselves at any place but, perhaps, the length.
    let sample = template.replace("{session_name}", "x").replace("{user_name}", "x");
    if sample.contains(['{', '}']) {
        return Err(Error::config(format!("the database user '{}' has an unknown mark", shown(template)))
            .with_hint("known marks: {session_name}, {user_name}"));
    }
    db_user(&sample)
        .map_err(|error| if sample == template { error } else { Error::config(error.message().replace(&shown(&sample), &shown(template))) })
}

/// A group: as a user, in lower case.
///
/// # Errors
/// Says which rule is broken.
pub fn group(name: &str) -> Result<()> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Error::config(format!("the database group '{}' has capital letters; AWS takes lower case only", shown(name))));
    }
    identifier("database group", name, char::is_ascii_lowercase)
}

/// A database: as a user, but it may begin with any letter or an underscore.
///
/// # Errors
/// Says which rule is broken.
pub fn database(name: &str) -> Result<()> {
    identifier("database", name, |char| char.is_ascii_alphabetic() || *char == '_')
}

/// A cluster identifier: 1 to 63 of lower-case letters, digits and hyphens, a letter first, no hyphen last, no two in a row.
///
/// # Errors
/// Says which rule is broken.
pub fn cluster(id: &str) -> Result<()> {
    let rule = if id.is_empty() || id.len() > 63 {
        "has 1 to 63 characters"
    } else if !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        "has lower-case letters, digits and hyphens only"
    } else if !id.starts_with(|char: char| char.is_ascii_lowercase()) {
        "begins with a letter"
    } else if id.ends_with('-') || id.contains("--") {
        "has no hyphen at its end and no two in a row"
    } else {
        return Ok(());
    };
    Err(Error::config(format!("'{}' is not a cluster identifier: one {rule}", shown(id))))
}

/// A workgroup name: 3 to 64 of lower-case letters, digits and hyphens.
///
/// # Errors
/// Says which rule is broken.
pub fn workgroup(name: &str) -> Result<()> {
    let legal = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if legal && (3..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::config(format!("'{}' is not a workgroup name: one has 3 to 64 lower-case letters, digits and hyphens", shown(name))))
}

/// A region: `us-east-1`, `us-gov-west-1`, `cn-north-1`, `us-isob-east-1`, `eusc-de-east-1`.
///
/// # Errors
/// When it does not look like one.
pub fn region(name: &str) -> Result<()> {
    if is_region(name) {
        return Ok(());
    }
    Err(Error::config(format!("'{}' is not an AWS region", shown(name))).with_hint("a region looks like us-east-1"))
}

/// Whether this looks like a region: two or more words and a number, joined by hyphens.
pub fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && (2..=4).contains(&words[0].len())
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A credential's lifetime: `900`, `900s`, `15m`, `1h`; from 900 s to 3600 s.
///
/// # Errors
/// When it is not a time, or AWS would refuse it.
pub fn duration(text: &str) -> Result<Duration> {
    let duration = span(text)?;
    if (900..=3600).contains(&duration.as_secs()) && duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    Err(Error::config(format!("a credential lives from 15m to 1h, not {}", shown(text))))
}

/// A span of time: `1h`, `30m`, or a number of seconds.
///
/// # Errors
/// When it is not one.
pub fn span(text: &str) -> Result<Duration> {
    let seconds = text.parse().map(Duration::from_secs).ok();
    let span = seconds.or_else(|| humantime::parse_duration(text).ok());
    span.ok_or_else(|| Error::config(format!("'{}' is not a duration", shown(text))).with_hint("write 1h, 30m or 900"))
}

fn identifier(what: &str, name: &str, first: impl Fn(&char) -> bool) -> Result<()> {
    let rule = if name.is_empty() || name.len() > 64 {
        "has 1 to 64 characters"
    } else if !name.chars().next().is_some_and(|char| first(&char)) {
        "begins with a letter"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+.@-".contains(&byte)) {
        "has letters, digits and _ + . @ - only"
    } else if name.eq_ignore_ascii_case("public") || RESERVED.contains(&format!(" {} ", name.to_ascii_uppercase())) {
        "is not a reserved word"
    } else {
        return Ok(());
    };
    Err(Error::config(format!("'{}' is not a {what}: one {rule}", shown(name))))
}

/// A name in a message: no control characters, and not at any length.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(80).map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_groups_and_databases() {
        for good in ["alice", "A", "svc_etl+nightly.v2@corp-x", &"a".repeat(64), "start", "connect"] {
            assert!(db_user(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "a b", "a:b", "a/b", "IAM:alice", "IAMR:role", "PUBLIC", "select", "User", "é", &"a".repeat(65)] {
            assert!(db_user(bad).is_err(), "{bad}");
        }
        assert!(group("analysts").is_ok() && group("Analysts").is_err() && group("group").is_err());
        assert!(database("dev").is_ok() && database("_x").is_ok() && database("a\nb").is_err() && database("").is_err());
        assert!(db_user_template("{session_name}").is_ok() && db_user_template("svc_{user_name}").is_ok());
        assert!(db_user_template("{role}").is_err() && db_user_template("1{user_name}").is_err());
        assert!(db_user("IAM:alice").unwrap_err().hint().unwrap().ends_with("--db-user alice"));
    }

    #[test]
    fn clusters_workgroups_and_regions() {
        for (name, is_cluster, is_workgroup) in [
            ("analytics", true, true),
            ("a", true, false),
            ("my-cluster-1", true, true),
            ("1abc", false, true),
            ("a--b", false, true),
            ("ab-", false, true),
            ("Abc", false, false),
            ("a.b", false, false),
            ("", false, false),
        ] {
            assert_eq!((cluster(name).is_ok(), workgroup(name).is_ok()), (is_cluster, is_workgroup), "{name}");
        }
        for good in ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "us-isob-east-1", "eusc-de-east-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["us_east_1", "us--east-1", "us-1", "us-east-1; rm -rf /", "", "us-east-1\n", "us-east-", "US-EAST-1", "1-2-3"] {
            assert!(!is_region(bad), "{bad}");
        }
    }

    #[test]
    fn durations_are_those_that_aws_takes() {
        for (text, seconds) in [
            ("900", Some(900)),
            ("900s", Some(900)),
            ("15m", Some(900)),
            ("1h", Some(3600)),
            ("3600", Some(3600)),
            ("899", None),
            ("3601", None),
            ("2h", None),
            ("", None),
            ("-1", None),
            ("900.5s", None),
            ("1e3", None),
        ] {
            assert_eq!(duration(text).ok().map(|duration| duration.as_secs()), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (db_user(&text), db_user_template(&text), group(&text), database(&text), cluster(&text), workgroup(&text));
            let _ = (region(&text), duration(&text));
        }
    }
}
