//! Challenge 5: `"md5" + md5(md5(password + user) + salt)`, in hexadecimal.

use md5::{Digest, Md5};

/// The answer, without its final zero byte.
pub fn response(user: &[u8], password: &[u8], salt: [u8; 4]) -> Vec<u8> {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let outer = hex(&Md5::new().chain_update(inner).chain_update(salt).finalize());
    format!("md5{outer}").into_bytes()
}

/// Whether `answer` proves `password`.
pub fn verify(answer: &[u8], user: &[u8], password: &[u8], salt: [u8; 4]) -> bool {
    super::same(answer, &response(user, password, salt))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_implementation_agrees() {
        let expected = postgres_protocol::authentication::md5_hash(b"IAM:bob", b"s3cr3t", [1, 2, 3, 4]);
        assert_eq!(response(b"IAM:bob", b"s3cr3t", [1, 2, 3, 4]), expected.as_bytes());
        assert!(verify(expected.as_bytes(), b"IAM:bob", b"s3cr3t", [1, 2, 3, 4]));
        assert!(!verify(expected.as_bytes(), b"IAM:bob", b"s3cr3t", [1, 2, 3, 5]));
    }
}
