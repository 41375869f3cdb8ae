//! The promises of docs/discounts.md, by subject.
#![allow(clippy::unwrap_used)] // clippy allows it in test functions, not in what they share
mod best;
mod kinds;
mod laws;
mod reasons;
mod scopes;
mod stacking;
mod support;
mod validation;
