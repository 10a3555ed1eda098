//! Random values, from TLS's provider, which is in the tree anyway.

use rustls::crypto::{SecureRandom, aws_lc_rs::default_provider};
use shiftkey::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 62 letters to this power are more than 2 to the 140th.
const LENGTH: usize = 24;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let random: &dyn SecureRandom = default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Unexpected, "the system has no randomness"))?;
    Ok(bytes)
}

/// A password by Redshift's rules: letters and digits, of each kind one at least.
pub(crate) fn password() -> Result<Secret> {
    loop {
        let mut text = String::with_capacity(LENGTH);
        while text.len() < LENGTH {
            let drawn = Zeroizing::new(bytes::<32>()?);
            // What does not divide evenly is not used.
            let even = drawn.iter().filter(|byte| usize::from(**byte) < 4 * LETTERS.len());
            text.extend(even.take(LENGTH - text.len()).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])));
        }
        let secret = Secret::new(text);
        let has = |kind: fn(&u8) -> bool| secret.expose().bytes().any(|byte| kind(&byte));
        if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
            return Ok(secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_keeps_the_rules_and_does_not_repeat() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_ne!(one, other);
        assert!(one.expose().len() == LENGTH && one.expose().bytes().all(|byte| LETTERS.contains(&byte)));
    }
}
