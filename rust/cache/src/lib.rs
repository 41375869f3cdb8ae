//! L1: TinyLFU caches (moka) that are never older than what this worker was told of.
//!
//! An entry holds rows and their versions. Whoever hears of a change (the binlog reader, a local commit) raises a floor
//! under the row and removes the entry; from then on an entry is stored or served only if it satisfies every floor of
//! its key. The protocol and why each rule is needed: docs/cache.md and rust/models/cache.
//!
//! Time is handed in, never read: monotonic milliseconds for ages, wall milliseconds for what an entry says of itself.
//!
//! Layout:
//! - `L1`: all kinds of entries, and how fresh they are
//! - `Cache`: one kind
//! - `Fill`: one load of one key, from its begin to its store
//! - `Change`, `Fate`: what happened to a row
//! - `Freshness`: as of when the reader of changes has passed everything
//! - `floors`: the rule itself, for the keys of one stripe
mod cache;
mod change;
mod entry;
mod fill;
mod floors;
mod freshness;
mod keys;
mod layer;
mod stats;

pub use cache::{Cache, Found, Limits, Missed};
pub use change::{Change, Fate};
pub use entry::{Draft, Entry, Source};
pub use fill::{Fill, Refused};
pub use freshness::Freshness;
pub use layer::{Kind, L1};
pub use stats::Stats;

/// Milliseconds: since 1970 where they say wall, else of the monotonic clock.
pub type Millis = i64;

/// The two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: Millis,
    pub wall: Millis,
}

/// How long a floor lives after its last event.
pub const FLOOR_LIFE: Millis = 30_000;
/// A fill older than this is not stored: a commit may become visible up to `FLOOR_LIFE - MAX_FILL` after its event.
pub const MAX_FILL: Millis = 5_000;
