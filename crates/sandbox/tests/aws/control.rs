//! The sandbox driven over HTTP, and those who may not.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// A request with these headers, on a connection of its own: status and body.
async fn send(sandbox: &Sandbox, method: &str, path: &str, headers: &[String], body: &str) -> (u16, String) {
    let address = sandbox.endpoint_url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let headers: String = headers.iter().map(|it| format!("{it}\r\n")).collect();
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// As the sandbox's user sends it: status and JSON.
async fn drive(sandbox: &Sandbox, method: &str, path: &str, body: &str) -> (u16, Value) {
    let token = format!("authorization: Bearer {}", sandbox.control_token());
    let (status, text) = send(sandbox, method, &format!("/sandbox/{path}"), &["host: localhost".to_owned(), token], body).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn only_the_holder_of_the_token_drives_it_and_only_by_a_loopback_name() {
    let sandbox = sandbox().await;
    let token = sandbox.control_token().to_owned();
    let host = "host: 127.0.0.1".to_owned();
    for (headers, status, word) in [
        (vec![host.clone()], 401, "SHIFTKEY_SANDBOX_TOKEN"),
        (vec![host.clone(), "authorization: Bearer ".to_owned()], 401, "missing or wrong"),
        (vec![host.clone(), format!("authorization: Bearer {}", &token[1..])], 401, "missing or wrong"),
        (vec![host.clone(), format!("authorization: Basic {token}")], 401, "missing or wrong"),
        (vec!["host: rebound.example.com".to_owned(), format!("authorization: Bearer {token}")], 403, "loopback"),
        (vec![format!("authorization: Bearer {token}")], 403, "loopback"),
    ] {
        for path in ["/sandbox/calls", "/sandbox/nothing"] {
            let (got, body) = send(&sandbox, "GET", path, &headers, "").await;
            assert!(got == status && body.contains(word) && body.contains("\"hint\""), "{headers:?}: {got} {body}");
            assert!(!body.contains(&token));
        }
    }
    assert!(!format!("{sandbox:?}").contains(&token));
    let exported = sandbox.environment();
    for (name, value) in [("SHIFTKEY_SANDBOX_TOKEN", token), ("SHIFTKEY_SANDBOX_URL", format!("{}/sandbox", sandbox.endpoint_url()))] {
        assert!(exported.contains(&(name.to_owned(), value)), "{name}");
    }
}

#[tokio::test]
async fn calls_are_counted_and_driving_is_not_a_call() {
    let sandbox = sandbox().await;
    for who in ["alice", "alice", "etl"] {
        aws_sdk_redshift::Client::new(&user(&sandbox, who).await).describe_clusters().send().await.unwrap();
    }
    let arn = |name: &str| format!("arn:aws:iam::{PROD}:user/{name}");
    let row = |who: &str, count| json!({ "action": "DescribeClusters", "outcome": "ok", "caller": arn(who), "count": count });
    for _ in 0..2 {
        let (status, counted) = drive(&sandbox, "GET", "calls", "").await;
        assert_eq!((status, counted), (200, json!({ "total": 3, "calls": [row("alice", 2), row("etl", 1)] })));
    }
}

#[tokio::test]
async fn the_clock_is_moved() {
    let clock = SandboxClock::frozen(SystemTime::UNIX_EPOCH + Duration::from_secs(7200));
    let sandbox = Sandbox::builder().clock(clock).start().await.unwrap();
    for (method, body, now, offset) in [
        ("GET", "", "02:00:00.000Z", "0s"),
        ("POST", r#"{"advance":"1h"}"#, "03:00:00.000Z", "1h"),
        ("POST", r#"{"advance":"90s"}"#, "03:01:30.000Z", "1h 1m 30s"),
        ("POST", r#"{"offset":"-20m"}"#, "01:40:00.000Z", "-20m"),
        ("GET", "", "01:40:00.000Z", "-20m"),
    ] {
        let expected = json!({ "now": format!("1970-01-01T{now}"), "offset": offset });
        assert_eq!(drive(&sandbox, method, "clock", body).await, (200, expected), "{body}");
    }
}

#[tokio::test]
async fn faults_come_and_go() {
    let sandbox = sandbox().await;
    let list = |calls, struck| json!({ "faults": [{ "id": 1, "rule": "Describe*:503,code=ServiceUnavailable@1", "calls": calls, "struck": struck }] });
    assert_eq!(drive(&sandbox, "POST", "faults", r#"{"rule":"Describe*:503@1"}"#).await, (200, list(0, 0)));
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    assert_eq!(code(&redshift.describe_clusters().send().await.unwrap_err()), "ServiceUnavailable");
    redshift.describe_clusters().send().await.unwrap();
    assert_eq!(drive(&sandbox, "GET", "faults", "").await, (200, list(2, 1)));
    assert_eq!(drive(&sandbox, "DELETE", "faults", "").await, (200, json!({ "faults": [] })));
    assert!(sandbox.faults().list().is_empty());
}

#[tokio::test]
async fn an_account_gets_a_service_control_policy_and_loses_it() {
    let sandbox = sandbox().await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let policy = json!({ "Statement": { "Effect": "Allow", "NotAction": "redshift:Describe*", "Resource": "*" } });
    let (status, answer) = drive(&sandbox, "POST", "organization", &json!({ "account": PROD, "policy": policy }).to_string()).await;
    assert_eq!((status, &answer["policy"]), (200, &policy));
    let error = redshift.describe_clusters().send().await.unwrap_err();
    assert!(
        error.message().unwrap().contains("because no service control policy allows the redshift:DescribeClusters action"),
        "{error:?}"
    );
    drive(&sandbox, "POST", "organization", &json!({ "account": PROD }).to_string()).await;
    redshift.describe_clusters().send().await.unwrap();
}

#[tokio::test]
async fn warehouses_are_listed_moved_and_have_their_passwords_changed() {
    let sandbox = sandbox().await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let (_, listed) = drive(&sandbox, "GET", "warehouses", "").await;
    let listed = listed["warehouses"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 10);
    let finance = listed.iter().find(|it| it["name"] == "finance").unwrap();
    assert_eq!((&finance["kind"], &finance["account"], &finance["host"]), (&json!("cluster"), &json!(PROD), &json!("localhost")));

    let body = r#"{"kind":"cluster","account":"111122223333","region":"us-east-1","name":"finance"}"#;
    let (status, moved) = drive(&sandbox, "POST", "move", body).await;
    assert!(status == 200 && moved["port"] != finance["port"], "{moved}");
    let told = redshift.describe_clusters().cluster_identifier("finance").send().await.unwrap();
    assert_eq!(json!(told.clusters()[0].endpoint().unwrap().port()), moved["port"]);

    redshift.get_cluster_credentials().cluster_identifier("finance").db_user("alice").send().await.unwrap();
    assert_eq!(drive(&sandbox, "POST", "revoke", body).await, (200, json!({ "revoked": 1 })));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_a_remedy() {
    let sandbox = sandbox().await;
    let warehouse = |kind: &str, name: &str| json!({ "kind": kind, "account": PROD, "region": "us-east-1", "name": name }).to_string();
    for (method, path, body, status, message, hint) in [
        ("GET", "nothing", "", 404, "nothing at /sandbox/nothing", "GET /sandbox/calls"),
        ("GET", "move", "", 405, "does not take GET", "POST /sandbox/move"),
        ("POST", "calls", "", 405, "does not take POST", "GET /sandbox/calls"),
        ("PUT", "faults", "{}", 405, "does not take PUT", "DELETE /sandbox/faults"),
        ("POST", "clock", "", 400, "not what is expected", r#"{"advance":"1h"}"#),
        ("POST", "clock", r#"{"advance":"-1h"}"#, 400, "'-1h' is no duration", r#"{"offset":"-20m"}"#),
        ("POST", "clock", r#"{"offset":"x"}"#, 400, "'x' is no offset", r#"{"offset":"-20m"}"#),
        ("POST", "clock", r#"{"advance":"1h","offset":"1h"}"#, 400, "not what is expected", r#"{"offset":"-20m"}"#),
        ("POST", "faults", r#"{"rule":"*:hangs"}"#, 400, "no fault 'hangs'", "throttle@0.5"),
        ("POST", "faults", r#"{"rules":[]}"#, 400, "unknown field `rules`", "throttle@0.5"),
        ("POST", "move", &warehouse("lake", "finance"), 400, "unknown variant `lake`", "GET /sandbox/warehouses"),
        ("POST", "move", &warehouse("workgroup", "finance"), 404, "no workgroup 'finance'", "GET /sandbox/warehouses"),
        ("POST", "organization", r#"{"account":"1"}"#, 400, "no account '1'", "to allow all"),
        ("POST", "organization", r#"{"account":"111122223333","policy":{}}"#, 400, "no Statement", "to allow all"),
        ("GET", "organization", "", 405, "does not take GET", "POST /sandbox/organization"),
        ("POST", "revoke", "{}", 400, "missing field", "GET /sandbox/warehouses"),
    ] {
        let (got, answer) = drive(&sandbox, method, path, body).await;
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        assert!(
            got == status && text("message").contains(message) && text("hint").contains(hint),
            "{method} {path} {body}: {got} {answer}"
        );
    }
    assert!(sandbox.calls().list().is_empty() && sandbox.faults().list().is_empty());
}
