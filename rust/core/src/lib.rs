//! The extension module `couponry._core`: conversions and wiring only. What it converts to lives in the pure crates.
//!
//! Layout:
//! - `binlog`: readers of the binlog, into L1 and for tellers of L2
//! - `cache`: L1
//! - `clock`: the clocks that L1 lives by
//! - `claims`: claims of flash sales, in batches to Redis and back
//! - `codes`: coupon codes
//! - `discount`: the discount calculator
//! - `frontend`: gRPC as an asyncio Protocol
//! - `outbox`: wins of flash sales, from the outbox to SQL text
//! - `scripts`: the Redis scripts of `lua/`, embedded
use pyo3::prelude::*;

mod binlog;
mod cache;
mod claims;
mod clock;
mod codes;
mod discount;
mod frontend;
mod outbox;
mod scripts;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    binlog::register(module)?;
    cache::register(module)?;
    claims::register(module)?;
    codes::register(module)?;
    discount::register(module)?;
    frontend::register(module)?;
    outbox::register(module)?;
    scripts::register(module)
}
