//! Asking a person on the terminal.

use std::{
    io::{self, BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use shiftkey::{Error, ErrorKind, Prompt, Result};

/// The terminal that the command was typed on. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terminal {
    left: Arc<AtomicBool>,
}

impl Terminal {
    /// Leaves it to another program: nothing is asked from here on.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

/// How often a person may mistype before it is left at that.
const TRIES: usize = 3;

impl Prompt for Terminal {
    fn mfa_code(&self, device: &str) -> Result<String> {
        if self.left.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::NoIdentity, "a code of the MFA device is needed, and the terminal is another program's")
                .with_hint("run `shiftkey whoami` in another terminal, which asks for it, and connect again"));
        }
        let failed = |error: io::Error| none().with_source(error);
        for _ in 0..TRIES {
            // A code is good once and for half a minute, so it is echoed: people check what they type.
            let mut stderr = io::stderr().lock();
            write!(stderr, "Code of the MFA device {device}: ").and_then(|()| stderr.flush()).map_err(failed)?;
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line).map_err(failed)? == 0 {
                // Ctrl-D leaves the cursor behind the question. If stderr is gone, nobody sees it.
                let _ = writeln!(stderr);
                return Err(none());
            }
            let code: String = line.split_whitespace().collect();
            if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(code);
            }
            writeln!(stderr, "A code is six digits.").map_err(failed)?;
        }
        Err(none())
    }
}

fn none() -> Error {
    Error::new(ErrorKind::NoIdentity, "no MFA code was entered").with_hint("run it again with the code that the device shows now")
}
