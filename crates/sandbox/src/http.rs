//! The listener of the pretend AWS and of its control: connections, bodies, and answers that do not arrive whole.

use std::fmt;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::aws::{Aws, Delivery};
use crate::control::Control;

/// The largest request body, in bytes: AWS's query services take about this much.
const BODY_LIMIT: usize = 64 * 1024;

/// The end of a connection that was asked for.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault rule cut the connection")
    }
}

impl std::error::Error for Cut {}

type Body = UnsyncBoxBody<Bytes, Cut>;

/// Serves until `stop`; open connections end with it.
pub(crate) async fn serve(aws: Aws, control: Control, listener: TcpListener, stop: CancellationToken) {
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
        let (aws, control) = (aws.clone(), control.clone());
        connections.spawn(async move {
            let service = service_fn(|request| respond(&aws, &control, request));
            let served =
                hyper::server::conn::http1::Builder::new().max_buf_size(64 * 1024).serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

async fn respond(aws: &Aws, control: &Control, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(whole(text(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")));
    };
    let path = parts.uri.path();
    if Control::owns(path) {
        return Ok(whole(control.respond(&parts.method, path, &parts.headers, &body.to_bytes()).await));
    }
    if parts.method != Method::POST || path != "/" {
        return Ok(whole(text(StatusCode::NOT_FOUND, "the sandbox answers POST / as AWS, and /sandbox/ to its user")));
    }
    let reply = aws.call(&parts.headers, parts.uri.query().unwrap_or_default(), &body.to_bytes());
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if let Some(id) = reply.moves
        && let Err(error) = control.gate.move_endpoint(&id).await
    {
        tracing::warn!(%error, name = id.name, "a rule asked for a move that cannot be made");
    }
    match reply.delivery {
        Delivery::Dropped => Err(Cut),
        Delivery::Half(response) => Ok(half(response)),
        Delivery::Never => std::future::pending().await,
        Delivery::Whole(response) => Ok(whole(response)),
    }
}

fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

/// Announces the whole body, sends half of it and fails then, so that the connection is closed.
fn half(response: Response<Bytes>) -> Response<Body> {
    let (mut parts, bytes) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let body = stream::unfold(Some(bytes.slice(..bytes.len() / 2)), |sent| async {
        match sent {
            Some(bytes) => Some((Ok(Frame::data(bytes)), None)),
            None => {
                // The connection writes out what it has only while the body makes it wait.
                tokio::task::yield_now().await;
                Some((Err(Cut), None))
            }
        }
    });
    Response::from_parts(parts, StreamBody::new(body).boxed_unsync())
}

fn text(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}
