//! The Redis scripts of `lua/`, embedded when the extension is built, so that a wheel carries them.
use pyo3::prelude::*;

include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

/// Every script by its file name without the ending.
#[pyfunction]
fn lua_scripts() -> Vec<(&'static str, &'static str)> {
    SCRIPTS.to_vec()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(lua_scripts, module)?)
}
