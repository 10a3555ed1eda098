//! The first packet of a connection, which has no tag: startup, request for encryption, or cancel.

use crate::{WireError, frame, read::Body};

/// PostgreSQL's own ceiling for a first packet (`MAX_STARTUP_PACKET_LENGTH`).
pub const CEILING: usize = 10_000;

/// Protocol 3.0 as messages write versions: the major one in the upper half.
pub const VERSION_3_0: i32 = 3 << 16;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// What a client says first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FirstPacket {
    /// Cancel another connection's query.
    Cancel(CancelRequest),
    /// Encrypt with GSSAPI?
    GssEncRequest,
    /// Encrypt with TLS?
    SslRequest,
    /// Sign in.
    Startup(StartupMessage),
}

/// Which backend to cancel, and the proof that one may.
#[derive(Clone, Eq, PartialEq)]
pub struct CancelRequest {
    /// The backend's process id, or whatever stands for it.
    pub process_id: i32,
    /// The secret key: 4 bytes, or up to 256 since protocol 3.2.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelRequest").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

/// Protocol version and parameters. Values are bytes, so that what is relayed is unchanged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StartupMessage {
    /// Minor version of protocol 3.
    pub minor: u16,
    /// Names and values in the order they came; a value may be empty.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FirstPacket {
    /// The first packet of `bytes` and its length, or `None` when it is not all there yet.
    ///
    /// # Errors
    /// When it is too large, or not the PostgreSQL protocol, version 3.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, WireError> {
        let Some(head) = bytes.first_chunk::<8>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let size = usize::try_from(length).ok().filter(|size| (8..=CEILING).contains(size)).ok_or(WireError::NotPostgres)?;
        let Some(body) = bytes.get(8..size) else { return Ok(None) };
        let packet = match code {
            SSL if body.is_empty() => Self::SslRequest,
            GSSENC if body.is_empty() => Self::GssEncRequest,
            CANCEL => Self::Cancel(CancelRequest::parse(body)?),
            SSL | GSSENC => return Err(WireError::NotPostgres),
            version => Self::Startup(StartupMessage::parse(version, body)?),
        };
        Ok(Some((packet, size)))
    }

    /// Appends the packet.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        frame::write_untagged(buffer, |body| match self {
            Self::SslRequest => body.extend_from_slice(&SSL.to_be_bytes()),
            Self::GssEncRequest => body.extend_from_slice(&GSSENC.to_be_bytes()),
            Self::Cancel(cancel) => {
                body.extend_from_slice(&CANCEL.to_be_bytes());
                body.extend_from_slice(&cancel.process_id.to_be_bytes());
                body.extend_from_slice(&cancel.key);
            }
            Self::Startup(startup) => {
                body.extend_from_slice(&(0x0003_0000 | u32::from(startup.minor)).to_be_bytes());
                for (name, value) in &startup.parameters {
                    frame::put_cstr(body, name);
                    frame::put_cstr(body, value);
                }
                body.push(0);
            }
        });
    }
}

impl CancelRequest {
    fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut body = Body::new(0, body);
        let process_id = body.i32().map_err(|_| WireError::NotPostgres)?;
        let key = body.rest();
        if !(4..=256).contains(&key.len()) {
            return Err(WireError::NotPostgres);
        }
        Ok(Self { process_id, key: key.to_vec() })
    }
}

