//! The pretend AWS: one loopback endpoint for every service; the signature's scope says which one is meant.

mod caller;
mod fault;
mod grant;
mod redshift;
mod serverless;
mod sigv4;
mod sts;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::calls::{Call, Calls};
use crate::clock::SandboxClock;
use crate::seed::{self, Role};
use crate::world::World;
use caller::{Caller, Callers};
use fault::Fault;
use sigv4::{Authorization, header, hex};

/// The largest request body, in bytes: AWS's query services take about this much.
const BODY_LIMIT: usize = 64 * 1024;

/// What every call acts on.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) world: World,
    pub(crate) clock: SandboxClock,
    pub(crate) calls: Calls,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) nasty_passwords: bool,
    callers: Callers,
    roles: Arc<Vec<Role>>,
    buckets: Arc<Mutex<BTreeMap<String, (f64, SystemTime)>>>,
}

/// A token bucket per account, region and action.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Tokens added per second.
    pub per_second: f64,
    /// The most tokens that gather.
    pub burst: f64,
}

/// A call whose signature held.
struct Signed<'a> {
    caller: &'a Caller,
    region: &'a str,
    now: SystemTime,
    guid: String,
    action: &'a str,
}

impl Aws {
    pub(crate) fn new(world: World, clock: SandboxClock, rate_limit: Option<RateLimit>, nasty_passwords: bool) -> Self {
        Self {
            world,
            clock,
            calls: Calls::default(),
            rate_limit,
            nasty_passwords,
            callers: Callers::new(seed::users()),
            roles: Arc::new(seed::roles()),
            buckets: Arc::default(),
        }
    }

    /// Serves until `stop`; open connections end with it.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => { tracing::warn!(%error, "accept failed"); continue }
                },
            };
            let aws = self.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let aws = aws.clone();
                    async move { Ok::<_, Infallible>(aws.respond(request).await) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .max_buf_size(64 * 1024)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
            return self.answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "request body too large".to_owned(), &guid());
        };
        if parts.method != Method::POST || parts.uri.path() != "/" {
            return self.answer(StatusCode::NOT_FOUND, "text/plain", "the sandbox answers POST / only".to_owned(), &guid());
        }
        self.call(&parts.headers, parts.uri.query().unwrap_or_default(), &body.to_bytes())
    }

    fn call(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let guid = guid();
        let target = header(headers, "x-amz-target");
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = match &target {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => form.get("Action").cloned().unwrap_or_default(),
        };
        let authenticated = self.authenticate(headers, query, body);
        let caller_arn = authenticated.as_ref().map(|(_, caller)| caller.arn.clone()).unwrap_or_default();
        let service = authenticated.as_ref().map(|(auth, _)| auth.service.clone()).unwrap_or_default();
        let result = authenticated.and_then(|(auth, caller)| {
            let call = Signed { caller: &caller, region: &auth.region, now: self.clock.now(), guid: guid.clone(), action: &action };
            self.take_token(&call)?;
            match (auth.service.as_str(), target.is_some()) {
                ("redshift", false) => redshift::call(self, &call, &form),
                ("sts", false) => sts::call(self, &call, &form),
                ("redshift-serverless", true) => serverless::call(self, &call, body),
                _ => Err(Fault::new(400, "InvalidAction", &format!("The action {action} is not valid for this endpoint."))),
            }
        });
        let outcome = result.as_ref().err().map_or("ok", |fault| &fault.code).to_owned();
        self.calls.record(Call { action: action.clone(), caller_arn, outcome });
        if target.is_some() {
            let (status, text) = result.map_or_else(|fault| (fault.status_json(), fault.json()), |text| (StatusCode::OK, text));
            return self.answer(status, "application/x-amz-json-1.1", text, &guid);
        }
        let namespace = if service == "sts" { sts::NAMESPACE } else { redshift::NAMESPACE };
        let (status, text) = match result {
            Ok(result) => (StatusCode::OK, envelope(namespace, &action, &result, &guid)),
            Err(fault) => (fault.status(), fault.xml(namespace, &guid)),
        };
        self.answer(status, "text/xml", text, &guid)
    }

    fn authenticate(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<(Authorization, Caller), Fault> {
        let auth = Authorization::parse(headers)?;
        let now = self.clock.now();
        let token = header(headers, "x-amz-security-token");
        let (secret, caller) = self.callers.find(&auth.access_key, token.as_deref(), now)?;
        auth.verify(&secret, headers, query, body, now)?;
        Ok((auth, caller))
    }

    fn take_token(&self, call: &Signed<'_>) -> Result<(), Fault> {
        let Some(limit) = self.rate_limit else { return Ok(()) };
        let key = format!("{}/{}/{}", call.caller.account, call.region, call.action);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = buckets.entry(key).or_insert((limit.burst, call.now));
        let passed = call.now.duration_since(*at).unwrap_or(Duration::ZERO);
        *tokens = (*tokens + passed.as_secs_f64() * limit.per_second).min(limit.burst);
        *at = call.now;
        if *tokens < 1.0 {
            return Err(Fault::new(400, "Throttling", "Rate exceeded"));
        }
        *tokens -= 1.0;
        Ok(())
    }

    fn answer(&self, status: StatusCode, kind: &str, text: String, guid: &str) -> Response<Full<Bytes>> {
        Response::builder()
            .status(status)
            .header("content-type", kind)
            .header("x-amzn-requestid", guid)
            .header("date", http_date(self.clock.now()))
            .body(Full::new(Bytes::from(text)))
            .expect("headers made of ASCII are valid")
    }
}

fn envelope(namespace: &str, action: &str, result: &str, guid: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{guid}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// RFC 9110's IMF-fixdate.
fn http_date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    format!("{weekday}, {} {} {} {} GMT", &text[8..10], MONTHS[(month - 1) % 12], &text[..4], &text[11..19])
}

/// A random GUID (version 4).
fn guid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

fn random_base64<const N: usize>() -> String {
    STANDARD.encode(random::<N>())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
