//! `couponry._core`'s part of flash sales: the crate `couponry-claims` between gRPC calls, Redis and Python.
//!
//! Layout:
//! - `batcher`: takes claims, lets their batches leave and tells callers the verdicts
//! - `link`: the connection to Redis that scripts travel on, as an asyncio Protocol
//! - `work`: a batch that Python has to do something for
//! - `callers`: how a caller is told
use pyo3::prelude::*;

mod batcher;
mod callers;
mod link;
mod work;

pub(crate) use batcher::ClaimBatcher;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ClaimBatcher>()?;
    module.add_class::<link::ClaimLink>()?;
    module.add_class::<work::ClaimBatch>()
}
