//! `couponry._core`'s front end: the crate `couponry-wire` as an asyncio Protocol. Rust speaks gRPC; the event loop owns
//! sockets, TLS and timers; Python handlers get calls as a list a tick.
//!
//! Layout:
//! - `engine`: one server: its table of methods, its connections, its timer
//! - `protocol`: one connection
//! - `call`: one call that a Python handler has
//! - `hot`: methods answered without Python
//! - `calculate`: of these, the one that computes
use pyo3::prelude::*;

mod calculate;
mod call;
mod engine;
mod hot;
mod protocol;

pub(crate) use call::headers;
pub(crate) use engine::Engine;
pub(crate) use protocol::Protocol;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<engine::Engine>()?;
    module.add_class::<protocol::Protocol>()?;
    module.add_class::<call::Call>()?;
    module.add_class::<hot::HealthTable>()
}
