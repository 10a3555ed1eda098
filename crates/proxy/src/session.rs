//! One connection, from its first byte to its last.

use std::{io, sync::Arc, time::Duration};

use shiftkey::dial::{self, Connection, Options};
use shiftkey_wire::{
    backend::{Authentication, Backend},
    error_fields::ErrorFields,
    frame,
    startup::{CancelRequest, StartupMessage},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use crate::{
    admit::Refusal,
    cancel::Registered,
    listen::Audience,
    opening::{self, Broken, Opening},
    parameters::{self, Asked},
    proxy::Shared,
    reject, relay,
    route::Routes,
    stats::{Failure, Session},
    stream::Stream,
};

/// What a client that was told why it fails may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves one connection.
pub(crate) async fn serve(mut client: Stream, audience: Audience, routes: Routes, shared: Arc<Shared>) {
    // Asked at once, while the peer can be assumed to be there.
    let admitted = match &audience {
        Audience::Anyone => Ok(None),
        Audience::Users(admission) => admission.judge(client.peer_uid()).map(Some),
    };
    // Those beyond go without a word: they could fill the proxy with words that they wait for.
    let _stranger = match &admitted {
        Ok(_) => None,
        Err(refusal) => match shared.strangers.try_acquire() {
            Ok(place) => Some(place),
            Err(_) => return refused(refusal, &shared),
        },
    };
    let opening = timeout(shared.settings.first_packet, opening::open(&mut client)).await;
    let served = match (opening, admitted) {
        (Ok(Ok(Opening::Nothing)), _) => Ok(()),
        (Ok(Ok(Opening::Cancel(request))), Ok(_)) => {
            cancel(&request, &shared).await;
            Ok(())
        }
        // A cancel request is never answered, so a stranger's is not either.
        (Ok(Ok(Opening::Cancel(_))), Err(refusal)) => {
            refused(&refusal, &shared);
            Ok(())
        }
        (Ok(Ok(Opening::Startup(..))), Err(refusal)) => {
            refused(&refusal, &shared);
            turn_away(&mut client, &reject::encode(reject::stranger(&refusal))).await
        }
        (Ok(Ok(Opening::Startup(startup, ahead))), Ok(uid)) => sign_in_and_relay(client, uid, &startup, &ahead, &routes, &shared).await,
        (Ok(Err(Broken(fields))), _) => fail(&mut client, fields, &shared).await,
        (Err(_), _) => fail(&mut client, reject::late("the client did not send its startup packet"), &shared).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}

/// A session that is signed in: what it took, and what it must give back.
struct SignedIn {
    upstream: Connection,
    key: Option<Registered>,
    open: crate::stats::Open,
    /// Held until the end, since sessions are counted.
    _place: OwnedSemaphorePermit,
}

async fn sign_in_and_relay(
    mut client: Stream,
    uid: Option<u32>,
    startup: &StartupMessage,
    ahead: &[u8],
    routes: &Routes,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let asked = match parameters::read(startup) {
        Ok(asked) => asked,
        Err(fields) => return fail(&mut client, fields, shared).await,
    };
    let mut session = match timeout(shared.settings.sign_in, sign_in(&asked, uid, routes, shared)).await {
        Ok(Ok(session)) => session,
        Ok(Err((fields, bytes))) => {
            note(&fields, shared);
            return turn_away(&mut client, &bytes).await;
        }
        Err(_) => return fail(&mut client, reject::late("the sign-in was not finished"), shared).await,
    };
    let welcome = welcome(&session.upstream.welcome, asked.negotiation.as_ref(), session.key.as_ref());
    client.write_all(&welcome).await?;
    client.write_all(&session.upstream.leftover).await?;
    client.flush().await?;
    session.upstream.stream.write_all(ahead).await?;
    session.upstream.stream.flush().await?;
    // Not needed any more, while a session may last for days.
    (session.upstream.welcome, session.upstream.leftover, session.upstream.parameters) = (Vec::new(), Vec::new(), Vec::new());
    relay::relay(&mut client, &mut session.upstream.stream, &session.open.traffic).await
}

/// Finds the target and signs in to it.
async fn sign_in(asked: &Asked, uid: Option<u32>, routes: &Routes, shared: &Arc<Shared>) -> Result<SignedIn, (ErrorFields, Vec<u8>)> {
    let ours = |error: shiftkey::Error| (reject::fields(&error), reject::response(&error));
    let place = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| {
        let fields = reject::full(shared.settings.sessions);
        (fields.clone(), reject::encode(fields))
    })?;
    let target = routes.target(asked).map_err(ours)?;
    let options = Options { parameters: asked.parameters.clone(), env: shared.settings.env.clone(), tls: shared.tls.clone() };
    let (upstream, login) = shared.shiftkey.connect(&target, &options).await.map_err(ours)?;
    shared.recent.used(&target, shared.settings.clock.now());
    let key = upstream.backend_key.clone().map(|theirs| shared.keys.register(login.route(), theirs)).transpose();
    let key = key.map_err(|error| {
        let error = shiftkey::Error::new(shiftkey::ErrorKind::Unexpected, "the system has no randomness").with_source(error);
        ours(error)
    })?;
    let session = Session {
        target: login.target.clone(),
        database: login.database.clone(),
        db_user: login.credential.db_user.clone(),
        uid,
        application: asked.application.chars().filter(|char| !char.is_control()).take(64).collect(),
        since: shared.settings.clock.now(),
        from_client: 0,
        to_client: 0,
    };
    tracing::info!(target = session.target, database = session.database, user = session.db_user, origin = ?login.origin, "signed in");
    let open = shared.stats.open(session, login.origin);
    Ok(SignedIn { upstream, key, open, _place: place })
}

/// What the client gets: the negotiation, the word that it is in, and the warehouse's own messages with our key for its.
fn welcome(theirs: &[u8], negotiation: Option<&Backend>, key: Option<&Registered>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(theirs.len() + 64);
    if let Some(negotiation) = negotiation {
        negotiation.encode(&mut bytes);
    }
    Backend::Authentication(Authentication::Ok).encode(&mut bytes);
    let mut rest = theirs;
    while let Ok(Some((message, length))) = frame::parse(rest, frame::SIGN_IN_CEILING) {
        match (message.tag, key) {
            (b'K', Some(key)) => {
                let ours = &key.ours;
                Backend::BackendKeyData { process_id: ours.process_id, key: ours.key.clone() }.encode(&mut bytes);
            }
            _ => bytes.extend_from_slice(&rest[..length]),
        }
        rest = &rest[length..];
    }
    bytes
}

async fn cancel(request: &CancelRequest, shared: &Shared) {
    let Some((route, theirs)) = shared.keys.find(request) else {
        tracing::debug!(request.process_id, "a cancel request names no session");
        return;
    };
    let options = Options { env: shared.settings.env.clone(), tls: shared.tls.clone(), ..Options::default() };
    match timeout(shared.settings.sign_in, dial::cancel::cancel(&route, &options, &theirs)).await {
        Ok(Ok(())) => shared.stats.cancelled(),
        Ok(Err(error)) => tracing::info!(%error, "a cancel request was not passed on"),
        Err(_) => tracing::info!("a cancel request was not passed on in time"),
    }
}

fn refused(refusal: &Refusal, shared: &Shared) {
    shared.stats.refused();
    tracing::warn!(%refusal, "a connection was refused");
}

async fn fail(client: &mut Stream, fields: ErrorFields, shared: &Shared) -> io::Result<()> {
    note(&fields, shared);
    turn_away(client, &reject::encode(fields)).await
}

fn note(fields: &ErrorFields, shared: &Shared) {
    tracing::info!(code = fields.code, message = fields.message, "a sign-in failed");
    shared.stats.failed(Failure { at: shared.settings.clock.now(), code: fields.code.clone(), message: fields.message.clone() });
}

/// Tells the client why, and waits until it has left: what it had still to say would reset the connection, and the reason
/// would be lost.
async fn turn_away(client: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.shutdown().await?;
    let mut rest = [0; 1024];
    let leaving = async { while client.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
    let _ = timeout(FAREWELL, leaving).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(messages: &[Backend]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        bytes
    }

    #[test]
    fn everything_of_the_warehouse_passes_but_its_key() {
        let (status, ready) = (Backend::ParameterStatus("padb_revision".into(), "1".into()), Backend::ReadyForQuery(b'I'));
        let unknown = b"z\0\0\0\x05\x01".to_vec();
        let theirs = [messages(std::slice::from_ref(&status)), unknown.clone(), messages(std::slice::from_ref(&ready))].concat();
        let entered = messages(&[Backend::Authentication(Authentication::Ok)]);
        assert_eq!(welcome(&theirs, None, None), [&entered[..], &theirs].concat(), "a key that is absent stays absent");
        let negotiation = Backend::NegotiateProtocolVersion(3 << 16, vec![]);
        assert!(welcome(&theirs, Some(&negotiation), None).starts_with(b"v"), "before anything else");
    }
}