impl StartupMessage {
    /// Version 3.0 with these parameters.
    pub fn new<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self { minor: 0, parameters: parameters.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect() }
    }

    /// A parameter's value, when it is there and UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(known, _)| known == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// Sets a parameter, in its place when it is there.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.parameters.iter_mut().find(|(known, _)| known == name.as_bytes()) {
            Some((_, old)) => *old = value.as_bytes().to_vec(),
            None => self.parameters.push((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
        }
    }

    /// Keeps the parameters that `keep` says yes to.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.parameters.retain(|(name, _)| keep(&String::from_utf8_lossy(name)));
    }

    /// Pairs of strings up to an empty name. An empty value is no end: the AWS drivers send an empty `user`.
    fn parse(version: u32, body: &[u8]) -> Result<Self, WireError> {
        let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
        if major != 3 {
            // Anything else that looks like a version is told so; the rest is another protocol's bytes.
            return Err(if major < 16 { WireError::Version(major, minor) } else { WireError::NotPostgres });
        }
        let mut body = Body::new(0, body);
        let mut parameters = Vec::new();
        loop {
            let name = body.cstr().map_err(|_| WireError::NotPostgres)?;
            if name.is_empty() {
                break;
            }
            let value = body.cstr().map_err(|_| WireError::NotPostgres)?;
            parameters.push((name.to_vec(), value.to_vec()));
        }
        if body.is_empty() { Ok(Self { minor, parameters }) } else { Err(WireError::NotPostgres) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(packet: &FirstPacket) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        bytes
    }

    #[test]
    fn known_packets_have_their_known_bytes() {
        assert_eq!(encoded(&FirstPacket::SslRequest), [0, 0, 0, 8, 4, 210, 22, 47]);
        assert_eq!(encoded(&FirstPacket::GssEncRequest), [0, 0, 0, 8, 4, 210, 22, 48]);
        let cancel = FirstPacket::Cancel(CancelRequest { process_id: 7, key: vec![1, 2, 3, 4] });
        assert_eq!(encoded(&cancel), [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4]);
    }

    #[test]
    fn an_empty_value_does_not_end_the_parameters() {
        let startup = StartupMessage::new([("user", ""), ("database", "dev")]);
        let bytes = encoded(&FirstPacket::Startup(startup.clone()));
        let (packet, _) = FirstPacket::parse(&bytes).unwrap().unwrap();
        assert_eq!(packet, FirstPacket::Startup(startup));
    }

    #[test]
    fn other_protocols_are_told_apart() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], WireError::NotPostgres),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc], WireError::NotPostgres),
            (&[0, 0, 0, 9, 0, 2, 0, 0, 0], WireError::Version(2, 0)),
            (&[0, 0, 0, 7, 4, 210, 22, 47], WireError::NotPostgres),
            (&[0, 0, 0, 9, 4, 210, 22, 47, 0], WireError::NotPostgres),
            (&[0, 0, 0, 11, 0, 3, 0, 0, b'a', 0, b'b'], WireError::NotPostgres),
            (&[0, 0, 0, 10, 0, 3, 0, 0, 0, 0], WireError::NotPostgres),
            (&[0, 0, 0, 15, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3], WireError::NotPostgres),
        ] {
            assert_eq!(FirstPacket::parse(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn parameters_are_replaced_and_dropped() {
        let mut startup = StartupMessage::new([("user", "me"), ("driver_version", "x")]);
        startup.set("user", "IAM:alice");
        startup.set("database", "dev");
        startup.retain(|name| name != "driver_version");
        assert_eq!(startup, StartupMessage::new([("user", "IAM:alice"), ("database", "dev")]));
        assert_eq!((startup.get("user"), startup.get("driver_version")), (Some("IAM:alice"), None));
    }

    proptest! {
        #[test]
        fn startups_round_trip_byte_by_byte(minor: u16, parameters in prop::collection::vec(("[a-z_.]{1,9}", "[^\0]{0,9}"), 0..5)) {
            let parameters = parameters.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
            let packet = FirstPacket::Startup(StartupMessage { minor, parameters });
            let bytes = encoded(&packet);
            for end in 0..bytes.len() {
                prop_assert_eq!(FirstPacket::parse(&bytes[..end]), Ok(None));
            }
            prop_assert_eq!(FirstPacket::parse(&bytes), Ok(Some((packet, bytes.len()))));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = FirstPacket::parse(&bytes);
        }
    }
}
