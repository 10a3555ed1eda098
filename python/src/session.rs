//! `Session`: settings, and what this process shares under them.

use std::{path::PathBuf, sync::Arc};

use pyo3::{prelude::*, types::PyDict};
use shiftkey::{Env, Error, ErrorKind, Login, Prompt, Result, Shiftkey, Target, dsn, target::config::Configs};

use crate::{
    credential::Credential,
    errors,
    overrides::{NAMES, Said},
    process::PerProcess,
    wait::{Task, start, wait},
};

/// What :class:`shiftkey.Session` is made of.
#[pyclass(frozen, subclass, module = "shiftkey._native")]
pub(crate) struct Session {
    said: Said,
    config: Option<PathBuf>,
    configs: Configs,
    cache: bool,
    prompt: Option<Arc<Ask>>,
    /// The library, in the environment that it was made for.
    made: PerProcess<Made>,
}

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) env: Arc<Env>,
    pub(crate) shiftkey: Shiftkey,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (*, config=None, cache=true, mfa_code=None, **overrides))]
    fn new(config: Option<PathBuf>, cache: bool, mfa_code: Option<Py<PyAny>>, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let said = Said::default().and(overrides)?;
        Ok(Self {
            said,
            config,
            configs: Configs::default(),
            cache,
            prompt: mfa_code.map(|ask| Arc::new(Ask(ask))),
            made: PerProcess::new(),
        })
    }

    /// The names of the options.
    #[classattr]
    fn options() -> [&'static str; NAMES.len()] {
        NAMES
    }

    /// As :func:`shiftkey.credential`.
    #[pyo3(signature = (target, /, **overrides))]
    fn credential(slf: &Bound<'_, Self>, target: &str, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<Credential> {
        let (made, target) = slf.get().resolve(slf.py(), target, overrides)?;
        let login = login(slf.py(), &made, &target)?;
        Ok(Credential::new(login, target, slf.clone().unbind(), made))
    }

    /// As `credential`, for an event loop: the task calls ``settle(result, exception)`` from another thread. What the cache has is returned at once instead.
    #[pyo3(signature = (settle, target, /, **overrides))]
    fn start_credential(
        slf: &Bound<'_, Self>,
        settle: Py<PyAny>,
        target: &str,
        overrides: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(Option<Credential>, Option<Task>)> {
        let (made, target) = slf.get().resolve(slf.py(), target, overrides)?;
        let session = slf.clone().unbind();
        if let Some(login) = slf.py().detach(|| made.shiftkey.cached_login(&target)) {
            return Ok((Some(Credential::new(login, target, session, made)), None));
        }
        let task = start(slf.py(), settle, async move {
            let login = made.shiftkey.login(&target).await?;
            Ok(Credential::new(login, target, session, made))
        })?;
        Ok((None, Some(task)))
    }

    /// As :func:`shiftkey.url`.
    #[pyo3(signature = (target, /, format="jdbc", **overrides))]
    fn url(&self, py: Python<'_>, target: &str, format: &str, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
        let raise = |error: Error| errors::raise(py, &error);
        let format = format.parse().map_err(raise)?;
        let (made, target) = self.resolve(py, target, overrides)?;
        let login = login(py, &made, &target)?;
        let url = dsn::render(format, &dsn::trusting(format, login, &made.env)).map_err(raise)?;
        Ok(url.expose().to_owned())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(pyo3::exceptions::PyTypeError::new_err("a Session belongs to its process; make one where it is needed"))
    }
}

impl Session {
    /// The library and the target, for the environment as it is now: variables may have been set since the last call.
    fn resolve(&self, py: Python<'_>, target: &str, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<(Made, Target)> {
        let said = self.said.and(overrides)?;
        let found = || {
            let made = self.made()?;
            let target = self.configs.load(&made.env, self.config.as_deref())?.resolve(target, &said.0)?;
            Ok((made, target))
        };
        found().map_err(|error: Error| errors::raise(py, &error))
    }

    pub(crate) fn made(&self) -> Result<Made> {
        let env = environment();
        let unchanged = |made: &Made| made.env.vars == env.vars && made.env.cwd == env.cwd && made.env.home == env.home;
        self.made.get(unchanged, || {
            let mut builder = Shiftkey::builder().env(env.clone());
            if let Some(ask) = &self.prompt {
                builder = builder.prompt(Arc::<Ask>::clone(ask));
            }
            let shiftkey = builder.as_the_environment_says(self.cache)?.build();
            Ok(Made { env: Arc::new(env.clone()), shiftkey })
        })
    }
}

/// Most calls end with the cache: neither a runtime nor another thread has a part in them.
fn login(py: Python<'_>, made: &Made, target: &Target) -> PyResult<Login> {
    match py.detach(|| made.shiftkey.cached_login(target)) {
        Some(login) => Ok(login),
        None => wait(py, made.shiftkey.login(target)),
    }
}

/// The process's own. Python changes it (`os.environ`) with the interpreter held, as it is held here.
#[expect(clippy::disallowed_methods, reason = "the one place that reads them")]
fn environment() -> Env {
    Env::new(std::env::vars_os(), std::env::home_dir(), std::env::current_dir().ok())
}

/// Asks whoever Python asks.
#[derive(Debug)]
struct Ask(Py<PyAny>);

impl Prompt for Ask {
    fn mfa_code(&self, device: &str) -> Result<String> {
        let failed = |error: PyErr| Error::new(ErrorKind::NoIdentity, format!("mfa_code failed: {error}"));
        Python::attach(|py| self.0.call1(py, (device,))?.extract(py)).map_err(failed)
    }
}
