use std::{os::unix::fs::PermissionsExt, process::Command};

use tokio::io::AsyncReadExt as _;

use super::*;

const NOBODY: u32 = 65534;

/// psql as the user nobody, where that can be had: as root, with psql installed.
fn as_nobody(host: &str, port: u16) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "psql", "-XAtc", "select current_user"]);
    command.args(["-h", host, "-p", &port.to_string(), "-U", "whoever", "-d", "dev", "-w"]).current_dir("/");
    let output = command.output().ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = text(&output.stdout) + &text(&output.stderr);
    // Either program may be missing.
    (!told.contains("No such file or directory") || told.contains("PGSQL")).then_some(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_is_refused_on_tcp() {
    let world = World::new().await;
    let port = world.address.port();
    let Some(told) = tokio::task::spawn_blocking(move || as_nobody("127.0.0.1", port)).await.unwrap() else { return };
    assert!(told.contains("FATAL:  shiftkey: user id 65534 may not use this proxy") && told.contains("--allow-uid"), "{told}");
    assert_eq!((world.issued(), world.proxy.stats().counts().refused), (0, 1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_is_refused_on_the_socket_whatever_its_mode() {
    // Open to the wrong user, so that files' modes keep nobody out.
    let choice = Choice { engine: Engine::Embedded, admission: Some(Admission::same_user().allow(NOBODY - 1)), ..Choice::default() };
    let world = World::with(choice).await;
    std::fs::set_permissions(world.directory.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let directory = world.directory.display().to_string();
    let Some(told) = tokio::task::spawn_blocking(move || as_nobody(&directory, 5432)).await.unwrap() else { return };
    assert!(told.contains("user id 65534 may not use this proxy"), "{told}");
    assert_eq!(world.issued(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_admitted_gets_in() {
    let choice = Choice { engine: Engine::Embedded, admission: Some(Admission::same_user().allow(NOBODY)), ..Choice::default() };
    let world = World::with(choice).await;
    let port = world.address.port();
    let Some(told) = tokio::task::spawn_blocking(move || as_nobody("127.0.0.1", port)).await.unwrap() else { return };
    assert_eq!(told, "alice\n");
    world.end().await;
}

#[tokio::test]
async fn a_client_with_an_ipv6_socket_is_known_on_ipv4() {
    // As Java's are: an address of IPv4 inside one of IPv6.
    let world = World::new().await;
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", world.address.port()).parse().unwrap();
    let Ok(stream) = tokio::net::TcpStream::connect(mapped).await else { return };
    let (client, connection) = world.tcp().connect_raw(stream, NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(one(&client, "select current_user").await, "alice");
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn many_strangers_are_in_nobodys_way() {
    // On the second listener this test itself is a stranger.
    let world = World::new().await;
    let mut target = world.target.clone();
    target.label = "closed".into();
    let closed = Listener::bind(&"0".parse().unwrap(), Audience::users(Admission::of([NOBODY])), Routes::to(&target)).unwrap();
    let Listen::Tcp(address) = *closed.address() else { panic!("TCP was asked for") };
    let (proxy, stop) = (world.proxy.clone(), Arc::new(Notify::new()));
    let running = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move { proxy.run(vec![closed], stop.notified()).await }
    });
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    // All but a few are gone by the time that they are counted, and were told why.
    while world.proxy.stats().counts().refused < 400 - 32 {
        tokio::task::yield_now().await;
    }
    let mut last = silent.pop().unwrap();
    let mut told = Vec::new();
    let _ = last.read_to_end(&mut told).await;
    assert!(String::from_utf8_lossy(&told).contains("C28000"), "{told:?}");
    let client = connect(&world.tcp()).await.unwrap();
    assert_eq!(one(&client, "select 1").await, "1");
    drop((client, silent));
    stop.notify_one();
    running.await.unwrap();
    world.end().await;
}
