use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;
use crate::{
    clock::Moment,
    credential::{Credential, Endpoint, Origin},
    error::ErrorKind,
};

const NASTY: &str = "a/b+c=d:e@f\\g%h'i\"j k;l&m#n?o{p}q$r`s";

fn login(user: &str, password: &str) -> Login {
    Login {
        target: "prod/analytics".into(),
        endpoint: Endpoint { host: "h.example.com".into(), port: 5439 },
        server_name: None,
        database: "dev".into(),
        credential: Arc::new(Credential {
            db_user: user.into(),
            password: Secret::new(password.into()),
            issued: Moment { wall: SystemTime::UNIX_EPOCH, uptime: None },
            lifetime: Duration::from_secs(900),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(900),
        }),
        origin: Origin::Aws,
        ca_file: Some("/etc/my ca.pem".into()),
    }
}

fn string(format: Format, user: &str, password: &str) -> String {
    render(format, &login(user, password)).unwrap().expose().to_owned()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// Reads user and password back with a decoder that shares nothing with the encoder but the format's grammar.
fn read_back(format: Format, text: &str) -> (String, String) {
    match format {
        Format::Uri | Format::Sqlalchemy | Format::Airflow => {
            let (info, _) = text.split_once("://").unwrap().1.split_once('@').unwrap();
            let (user, password) = info.split_once(':').unwrap();
            (decode(user), decode(password))
        }
        Format::Jdbc | Format::JdbcPostgresql => {
            let query = text.split_once('?').unwrap().1;
            let value = |name: &str| {
                let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap();
                decode(&pair.replace('+', " "))
            };
            (value("user"), value("password"))
        }
        Format::Keyword => (quoted(text, "user='", '\\', '\''), quoted(text, "password='", '\\', '\'')),
        Format::Odbc => {
            let (user, rest) = text.split_once(";UID=").unwrap().1.split_once(';').unwrap();
            (user.to_owned(), doubled(rest, "PWD={", '}'))
        }
        Format::Dotnet => (doubled(text, "Username=\"", '"'), doubled(text, "Password=\"", '"')),
        Format::Env => {
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap().replace("'\\''", "'")
            };
            (value("export PGUSER="), value("export PGPASSWORD="))
        }
        Format::Pgpass => {
            let mut fields = vec![String::new()];
            let mut chars = text.chars();
            while let Some(char) = chars.next() {
                match char {
                    '\\' => fields.last_mut().unwrap().push(chars.next().unwrap()),
                    ':' => fields.push(String::new()),
                    char => fields.last_mut().unwrap().push(char),
                }
            }
            assert_eq!(fields.len(), 5, "{text}");
            (fields[3].clone(), fields[4].clone())
        }
        Format::PgService => {
            let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
            (value("user="), value("password="))
        }
        Format::Dbt => {
            let value = |name: &str| serde_json::from_str(text.lines().find_map(|line| line.strip_prefix(name)).unwrap()).unwrap();
            (value("user: "), value("password: "))
        }
    }
}

fn quoted(text: &str, start: &str, escape: char, end: char) -> String {
    let mut value = String::new();
    let mut chars = text.split_once(start).unwrap().1.chars();
    loop {
        match chars.next().unwrap() {
            char if char == escape => value.push(chars.next().unwrap()),
            char if char == end => return value,
            char => value.push(char),
        }
    }
}

fn doubled(text: &str, start: &str, end: char) -> String {
    let mut value = String::new();
    let mut chars = text.split_once(start).unwrap().1.chars().peekable();
    loop {
        match chars.next().unwrap() {
            char if char == end && chars.peek() == Some(&end) => value.push(chars.next().unwrap()),
            char if char == end => return value,
            char => value.push(char),
        }
    }
}

