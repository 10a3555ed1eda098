//! Any bytes as messages of a server and of a client: no panic, no endless loop, and what is understood survives being
//! written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shiftkey_wire::{backend::Backend, frame, frontend::Frontend};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((message, length))) = frame::parse(rest, frame::SIGN_IN_CEILING) {
        assert!((5..=rest.len()).contains(&length));
        rest = &rest[length..];
        let _ = (Frontend::password(message), Frontend::digest(message), Frontend::sasl_initial(message));
        let Ok(parsed) = Backend::parse(message) else { continue };
        let mut written = Vec::new();
        parsed.encode(&mut written);
        if let Ok(Some((again, _))) = frame::parse(&written, usize::MAX) {
            let again = Backend::parse(again);
            assert!(again.is_ok(), "a message that was understood is not understood when written again");
        }
    }
});
