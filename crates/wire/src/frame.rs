//! The framing of everything after the first packet: a tag, a length that counts itself, a body.

use crate::WireError;

/// What a message may weigh while signing in. (PostgreSQL allows 1 GB later, for rows.)
pub const SIGN_IN_CEILING: usize = 64 * 1024;

/// One message, borrowed from the buffer it arrived in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// The message's kind.
    pub tag: u8,
    /// What follows the length.
    pub body: &'a [u8],
}

/// The first message of `bytes` and how many bytes it takes, or `None` when it is not all there yet.
///
/// # Errors
/// [`WireError::Length`] when the body is larger than `ceiling` or the length is impossible: before the body arrives.
pub fn parse(bytes: &[u8], ceiling: usize) -> Result<Option<(Frame<'_>, usize)>, WireError> {
    let Some((head, rest)) = bytes.split_at_checked(5) else { return Ok(None) };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4)).filter(|body| *body <= ceiling);
    let body = body.ok_or(WireError::Length(length))?;
    Ok(rest.get(..body).map(|bytes| (Frame { tag: head[0], body: bytes }, 5 + body)))
}

/// Appends a message whose body `fill` writes. The length is filled in afterwards.
///
/// # Panics
/// When the body is larger than 2 GB, which no caller builds.
pub fn write(buffer: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    buffer.push(tag);
    write_untagged(buffer, fill);
}

/// As [`write()`], for first packets, which have no tag.
pub(crate) fn write_untagged(buffer: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    fill(buffer);
    let length = i32::try_from(buffer.len() - start).expect("messages that we build are small");
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a string and its zero byte. What follows a zero byte inside `text` is cut off: a string cannot hold one.
pub(crate) fn put_cstr(buffer: &mut Vec<u8>, text: &[u8]) {
    buffer.extend(text.iter().take_while(|byte| **byte != 0));
    buffer.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn impossible_lengths_are_refused_before_the_body_arrives() {
        assert_eq!(parse(b"Z\0\0\0\x03", 100), Err(WireError::Length(3)));
        assert_eq!(parse(b"D\0\0\0\x69", 100), Err(WireError::Length(105)));
        assert_eq!(parse(b"D\xff\xff\xff\xff", 100), Err(WireError::Length(u32::MAX)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_byte_by_byte(tag: u8, body in prop::collection::vec(any::<u8>(), 0..200), more in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = Vec::new();
            write(&mut bytes, tag, |buffer| buffer.extend_from_slice(&body));
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end], 200), Ok(None));
            }
            let length = bytes.len();
            bytes.extend(more);
            prop_assert_eq!(parse(&bytes, 200), Ok(Some((Frame { tag, body: &body }, length))));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes, 32);
        }
    }
}
