//! Any bytes as a first packet: no panic, and a packet that is understood is written as bytes that mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shiftkey_wire::startup::{CEILING, FirstPacket};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((packet, length))) = FirstPacket::parse(bytes) else { return };
    assert!(length <= bytes.len().min(CEILING));
    let mut written = Vec::new();
    packet.encode(&mut written);
    assert_eq!(written, &bytes[..length]);
    assert!(FirstPacket::parse(&bytes[..length - 1]).is_ok_and(|packet| packet.is_none()));
});
