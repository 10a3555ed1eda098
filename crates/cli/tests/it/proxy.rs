//! `shiftkey proxy`: what it prints, whom it serves, how it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
};

use crate::harness::{Test, installed, sandbox};

/// A proxy that runs, and what it has printed so far.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    listeners: Vec<serde_json::Value>,
    admin: Option<String>,
    test: Test,
}

impl Running {
    /// Starts it and waits until it listens.
    fn start(test: Test, args: &[&str]) -> Self {
        let mut test = test.args(["proxy", "--json"]).args(args);
        let mut child = test.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            assert!(stdout.read_line(&mut text).unwrap() > 0, "no listeners: {text}");
        }
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let admin = told["admin"].as_str().map(str::to_owned);
        Self { child, stdout, stderr, admin, listeners: told["listeners"].as_array().unwrap().clone(), test }
    }

    fn unix(&self) -> PathBuf {
        let mut hosts = self.listeners.iter().filter_map(|listener| listener["host"].as_str());
        PathBuf::from(hosts.find(|host| host.starts_with('/')).unwrap()).join(".s.PGSQL.5432")
    }

    fn tcp(&self) -> TcpStream {
        let listener = self.listeners.iter().find(|listener| listener["host"] == "127.0.0.1").unwrap();
        TcpStream::connect(("127.0.0.1", u16::try_from(listener["port"].as_u64().unwrap()).unwrap())).unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for a line on stderr.
    fn wait_for(&mut self, needle: &str) {
        let mut line = String::new();
        while !line.contains(needle) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended without {needle:?}");
        }
    }

    /// Waits for its end, and gives what else it said.
    fn end(mut self) -> (ExitStatus, String) {
        let mut told = String::new();
        self.stdout.read_to_string(&mut told).unwrap();
        self.stderr.read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap(), told)
    }
}

/// A test that fails leaves nothing that runs.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Signs in to a database and gives the answer up to ReadyForQuery or an error.
fn sign_in(stream: &mut (impl Read + Write), database: &str) -> String {
    let parameters = format!("user\0whoever\0database\0{database}\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap();
    let packet = [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters.as_bytes()].concat();
    stream.write_all(&packet).unwrap();
    let mut seen = Vec::new();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        stream.read_exact(&mut body).unwrap();
        seen.push(char::from(head[0]).to_string() + &String::from_utf8_lossy(&body));
        if matches!(head[0], b'Z' | b'E') {
            return seen.join("\n");
        }
    }
}

fn signed_in(answer: &str) -> bool {
    answer.ends_with("ZI")
}

#[test]
fn it_listens_where_it_says_and_ends_when_told() {
    let running = Running::start(Test::new(), &["prod/analytics"]);
    let listener = &running.listeners[0];
    assert_eq!((listener["target"].as_str(), listener["database"].as_str()), (Some("prod/analytics"), Some("dev")));
    let socket = running.unix();
    assert!(socket.ends_with("proxy/prod.analytics/.s.PGSQL.5432"), "{socket:?}");
    let mut on_socket = UnixStream::connect(&socket).unwrap();
    assert!(signed_in(&sign_in(&mut on_socket, "dev")));
    let mut on_tcp = running.tcp();
    assert!(signed_in(&sign_in(&mut on_tcp, "whoever")), "libpq's default database is the target's");
    drop((on_socket, on_tcp));
    running.signal(rustix::process::Signal::TERM);
    let (status, told) = running.end();
    assert!(status.success() && !told.contains("cut:"), "{told}");
    assert!(!socket.exists());
}

#[test]
fn a_person_is_told_how_to_connect() {
    let ran = Test::new().args(["proxy", "prod/analytics", "*=0", "--max-lifetime", "1ms"]).run().success();
    let ran = ran
        .out("prod/analytics\n  psql \"host=/")
        .out(" dbname=dev\"\n  psql \"host=127.0.0.1 port=")
        .out(" dbname=dev sslmode=disable\"\n*\n");
    ran.out("dbname=environment/name").err("No password is needed").err("the time is over");
}

#[test]
fn what_is_cut_is_told_and_is_no_failure() {
    let mut running = Running::start(Test::new(), &["prod/analytics", "--drain", "1h"]);
    let mut client = running.tcp();
    assert!(signed_in(&sign_in(&mut client, "dev")));
    running.signal(rustix::process::Signal::INT);
    running.wait_for("1 session may finish within 1h");
    running.signal(rustix::process::Signal::INT);
    let (status, told) = running.end();
    assert!(status.success() && told.contains("cut: a client as IAM:alice in dev of prod/analytics"), "{told}");
    let mut seen = Vec::new();
    let _ = client.read_to_end(&mut seen);
    assert!(String::from_utf8_lossy(&seen).contains("C57P01"), "the client is told as well");
}

