//! The Python module `shiftkey._native`: a skin on the library. What Python can do itself is written in Python beside it.
//!
//! Three rules hold everything together. Nothing is locked while the interpreter is let go of, so that a fork, which needs the
//! interpreter, finds every lock of ours free. What belongs to a process is remade in its forked children (`process.rs`). And
//! whatever may wait, waits with the interpreter let go of (`wait.rs`).

#![allow(missing_docs, rustdoc::broken_intra_doc_links, reason = "docstrings of what Python sees are for Python, as in _native.pyi")]

mod credential;
mod errors;
mod overrides;
mod process;
mod session;
mod wait;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{credential::Credential, session::Session, wait::Task};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
