//! What is held under a key.
use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::Bytes;

use crate::Millis;

/// Bytes that an entry costs beside key, payload and rows: moka's bookkeeping, the entry, its allocations. Measured as
/// the growth of a process whose L1 is full (bench/cache/memory.py): 540 to 640.
pub(crate) const OVERHEAD: usize = 540;

type Decoded = Arc<dyn Any + Send + Sync>;

/// What a load found, about to be stored.
#[derive(Clone, Default)]
pub struct Draft {
    /// (row id, row version) of every row that the payload shows.
    pub rows: Vec<(i64, i64)>,
    /// None: there is nothing under the key.
    pub payload: Option<Bytes>,
    /// The payload in the form that Rust works with.
    pub decoded: Option<Decoded>,
    /// The next time boundary of what the rows say, in wall milliseconds: from then on the entry is not served.
    pub valid_through: Option<Millis>,
    /// The longest life, counted from the store.
    pub life: Millis,
}

/// Where a draft came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Read by a statement that was sent at this monotonic time.
    Sql { sent: Millis },
    /// From L2; `since_first`: what it was told of reaches to this reader's first coordinate or beyond it.
    L2 { since_first: bool },
}

/// What is held under a key. Shared: whoever has it may go on using it after it was removed.
pub struct Entry {
    rows: Box<[(i64, i64)]>,
    payload: Option<Bytes>,
    decoded: OnceLock<Decoded>,
    pub(crate) valid_through: Millis,
    pub(crate) expires: Millis,
    /// From when on a hit asks for a refresh.
    pub(crate) tired: Millis,
    /// When the statement was sent; the least for an entry from L2, which has no such time.
    pub(crate) read: Millis,
    pub(crate) stored: Millis,
    pub(crate) generation: u64,
    hits: AtomicU32,
    refreshing: AtomicBool,
}

impl Entry {
    pub(crate) fn new(draft: Draft, source: Source, generation: u64, now: Millis, expires: Millis) -> Self {
        let mut rows = draft.rows;
        rows.sort_unstable();
        let decoded = OnceLock::new();
        if let Some(form) = draft.decoded {
            // A new lock is empty.
            let _ = decoded.set(form);
        }
        Self {
            rows: rows.into(),
            payload: draft.payload,
            decoded,
            valid_through: draft.valid_through.unwrap_or(Millis::MAX),
            expires,
            tired: expires - (expires - now) / 5,
            read: match source {
                Source::Sql { sent } => sent,
                Source::L2 { .. } => Millis::MIN,
            },
            stored: now,
            generation,
            hits: AtomicU32::new(0),
            refreshing: AtomicBool::new(false),
        }
    }

    /// (row id, row version), by id.
    pub fn rows(&self) -> &[(i64, i64)] {
        &self.rows
    }

    /// The payload; None of a negative entry.
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }

    /// The payload decoded: as the fill gave it, else made now and kept. None where `make` gives none, or another made
    /// a form of another type.
    pub fn decoded<T: Any + Send + Sync>(&self, make: impl FnOnce(&Bytes) -> Option<T>) -> Option<Arc<T>> {
        if self.decoded.get().is_none() {
            let form: Decoded = Arc::new(make(self.payload.as_ref()?)?);
            // Where two make it at once, either is right.
            let _ = self.decoded.set(form);
        }
        Arc::clone(self.decoded.get()?).downcast::<T>().ok()
    }

    /// The next time boundary of what the rows say, wall milliseconds.
    pub fn valid_through(&self) -> Millis {
        self.valid_through
    }

    /// When it was stored, and until when it may be served, monotonic.
    pub fn lifetime(&self) -> (Millis, Millis) {
        (self.stored, self.expires)
    }

    /// How often it was served.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Counts a hit; true once in the entry's life, where a hot entry should be refreshed before it ends.
    pub(crate) fn touch(&self, now: Millis) -> bool {
        // Not a read-modify-write: counts may be lost between threads, and nothing depends on them.
        let hits = self.hits.load(Ordering::Relaxed).saturating_add(1);
        self.hits.store(hits, Ordering::Relaxed);
        now >= self.tired && hits >= HOT && !self.refreshing.swap(true, Ordering::Relaxed)
    }
}

/// Hits that make an entry worth a refresh.
const HOT: u32 = 3;

pub(crate) fn weight(key: usize, entry: &Entry, decoded_percent: usize) -> u32 {
    let payload = entry.payload.as_ref().map_or(0, Bytes::len);
    let bytes = key + payload + payload * decoded_percent / 100 + entry.rows.len() * 16 + OVERHEAD;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
