//! Each kind of error as an exception: the third table of the error kinds, beside exit codes and SQLSTATEs.

use pyo3::{prelude::*, sync::PyOnceLock, types::PyType};
use shiftkey::{Error, ErrorKind};

/// The name of the kind's class in `shiftkey._errors`.
fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ClientMissing => "ClientMissingError",
        ErrorKind::Config => "ConfigError",
        ErrorKind::Denied => "DeniedError",
        ErrorKind::IdentityExpired => "IdentityExpiredError",
        ErrorKind::LoginRefused => "LoginRefusedError",
        ErrorKind::NoIdentity => "NoIdentityError",
        ErrorKind::NoSuchTarget => "NoSuchTargetError",
        ErrorKind::Throttled => "ThrottledError",
        ErrorKind::Unexpected => "UnexpectedError",
        ErrorKind::Unreachable => "UnreachableError",
    }
}

/// `error` as an exception of its kind's class.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let raised = || {
        let module = MODULE.get_or_try_init(py, || py.import("shiftkey._errors").map(Bound::unbind))?;
        let class = module.bind(py).getattr(class_name(error.kind()))?.cast_into::<PyType>()?;
        let details = (error.message(), error.target(), error.hint(), error.sqlstate());
        class.call1(details).map(PyErr::from_value)
    };
    raised().unwrap_or_else(|problem: PyErr| problem)
}
