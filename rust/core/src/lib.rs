//! The extension module `couponry._core`: conversions and wiring only. What it converts to lives in the pure crates.
//!
//! Layout:
//! - `scripts`: the Redis scripts of `lua/`, embedded
use pyo3::prelude::*;

mod scripts;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    scripts::register(module)
}
