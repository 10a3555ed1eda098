//! What an engine's messages tell of its session's transaction. Of other messages only the heads are looked at.

/// Something that bears on the transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// A statement failed.
    Failed,
    /// The transaction was committed, or rolled back.
    Ended { kept: bool },
    /// The engine waits for the next message: `I` outside of a transaction, `T` inside, `E` inside a failed one.
    Ready { status: u8 },
}

/// So much of a message's body is looked at.
const LOOKED_AT: usize = 9;

/// Reads on where the last bytes ended.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Tag and length as far as they have come, and the beginning of the body.
    head: Vec<u8>,
    /// What is missing of the body.
    missing: usize,
}

impl Watch {
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            if self.head.is_empty() {
                bytes = after_others(bytes);
            }
            let wanted = 5_usize.saturating_sub(self.head.len());
            let (more, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.head.extend_from_slice(more);
            bytes = rest;
            if more.len() < wanted {
                return seen;
            }
            if wanted > 0 {
                let length = self.head[1..5].iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
                self.missing = length.saturating_sub(4);
            }
            let (body, rest) = bytes.split_at(self.missing.min(bytes.len()));
            let looked_at = body.len().min((5 + LOOKED_AT).saturating_sub(self.head.len()));
            self.head.extend_from_slice(&body[..looked_at]);
            self.missing -= body.len();
            bytes = rest;
            if self.missing > 0 {
                return seen;
            }
            seen.extend(told(self.head[0], &self.head[5..]));
            self.head.clear();
        }
    }
}

/// What is left when whole messages that tell nothing are passed over, of which results are full.
fn after_others(mut bytes: &[u8]) -> &[u8] {
    while let [tag, a, b, c, d, ..] = *bytes
        && !b"CEZ".contains(&tag)
        && let Some(rest) = bytes.get(1 + u32::from_be_bytes([a, b, c, d]) as usize..)
    {
        bytes = rest;
    }
    bytes
}

fn told(tag: u8, body: &[u8]) -> Option<Seen> {
    match (tag, body) {
        (b'E', _) => Some(Seen::Failed),
        (b'C', b"COMMIT\0") => Some(Seen::Ended { kept: true }),
        (b'C', b"ROLLBACK\0") => Some(Seen::Ended { kept: false }),
        (b'Z', [status]) => Some(Seen::Ready { status: *status }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_wherever_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for (tag, body) in [
            (b'T', &b"a row's description"[..]),
            (b'D', b"C\0\0\0\x0bCOMMIT\0"),
            (b'C', b"SELECT 1\0"),
            (b'n', b""),
            (b'C', b"COMMIT\0"),
            (b'C', b"COMMIT PREPARED\0"),
            (b'C', b"ROLLBACK\0"),
            (b'E', b"SERROR\0C25P02\0\0"),
            (b'Z', b"E"),
            (b'Z', b"I"),
        ] {
            bytes.push(tag);
            bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        let expected = [
            Seen::Ended { kept: true },
            Seen::Ended { kept: false },
            Seen::Failed,
            Seen::Ready { status: b'E' },
            Seen::Ready { status: b'I' },
        ];
        for size in 1..=bytes.len() {
            let mut watch = Watch::default();
            let seen: Vec<Seen> = bytes.chunks(size).flat_map(|chunk| watch.see(chunk)).collect();
            assert_eq!(seen, expected, "{size} at a time");
        }
    }
}
