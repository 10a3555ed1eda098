use shiftkey_proxy::Admin;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

async fn get(address: SocketAddr, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_page_and_the_metrics_tell_what_goes_on() {
    let world = World::new().await;
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), Admission::same_user()).unwrap();
    let address = admin.address();
    let work = async {
        let client = connect(world.tcp().application_name("<script>alert(1)</script>")).await.unwrap();
        assert!(connect(world.tcp().dbname("nothere")).await.is_err());
        let page = get(address, "/", "localhost").await;
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("default-src 'none'"), "{page}");
        for text in ["prod/analytics", "IAM:alice", "&lt;script&gt;alert(1)&lt;/script&gt;", "3D000", "It takes new sessions"] {
            assert!(page.contains(text), "{text}\n{page}");
        }
        assert!(!page.contains("<script"), "{page}");
        let metrics = get(address, "/metrics", "127.0.0.1:9").await;
        for line in ["sessions_total 1", "sessions_open 1", "sign_in_failures_total 1", "credentials_issued_total 1", "ready 1"] {
            assert!(metrics.contains(&format!("\nshiftkey_proxy_{line}\n")), "{line}\n{metrics}");
        }
        assert!(get(address, "/", "evil.example").await.starts_with("HTTP/1.1 403"));
        assert!(get(address, "/readiness", "localhost").await.ends_with("ok\n"));
        world.stop.notify_one();
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let draining = get(address, "/readiness", "localhost").await;
        assert!(draining.starts_with("HTTP/1.1 503") && draining.contains("about to end"), "{draining}");
        drop(client);
    };
    admin.serve_during(&world.proxy, work).await;
    assert!(world.running.await.unwrap().cut.is_empty());
    world.sandbox.stop().await;
}

#[tokio::test]
async fn a_probe_asks_for_one_target_and_hammers_nobody() {
    let world = World::new().await;
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), Admission::same_user()).unwrap();
    let address = admin.address();
    let work = async {
        let ask = |target: &'static str| async move { get(address, &format!("/readiness?target={target}"), "localhost").await };
        for _ in 0..50 {
            let answer = ask("prod/analytics").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(world.issued(), 1);
        // It moves away, which is not noticed at once, and has no say in whether the proxy is ready.
        world.sandbox.move_endpoint(&world.warehouse()).await.unwrap();
        assert!(ask("prod/analytics").await.starts_with("HTTP/1.1 200"));
        let unknown = ask("prod/nothing").await;
        assert!(unknown.starts_with("HTTP/1.1 503") && unknown.contains("no listener"), "{unknown}");
        assert!(ask("cluster:finance@us-east-1").await.starts_with("HTTP/1.1 503"), "nobody makes it ask AWS for what he likes");
        assert_eq!(world.sandbox.calls().count("GetClusterCredentials"), 1);
        assert!(get(address, "/readiness", "localhost").await.starts_with("HTTP/1.1 200"));
    };
    admin.serve_during(&world.proxy, work).await;
    world.end().await;
}

#[tokio::test]
async fn a_probe_of_a_warehouse_that_is_down_says_so() {
    let overrides = Overrides { host: Some("127.0.0.1".into()), port: Some(1), ..Overrides::default() };
    let world = World::with(Choice { engine: Engine::Embedded, overrides, ..Choice::default() }).await;
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), Admission::same_user()).unwrap();
    let address = admin.address();
    let work = async {
        let down = get(address, "/readiness?target=prod%2Fanalytics", "localhost").await;
        assert!(down.starts_with("HTTP/1.1 503") && down.contains("127.0.0.1:1 cannot be reached"), "{down}");
        assert!(get(address, "/readiness", "localhost").await.starts_with("HTTP/1.1 200"));
    };
    admin.serve_during(&world.proxy, work).await;
    world.end().await;
}
