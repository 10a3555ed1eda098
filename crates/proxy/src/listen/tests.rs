use shiftkey::Target;

use super::*;
use crate::route::{Resolve, Serves, Users};

#[derive(Debug)]
struct Nothing;

impl Resolve for Nothing {
    fn resolve(&self, _: &str, _: Option<&str>, _: Option<&str>) -> Result<Target> {
        Err(Error::config("nothing"))
    }
}

fn bind(listen: &Listen, audience: Audience) -> Result<Listener> {
    Listener::bind(listen, audience, Routes { serves: Serves::ByDatabase, users: Users::Ignored, resolver: Arc::new(Nothing) })
}

fn own() -> Audience {
    Audience::users(Admission::same_user())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn places_are_read_as_they_are_typed() {
    let unix = |directory: &str, port| Some(Listen::Unix { directory: directory.into(), port });
    let tcp = |address: &str| Some(Listen::Tcp(address.parse().unwrap()));
    for (text, expected) in [
        ("5439", tcp("127.0.0.1:5439")),
        ("0", tcp("127.0.0.1:0")),
        ("localhost:5439", tcp("127.0.0.1:5439")),
        ("127.0.0.2:1", tcp("127.0.0.2:1")),
        ("[::1]:5439", tcp("[::1]:5439")),
        ("/run/x", unix("/run/x", 5432)),
        ("./x", unix("./x", 5432)),
        ("/run/x/.s.PGSQL.6000", unix("/run/x", 6000)),
        ("/run/x/.s.PGSQL.", unix("/run/x/.s.PGSQL.", 5432)),
        ("", None),
        ("host:5439", None),
        ("65536", None),
        ("x", None),
    ] {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }
}

#[test]
fn a_person_is_told_who_gets_in() {
    let me = rustix::process::geteuid().as_raw();
    let (one, other) = (me.wrapping_add(1), me.wrapping_add(2));
    let secret = || Some(Arc::new(ClientSecret::of("correct horse battery staple")));
    for (audience, expected) in [
        (own(), "your own processes".to_owned()),
        (own().with_secret(secret()), "your own processes that know the secret".to_owned()),
        (
            Audience::users(Admission::same_user().allow(one).allow(other)),
            format!("your own processes and those of user id {one}, {other}"),
        ),
        (Audience::users(Admission::of([one])), format!("processes of user id {one}")),
        (Audience::anyone(), "anyone who reaches it".to_owned()),
        (Audience::anyone().with_secret(secret()), "whoever knows the secret".to_owned()),
    ] {
        assert_eq!(audience.to_string(), expected);
    }
}

#[tokio::test]
async fn sockets_are_private_from_the_start_and_gone_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("a/b");
    let listen = Listen::Unix { directory: directory.clone(), port: 5432 };
    let file = listen.socket_file().unwrap();
    let listener = bind(&listen, own()).unwrap();
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    let error = bind(&listen, own()).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("in use"), "{error}");
    drop(listener);
    assert!(!file.exists());
    let other = rustix::process::geteuid().as_raw().wrapping_add(1);
    let _listener = bind(&listen, Audience::users(Admission::same_user().allow(other))).unwrap();
    assert_eq!((mode(&directory), mode(&file)), (0o711, 0o666), "others must reach it before they can be judged");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let listen = Listen::Unix { directory: dir.path().to_owned(), port: 1 };
    let file = listen.socket_file().unwrap();
    drop(unix::UnixListener::bind(&file).unwrap());
    assert!(file.exists(), "a process that is killed leaves its socket");
    let listener = bind(&listen, own()).unwrap();
    // Whoever replaces it keeps it.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "mine").unwrap();
    drop(listener);
    let error = bind(&listen, own()).unwrap_err();
    assert!(error.message().contains("not a socket of yours") && fs::read(&file).unwrap() == b"mine", "{error}");
}

#[tokio::test]
async fn a_stale_socket_of_another_user_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let listen = Listen::Unix { directory: dir.path().to_owned(), port: 1 };
    let file = listen.socket_file().unwrap();
    drop(unix::UnixListener::bind(&file).unwrap());
    if std::os::unix::fs::chown(&file, Some(65534), None).is_err() {
        return; // only root can give files away
    }
    assert!(bind(&listen, own()).is_err() && file.exists());
}

#[tokio::test]
async fn other_machines_are_let_in_only_on_purpose() {
    let anywhere = "0.0.0.0:0".parse().unwrap();
    let error = bind(&anywhere, own()).unwrap_err();
    assert!(error.hint().unwrap().contains("--dangerously-listen-anywhere"), "{error:?}");
    let listener = bind(&anywhere, Audience::anyone()).unwrap();
    assert!(matches!(listener.address(), Listen::Tcp(address) if address.port() != 0));
    let long = Listen::Unix { directory: std::env::temp_dir().join("x".repeat(100)), port: 1 };
    assert!(bind(&long, own()).unwrap_err().message().contains("too long"));
    let _ = fs::remove_dir(std::env::temp_dir().join("x".repeat(100)));
}

#[tokio::test]
async fn a_socket_of_another_program_is_judged_as_ours_and_left_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".s.PGSQL.7");
    let routes = || Routes { serves: Serves::ByDatabase, users: Users::Ignored, resolver: Arc::new(Nothing) };
    let adopted = Adopted::Unix(unix::UnixListener::bind(&file).unwrap());
    let listener = Listener::adopt(adopted, |_| own(), routes()).unwrap();
    assert_eq!(*listener.address(), Listen::Unix { directory: dir.path().to_owned(), port: 7 });
    drop(listener);
    assert!(file.exists());
    let open = || Adopted::Tcp(std::net::TcpListener::bind("0.0.0.0:0").unwrap());
    let error = Listener::adopt(open(), |_| own(), routes()).unwrap_err();
    assert!(error.message().contains("other machines"), "{error}");
    assert!(Listener::adopt(open(), |_| Audience::anyone(), routes()).is_ok());
}
