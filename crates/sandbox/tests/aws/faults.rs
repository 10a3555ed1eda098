//! Every fault as a client of AWS's own SDK meets it.

use aws_sdk_redshift::operation::describe_clusters::{DescribeClustersError, DescribeClustersOutput};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use shiftkey_sandbox::clock::Offset;

use super::*;

type Listing = Result<DescribeClustersOutput, SdkError<DescribeClustersError>>;

async fn with(rules: &[&str]) -> Sandbox {
    let mut builder = Sandbox::builder().clock(SandboxClock::frozen(SystemTime::now()));
    for rule in rules {
        builder = builder.fault(rule.parse().unwrap());
    }
    builder.start().await.unwrap()
}

async fn clusters(sandbox: &Sandbox) -> Listing {
    aws_sdk_redshift::Client::new(&user(sandbox, "alice").await).describe_clusters().send().await
}

async fn workgroups(sandbox: &Sandbox) -> SdkError<aws_sdk_redshiftserverless::operation::list_workgroups::ListWorkgroupsError> {
    aws_sdk_redshiftserverless::Client::new(&user(sandbox, "alice").await).list_workgroups().send().await.unwrap_err()
}

fn outcomes(sandbox: &Sandbox) -> Vec<String> {
    sandbox.calls().list().into_iter().map(|it| it.outcome).collect()
}

