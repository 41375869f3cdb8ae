//! The extension module `couponry._core`: conversions and wiring only. What it converts to lives in the pure crates.
//!
//! Layout:
//! - `cache`: L1
//! - `clock`: the clocks that L1 lives by
//! - `codes`: coupon codes
//! - `discount`: the discount calculator
//! - `frontend`: gRPC as an asyncio Protocol
//! - `scripts`: the Redis scripts of `lua/`, embedded
use pyo3::prelude::*;

mod cache;
mod clock;
mod codes;
mod discount;
mod frontend;
mod scripts;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    cache::register(module)?;
    codes::register(module)?;
    discount::register(module)?;
    frontend::register(module)?;
    scripts::register(module)
}
