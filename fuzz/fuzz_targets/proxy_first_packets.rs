//! Any bytes from a client of the proxy, in pieces of any size: no panic, no endless wait, and nothing but N or nothing is answered before
//! the client is told why it fails.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (width, bytes) = input;
    shiftkey_proxy::first_packets(&bytes, usize::from(width.max(1)));
});