#[tokio::test]
async fn error_answers_have_the_shapes_of_both_protocols() {
    for (rule, query, json, retry_after) in [
        ("*:throttle", ("Throttling", 400), ("ThrottlingException", 400), None),
        ("*:throttle,retry-after=2s", ("Throttling", 400), ("ThrottlingException", 400), Some("2")),
        ("*:deny", ("AccessDenied", 403), ("AccessDeniedException", 400), None),
        ("*:500", ("InternalFailure", 500), ("InternalServerException", 500), None),
        ("*:503,retry-after=1m", ("ServiceUnavailable", 503), ("ServiceUnavailable", 503), Some("60")),
        ("*:429,code=TooManyRequestsException", ("TooManyRequestsException", 429), ("TooManyRequestsException", 429), None),
    ] {
        let sandbox = with(&[rule]).await;
        let error = clusters(&sandbox).await.unwrap_err();
        let raw = error.raw_response().unwrap();
        assert_eq!((code(&error), raw.status().as_u16()), query, "{rule}");
        assert_eq!(raw.headers().get("retry-after"), retry_after, "{rule}");
        let error = workgroups(&sandbox).await;
        assert_eq!((code(&error), error.raw_response().unwrap().status().as_u16()), json, "{rule}");
        assert_eq!(outcomes(&sandbox), [query.0, query.0], "{rule}");
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_denial_names_the_caller_and_the_action() {
    let sandbox = with(&["DescribeClusters:deny"]).await;
    let error = clusters(&sandbox).await.unwrap_err();
    let words = format!(
        "User: arn:aws:iam::{PROD}:user/alice is not authorized to perform: redshift:DescribeClusters \
         with an explicit deny in a service control policy"
    );
    assert_eq!(error.message(), Some(words.as_str()));
    assert!(aws_sdk_sts::Client::new(&user(&sandbox, "alice").await).get_caller_identity().send().await.is_ok(), "another action is meant");
}

#[tokio::test]
async fn calls_are_struck_by_number_and_the_others_pass() {
    let sandbox = with(&["DescribeClusters:503@2..3"]).await;
    sandbox.faults().add("DescribeClusters:throttle@1".parse().unwrap());
    let mut passed = Vec::new();
    for _ in 0..4 {
        passed.push(clusters(&sandbox).await.is_ok());
    }
    assert_eq!(passed, [false, false, false, true]);
    assert_eq!(outcomes(&sandbox), ["Throttling", "ServiceUnavailable", "ServiceUnavailable", "ok"]);
    let listed: Vec<_> = sandbox.faults().list().into_iter().map(|it| (it.id, it.calls, it.struck)).collect();
    assert_eq!(listed, [(1, 4, 2), (2, 4, 1)]);
    sandbox.faults().clear();
    assert!(clusters(&sandbox).await.is_ok());
}

#[tokio::test]
async fn what_is_no_answer_is_not_taken_for_one() {
    let sandbox = with(&["*:drop@1", "*:truncate@2", "*:garbage@3", "*:drop@4", "*:truncate@5", "*:garbage@6"]).await;
    let dropped = clusters(&sandbox).await.unwrap_err();
    assert!(matches!(dropped, SdkError::DispatchFailure(_)), "{dropped:?}");
    for error in [clusters(&sandbox).await.unwrap_err(), clusters(&sandbox).await.unwrap_err()] {
        assert!(error.code().is_none() && !matches!(error, SdkError::ConstructionFailure(_)), "{error:?}");
    }
    for _ in 0..3 {
        assert_eq!(workgroups(&sandbox).await.code(), None);
    }
    assert_eq!(outcomes(&sandbox), ["drop", "truncate", "garbage", "drop", "truncate", "garbage"]);
    assert!(clusters(&sandbox).await.is_ok());
}

#[tokio::test]
async fn half_of_a_body_arrives_and_then_the_end() {
    let sandbox = with(&["*:truncate@1", "*:drop@2"]).await;
    let whole = ask(&sandbox).await;
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let announced: usize = head.lines().find_map(|it| it.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert_eq!(body.len(), announced / 2, "{whole}");
    assert!(body.starts_with("<ErrorResponse"));
    assert_eq!(ask(&sandbox).await, "", "a dropped call is answered with nothing");
}

/// An unsigned call on a connection of its own, and all that comes back until the sandbox closes it.
async fn ask(sandbox: &Sandbox) -> String {
    let address = sandbox.endpoint_url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: 6\r\n\r\nAction");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_hanging_call_ends_with_the_client_or_the_sandbox() {
    let sandbox = with(&["DescribeClusters:hang"]).await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    tokio::select! {
        answer = redshift.describe_clusters().send() => panic!("{answer:?}"),
        () = sandbox.calls().reached("DescribeClusters", 1) => {}
    }
    let hanging = tokio::spawn(async move { redshift.describe_clusters().send().await });
    sandbox.calls().reached("DescribeClusters", 2).await;
    assert_eq!(outcomes(&sandbox), ["hang", "hang"]);
    assert!(!hanging.is_finished());
    sandbox.stop().await;
    assert!(matches!(hanging.await.unwrap(), Err(SdkError::DispatchFailure(_))));
}

#[tokio::test]
async fn a_delayed_call_is_answered() {
    let sandbox = with(&["*:delay=1ms"]).await;
    assert!(clusters(&sandbox).await.is_ok());
    sandbox.faults().clear();
    sandbox.faults().add("*:delay=365days".parse().unwrap());
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    tokio::select! {
        answer = redshift.describe_clusters().send() => panic!("{answer:?}"),
        () = sandbox.calls().reached("DescribeClusters", 2) => {}
    }
    assert_eq!(outcomes(&sandbox), ["ok", "ok"]);
}

#[tokio::test]
async fn a_credential_may_die_before_the_expiry_that_aws_told() {
    let sandbox = with(&["GetClusterCredentials:expire-early=1m@1", "GetCredentials:expire-early=0s"]).await;
    let alice = user(&sandbox, "alice").await;
    let redshift = aws_sdk_redshift::Client::new(&alice);
    let now = sandbox.clock().now();
    let told = |it: &aws_sdk_redshift::primitives::DateTime| SystemTime::try_from(*it).unwrap();
    for _ in 0..2 {
        let got = redshift.get_cluster_credentials().cluster_identifier("analytics").db_user("alice").send().await.unwrap();
        assert!(told(got.expiration().unwrap()) > now + Duration::from_secs(890));
    }
    let serverless = aws_sdk_redshiftserverless::Client::new(&alice);
    let got = serverless.get_credentials().workgroup_name("adhoc").send().await.unwrap();
    assert!(told(got.expiration().unwrap()) > now + Duration::from_secs(890));

    let id = |kind, name: &str| WarehouseId { kind, account: PROD.into(), region: "us-east-1".into(), name: name.into() };
    let life = |id, n: usize| sandbox.world().grants(&id, "IAM:alice")[n].expires_at.duration_since(now);
    let cluster = id(WarehouseKind::Cluster, "analytics");
    assert_eq!(life(cluster.clone(), 0).unwrap(), Duration::from_secs(60) - Duration::from_nanos(1));
    assert_eq!(life(cluster, 1).unwrap(), Duration::from_secs(900), "the rule meant the first call");
    assert!(life(id(WarehouseKind::Workgroup, "adhoc"), 0).is_err(), "no life at all is over at once");
    sandbox.stop().await;
}

#[tokio::test]
async fn clocks_and_warehouses_move_by_script() {
    let sandbox = with(&["DescribeClusters:clock=1h@1", "DescribeClusters:clock=-20m@2", "GetClusterCredentials:move@1"]).await;
    let client = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let start = sandbox.clock().now();
    let port = |listing: &DescribeClustersOutput| {
        listing.clusters().iter().find(|it| it.cluster_identifier() == Some("analytics")).unwrap().endpoint().unwrap().port()
    };
    let before = port(&clusters(&sandbox).await.unwrap());
    assert_eq!(sandbox.clock().now(), start + Duration::from_secs(3_600));
    sandbox.clock().set_offset(Offset::default());
    let issue = client.get_cluster_credentials().cluster_identifier("analytics").db_user("alice");
    issue.send().await.unwrap();
    let after = port(&clusters(&sandbox).await.unwrap());
    assert_ne!(before, after, "the answer to the first call came before the move, this one after");
    assert_eq!(sandbox.clock().now(), start - Duration::from_secs(1_200));
    sandbox.stop().await;
}
