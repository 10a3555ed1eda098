//! Health, metrics and a page for a person, over HTTP on loopback. Everything is read; nothing here changes a thing.
//!
//! Health and metrics are for every user of the machine, since who watches is seldom who runs; the page, which tells of
//! targets, users and failures, is for those who may use the proxy. A request must name a loopback host, so that no web page
//! in a browser can ask under a name of its own (DNS rebinding).

mod metrics;
mod page;
mod reach;

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use shiftkey::{Error, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use self::reach::Reach;
use crate::{admit::Admission, proxy::Proxy, sock_diag};

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(10);

/// Connections at a time; more wait.
const LIMIT: usize = 64;

/// A bound address that answers nobody yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    admission: Admission,
    reach: Arc<Reach>,
}

/// An answer: status, kind, text.
type Answer = (StatusCode, &'static str, String);

const PLAIN: &str = "text/plain; charset=utf-8";
/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Admin {
    /// Binds `address`, port 0 for a free one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Config` when it is taken, or not of loopback: there is no other guard.
    pub fn bind(address: SocketAddr, admission: Admission) -> Result<Self> {
        if !address.ip().is_loopback() {
            return Err(
                Error::config(format!("{address} can be reached from other machines")).with_hint("the admin page listens on 127.0.0.1")
            );
        }
        let bound = std::net::TcpListener::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        });
        let told = |listener: TcpListener| Ok(Self { address: listener.local_addr()?, listener, admission, reach: Arc::default() });
        bound.and_then(told).map_err(|error| Error::config(format!("{address} cannot be listened on: {error}")).with_source(error))
    }

    /// Where it listens, a free port filled in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `work` is done, and gives what that gives. Its connections end with it.
    pub async fn serve_during<T>(&self, proxy: &Proxy, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            outcome = work => outcome,
            never = self.serve(proxy) => match never {},
        }
    }

    async fn serve(&self, proxy: &Proxy) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < LIMIT => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, proxy.clone(), self.admission.clone(), Arc::clone(&self.reach)));
                    }
                    // Out of descriptors, most likely: let some connections end.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
            }
        }
    }
}

async fn connection(stream: TcpStream, proxy: Proxy, admission: Admission, reach: Arc<Reach>) {
    let uid = stream.peer_addr().and_then(|peer| sock_diag::owner(peer, stream.local_addr()?));
    let admitted = admission.judge(uid).is_ok();
    let service = service_fn(|request: Request<Incoming>| {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let answer = answer(&proxy, admitted, request.method(), host, request.uri().path());
        // Only who is ready itself is asked further.
        let target = (answer.0 == StatusCode::OK && request.uri().path() == "/readiness").then(|| target(request.uri().query())).flatten();
        let (proxy, reach) = (&proxy, &reach);
        async move {
            let reached = match target {
                Some(target) => reach.check(proxy, &target).await,
                None => Ok(()),
            };
            let answer = reached.map_or_else(|why| (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")), |()| answer);
            Ok::<_, Infallible>(response(answer))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).max_buf_size(16 * 1024);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a request to the admin page broke");
    }
}

fn answer(proxy: &Proxy, admitted: bool, method: &Method, host: &str, path: &str) -> Answer {
    let plain = |status: StatusCode, text: &str| (status, PLAIN, format!("{text}\n"));
    if !is_loopback(host) {
        return plain(StatusCode::FORBIDDEN, "ask for it as localhost or 127.0.0.1");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "there is nothing to change here");
    }
    match path {
        // Whoever can be asked has started, and lives.
        "/startup" | "/liveness" => plain(StatusCode::OK, "ok"),
        "/readiness" => match proxy.unready() {
            None => plain(StatusCode::OK, "ok"),
            Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/metrics" => (StatusCode::OK, METRICS, metrics::render(proxy)),
        "/" if admitted => (StatusCode::OK, HTML, page::render(proxy)),
        "/" => plain(StatusCode::FORBIDDEN, "this page is for the user who runs the proxy; /metrics and /readiness are for all"),
        _ => plain(StatusCode::NOT_FOUND, "there are /, /metrics, /startup, /readiness and /liveness"),
    }
}

fn response((status, kind, text): Answer) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status).header(CONTENT_TYPE, kind).header(CACHE_CONTROL, "no-store");
    let builder = builder
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
        .header("x-content-type-options", "nosniff");
    let builder = if status == StatusCode::METHOD_NOT_ALLOWED { builder.header(ALLOW, "GET, HEAD") } else { builder };
    builder.body(Full::new(Bytes::from(text))).expect("the headers are written down above")
}

/// The target that a query names.
fn target(query: Option<&str>) -> Option<String> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("target="))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Whether a `Host` header names this machine alone.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use shiftkey::Shiftkey;

    use super::*;
    use crate::proxy::Settings;

    fn ask(method: &Method, host: &str, path: &str, admitted: bool) -> Answer {
        answer(&Proxy::new(Shiftkey::builder().build(), Settings::default()), admitted, method, host, path)
    }

    #[test]
    fn only_who_names_this_machine_is_answered() {
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.9.9.9:1", "[::1]:9090", "[::1]"] {
            assert_eq!(ask(&Method::GET, host, "/metrics", false).0, StatusCode::OK, "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]", "::1"] {
            assert_eq!(ask(&Method::GET, host, "/metrics", true).0, StatusCode::FORBIDDEN, "{host}");
        }
    }

    #[test]
    fn nothing_is_changed_and_only_the_owner_sees_the_page() {
        for path in ["/", "/startup", "/readiness", "/liveness", "/metrics"] {
            assert_eq!(ask(&Method::GET, "localhost", path, true).0, StatusCode::OK, "{path}");
            assert_eq!(ask(&Method::HEAD, "localhost", path, true).0, StatusCode::OK, "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(ask(&method, "localhost", path, true).0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            }
        }
        assert_eq!(ask(&Method::GET, "localhost", "/", false).0, StatusCode::FORBIDDEN);
        assert_eq!(ask(&Method::GET, "localhost", "/quitquitquit", true).0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_query_names_a_target() {
        for (query, expected) in [
            (None, None),
            (Some("x=1"), None),
            (Some("target=prod/analytics"), Some("prod/analytics")),
            (Some("x=1&target=prod%2Fanalytics&y"), Some("prod/analytics")),
            (Some("target="), Some("")),
        ] {
            assert_eq!(target(query).as_deref(), expected, "{query:?}");
        }
    }

    #[tokio::test]
    async fn it_listens_on_loopback_alone() {
        let bind = |text: &str| Admin::bind(text.parse().unwrap(), Admission::same_user());
        assert!(bind("0.0.0.0:0").unwrap_err().message().contains("other machines"));
        let first = bind("127.0.0.1:0").unwrap();
        assert!(first.address().port() != 0 && bind(&first.address().to_string()).is_err());
    }
}