#[test]
fn every_format_carries_a_nasty_password_and_a_prefixed_user() {
    for format in Format::ALL {
        let text = string(format, "IAM:alice+x@example.com", NASTY);
        assert_eq!(read_back(format, &text), ("IAM:alice+x@example.com".to_owned(), NASTY.to_owned()), "{format}: {text}");
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
}

#[test]
fn the_formats_look_as_documented() {
    let ca = "%2Fetc%2Fmy%20ca.pem";
    for (format, expected) in [
        (Format::Jdbc, format!("jdbc:redshift://h.example.com:5439/dev?user=IAM%3Aa&password=p%2B%2F%3D&ssl=true&sslmode=verify-full&sslrootcert={ca}")),
        (Format::Uri, format!("postgresql://IAM%3Aa:p%2B%2F%3D@h.example.com:5439/dev?sslmode=verify-full&sslrootcert={ca}")),
        (Format::Pgpass, "h.example.com:5439:dev:IAM\\:a:p+/=".to_owned()),
        (Format::Keyword, "host='h.example.com' port='5439' dbname='dev' user='IAM:a' password='p+/=' sslmode='verify-full' sslrootcert='/etc/my ca.pem'".to_owned()),
        (Format::PgService, "[prod_analytics]\nhost=h.example.com\nport=5439\ndbname=dev\nuser=IAM:a\npassword=p+/=\nsslmode=verify-full\nsslrootcert=/etc/my ca.pem".to_owned()),
    ] {
        assert_eq!(string(format, "IAM:a", "p+/="), expected);
    }
}

fn tunnel(format: Format, host: &str, name: &str) -> Result<String> {
    let mut login = login("u", "p");
    login.endpoint.host = host.into();
    login.server_name = Some(name.into());
    login.ca_file = None;
    render(format, &login).map(|text| text.expose().to_owned())
}

#[test]
fn a_name_to_verify_is_carried_or_refused() {
    for (format, expected) in [
        (Format::Uri, Some("postgresql://u:p@c.example.com:5439/dev?sslmode=verify-full&hostaddr=10.0.0.7")),
        (Format::Sqlalchemy, Some("redshift+psycopg2://u:p@c.example.com:5439/dev?sslmode=verify-full&hostaddr=10.0.0.7")),
        (Format::Airflow, Some("postgres://u:p@c.example.com:5439/dev?sslmode=verify-full&hostaddr=10.0.0.7")),
        (
            Format::Keyword,
            Some("host='c.example.com' hostaddr='10.0.0.7' port='5439' dbname='dev' user='u' password='p' sslmode='verify-full'"),
        ),
        (
            Format::PgService,
            Some("[prod_analytics]\nhost=c.example.com\nhostaddr=10.0.0.7\nport=5439\ndbname=dev\nuser=u\npassword=p\nsslmode=verify-full"),
        ),
        (
            Format::Env,
            Some(
                "export PGHOST='c.example.com'\nexport PGHOSTADDR='10.0.0.7'\nexport PGPORT='5439'\nexport PGDATABASE='dev'\n\
                 export PGUSER='u'\nexport PGPASSWORD='p'\nexport PGSSLMODE='verify-full'",
            ),
        ),
        (Format::Pgpass, Some("c.example.com:5439:dev:u:p")),
        (Format::Dbt, None),
        (Format::Dotnet, None),
        (Format::Jdbc, None),
        (Format::JdbcPostgresql, None),
        (Format::Odbc, None),
    ] {
        match (tunnel(format, "10.0.0.7", "c.example.com"), expected) {
            (Ok(text), Some(expected)) => assert_eq!(text, expected),
            (Err(error), None) => {
                assert_eq!((error.kind(), error.target()), (ErrorKind::Config, Some("prod/analytics")), "{format}");
                assert!(error.message().contains("'c.example.com'") && error.hint().unwrap().contains("--host c.example.com"), "{error}");
            }
            (found, expected) => panic!("{format}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn libpq_dials_an_address_and_verifies_a_name() {
    for (host, name, expected) in [
        ("10.0.0.7", "c.example.com", Some(("c.example.com", Some("10.0.0.7")))),
        ("::1", "c.example.com", Some(("c.example.com", Some("::1")))),
        ("localhost", "c.example.com", Some(("c.example.com", Some("127.0.0.1")))),
        ("localhost", "localhost", Some(("localhost", None))),
        ("C.Example.com.", "c.example.com", Some(("C.Example.com.", None))),
        ("nlb.example.com", "c.example.com", None),
    ] {
        let mut login = login("u", "p");
        (login.endpoint.host, login.server_name) = (host.into(), Some(name.into()));
        assert_eq!(libpq_address(&login).ok(), expected, "{host} {name}");
        // A name that is the host's anyway is no obstacle to any format.
        let same = expected.is_some_and(|(_, address)| address.is_none());
        assert_eq!(render(Format::Jdbc, &login).is_ok(), same, "{host} {name}");
    }
    assert!(tunnel(Format::Uri, "nlb.example.com", "c.example.com").unwrap_err().hint().unwrap().contains("IP address"));
}

#[test]
fn a_ca_file_is_named_wherever_there_is_a_place() {
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Pgpass) {
        let text = string(format, "u", "p");
        assert!(decode(&text).contains("/etc/my ca.pem"), "{format}: {text}");
    }
    assert!(string(Format::Dbt, "u", "p").starts_with("# run dbt with SSL_CERT_FILE='/etc/my ca.pem'\ntype: redshift\n"));
    let mut login = login("u", "p");
    login.ca_file = None;
    let text = render(Format::JdbcPostgresql, &login).unwrap().expose().to_owned();
    assert!(text.ends_with("&sslmode=verify-full&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory"), "{text}");
}

/// A login as documents show one; libpq's formats name the bundle of this Linux.
fn documented(format: Format) -> String {
    let mut login = login("IAM:alice", "secret");
    login.endpoint.host = "analytics.c2mf5zd3u3sv.us-east-1.redshift.amazonaws.com".into();
    login.ca_file = format.is_libpq().then(|| "/etc/ssl/certs/ca-certificates.crt".into());
    render_masked(format, &login).unwrap()
}

#[test]
fn the_document_shows_every_format_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/connection-strings.md");
    let text = std::fs::read_to_string(path).unwrap();
    for format in Format::ALL {
        let section = text.split_once(&format!("\n### `{format}`\n")).unwrap_or_else(|| panic!("no section for {format}")).1;
        let section = section.split("\n### ").next().unwrap();
        let expected = documented(format);
        assert!(section.contains(&format!("\n{expected}\n```")), "{format}: the document lacks\n{expected}");
        assert!(text.contains(&format!("\n| `{format}` |")), "{format} is not in the table");
    }
}

#[test]
fn a_masked_string_and_one_for_a_proxy_hold_no_password() {
    let login = login("IAM:alice", "hunter2");
    for format in Format::ALL {
        let masked = render_masked(format, &login).unwrap();
        assert!(!masked.contains("hunter2") && masked.contains("********"), "{format}: {masked}");
        let proxy = ViaProxy { host: "127.0.0.1", port: 5439, database: "dev", user: "alice", target: "prod/analytics" };
        let text = render_via_proxy(format, proxy).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("verify-full"), "{format}: {text}");
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    let mut login = login("u", "p");
    login.endpoint.host = "::1".into();
    assert!(render(Format::Uri, &login).unwrap().expose().contains("@[::1]:5439/"));
    assert!(render(Format::Jdbc, &login).unwrap().expose().contains("//[::1]:5439/"));
}

#[test]
fn a_legal_database_name_is_never_encoded_in_a_uri() {
    let mut login = login("u", "p");
    login.database = "a.B_1-x+y@z".into();
    assert!(crate::target::names::database(&login.database).is_ok());
    for format in [Format::Uri, Format::Sqlalchemy, Format::Airflow] {
        assert!(render(format, &login).unwrap().expose().contains("/a.B_1-x+y@z?"), "{format}");
    }
    assert!(render(Format::Jdbc, &login).unwrap().expose().contains("/a.B_1-x%2By%40z?"), "a form's decoder reads + as a space");
}

#[test]
fn what_a_format_cannot_carry_is_an_error() {
    for format in Format::ALL {
        assert!(render(format, &login("u", "a\nb")).is_err(), "{format}");
        assert!(render(format, &login("u\0", "p")).is_err(), "{format}");
    }
    assert!(render(Format::PgService, &login("u", "p ")).is_err());
    for user in ["a;b", "{a}", "a "] {
        assert!(render(Format::Odbc, &login(user, "p")).is_err(), "{user}");
    }
}

proptest! {
    #[test]
    fn any_user_and_password_come_back(user in "[^\\p{Cc}]{1,12}", password in "[^\\p{Cc}]{1,24}") {
        for format in Format::ALL {
            match render(format, &login(&user, &password)) {
                Ok(text) => prop_assert_eq!(read_back(format, text.expose()), (user.clone(), password.clone()), "{}", format),
                Err(_) => prop_assert!(matches!(format, Format::PgService | Format::Odbc), "{}", format),
            }
        }
    }
}
