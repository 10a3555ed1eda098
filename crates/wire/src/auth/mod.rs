//! Proving who one is. [`SignIn`] is the client's side as a state machine: requests in, replies out, and whoever owns the
//! socket only moves bytes. The functions beside it compute and check the proofs.

pub mod digest;
pub mod md5;
pub mod scram;

use std::fmt;

use zeroize::Zeroizing;

use crate::{backend::Authentication, frontend::Frontend};

/// The client's side of signing in.
pub struct SignIn {
    user: Vec<u8>,
    password: Zeroizing<String>,
    nonce: [u8; 18],
    state: State,
}

enum State {
    NotStarted,
    /// A proof that needs none in return was sent.
    Answered,
    ScramSent(Box<scram::Client>),
    ScramProven(Box<scram::Verifier>),
    ScramVerified,
    /// Signed in, or failed. Nothing that the server says afterwards counts.
    Over,
}

/// What to do next.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// Send this message.
    Reply(Frontend),
    /// Wait for the server's next message.
    Wait,
    /// The server is satisfied.
    Done,
}

/// Why signing in cannot go on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SignInError {
    /// The server asks for a kind of proof that is not supported.
    Unsupported(String),
    /// The server breaks the rules of the exchange, or could not prove that it knows the password.
    Server(&'static str),
}

impl fmt::Display for SignInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "the server asks for {what}, which is not supported"),
            Self::Server(what) => write!(f, "the server {what}"),
        }
    }
}

impl std::error::Error for SignInError {}

impl SignIn {
    /// A client that can prove `password`. `nonce` must be random and used once.
    pub fn new(user: &str, password: &str, nonce: [u8; 18]) -> Self {
        Self { user: user.as_bytes().to_vec(), password: Zeroizing::new(password.to_owned()), nonce, state: State::NotStarted }
    }

    /// Takes the server's request in.
    ///
    /// # Errors
    /// When the request cannot be answered; the connection is then of no use.
    pub fn step(&mut self, request: &Authentication) -> Result<Step, SignInError> {
        let (step, state) = match (std::mem::replace(&mut self.state, State::Over), request) {
            (State::NotStarted | State::Answered | State::ScramVerified, Authentication::Ok) => (Step::Done, State::Over),
            (State::ScramSent(_) | State::ScramProven(_), Authentication::Ok) => {
                return Err(SignInError::Server("did not prove that it knows the password"));
            }
            (State::NotStarted, request) => self.answer(request)?,
            (State::ScramSent(client), Authentication::SaslContinue(data)) => {
                let (reply, verifier) = client.proof(&self.password, data)?;
                (Step::Reply(Frontend::SaslResponse(reply)), State::ScramProven(Box::new(verifier)))
            }
            (State::ScramProven(verifier), Authentication::SaslFinal(data)) => {
                verifier.check(data)?;
                (Step::Wait, State::ScramVerified)
            }
            _ => return Err(SignInError::Server("sent a request out of turn")),
        };
        self.state = state;
        Ok(step)
    }

    fn answer(&self, request: &Authentication) -> Result<(Step, State), SignInError> {
        let mut state = State::Answered;
        let reply = match request {
            Authentication::Cleartext => Frontend::Password(self.password.as_bytes().to_vec()),
            Authentication::Md5(salt) => Frontend::Password(md5::response(&self.user, self.password.as_bytes(), *salt)),
            Authentication::Digest { algorithm: 0, salt, nonce } => {
                let digest = digest::response(self.password.as_bytes(), salt, nonce, &self.nonce);
                Frontend::Digest { digest: digest.to_vec(), nonce: self.nonce.to_vec() }
            }
            Authentication::Digest { algorithm, .. } => {
                return Err(SignInError::Unsupported(format!("a digest of algorithm {algorithm}")));
            }
            Authentication::Sasl(mechanisms) => {
                if !mechanisms.iter().any(|mechanism| mechanism == scram::MECHANISM) {
                    return Err(SignInError::Unsupported("SASL without SCRAM-SHA-256".into()));
                }
                let client = scram::Client::new(&self.nonce);
                let data = client.first_message();
                state = State::ScramSent(Box::new(client));
                Frontend::SaslInitial { mechanism: scram::MECHANISM.into(), data }
            }
            Authentication::Other(14) => return Err(SignInError::Unsupported("a token of an identity provider (code 14)".into())),
            Authentication::Other(code) => return Err(SignInError::Unsupported(format!("a proof of code {code}"))),
            Authentication::Ok | Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                return Err(SignInError::Server("sent a request out of turn"));
            }
        };
        Ok((Step::Reply(reply), state))
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

/// Compares without telling by its duration where the difference is.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq as _;
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sign_in() -> SignIn {
        SignIn::new("IAM:bob", "s3cr3t", *b"0123456789abcdefgh")
    }

