//! The promises of docs/discounts.md, by subject.
mod kinds;
mod laws;
mod reasons;
mod scopes;
mod stacking;
mod support;
mod validation;
