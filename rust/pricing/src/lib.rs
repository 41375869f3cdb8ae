//! CalculateDiscount from bytes to bytes: a request, the user's live coupons and their templates as L1 holds them, and
//! the answer as the wire wants it.
//!
//! Pure: what is cached comes through `Source`, time is handed in. Only plain calls that succeed are answered; whatever
//! else (a code, a what-if coupon, a budget, a coupon that is not live, anything wrong) is `None`, and goes to the
//! handler, which knows all cases and all errors. Where both answer, they answer the same bytes.
//!
//! Layout:
//! - `calculate`: the whole of it
//! - `request`: the call
//! - `held`: a user's live coupons, and a template, as the layers keep them
//! - `terms`: the terms of a template
//! - `response`: the answer
//! - `fields`: protobuf's encoding, read and written
mod calculate;
mod fields;
mod held;
mod request;
mod response;
mod terms;

pub use calculate::{Calculator, Lack, Source};
pub use held::{Template, Wallet};
