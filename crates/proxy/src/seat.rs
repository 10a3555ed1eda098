//! A client that is told when it is cut, if it can be: only between two messages. Within one, whatever it is told would be
//! taken for a part of that message, so it is closed without a word, which every client takes for a lost connection.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use shiftkey_wire::error_fields::ErrorFields;

use crate::{
    client::{self, Client},
    reject,
    relay::Traffic,
};

/// A client in its place. When it is dropped there, it is told that the proxy ends.
#[derive(Debug)]
pub(crate) struct Seat {
    client: Client,
    now: Now,
}

/// What the client is at.
#[derive(Debug)]
enum Now {
    /// It may be told nothing: it has not said what it wants, or was told all.
    Silent,
    /// It waits to be let in, and was sent whole messages alone.
    Waiting,
    /// It talks to the warehouse, through the relay.
    Talking(Arc<Traffic>),
}

impl Seat {
    /// A client that has not said what it wants.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, now: Now::Silent }
    }

    /// It wants to sign in.
    pub(crate) fn waits(&mut self) {
        self.now = Now::Waiting;
    }

    /// From here on, what passes says where messages end.
    pub(crate) fn talks(&mut self, traffic: &Arc<Traffic>) {
        self.now = Now::Talking(Arc::clone(traffic));
    }

    /// Its session has ended; it is told why, if it can be.
    pub(crate) fn leaves(&mut self, why: Option<ErrorFields>) {
        if let Some(why) = why.filter(|_| self.can_be_told()) {
            self.client.say_at_once(&reject::encode(why));
        }
        self.now = Now::Silent;
    }

    /// Tells it these last words, and waits until it has left.
    pub(crate) async fn turn_away(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.now = Now::Silent;
        client::turn_away(&mut self.client, bytes).await
    }

    fn can_be_told(&self) -> bool {
        match &self.now {
            Now::Silent => false,
            Now::Waiting => true,
            Now::Talking(traffic) => traffic.owes_a_word(),
        }
    }
}

impl Deref for Seat {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Seat {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leaves(Some(reject::cut()));
    }
}

/// The last eight bytes that were written to somebody, older ones higher. Costs a load and a store for each write.
#[derive(Debug, Default)]
pub(crate) struct Tail(AtomicU64);

impl Tail {
    /// These were written.
    pub(crate) fn passed(&self, bytes: &[u8]) {
        let tail = match bytes.last_chunk() {
            Some(last) => u64::from_be_bytes(*last),
            None => bytes.iter().fold(self.0.load(Ordering::Relaxed), |tail, byte| tail << 8 | u64::from(*byte)),
        };
        self.0.store(tail, Ordering::Relaxed);
    }

    /// Whether they end with `ReadyForQuery`, after which a server may say what it likes. (The end of a row could look the same,
    /// if it ended so on a binary value and the relay had stopped just there.)
    pub(crate) fn is_ready_for_query(&self) -> bool {
        let [_, _, message @ .., status] = self.0.load(Ordering::Relaxed).to_be_bytes();
        message == *b"Z\0\0\0\x05" && b"ITE".contains(&status)
    }

    /// Whether they end with `Terminate`.
    pub(crate) fn is_terminate(&self) -> bool {
        self.0.load(Ordering::Relaxed).to_be_bytes().ends_with(b"X\0\0\0\x04")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_passed_is_told_in_whatever_pieces_it_came() {
        for (bytes, ready, terminated) in [
            (&b"Z\0\0\0\x05I"[..], true, false),
            (b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05T", true, false),
            (b"Z\0\0\0\x05I\x01", false, false),
            (b"Z\0\0\0\x05", false, false),
            (b"Z\0\0\0\x05X", false, false),
            (b"Q\0\0\0\x05\0X\0\0\0\x04", false, true),
            (b"", false, false),
        ] {
            for width in [1, 2, 5, 100] {
                let tail = Tail::default();
                bytes.chunks(width).for_each(|piece| tail.passed(piece));
                assert_eq!((tail.is_ready_for_query(), tail.is_terminate()), (ready, terminated), "{bytes:?} {width}");
            }
        }
    }
}
