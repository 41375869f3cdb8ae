//! Wins on their way from Redis to MySQL, from the bytes of the outbox to the text of statements, without sockets, clock
//! or Python.
//!
//! A batch of wins is one buffer and one list of small records, so a win costs no allocation.
//!
//! Layout:
//! - `wins`: a batch, read from entries of the outbox or put together win by win
//! - `sort`: which wins become coupons, and which do not fit
//! - `sql`: users and rows as SQL text
mod sort;
mod sql;
mod wins;

pub use sort::{Room, Sorted};
pub use wins::{Entry, HASH_BYTES, Hash, Malformed, TRIED, Win, Wins};
