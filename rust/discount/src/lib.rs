//! discount
