//! L1: one TinyLFU cache (moka) a kind of entry, its capacity in bytes.
//!
//! Time is handed in, never read, so that expiry can be tested without waiting. An entry is served while
//! `now < expires_at`: the sooner of its time to live and the next time boundary of what it holds (a coupon expires, an
//! activity starts).
//!
//! Layout:
//! - `Cache`: one kind
//! - `Stats`: what a kind has seen
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use moka::{ops::compute::Op, sync::Cache as Moka};

/// Bytes that an entry costs beside its key and payload: moka's bookkeeping, the entry, two allocations.
const ENTRY_OVERHEAD: usize = 160;

/// Milliseconds since 1970.
pub type Millis = i64;

type Key = Box<[u8]>;

#[derive(Clone)]
struct Entry {
    payload: Bytes,
    expires_at: Millis,
}

/// One kind of entry.
pub struct Cache {
    entries: Moka<Key, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
    stores: AtomicU64,
    invalidations: AtomicU64,
}

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub stores: u64,
    pub invalidations: u64,
    pub entries: u64,
    pub bytes: u64,
}

impl Cache {
    /// A cache of at most `capacity` bytes, keys and bookkeeping counted.
    pub fn new(capacity: u64) -> Self {
        let entries = Moka::builder()
            .max_capacity(capacity)
            .weigher(|key: &Key, entry: &Entry| {
                u32::try_from(key.len() + entry.payload.len() + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            entries,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
        }
    }

    /// The payload of an entry that may still be served at `now`.
    pub fn get(&self, key: &[u8], now: Millis) -> Option<Bytes> {
        match self.entries.get(key) {
            Some(entry) if now < entry.expires_at => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(entry.payload)
            }
            found => {
                if found.is_some() {
                    self.drop_expired(key, now);
                }
                self.misses.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Stores an entry, in place of what is there.
    pub fn put(&self, key: &[u8], payload: Bytes, expires_at: Millis) {
        self.stores.fetch_add(1, Ordering::Relaxed);
        self.entries.insert(key.into(), Entry { payload, expires_at });
    }

    /// Removes an entry.
    pub fn invalidate(&self, key: &[u8]) {
        self.invalidations.fetch_add(1, Ordering::Relaxed);
        self.entries.invalidate(key);
    }

    /// Removes every entry.
    pub fn clear(&self) {
        self.entries.invalidate_all();
    }

    pub fn stats(&self) -> Stats {
        self.entries.run_pending_tasks();
        Stats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stores: self.stores.load(Ordering::Relaxed),
            invalidations: self.invalidations.load(Ordering::Relaxed),
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
        }
    }

    /// Removes the entry unless a newer one took its place in the meantime.
    fn drop_expired(&self, key: &[u8], now: Millis) {
        self.entries.entry(key.into()).and_compute_with(|current| match current {
            Some(entry) if entry.value().expires_at <= now => Op::Remove,
            _ => Op::Nop,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const ROOMY: u64 = 1 << 20;

    #[test]
    fn an_entry_is_served_until_its_end_and_not_at_it() {
        let cache = Cache::new(ROOMY);
        cache.put(b"k", Bytes::from_static(b"v"), 100);
        assert_eq!(cache.get(b"k", 99), Some(Bytes::from_static(b"v")));
        assert_eq!(cache.get(b"k", 100), None);
        assert_eq!(cache.get(b"k", 99), None, "an entry past its end is gone for good");
    }

    #[test]
    fn an_invalidated_entry_is_not_served() {
        let cache = Cache::new(ROOMY);
        cache.put(b"k", Bytes::from_static(b"v"), 100);
        cache.invalidate(b"k");
        assert_eq!(cache.get(b"k", 0), None);
    }

    #[test]
    fn capacity_bounds_the_bytes_held() {
        let cache = Cache::new(64 * 1024);
        for number in 0u32..10_000 {
            cache.put(&number.to_be_bytes(), Bytes::from(vec![0; 100]), i64::MAX);
        }
        let stats = cache.stats();
        assert!(stats.bytes <= 64 * 1024, "{stats:?}");
        assert!(stats.entries > 100, "{stats:?}");
    }

    #[test]
    fn hits_and_misses_are_counted() {
        let cache = Cache::new(ROOMY);
        cache.put(b"k", Bytes::from_static(b"v"), 100);
        cache.get(b"k", 0);
        cache.get(b"k", 200);
        cache.get(b"other", 0);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.stores), (1, 2, 1));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Get(u8),
        Put(u8, u8, i64),
        Invalidate(u8),
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..6).prop_map(Step::Get),
            (0u8..6, any::<u8>(), 1i64..20).prop_map(|(key, value, life)| Step::Put(key, value, life)),
            (0u8..6).prop_map(Step::Invalidate),
            (1i64..10).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// With room for everything the cache is a map with an end to each entry.
        #[test]
        fn it_answers_like_a_map_with_ends(steps in prop::collection::vec(step(), 1..200)) {
            let cache = Cache::new(ROOMY);
            let mut model: HashMap<u8, (u8, i64)> = HashMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Get(key) => {
                        let expected = model.get(&key).filter(|(_, end)| now < *end).map(|(value, _)| *value);
                        prop_assert_eq!(cache.get(&[key], now).map(|payload| payload[0]), expected);
                    }
                    Step::Put(key, value, life) => {
                        cache.put(&[key], Bytes::copy_from_slice(&[value]), now + life);
                        model.insert(key, (value, now + life));
                    }
                    Step::Invalidate(key) => {
                        cache.invalidate(&[key]);
                        model.remove(&key);
                    }
                    Step::Wait(time) => now += time,
                }
            }
        }
    }
}
