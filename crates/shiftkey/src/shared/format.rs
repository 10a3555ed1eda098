//! The form of every file that processes share: a line with the format's version and a checksum, then JSON.
//!
//! Whatever cannot be read back to the letter is nothing: a torn, damaged or newer file is a miss and is written anew.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Begins every file of this format; a change of the format changes the number.
const MAGIC: &str = "shiftkey-cache 1 ";

/// A value as a file of this format.
pub(crate) fn encode(value: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    // Room enough from the start, so that growing leaves no copies of the password behind.
    let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024));
    serde_json::to_writer(&mut *body, value)?;
    let mut file = Zeroizing::new(Vec::with_capacity(body.len() + 128));
    file.extend_from_slice(MAGIC.as_bytes());
    file.extend_from_slice(checksum(&body).as_bytes());
    file.push(b'\n');
    file.extend_from_slice(&body);
    Ok(file)
}

/// The value of a file; `None` when anything about it is wrong.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(file: &[u8]) -> Option<T> {
    let rest = file.strip_prefix(MAGIC.as_bytes())?;
    let (sum, body) = rest.split_at_checked(64)?;
    let body = body.strip_prefix(b"\n")?;
    if checksum(body).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A damaged number may be any number, and must not make us panic.
pub(crate) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

fn checksum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A hash over parts that cannot be confused with one another, as 64 hexadecimal digits.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
