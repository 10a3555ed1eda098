//! One connection, from its first byte to its last.

use std::{io, sync::Arc};

use shiftkey::dial::{self, Connection, Options};
use shiftkey_wire::{
    backend::{Authentication, Backend},
    error_fields::ErrorFields,
    frame,
    startup::{CancelRequest, StartupMessage},
};
use tokio::{io::AsyncWriteExt as _, sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    admit::Refusal,
    cancel::Registered,
    client::{self, Client, turn_away_unheard},
    listen::Audience,
    opening::{Broken, Opening},
    parameters::{self, Asked},
    proxy::Shared,
    reject, relay,
    route::Routes,
    seat::Seat,
    stats::{Failure, Session},
    stream::Stream,
};

/// Serves one connection.
pub(crate) async fn serve(stream: Stream, audience: Audience, routes: Routes, shared: Arc<Shared>) {
    // Asked at once, while the peer can be assumed to be there.
    let admitted = match &audience.users {
        None => Ok(None),
        Some(admission) => admission.judge(stream.peer_uid()).map(Some),
    };
    // Those beyond are not heard out: they could fill the proxy with words that they wait for.
    let _stranger = match &admitted {
        Ok(_) => None,
        Err(refusal) => match shared.strangers.try_acquire() {
            Ok(place) => Some(place),
            Err(_) => {
                refused(refusal, &shared);
                return turn_away_unheard(&stream, &reject::encode(reject::stranger(refusal)));
            }
        },
    };
    let mut client = Some(Client::Plain(stream));
    let opening = timeout(shared.settings.first_packet, client::open(&mut client, audience.certificate.as_deref())).await;
    let Some(mut seat) = client.map(Seat::new) else {
        // It cannot be told any more; who watches can.
        match opening {
            Ok(Err(Broken(fields))) => note(&fields, &shared),
            Err(_) => note(&reject::late("the client did not finish the start of TLS"), &shared),
            Ok(Ok(_)) => {}
        }
        return;
    };
    let served = match (opening, admitted) {
        (Ok(Ok(Opening::Nothing | Opening::Encryption)), _) => Ok(()),
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
            seat.turn_away(&reject::encode(reject::stranger(&refusal))).await
        }
        (Ok(Ok(Opening::Startup(startup, ahead))), Ok(uid)) => {
            seat.waits();
            match let_in(&mut seat, &startup, ahead, &audience, &shared).await {
                Ok(Ok((asked, ahead))) => sign_in_and_relay(seat, uid, &asked, &ahead, &routes, &shared).await,
                Ok(Err(fields)) => fail(&mut seat, fields, &shared).await,
                Err(error) => {
                    // It has left.
                    seat.leaves(None);
                    Err(error)
                }
            }
        }
        (Ok(Err(Broken(fields))), _) => fail(&mut seat, fields, &shared).await,
        (Err(_), _) => fail(&mut seat, reject::late("the client did not send its startup packet"), &shared).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Has the client prove what it must, and reads what it asks for. Gives back what it has sent beyond.
async fn let_in(
    seat: &mut Seat,
    startup: &StartupMessage,
    mut ahead: Vec<u8>,
    audience: &Audience,
    shared: &Shared,
) -> io::Result<Result<(Asked, Vec<u8>), ErrorFields>> {
    if audience.tls_alone && !seat.is_encrypted() {
        return Ok(Err(reject::unencrypted()));
    }
    if let Some(secret) = &audience.secret {
        let asking = secret.ask(&mut **seat, &mut ahead, shared.settings.pause);
        match timeout(shared.settings.first_packet, asking).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(fields))) => return Ok(Err(fields)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(Err(reject::late("the client did not prove that it knows the secret"))),
        }
    }
    Ok(parameters::read(startup).map(|asked| (asked, ahead)))
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
    mut seat: Seat,
    uid: Option<u32>,
    asked: &Asked,
    ahead: &[u8],
    routes: &Routes,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let mut session = match timeout(shared.settings.sign_in, sign_in(asked, uid, routes, shared)).await {
        Ok(Ok(session)) => session,
        Ok(Err((fields, bytes))) => {
            note(&fields, shared);
            return seat.turn_away(&bytes).await;
        }
        Err(_) => return fail(&mut seat, reject::late("the sign-in was not finished"), shared).await,
    };
    let traffic = Arc::clone(&session.open.traffic);
    seat.talks(&traffic);
    let relayed = async {
        let welcome = welcome(&session.upstream.welcome, asked.negotiation.as_ref(), session.key.as_ref());
        for bytes in [&welcome, &session.upstream.leftover] {
            seat.write_all(bytes).await?;
            traffic.to_client.passed(bytes);
        }
        seat.flush().await?;
        session.upstream.stream.write_all(ahead).await?;
        session.upstream.stream.flush().await?;
        traffic.to_upstream.passed(ahead);
        // Not needed any more, while a session may last for days.
        drop(welcome);
        (session.upstream.welcome, session.upstream.leftover, session.upstream.parameters) = (Vec::new(), Vec::new(), Vec::new());
        relay::relay(&mut *seat, &mut session.upstream.stream, &traffic).await
    };
    let relayed = relayed.await;
    seat.leaves(relayed.is_err().then(reject::lost));
    relayed
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
    let connected = shared.shiftkey.connect(&target, &options).await;
    let (upstream, login) = connected.inspect_err(|error| shared.ask_for_help(error)).map_err(ours)?;
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

async fn fail(seat: &mut Seat, fields: ErrorFields, shared: &Shared) -> io::Result<()> {
    note(&fields, shared);
    seat.turn_away(&reject::encode(fields)).await
}

pub(crate) fn note(fields: &ErrorFields, shared: &Shared) {
    tracing::info!(code = fields.code, message = fields.message, "a sign-in failed");
    shared.stats.failed(Failure { at: shared.settings.clock.now(), code: fields.code.clone(), message: fields.message.clone() });
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
        assert!(welcome(&theirs, Some(&negotiation), None).starts_with(b"v\0\0\0\x0c\0\x03\0\0"), "before anything else");
    }
}