#[test]
fn a_bad_target_does_not_stop_the_others() {
    let mut running = Running::start(Test::new(), &["prod/nothing=0", "prod/analytics=0", "prod/adhoc=x.y.z"]);
    running.wait_for("prod/nothing");
    running.wait_for("no place to listen");
    assert_eq!(running.listeners.len(), 2);
    assert!(sign_in(&mut running.tcp(), "dev").contains("3D000"), "its clients are told why");
    running.listeners.remove(0);
    assert!(signed_in(&sign_in(&mut running.tcp(), "dev")));
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
    Test::new().args(["proxy", "prod/nothing"]).run().status(7).err("there is no such target");
    Test::new().args(["proxy", "prod/analytics=0.0.0.0:0"]).run().status(2).err("--dangerously-listen-anywhere");
    Test::new().args(["proxy", "--map-user", "x"]).run().status(2).err("CLIENT=DBUSER");
}

#[test]
fn one_listener_serves_every_target() {
    let running = Running::start(Test::new(), &[]);
    assert_eq!(running.listeners[0]["target"], "*");
    for (database, expected) in [
        ("prod/analytics", "ZI"),
        ("prod/adhoc/dev", "ZI"),
        ("cluster:finance@us-east-1/dev", "ZI"),
        // With another AWS identity, in another account.
        ("staging/analytics", "ZI"),
        ("prod/analytic", "did you mean 'prod/analytics'?"),
        ("prod/analytics/nothere", "3D000"),
        ("whoever", "dbname=environment/name"),
    ] {
        let answer = sign_in(&mut running.tcp(), database);
        assert!(answer.contains(expected), "{database}: {answer}");
    }
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
}

/// A configuration of the test's own, and what stands in it.
fn own_configuration() -> (Test, String) {
    let ready = sandbox().environment().into_iter().find(|(name, _)| name == "SHIFTKEY_CONFIG").unwrap().1;
    let text = std::fs::read_to_string(ready).unwrap();
    (Test::new().file("own.toml", &text).env("SHIFTKEY_CONFIG", "own.toml"), text)
}

const ADDED: &str = "\n[targets.\"prod/added\"]\ncluster = \"analytics\"\ndb_user = \"alice\"\n";

#[test]
fn the_configuration_is_read_anew_without_dropping_a_session() {
    let (test, text) = own_configuration();
    let mut running = Running::start(test, &[]);
    let mut client = running.tcp();
    assert!(signed_in(&sign_in(&mut client, "prod/analytics")));
    assert!(sign_in(&mut running.tcp(), "prod/added").contains("3D000"));
    let file = running.test.path().join("own.toml");
    std::fs::write(&file, text + ADDED).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.wait_for("read anew");
    assert!(signed_in(&sign_in(&mut running.tcp(), "prod/added")));
    // What cannot be read changes nothing.
    std::fs::write(&file, "nonsense").unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.wait_for("own.toml");
    assert!(signed_in(&sign_in(&mut running.tcp(), "prod/added")));
    client.write_all(b"Q\0\0\0\x0dselect 1\0").unwrap();
    let mut first = [0; 1];
    client.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"T");
    drop(client);
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
}

#[test]
fn a_changed_file_is_noticed_and_targets_come_and_go_with_it() {
    let (test, text) = own_configuration();
    let mut running = Running::start(test, &["prod/added=0", "prod/analytics=0"]);
    running.wait_for("prod/added");
    assert!(sign_in(&mut running.tcp(), "dev").contains("3D000"));
    let file = running.test.path().join("own.toml");
    std::fs::write(&file, text.clone() + ADDED).unwrap();
    running.wait_for("read anew");
    let mut client = running.tcp();
    assert!(signed_in(&sign_in(&mut client, "dev")));
    std::fs::write(&file, text).unwrap();
    running.wait_for("read anew");
    running.wait_for("prod/added");
    assert!(sign_in(&mut running.tcp(), "dev").contains("3D000"));
    client.write_all(b"Q\0\0\0\x0dselect 1\0").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    drop(client);
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
}

