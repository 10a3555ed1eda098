//! Asking a person on the terminal.

use std::io::{self, BufRead, Write};

use shiftkey::{Error, ErrorKind, Prompt, Result};

/// The terminal that the command was typed on.
#[derive(Debug)]
pub(crate) struct Terminal;

impl Prompt for Terminal {
    fn mfa_code(&self, device: &str) -> Result<String> {
        let failed = |error: io::Error| Error::new(ErrorKind::NoIdentity, "no MFA code was read").with_source(error);
        // A code is good once and for half a minute, so it is echoed: people check what they type.
        let mut stderr = io::stderr().lock();
        write!(stderr, "MFA code of {device}: ").and_then(|()| stderr.flush()).map_err(failed)?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        Ok(line.trim().to_owned())
    }
}
