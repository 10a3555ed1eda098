//! Asking a client for proof, and holding the proof against every credential that its user may have.

use std::io;

use shiftkey_wire::{
    auth::{digest, md5, scram},
    backend::{Authentication, Backend},
    frame::Frame,
    frontend::Frontend,
};

use super::Challenge;
use crate::pki::random;

/// An exchange under way: which request was sent, and what it takes to check the answer.
#[derive(Debug)]
pub(super) enum Proof {
    Cleartext,
    Digest { salt: [u8; 16], nonce: [u8; 16] },
    Md5([u8; 4]),
    ScramOffered,
    Scram(Box<scram::Server>),
}

/// What a client's message led to.
pub(super) enum Outcome {
    /// Send this and wait for the next message.
    Continue(Vec<u8>),
    /// The passwords in question that the message proves, by their place, and what to send before the welcome.
    Proven(usize, Vec<u8>),
    /// None of them.
    Refused,
}

impl Proof {
    /// The first request and its bytes.
    pub(super) fn ask(challenge: Challenge) -> io::Result<(Self, Vec<u8>)> {
        let (proof, request) = match challenge {
            Challenge::Cleartext => (Self::Cleartext, Authentication::Cleartext),
            Challenge::Digest => {
                let (salt, nonce) = (random()?, random()?);
                (Self::Digest { salt, nonce }, Authentication::Digest { algorithm: 0, salt: salt.to_vec(), nonce: nonce.to_vec() })
            }
            Challenge::Md5 => {
                let salt = random()?;
                (Self::Md5(salt), Authentication::Md5(salt))
            }
            Challenge::Scram => (Self::ScramOffered, Authentication::Sasl(vec![scram::MECHANISM.into()])),
        };
        Ok((proof, encode(request)))
    }

    /// Holds a client's message against `passwords`.
    pub(super) fn check(&mut self, frame: Frame<'_>, user: &[u8], passwords: &[String]) -> io::Result<Outcome> {
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let found = match self {
            Self::Cleartext => {
                let answer = Frontend::password(frame).map_err(malformed)?;
                find(passwords, |password| subtle::ConstantTimeEq::ct_eq(answer, password.as_bytes()).into())
            }
            Self::Md5(salt) => {
                let answer = Frontend::password(frame).map_err(malformed)?;
                find(passwords, |password| md5::verify(answer, user, password.as_bytes(), *salt))
            }
            Self::Digest { salt, nonce } => {
                let (answer, client) = Frontend::digest(frame).map_err(malformed)?;
                find(passwords, |password| digest::verify(answer, password.as_bytes(), salt, nonce, client))
            }
            Self::ScramOffered => {
                let first = Frontend::sasl_initial(frame).map_err(malformed)?;
                let started = scram::Server::start(first, &random::<16>()?, 4096, &random::<18>()?);
                let (server, challenge) = started.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                *self = Self::Scram(Box::new(server));
                return Ok(Outcome::Continue(encode(Authentication::SaslContinue(challenge))));
            }
            Self::Scram(server) => {
                let last = passwords.iter().enumerate().find_map(|(place, password)| Some((place, server.finish(frame.body, password)?)));
                return Ok(last.map_or(Outcome::Refused, |(place, last)| Outcome::Proven(place, encode(Authentication::SaslFinal(last)))));
            }
        };
        Ok(found.map_or(Outcome::Refused, |place| Outcome::Proven(place, Vec::new())))
    }
}

/// Looks at every password, so that the time taken does not tell which one it was.
fn find(passwords: &[String], proves: impl Fn(&str) -> bool) -> Option<usize> {
    passwords.iter().enumerate().fold(None, |found, (place, password)| if proves(password) { found.or(Some(place)) } else { found })
}

fn encode(request: Authentication) -> Vec<u8> {
    let mut bytes = Vec::new();
    Backend::Authentication(request).encode(&mut bytes);
    bytes
}