    /// Runs both sides of SCRAM against each other.
    fn scram(client_password: &str, server_password: &str) -> Result<Step, SignInError> {
        let mut client = SignIn::new("bob", client_password, *b"0123456789abcdefgh");
        let Step::Reply(Frontend::SaslInitial { data, .. }) = client.step(&Authentication::Sasl(vec![scram::MECHANISM.into()]))? else {
            panic!("a first message was expected")
        };
        let (server, challenge) = scram::Server::start(&data, b"salt", 4096, b"server-nonce").unwrap();
        let Step::Reply(Frontend::SaslResponse(proof)) = client.step(&Authentication::SaslContinue(challenge))? else {
            panic!("a proof was expected")
        };
        let Some(last) = server.finish(&proof, server_password) else { return Err(SignInError::Server("refused")) };
        assert_eq!(client.step(&Authentication::SaslFinal(last))?, Step::Wait);
        client.step(&Authentication::Ok)
    }

    #[test]
    fn both_sides_of_scram_agree() {
        assert_eq!(scram("pa/ss+=:@\\%'\" word", "pa/ss+=:@\\%'\" word"), Ok(Step::Done));
        assert_eq!(scram("wrong", "right"), Err(SignInError::Server("refused")));
    }

    #[test]
    fn simple_challenges_are_answered() {
        assert_eq!(sign_in().step(&Authentication::Ok), Ok(Step::Done));
        assert_eq!(sign_in().step(&Authentication::Cleartext), Ok(Step::Reply(Frontend::Password(b"s3cr3t".to_vec()))));
        assert_eq!(
            sign_in().step(&Authentication::Md5([1, 2, 3, 4])),
            Ok(Step::Reply(Frontend::Password(b"md5c22706a3839d3e262b46719d2c8d203b".to_vec())))
        );
    }

    #[test]
    fn a_server_that_skips_its_proof_is_not_believed() {
        let mut client = sign_in();
        client.step(&Authentication::Sasl(vec![scram::MECHANISM.into()])).unwrap();
        assert!(matches!(client.step(&Authentication::Ok), Err(SignInError::Server(_))));
    }

    #[test]
    fn a_failed_exchange_stays_failed() {
        let offer = Authentication::Sasl(vec![scram::MECHANISM.into()]);
        for wrong in
            [Authentication::Ok, Authentication::Cleartext, Authentication::SaslContinue(vec![]), Authentication::SaslFinal(vec![])]
        {
            let mut client = sign_in();
            client.step(&offer).unwrap();
            client.step(&wrong).unwrap_err();
            for next in [&Authentication::Ok, &Authentication::Cleartext, &offer] {
                assert!(client.step(next).is_err(), "{next:?} after {wrong:?}");
            }
        }
    }

    #[test]
    fn a_password_is_answered_once() {
        let mut client = sign_in();
        client.step(&Authentication::Md5([1, 2, 3, 4])).unwrap();
        client.step(&Authentication::Cleartext).unwrap_err();
        let mut client = sign_in();
        client.step(&Authentication::Cleartext).unwrap();
        assert_eq!(client.step(&Authentication::Ok), Ok(Step::Done));
        assert!(client.step(&Authentication::Ok).is_err());
    }

    #[test]
    fn what_cannot_be_answered_is_named() {
        for (request, needle) in [
            (Authentication::Other(14), "identity provider"),
            (Authentication::Other(7), "code 7"),
            (Authentication::Digest { algorithm: 2, salt: vec![], nonce: vec![] }, "algorithm 2"),
            (Authentication::Sasl(vec!["SCRAM-SHA-256-PLUS".into()]), "SCRAM-SHA-256"),
            (Authentication::SaslFinal(vec![]), "out of turn"),
        ] {
            let error = sign_in().step(&request).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_server_makes_the_client_panic(messages in prop::collection::vec((0..4u8, prop::collection::vec(any::<u8>(), 0..40)), 0..5)) {
            let mut client = sign_in();
            for (kind, data) in messages {
                let _ = client.step(&match kind {
                    0 => Authentication::Sasl(vec![scram::MECHANISM.into()]),
                    1 => Authentication::SaslContinue(data),
                    2 => Authentication::SaslFinal(data),
                    _ => Authentication::Ok,
                });
            }
        }
    }
}
