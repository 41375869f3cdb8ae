//! The crate read as its users do: logs in, changes out.
#![allow(clippy::unwrap_used)] // clippy allows it in test functions, not in what they share
mod recorded;
mod support;
mod synthetic;
