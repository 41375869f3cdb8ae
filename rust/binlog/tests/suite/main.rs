//! The crate read as its users do: logs in, changes out.
mod recorded;
mod support;
mod synthetic;
