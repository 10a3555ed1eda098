//! Waiting: in a thread with the interpreter let go of, and for an event loop.

use std::{pin::pin, sync::Arc, time::Duration};

use pyo3::prelude::*;
use shiftkey::{Error, ErrorKind, Result};
use tokio::{runtime, task::AbortHandle, time::timeout};

use crate::{
    errors,
    process::{Owned, PerProcess},
};

/// How often a waiting thread looks whether Ctrl-C was pressed.
const SIGNALS: Duration = Duration::from_millis(50);

/// One thread drives the sockets of all calls. Made at the first call that has to wait: most never do.
static RUNTIME: PerProcess<Arc<runtime::Runtime>> = PerProcess::new();

fn runtime() -> Result<Arc<runtime::Runtime>> {
    let make = || {
        let built = runtime::Builder::new_multi_thread().worker_threads(1).thread_name("shiftkey").enable_all().build();
        built.map(Arc::new).map_err(|error| Error::new(ErrorKind::Unexpected, "no thread can be started").with_source(error))
    };
    RUNTIME.get(|_| true, make)
}

/// Waits for `future` with the interpreter let go of. Signals are heeded, so Ctrl-C ends it.
///
/// # Errors
/// Those of `future`, as Python's exceptions; `KeyboardInterrupt`.
pub(crate) fn wait<T: Send>(py: Python<'_>, future: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    let runtime = runtime().map_err(|error| errors::raise(py, &error))?;
    let mut future = pin!(future);
    loop {
        let step = py.detach(|| runtime.block_on(async { timeout(SIGNALS, &mut future).await }));
        match step {
            Ok(outcome) => return outcome.map_err(|error| errors::raise(py, &error)),
            Err(_) => py.check_signals()?,
        }
    }
}

/// Starts `future`, and has `settle(result, exception)` called with its outcome: from a thread of its own, with the
/// interpreter held.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start<T>(py: Python<'_>, settle: Py<PyAny>, future: impl Future<Output = Result<T>> + Send + 'static) -> PyResult<Task>
where
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let runtime = runtime().map_err(|error| errors::raise(py, &error))?;
    let task = runtime.spawn(async move {
        let outcome = future.await;
        // An interpreter that is ending wants no results any more, nor does a loop that is closed.
        let _ = Python::try_attach(move |py| match outcome {
            Ok(value) => settle.call1(py, (value, py.None())),
            Err(error) => settle.call1(py, (py.None(), errors::raise(py, &error).into_value(py))),
        });
    });
    Ok(Task(Owned::new(task.abort_handle())))
}

/// What was started for an event loop.
#[pyclass(frozen, module = "shiftkey._native")]
pub(crate) struct Task(Owned<AbortHandle>);

#[pymethods]
impl Task {
    /// Ends it, if it has not ended.
    fn cancel(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}
