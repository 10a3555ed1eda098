//! Waiting: in a thread with the interpreter let go of, and for an event loop.

use std::{sync::Arc, time::Duration};

use pyo3::prelude::*;
use shiftkey::{Error, ErrorKind, Result};
use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
    time::timeout,
};

use crate::{
    errors,
    process::{Owned, PerProcess},
};

/// How often a waiting thread looks whether Ctrl-C was pressed.
const SIGNALS: Duration = Duration::from_millis(50);

/// Drives the sockets of what event loops wait for, in one thread. Made at the first such call that has to wait: most never do.
static RUNTIME: PerProcess<Arc<Runtime>> = PerProcess::new();

fn no_runtime(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "the system has no descriptors or threads left").with_source(error)
}

fn shared_runtime() -> Result<Arc<Runtime>> {
    let make = || Builder::new_multi_thread().worker_threads(1).thread_name("shiftkey").enable_all().build();
    RUNTIME.get(|_| true, || make().map(Arc::new)).map_err(no_runtime)
}

/// Waits for `future` with the interpreter let go of. Signals are heeded, so Ctrl-C ends it. No thread stays behind: one that
/// does makes a fork a reason to warn, from Python 3.12 on.
///
/// # Errors
/// Those of `future`, as Python's exceptions; `KeyboardInterrupt`.
pub(crate) fn wait<T: Send>(py: Python<'_>, future: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| errors::raise(py, &no_runtime(error)))?;
    let mut future = Box::pin(future);
    let outcome = loop {
        let step = py.detach(|| runtime.block_on(async { timeout(SIGNALS, &mut future).await }));
        match step {
            Ok(outcome) => break outcome.map_err(|error| errors::raise(py, &error)),
            Err(_) => {
                if let Err(signal) = py.check_signals() {
                    break Err(signal);
                }
            }
        }
    };
    drop(future);
    // A look-up of a name may hang, in a thread that nobody can end.
    runtime.shutdown_background();
    outcome
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
    let runtime = shared_runtime().map_err(|error| errors::raise(py, &error))?;
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
