//! Cancel keys. A client gets a key of ours, so that what it sends can be told to belong to a session, and to which; the
//! warehouse's own key stays here.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shiftkey::{Route, dial::BackendKey};
use shiftkey_wire::startup::CancelRequest;

use crate::random::random;

/// The keys of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    live: Mutex<HashMap<i32, Live>>,
}

/// One session's: what the client must show, and what the warehouse must be shown.
#[derive(Debug)]
struct Live {
    secret: [u8; 4],
    route: Route,
    theirs: BackendKey,
}

/// A session's key. It opens nothing once this is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    keys: Arc<Keys>,
    pub(crate) ours: BackendKey,
}

impl Keys {
    /// A new key that stands for the warehouse's. Four bytes and a positive process id: what every driver understands.
    pub(crate) fn register(self: &Arc<Self>, route: Route, theirs: BackendKey) -> io::Result<Registered> {
        let secret = random()?;
        let mut live = self.lock();
        let process_id = loop {
            let number = i32::from_be_bytes(random()?) & i32::MAX;
            if number > 0 && !live.contains_key(&number) {
                break number;
            }
        };
        live.insert(process_id, Live { secret, route, theirs });
        drop(live);
        Ok(Registered { keys: Arc::clone(self), ours: BackendKey { process_id, key: secret.to_vec() } })
    }

    /// Where a client's cancel request goes, and with which key. `None` when it names no session.
    pub(crate) fn find(&self, request: &CancelRequest) -> Option<(Route, BackendKey)> {
        let live = self.lock();
        let found = live.get(&request.process_id).filter(|live| live.secret[..] == request.key[..])?;
        Some((found.route.clone(), found.theirs.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.ours.process_id);
    }
}

#[cfg(test)]
mod tests {
    use shiftkey::Endpoint;

    use super::*;

    #[test]
    fn a_key_opens_its_own_session_while_that_lives() {
        let keys = Arc::new(Keys::default());
        let route =
            |host: &str| Route { target: "t".into(), endpoint: Endpoint { host: host.into(), port: 1 }, server_name: None, ca_file: None };
        let theirs = |process_id| BackendKey { process_id, key: vec![9; 4] };
        let first = keys.register(route("a"), theirs(1)).unwrap();
        let second = keys.register(route("b"), theirs(2)).unwrap();
        assert!(first.ours.process_id > 0 && first.ours.key.len() == 4 && first.ours != second.ours);
        let request = |key: &BackendKey| CancelRequest { process_id: key.process_id, key: key.key.clone() };
        assert_eq!(keys.find(&request(&second.ours)), Some((route("b"), theirs(2))));
        let guessed = CancelRequest { key: vec![first.ours.key[0] ^ 1, 0, 0, 0], ..request(&first.ours) };
        assert_eq!(keys.find(&guessed), None);
        assert_eq!(keys.find(&request(&theirs(1))), None, "the warehouse's key means nothing here");
        let request = request(&first.ours);
        drop(first);
        assert_eq!(keys.find(&request), None);
    }
}