#[test]
fn whoever_runs_it_is_told_to_sign_in_again_and_not_for_each_client() {
    let mut running = Running::start(Test::bare(), &["*=0"]);
    for _ in 0..3 {
        let answer = sign_in(&mut running.tcp(), "cluster:x@us-east-1/dev");
        assert!(answer.contains("C28000") && answer.contains("no AWS identity"), "{answer}");
    }
    running.wait_for("no AWS identity");
    running.wait_for("hint: ");
    running.signal(rustix::process::Signal::TERM);
    let (status, told) = running.end();
    assert!(status.success() && !told.contains("no AWS identity"), "{told}");
}

#[test]
fn no_session_leaves_a_descriptor_however_it_ends() {
    let running = Running::start(Test::new(), &["prod/analytics=0"]);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap().count();
    // What the process keeps from its first session on is no leak. (That session may still be closing, and count.)
    assert!(signed_in(&sign_in(&mut running.tcp(), "dev")));
    let before = descriptors();
    for round in 0..40 {
        let mut client = running.tcp();
        match round % 4 {
            0 => assert!(signed_in(&sign_in(&mut client, "dev"))),
            1 => assert!(sign_in(&mut client, "nothere").contains("3D000")),
            2 => client.write_all(&[0, 0, 0]).unwrap(),
            _ => client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap(),
        }
    }
    let gone = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        descriptors() <= before
    });
    assert!(gone, "{} descriptors instead of {before}", descriptors());
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
}

#[test]
fn who_signs_in_to_aws_again_need_not_start_it_again() {
    let value = |name: &str| sandbox().environment().into_iter().find(|(known, _)| known == name).unwrap().1;
    let test = Test::new().file("late", "").env("AWS_SHARED_CREDENTIALS_FILE", "late");
    let running = Running::start(test, &["prod/analytics=0", "--profile", "late"]);
    let answer = sign_in(&mut running.tcp(), "dev");
    assert!(answer.contains("C28000"), "{answer}");
    let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
    let text = format!("[late]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(running.test.path().join("late"), text).unwrap();
    assert!(signed_in(&sign_in(&mut running.tcp(), "dev")));
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
}

#[test]
fn other_machines_need_tls_and_a_secret() {
    let refused = |args: &[&str]| Test::new().file("secret", "correct horse battery staple").args(["proxy"]).args(args).run().status(2);
    refused(&["prod/analytics=0.0.0.0:0"]).err("--dangerously-listen-anywhere").err("--client-secret-file");
    refused(&["prod/analytics=0", "--tls-cert", "x"]).err("--tls-key");
    refused(&["prod/analytics=0", "--tls-cert", "x", "--tls-key", "x"]).err("the TLS file x");
    refused(&["prod/analytics=0", "--client-secret-file", "nothere"]).err("the client secret nothere");
}

#[test]
fn a_status_page_is_served_when_it_is_asked_for() {
    let running = Running::start(Test::new(), &["prod/analytics=0", "--admin", "0"]);
    let address = running.admin.as_deref().unwrap().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<h1>shiftkey proxy</h1>"), "{page}");
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end().0.success());
    assert!(Running::start(Test::new(), &["prod/analytics=0"]).admin.is_none());
}

#[test]
fn systemd_passes_sockets_and_is_told() {
    if !installed("bash") {
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    let mut test = Test::new();
    let path = test.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    let script =
        format!("exec 3<&{}; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" proxy prod/analytics=systemd prod/adhoc=systemd", socket.as_raw_fd());
    let plain = test.command();
    let mut command = Command::new("bash");
    command.args(["-c", &script]).arg(plain.get_program()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("NOTIFY_SOCKET", &path);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(socket);
    let mut word = [0; 64];
    let length = told.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"READY=1");
    assert!(signed_in(&sign_in(&mut TcpStream::connect(address).unwrap(), "dev")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let length = told.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"STOPPING=1");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success() && said.contains("systemd has passed no further socket"), "{said}");
}

#[test]
fn no_log_shows_a_secret() {
    let ran = Test::new().args(["creds", "prod/analytics", "--json"]).run().success();
    let password = ran.json()["db_password"].as_str().unwrap().to_owned();
    let running = Running::start(ran.again(), &["prod/analytics", "-vvv"]);
    let mut client = running.tcp();
    let answer = sign_in(&mut client, "dev");
    assert!(signed_in(&answer) && !answer.contains(&password));
    drop(client);
    running.signal(rustix::process::Signal::TERM);
    let (status, told) = running.end();
    assert!(status.success() && told.contains("signed in") && !told.contains(&password), "{told}");
}
