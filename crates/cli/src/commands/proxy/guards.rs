//! Who gets in, and what keeps the others out.

use std::{path::PathBuf, sync::Arc};

use shiftkey::{Error, Result};
use shiftkey_proxy::{Admission, Audience, Certificate, ClientSecret, Listen};

use crate::args::ProxyArgs;

/// What clients of TCP meet, when it was asked for.
pub(super) struct Guards {
    certificate: Option<Arc<Certificate>>,
    secret: Option<Arc<ClientSecret>>,
}

impl Guards {
    /// Reads the files that were named.
    pub(super) fn load(args: &ProxyArgs) -> Result<Self> {
        let certificate = args.tls_cert.as_ref().zip(args.tls_key.as_ref());
        let certificate = certificate.map(|(certificate, key)| Certificate::load(certificate, key).map(Arc::new)).transpose()?;
        let secret = args.client_secret_file.as_ref().map(|file| ClientSecret::load(file).map(Arc::new)).transpose()?;
        Ok(Self { certificate, secret })
    }

    /// Reads them anew, and gives what went wrong; that stays as it was.
    pub(super) fn reload(&self) -> Vec<Error> {
        let certificate = self.certificate.as_ref().and_then(|certificate| certificate.reload().err());
        let secret = self.secret.as_ref().and_then(|secret| secret.reload().err());
        certificate.into_iter().chain(secret).collect()
    }

    /// Where they are read from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let certificate = self.certificate.iter().flat_map(|certificate| certificate.files());
        certificate.chain(self.secret.iter().map(|secret| secret.file())).map(PathBuf::from).collect()
    }

    /// For this place. The users of this machine are told apart there even when others are let in from elsewhere; on a unix
    /// socket that is all, since libpq knows no TLS there.
    pub(super) fn audience(&self, args: &ProxyArgs, listen: &Listen) -> Audience {
        let users = Audience::users(admitted(args));
        let Listen::Tcp(address) = listen else { return users };
        let audience = match (&self.secret, &self.certificate) {
            _ if address.ip().is_loopback() => users,
            (Some(secret), Some(certificate)) => Audience::holders(Arc::clone(secret), Arc::clone(certificate)),
            _ if args.dangerously_listen_anywhere => Audience::anyone(),
            _ => users,
        };
        audience.with_secret(self.secret.clone()).with_certificate(self.certificate.clone())
    }
}

pub(super) fn admitted(args: &ProxyArgs) -> Admission {
    args.allow_uid.iter().fold(Admission::same_user(), |admission, uid| admission.allow(*uid))
}
