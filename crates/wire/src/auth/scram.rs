//! SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), both sides. PostgreSQL leaves the user's name out of the
//! messages, since the startup message has it.
//!
//! Channel binding is never used: a relay that ends TLS could not pass it on, and the certificate is verified anyway.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{SignInError, same};

/// The one mechanism.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// More than this only burns the client's time.
const ITERATIONS_CEILING: u32 = 1_000_000;

/// No channel binding, no authorization identity.
const GS2: &str = "n,,";

/// The client before the server's challenge.
#[derive(Debug)]
pub struct Client {
    nonce: String,
}

/// The client after its proof, waiting for the server's.
pub struct Verifier {
    signature: [u8; 32],
}

/// The server after its challenge, waiting for the proof.
#[derive(Debug)]
pub struct Server {
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
    /// client-first-message-bare "," server-first-message
    exchange: String,
}

/// What checks proofs of one password: worked out once, since that takes as long as a guess should.
pub struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    /// SHA-256 of the client's key.
    stored: [u8; 32],
    server: Zeroizing<[u8; 32]>,
}

// === impl Client ===

impl Client {
    /// A client with this nonce, which must be random.
    pub fn new(nonce: &[u8]) -> Self {
        Self { nonce: STANDARD.encode(nonce) }
    }

    /// client-first-message.
    pub fn first_message(&self) -> Vec<u8> {
        format!("{GS2}{}", self.bare()).into_bytes()
    }

    /// client-final-message, and what checks the server's answer to it.
    ///
    /// # Errors
    /// When the challenge is malformed, answers another nonce, or asks for absurdly much work.
    pub fn proof(self, password: &str, challenge: &[u8]) -> Result<(Vec<u8>, Verifier), SignInError> {
        const MALFORMED: SignInError = SignInError::Server("sent a malformed SCRAM challenge");
        let text = std::str::from_utf8(challenge).map_err(|_| MALFORMED)?;
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(MALFORMED);
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        let salt = STANDARD.decode(salt).map_err(|_| MALFORMED)?;
        let iterations: u32 = iterations.parse().map_err(|_| MALFORMED)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(SignInError::Server("answered another SCRAM nonce"));
        }
        if !(1..=ITERATIONS_CEILING).contains(&iterations) {
            return Err(SignInError::Server("asks for an absurd number of SCRAM iterations"));
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2));
        let exchange = format!("{},{text},{without_proof}", self.bare());
        let salted = salted(password, &salt, iterations);
        let key = hmac(&*salted, b"Client Key");
        let signature = hmac(&sha256(&key), exchange.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        let verifier = Verifier { signature: hmac(&hmac(&*salted, b"Server Key"), exchange.as_bytes()) };
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(), verifier))
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }
}

// === impl Verifier ===

impl Verifier {
    /// Checks server-final-message.
    ///
    /// # Errors
    /// When the server did not prove that it knows the password.
    pub fn check(&self, last: &[u8]) -> Result<(), SignInError> {
        let signature = last.strip_prefix(b"v=").and_then(|text| STANDARD.decode(text.split(|byte| *byte == b',').next()?).ok());
        match signature {
            Some(signature) if same(&signature, &self.signature) => Ok(()),
            _ => Err(SignInError::Server("did not prove that it knows the password")),
        }
    }
}

// === impl Server ===

impl Server {
    /// Reads client-first-message and makes server-first-message. `nonce` must be random.
    ///
    /// # Errors
    /// When the message is malformed or asks for channel binding.
    pub fn start(first: &[u8], salt: &[u8], iterations: u32, nonce: &[u8]) -> Result<(Self, Vec<u8>), SignInError> {
        const MALFORMED: SignInError = SignInError::Server("was sent a malformed SCRAM message");
        let text = std::str::from_utf8(first).map_err(|_| MALFORMED)?;
        // "y" says that the client could bind channels but thinks that the server cannot, which is true here.
        let bare = text.strip_prefix(GS2).or_else(|| text.strip_prefix("y,,")).ok_or(MALFORMED)?;
        let client_nonce = bare.split(',').find_map(|field| field.strip_prefix("r=")).filter(|nonce| !nonce.is_empty());
        let nonce = format!("{}{}", client_nonce.ok_or(MALFORMED)?, STANDARD.encode(nonce));
        let challenge = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let server = Self { nonce, salt: salt.to_vec(), iterations, exchange: format!("{bare},{challenge}") };
        Ok((server, challenge.into_bytes()))
    }

