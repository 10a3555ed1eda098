//! Challenge 13 of Amazon Redshift: `SHA256(SHA256(password + salt) + server nonce + client nonce)`. The user's name plays
//! no part. Known from the AWS drivers' sources; unverified against AWS.

use sha2::{Digest, Sha256};

/// The digest.
pub fn response(password: &[u8], salt: &[u8], server_nonce: &[u8], client_nonce: &[u8]) -> [u8; 32] {
    let stored = Sha256::new().chain_update(password).chain_update(salt).finalize();
    Sha256::new().chain_update(stored).chain_update(server_nonce).chain_update(client_nonce).finalize().into()
}

/// Whether `digest` proves `password`.
pub fn verify(digest: &[u8], password: &[u8], salt: &[u8], server_nonce: &[u8], client_nonce: &[u8]) -> bool {
    super::same(digest, &response(password, salt, server_nonce, client_nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{Authentication, Backend},
        frame,
        frontend::Frontend,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed with an independent implementation, and equal to what the Python driver sends.
    #[test]
    fn the_drivers_vectors() {
        let salt: Vec<u8> = (0..16).collect();
        let nonce: Vec<u8> = (0x64..0x74).collect();
        let with = |client: &[u8]| hex(&response(b"s3cr3t", &salt, &nonce, client));
        assert_eq!(with(b"1795411554523"), "fa7b34ee8d150ed7762c7864ec8f39abd0b188fcd413b777f38d5283f91f3507");
        assert_eq!(with(&salt), "f38ab5ad8e47c9b00ae4738723cba52d241f21acd043d294a2d39c2fccb74900");
    }

    #[test]
    fn the_message_has_the_drivers_shape() {
        let mut bytes = Vec::new();
        Frontend::Digest { digest: vec![7; 32], nonce: b"1795411554523".to_vec() }.encode(&mut bytes);
        assert_eq!(bytes[..5], [b'd', 0, 0, 0, 57]);
        let (frame, _) = frame::parse(&bytes, 100).unwrap().unwrap();
        assert_eq!(Frontend::digest(frame).unwrap(), (&[7; 32][..], &b"1795411554523"[..]));
        let request = Authentication::Digest { algorithm: 0, salt: vec![1; 16], nonce: vec![2; 16] };
        let mut bytes = Vec::new();
        Backend::Authentication(request).encode(&mut bytes);
        assert_eq!(bytes[..13], [b'R', 0, 0, 0, 52, 0, 0, 0, 13, 0, 0, 0, 0]);
    }
}
