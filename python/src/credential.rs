//! `Credential`: what Python gets, and gives back when the warehouse refuses it.

use std::{path::Path, sync::Arc, time::SystemTime};

use pyo3::{exceptions::PyTypeError, prelude::*, sync::PyOnceLock};
use shiftkey::{
    Env, Login, Shiftkey, Target,
    dial::{self, Options},
    dsn, trust,
};

use crate::{
    errors,
    process::Owned,
    session::{Made, Session},
    wait::wait,
};

/// A temporary database credential, and where to sign in with it. Immutable; not pickled.
#[pyclass(frozen, module = "shiftkey")]
pub(crate) struct Credential {
    login: Login,
    target: Target,
    session: Py<Session>,
    /// The session's library when it was issued.
    issued_by: Owned<Shiftkey>,
    env: Arc<Env>,
}

impl Credential {
    pub(crate) fn new(login: Login, target: Target, session: Py<Session>, made: Made) -> Self {
        let Made { env, shiftkey } = made;
        Self { login, target, session, issued_by: Owned::new(shiftkey), env }
    }

    /// The library that issued it; where it was issued before a fork, this process's own.
    fn made(&self, py: Python<'_>) -> PyResult<Made> {
        match self.issued_by.get() {
            Some(shiftkey) => Ok(Made { env: Arc::clone(&self.env), shiftkey: shiftkey.clone() }),
            None => self.session.get().made().map_err(|error| errors::raise(py, &error)),
        }
    }
}

#[pymethods]
impl Credential {
    /// The database user as AWS returned it, prefix (``IAM:``, ``IAMA:``, ``IAMR:``) and all.
    #[getter]
    fn db_user(&self) -> &str {
        &self.login.credential.db_user
    }

    /// The temporary password.
    #[getter]
    fn db_password(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static PASSWORD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = PASSWORD.get_or_try_init(py, || Ok::<_, PyErr>(py.import("shiftkey._password")?.getattr("Password")?.unbind()))?;
        class.call1(py, (self.login.credential.password.expose(),))
    }

    /// Until when it opens a connection, in UTC. Open connections outlive it.
    #[getter]
    fn expiration(&self) -> SystemTime {
        self.login.credential.expires_at
    }

    /// Where to dial.
    #[getter]
    fn host(&self) -> &str {
        &self.login.endpoint.host
    }

    /// TCP port.
    #[getter]
    fn port(&self) -> u16 {
        self.login.endpoint.port
    }

    /// The database that it was issued for.
    #[getter]
    fn database(&self) -> &str {
        &self.login.database
    }

    /// The target's name.
    #[getter]
    fn target(&self) -> &str {
        &self.login.target
    }

    /// Whether no call to AWS was made for it.
    #[getter]
    fn cached(&self) -> bool {
        self.login.origin.is_cached()
    }

    /// The name to verify when it is not the host's.
    #[getter]
    fn server_name(&self) -> Option<&str> {
        self.login.server_name.as_deref()
    }

    /// The file of certificate authorities to verify with: the target's, else ``SSL_CERT_FILE``, else the system's.
    #[getter]
    fn ca_file(&self) -> Option<&str> {
        trust::file(&self.env, self.login.ca_file.as_deref()).and_then(Path::to_str)
    }

    /// The same, only where the target names it.
    #[getter]
    fn named_ca_file(&self) -> Option<&str> {
        self.login.ca_file.as_deref().and_then(Path::to_str)
    }

    /// What ``driver``'s own ``connect`` takes to sign in with it, TLS verified.
    fn connect_kwargs(slf: &Bound<'_, Self>, driver: &str) -> PyResult<Py<PyAny>> {
        Ok(slf.py().import("shiftkey._connect")?.call_method1("connect_kwargs", (slf, driver))?.unbind())
    }

    /// libpq's ``host`` (the name to verify) and ``hostaddr`` (what is dialled, where that differs).
    fn libpq_address(&self, py: Python<'_>) -> PyResult<(&str, Option<&str>)> {
        dsn::libpq_address(&self.login).map_err(|error| errors::raise(py, &error.with_target(&self.login.target)))
    }

    /// Signs in with it and hangs up: whether the warehouse refuses it as stale. Raises what stands in the way of knowing.
    fn refused(&self, py: Python<'_>) -> PyResult<bool> {
        let options = Options { env: Env::clone(&self.env), ..Options::default() };
        wait(py, async {
            match dial::connect(&self.login, &options).await {
                Ok(_) => Ok(false),
                Err(error) if dial::says_stale(&error) => Ok(true),
                Err(error) => Err(error),
            }
        })
    }

    /// Forgets it, if it is still the one that is handed out: the next call has a new one.
    fn reject(&self, py: Python<'_>) -> PyResult<()> {
        let made = self.made(py)?;
        wait(py, async {
            made.shiftkey.invalidate(&self.target, &self.login.credential).await;
            Ok(())
        })
    }

    /// The same credential where the warehouse listens now, if AWS says that it has moved; else None.
    fn relocated(slf: &Bound<'_, Self>) -> PyResult<Option<Self>> {
        let (py, this) = (slf.py(), slf.get());
        if this.target.host.is_some() {
            return Ok(None);
        }
        let made = this.made(py)?;
        let known = &this.login.endpoint;
        let endpoint = wait(py, async { made.shiftkey.renew_endpoint(&this.target, known).await })?;
        if endpoint == *known {
            return Ok(None);
        }
        let login = Login { endpoint, ..this.login.clone() };
        Ok(Some(Self::new(login, this.target.clone(), this.session.clone_ref(py), made)))
    }

    fn __repr__(&self) -> String {
        let Login { target, endpoint, database, credential, .. } = &self.login;
        format!(
            "<shiftkey.Credential for {target:?}: {user:?} at {host}:{port}/{database}, password ********>",
            user = credential.db_user,
            host = endpoint.host,
            port = endpoint.port
        )
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a credential is not pickled: it holds a password; ask for one where it is needed"))
    }
}
