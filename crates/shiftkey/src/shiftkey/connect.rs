//! From a target to an open session: dialling while the credential is on its way, and what is tried again.

use tokio::try_join;

use super::Shiftkey;
use crate::{
    credential::{Endpoint, Login, Route},
    dial::{self, Connection, Encrypted, Options},
    error::{ErrorKind, Result},
    target::Target,
};

impl Shiftkey {
    /// How to dial in the environment of this [`Shiftkey`]. Who keeps them parses the trust anchors once and resumes TLS sessions.
    pub fn options(&self) -> Options {
        Options { env: self.0.surroundings.env.clone(), ..Options::default() }
    }

    /// Opens a session. A cached credential that the warehouse refuses (SQLSTATE 28000 or 28P01) is forgotten and the
    /// sign-in tried once more with a new one; an endpoint that does not answer is looked up anew, and tried if it moved.
    ///
    /// # Errors
    /// As for [`Self::login`] and [`dial::connect`].
    pub async fn connect(&self, target: &Target, options: &Options) -> Result<(Connection, Login)> {
        Box::pin(self.open(target, options)).await.map_err(|error| error.with_target(&target.label))
    }

    async fn open(&self, target: &Target, options: &Options) -> Result<(Connection, Login)> {
        let ((endpoint, stream), (credential, origin)) = try_join!(self.dial(target, options), self.credential(target))?;
        let login = Login::new(target, endpoint, credential, origin);
        let error = match dial::sign_in(stream, &login, options).await {
            Ok(connection) => return Ok((connection, login)),
            Err(error) => error,
        };
        if login.origin.is_cached() && dial::says_stale(&error) {
            self.invalidate(target, &login.credential).await;
        } else if error.kind() != ErrorKind::Unreachable {
            // (A warehouse may have lost patience while a person looked for a code.)
            return Err(error);
        }
        let ((endpoint, stream), (credential, origin)) = try_join!(self.dial(target, options), self.credential(target))?;
        let login = Login::new(target, endpoint, credential, origin);
        let connection = dial::sign_in(stream, &login, options).await?;
        Ok((connection, login))
    }

    /// An encrypted stream to where the target listens or, if it does not answer there, to where it has moved.
    async fn dial(&self, target: &Target, options: &Options) -> Result<(Endpoint, Encrypted)> {
        let known = self.endpoint(target).await?;
        let error = match dial::encrypted(&Route::new(target, known.clone()), options).await {
            Ok(stream) => return Ok((known, stream)),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Unreachable || target.host.is_some() {
            return Err(error);
        }
        let told = self.renew_endpoint(target, &known).await;
        let moved = told.ok().filter(|endpoint| *endpoint != known).ok_or(error)?;
        let stream = dial::encrypted(&Route::new(target, moved.clone()), options).await?;
        Ok((moved, stream))
    }
}