    /// As [`Self::start`], with a challenge that these keys can check the answer to.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(first: &[u8], keys: &Keys, nonce: &[u8]) -> Result<(Self, Vec<u8>), SignInError> {
        Self::start(first, &keys.salt, keys.iterations, nonce)
    }

    /// server-final-message, if `proof` (client-final-message) proves `password`. May be asked for several passwords.
    pub fn finish(&self, proof: &[u8], password: &str) -> Option<Vec<u8>> {
        self.check(proof, &Keys::new(password, &self.salt, self.iterations))
    }

    /// As [`Self::finish`], for the password that these keys were made of.
    pub fn check(&self, proof: &[u8], keys: &Keys) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(proof).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let nonce = without_proof.split(',').find_map(|field| field.strip_prefix("r="))?;
        let proof: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let exchange = format!("{},{without_proof}", self.exchange);
        let signature = hmac(&keys.stored, exchange.as_bytes());
        let key: Vec<u8> = proof.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
        if nonce != self.nonce || !same(&sha256(&key), &keys.stored) {
            return None;
        }
        let signature = hmac(&*keys.server, exchange.as_bytes());
        Some(format!("v={}", STANDARD.encode(signature)).into_bytes())
    }
}

// === impl Keys ===

impl Keys {
    /// The keys of `password`. `salt` should be random.
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted(password, salt, iterations);
        let stored = sha256(&hmac(&*salted, b"Client Key"));
        let server = Zeroizing::new(hmac(&*salted, b"Server Key"));
        Self { salt: salt.to_vec(), iterations, stored, server }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// `Hi()` of RFC 5802, which is PBKDF2 with one block. The password is prepared as RFC 4013 says, or taken as it is where
/// that fails, as PostgreSQL does.
fn salted(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let prepared = stringprep::saslprep(password).map(|text| Zeroizing::new(text.into_owned()));
    let password = prepared.as_ref().map_or(password, |text| text.as_str()).as_bytes();
    let keyed = Hmac::<Sha256>::new_from_slice(password).expect("HMAC takes a key of any length");
    let mut block: [u8; 32] = keyed.clone().chain_update(salt).chain_update(1u32.to_be_bytes()).finalize().into_bytes().into();
    let mut result = Zeroizing::new(block);
    for _ in 1..iterations {
        block = keyed.clone().chain_update(block).finalize().into_bytes().into();
        result.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    result
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    keyed.chain_update(data).finalize().into_bytes().into()
}

fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3. Its messages carry a user's name, which PostgreSQL's leave empty, so the parts are checked.
    #[test]
    fn the_rfcs_vector() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted("pencil", &salt, 4096);
        let exchange = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = hmac(&*salted, b"Client Key");
        let signature = hmac(&sha256(&key), exchange.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(STANDARD.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let server = hmac(&hmac(&*salted, b"Server Key"), exchange.as_bytes());
        assert_eq!(STANDARD.encode(server), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    /// An independent client against our server.
    #[test]
    fn a_second_implementation_agrees() {
        use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
        for password in ["pencil", "ﬁ ligature and \u{a0}space", "a:b@c\\d%e'f\"g h"] {
            let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
            let (server, challenge) = Server::start(client.message(), b"0123456789abcdef", 4096, b"nonce").unwrap();
            client.update(&challenge).unwrap();
            let proof = client.message().to_vec();
            assert!(server.finish(&proof, "other").is_none());
            client.finish(&server.finish(&proof, password).unwrap()).unwrap();
            let keys = Keys::new(password, b"0123456789abcdef", 4096);
            assert_eq!(server.check(&proof, &keys), server.finish(&proof, password));
            assert_eq!(format!("{keys:?}"), "Keys { .. }");
        }
    }

    #[test]
    fn a_challenge_is_checked_before_work_is_done() {
        for (challenge, needle) in [
            (&b"r=other,s=c2FsdA==,i=4096"[..], "another SCRAM nonce"),
            (b"r=bm9uY2U=,s=c2FsdA==,i=4096", "another SCRAM nonce"),
            (b"r=bm9uY2U=x,s=c2FsdA==,i=0", "absurd"),
            (b"r=bm9uY2U=x,s=c2FsdA==,i=4000000000", "absurd"),
            (b"r=bm9uY2U=x,s=!,i=1", "malformed"),
            (b"", "malformed"),
            (b"\xff", "malformed"),
        ] {
            let error = Client::new(b"nonce").proof("p", challenge).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
