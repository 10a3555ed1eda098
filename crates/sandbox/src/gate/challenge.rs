//! What a client has to answer. An answer can be tried against several passwords, since Redshift keeps several alive.

use std::{fmt, io, str::FromStr};

use ::md5::{Digest as _, Md5};
use rustls::crypto::aws_lc_rs::default_provider;
use sha2::Sha256;
use shiftkey_wire::auth::{digest, md5, scram};
use shiftkey_wire::{
    WireError,
    backend::{Authentication, Backend},
    frontend::Frontend,
};
use subtle::ConstantTimeEq as _;

use super::connection::Connection;
use crate::engine::Channel;

/// The kind of proof that the gate asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Challenge {
    /// Code 3, inside TLS: the likely one for IAM logins, since the server must see the password itself.
    #[default]
    Cleartext,
    /// Code 13 of the AWS drivers, SHA-256.
    Digest,
    /// Code 5.
    Md5,
    /// Code 10, SCRAM-SHA-256.
    Scram,
}

impl FromStr for Challenge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "cleartext" => Self::Cleartext,
            "digest" => Self::Digest,
            "md5" => Self::Md5,
            "scram" => Self::Scram,
            _ => return Err("expected cleartext, md5, digest or scram".to_owned()),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cleartext => "cleartext",
            Self::Digest => "digest",
            Self::Md5 => "md5",
            Self::Scram => "scram",
        })
    }
}

/// What a client answered.
pub(super) enum Answer {
    Cleartext(Vec<u8>),
    Digest { digest: Vec<u8>, client_nonce: Vec<u8>, salt: [u8; 16], nonce: [u8; 16] },
    Md5 { answer: Vec<u8>, user: String, salt: [u8; 4] },
    Scram { server: scram::Server, proof: Vec<u8> },
}

const ITERATIONS: u32 = 4096;

impl Challenge {
    /// Asks and reads the answer.
    pub(super) async fn ask<S: Channel>(self, connection: &mut Connection<S>, user: &str) -> io::Result<Answer> {
        match self {
            Self::Cleartext => {
                connection.send(&Backend::Authentication(Authentication::Cleartext)).await?;
                connection.answer(|frame| Frontend::password(frame).map(|it| Answer::Cleartext(it.to_vec()))).await
            }
            Self::Digest => {
                let (salt, nonce) = (random::<16>(), random::<16>());
                let request = Authentication::Digest { algorithm: 0, salt: salt.to_vec(), nonce: nonce.to_vec() };
                connection.send(&Backend::Authentication(request)).await?;
                let answer = connection.answer(|frame| Frontend::digest(frame).map(|(a, b)| (a.to_vec(), b.to_vec()))).await?;
                Ok(Answer::Digest { digest: answer.0, client_nonce: answer.1, salt, nonce })
            }
            Self::Md5 => {
                let salt = random::<4>();
                connection.send(&Backend::Authentication(Authentication::Md5(salt))).await?;
                let answer = connection.answer(|frame| Frontend::password(frame).map(<[u8]>::to_vec)).await?;
                Ok(Answer::Md5 { answer, user: user.to_owned(), salt })
            }
            Self::Scram => {
                let request = Authentication::Sasl(vec![scram::MECHANISM.to_owned()]);
                connection.send(&Backend::Authentication(request)).await?;
                let first = connection.answer(|frame| Frontend::sasl_initial(frame).map(<[u8]>::to_vec)).await?;
                let (server, challenge) =
                    scram::Server::start(&first, &random::<16>(), ITERATIONS, &random::<18>()).map_err(io::Error::other)?;
                connection.send(&Backend::Authentication(Authentication::SaslContinue(challenge))).await?;
                let proof = connection
                    .answer(|frame| if frame.tag == b'p' { Ok(frame.body.to_vec()) } else { Err(WireError::Malformed(frame.tag)) });
                Ok(Answer::Scram { server, proof: proof.await? })
            }
        }
    }
}

impl Answer {
    /// Whether the answer proves `password`; the value is what the server says last, empty for nothing.
    pub(super) fn proves(&self, password: &str) -> Option<Vec<u8>> {
        let bytes = password.as_bytes();
        let proven = match self {
            Self::Cleartext(answer) => answer.ct_eq(bytes).into(),
            Self::Digest { digest, client_nonce, salt, nonce } => digest::verify(digest, bytes, salt, nonce, client_nonce),
            Self::Md5 { answer, user, salt } => md5::verify(answer, user.as_bytes(), bytes, *salt),
            Self::Scram { server, proof } => return server.finish(proof, password),
        };
        proven.then(Vec::new)
    }
}

impl Answer {
    /// As [`Answer::proves`], for what the catalog keeps of the password of `user`: clear text, or one of Redshift's hashes. A hash of
    /// one kind does not answer the challenge of another; Redshift asks each user in a kind that fits, which is not played.
    pub(super) fn proves_stored(&self, stored: &str, user: &str) -> Option<Vec<u8>> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if let Some(kept) = stored.strip_prefix("md5").filter(|it| it.len() == 32) {
            let proven: bool = match self {
                Self::Cleartext(answer) => {
                    hex(&Md5::new().chain_update(answer).chain_update(user).finalize()).as_bytes().ct_eq(kept.as_bytes()).into()
                }
                Self::Md5 { answer, salt, .. } => {
                    let expected = format!("md5{}", hex(&Md5::new().chain_update(kept).chain_update(salt).finalize()));
                    expected.as_bytes().ct_eq(answer).into()
                }
                Self::Digest { .. } | Self::Scram { .. } => false,
            };
            return proven.then(Vec::new);
        }
        let Some(rest) = stored.strip_prefix("sha256|") else { return self.proves(stored) };
        let Some((kept, salt)) = rest.split_once('|') else { return self.proves(rest) };
        let Self::Cleartext(answer) = self else { return None };
        let salt: Option<Vec<u8>> = (0..salt.len()).step_by(2).map(|at| u8::from_str_radix(salt.get(at..at + 2)?, 16).ok()).collect();
        let proven: bool = hex(&Sha256::new().chain_update(answer).chain_update(salt?).finalize()).as_bytes().ct_eq(kept.as_bytes()).into();
        proven.then(Vec::new)
    }
}

/// Random bytes from TLS's provider.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    default_provider().secure_random.fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
