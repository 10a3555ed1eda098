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

/// A login: credential, and where to use it.
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
    #[getter]
    fn db_user(&self) -> &str {
        &self.login.credential.db_user
    }

    #[getter]
    fn db_password(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static PASSWORD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = PASSWORD.get_or_try_init(py, || Ok::<_, PyErr>(py.import("shiftkey._password")?.getattr("Password")?.unbind()))?;
        class.call1(py, (self.login.credential.password.expose(),))
    }

    #[getter]
    fn expiration(&self) -> SystemTime {
        self.login.credential.expires_at
    }

    #[getter]
    fn host(&self) -> &str {
        &self.login.endpoint.host
    }

    #[getter]
    fn port(&self) -> u16 {
        self.login.endpoint.port
    }

    #[getter]
    fn database(&self) -> &str {
        &self.login.database
    }

    #[getter]
    fn target(&self) -> &str {
        &self.login.target
    }

    #[getter]
    fn cached(&self) -> bool {
        self.login.origin.is_cached()
    }

    #[getter]
    fn server_name(&self) -> Option<&str> {
        self.login.server_name.as_deref()
    }

    #[getter]
    fn ca_file(&self) -> Option<&str> {
        trust::file(&self.env, self.login.ca_file.as_deref()).and_then(Path::to_str)
    }

    /// The CA file that the target names; what is left out where a driver cannot be told one is the system's.
    #[getter]
    fn named_ca_file(&self) -> Option<&str> {
        self.login.ca_file.as_deref().and_then(Path::to_str)
    }

    fn connect_kwargs(slf: &Bound<'_, Self>, driver: &str) -> PyResult<Py<PyAny>> {
        Ok(slf.py().import("shiftkey._connect")?.call_method1("connect_kwargs", (slf, driver))?.unbind())
    }

    /// libpq's `host` and `hostaddr`.
    fn libpq_address(&self, py: Python<'_>) -> PyResult<(&str, Option<&str>)> {
        dsn::libpq_address(&self.login).map_err(|error| errors::raise(py, &error.with_target(&self.login.target)))
    }

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

    fn reject(&self, py: Python<'_>) -> PyResult<()> {
        let made = self.made(py)?;
        wait(py, async {
            made.shiftkey.invalidate(&self.target, &self.login.credential).await;
            Ok(())
        })
    }

    /// The same credential at the place to which the warehouse has moved; nothing when it is where it was, or AWS is not to
    /// be asked.
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
