//! Any bytes as a server that a client signs in to: no panic, and nothing that a fuzzer finds proves that it knows the
//! password once SCRAM has begun.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shiftkey_wire::{
    auth::{SignIn, Step},
    backend::{Authentication, Backend},
    frame,
};

fuzz_target!(|bytes: &[u8]| {
    let mut sign_in = SignIn::new("IAM:alice", "a password of some length", [7; 18]);
    let (mut rest, mut scram) = (bytes, false);
    while let Ok(Some((message, length))) = frame::parse(rest, frame::SIGN_IN_CEILING) {
        rest = &rest[length..];
        let Ok(Backend::Authentication(request)) = Backend::parse(message) else { continue };
        // Honest work of up to a million rounds is no bug, only slow.
        if let Authentication::SaslContinue(data) = &request
            && data.split(|byte| *byte == b',').any(|field| field.starts_with(b"i=") && field.len() > 5)
        {
            return;
        }
        let step = sign_in.step(&request);
        scram |= matches!((&request, &step), (Authentication::Sasl(_), Ok(Step::Reply(_))));
        assert!(!(scram && matches!(step, Ok(Step::Done))), "a server was believed without proof");
    }
});
