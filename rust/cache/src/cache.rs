//! One kind of entry: two moka caches (what exists, what does not) and the floors of their keys in stripes.
//!
//! Raising a floor and removing the entry, and checking the floors and storing, are each one step: both hold the
//! stripe's lock. A get takes no lock while the stripe has no floor alive.
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use moka::sync::Cache as Moka;
use parking_lot::Mutex;

use crate::{
    FLOOR_LIFE, Millis, Now,
    change::Change,
    entry::{Draft, Entry, Source, weight},
    fill::{Begun, Fill, Flight, Refused},
    floors::Stripe,
    freshness::Freshness,
    keys::{Hashed, Key, Probe},
    stats::{Counters, Stats},
};

const STRIPES: usize = 256;
/// Keys that wait for a refresh; more are not noted.
const MOST_DUE: usize = 1024;

/// How much a kind may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of entries: keys, payloads, rows, both forms and bookkeeping counted.
    pub bytes: u64,
    /// Bytes of negative entries.
    pub absent_bytes: u64,
    /// What a decoded form weighs, in percent of the payload; 0 where none is hung onto entries.
    pub decoded_percent: u32,
    /// Floors; beyond, the oldest are folded.
    pub floors: usize,
}

/// What a get found.
#[derive(Clone)]
pub enum Found {
    Hit(Arc<Entry>),
    /// Known not to exist.
    Absent,
    Missed(Missed),
}

/// Why a get found nothing that it may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    Nothing,
    Over,
    Floor,
    Version,
    Unfresh,
}

#[repr(align(64))]
struct Shard {
    /// The last floor of the stripe is dead at this floor time.
    quiet_at: AtomicI64,
    stripe: Mutex<Stripe>,
}

/// See the module.
pub struct Cache {
    entries: Moka<Key, Arc<Entry>, Hashed>,
    absences: Moka<Key, Arc<Entry>, Hashed>,
    shards: Box<[Shard]>,
    hasher: RandomState,
    freshness: Arc<Freshness>,
    /// Raised by every `clear`: entries and loads of an earlier one count for nothing.
    generation: AtomicU64,
    due: Mutex<Vec<Box<[u8]>>>,
    any_due: AtomicBool,
    pub(crate) counters: Counters,
}

impl Cache {
    pub fn new(limits: Limits, freshness: Arc<Freshness>) -> Self {
        let moka = |bytes: u64| {
            let decoded = usize::try_from(limits.decoded_percent).unwrap_or(0);
            Moka::builder()
                .max_capacity(bytes)
                .weigher(move |key: &Key, entry: &Arc<Entry>| weight(key.bytes().len(), entry, decoded))
                .build_with_hasher(Hashed)
        };
        let shard = || Shard {
            quiet_at: AtomicI64::new(Millis::MIN),
            stripe: Mutex::new(Stripe::new(limits.floors.div_ceil(STRIPES))),
        };
        Self {
            entries: moka(limits.bytes),
            absences: moka(limits.absent_bytes),
            shards: (0..STRIPES).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            freshness,
            generation: AtomicU64::new(0),
            due: Mutex::default(),
            any_due: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// The entry, if L1 is fresh, the entry is not past its time, satisfies every floor of the key, and (of one row)
    /// has `min_version`.
    pub fn get(&self, key: &[u8], now: Now, min_version: i64) -> Found {
        let found = self.look(key, now, min_version);
        if let Found::Missed(cause) = found {
            self.counters.missed(cause);
        }
        found
    }

    /// The same, a miss not counted: for a first try, where another reader follows on a miss.
    pub fn try_get(&self, key: &[u8], now: Now) -> Option<Arc<Entry>> {
        match self.look(key, now, 0) {
            Found::Hit(entry) => Some(entry),
            Found::Absent | Found::Missed(_) => None,
        }
    }

    /// For when SQL does not answer: also while L1 is no longer fresh, for as long as fail-safe allows.
    pub fn get_stale(&self, key: &[u8], now: Now) -> Found {
        if !self.freshness.is_within_fail_safe(now.mono) {
            return Found::Missed(Missed::Unfresh);
        }
        let found = self.check(self.probe(key), now, 0);
        if !matches!(found, Found::Missed(_)) {
            Counters::add(&self.counters.stale_hits);
        }
        found
    }

    /// The entry as it is, whether it may be served or not. For people who look.
    pub fn peek(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let probe = self.probe(key);
        self.entries.get(&probe).or_else(|| self.absences.get(&probe)).filter(|entry| self.is_current(entry.generation))
    }

    /// The floors of a key that are alive, in words; the last says that its stripe was folded.
    pub fn floors(&self, key: &[u8], now: Millis) -> Vec<String> {
        let hash = self.hash(key);
        let at = self.freshness.floor_time(now);
        let stripe = self.shard(hash).stripe.lock();
        let mut told = stripe.describe(hash, at);
        if stripe.is_folded(at) {
            told.push("floors were folded: nothing is stored".to_owned());
        }
        told
    }

    /// Begins a load.
    pub fn begin(self: &Arc<Self>, key: &[u8], now: Millis) -> Fill {
        Fill::new(Arc::clone(self), key, self.hash(key), now)
    }

    /// The reader met a change: the floor rises, the entry goes, loads of the key are detached.
    pub fn event(&self, change: &Change<'_>, now: Millis) {
        let probe = self.probe(change.key);
        let at = self.freshness.floor_time(now);
        let shard = self.shard(probe.hash);
        let mut stripe = shard.stripe.lock();
        // Before anything is removed: a get that still finds the old entry must not pass by the floor.
        shard.quiet_at.fetch_max(at + FLOOR_LIFE, Ordering::AcqRel);
        let folded = stripe.raise(probe.hash, change.row, change.fate, at, now);
        let held = self.entries.remove(&probe).or_else(|| self.absences.remove(&probe));
        for flight in stripe.flights.remove(&probe.hash).into_iter().flatten() {
            flight.detach();
        }
        drop(stripe);
        Counters::add(&self.counters.events);
        if held.is_some() {
            Counters::add(&self.counters.removed);
        }
        if folded {
            Counters::add(&self.counters.folds);
        }
    }

    /// This process committed a change. The same as an event, before the commit is answered.
    pub fn local_write(&self, change: &Change<'_>, now: Millis) {
        self.event(change, now);
    }

    /// Stores what ends by time alone, of a kind that nobody tells of.
    pub fn put(&self, key: &[u8], payload: Bytes, valid_through: Millis, now: Now) {
        let draft = Draft {
            payload: Some(payload),
            valid_through: Some(valid_through),
            life: valid_through - now.wall,
            ..Draft::default()
        };
        // Nothing refuses it but its own end.
        let _ = self.store(key, self.hash(key), draft, Source::Sql { sent: now.mono }, self.begun(now.mono), now);
    }

    /// Removes every entry, detaches every load and lets none that is under way be stored. Floors stay.
    pub fn clear(&self) {
        // First: what a store that is under way puts in now is of the generation before.
        self.generation.fetch_add(1, Ordering::AcqRel);
        for shard in &self.shards {
            let mut stripe = shard.stripe.lock();
            for (_, flights) in stripe.flights.drain() {
                flights.iter().for_each(Flight::detach);
            }
        }
        self.entries.invalidate_all();
        self.absences.invalidate_all();
    }

    /// Removes one entry and detaches its loads, without a floor.
    pub fn remove(&self, key: &[u8]) -> bool {
        let probe = self.probe(key);
        let mut stripe = self.shard(probe.hash).stripe.lock();
        for flight in stripe.flights.remove(&probe.hash).into_iter().flatten() {
            flight.detach();
        }
        let held = self.entries.remove(&probe).or_else(|| self.absences.remove(&probe));
        if held.is_some() {
            Counters::add(&self.counters.removed);
        }
        held.is_some()
    }

    /// Hot entries that are about to end: each is named once, for a refresh in the background.
    pub fn take_due(&self) -> Vec<Box<[u8]>> {
        if !self.any_due.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.due.lock())
    }

    /// The `most` keys that were served most often, with their hits. It looks at every entry.
    pub fn hottest(&self, most: usize) -> Vec<(Vec<u8>, u32)> {
        let mut all: Vec<(Arc<Key>, u32)> =
            self.entries.iter().map(|(key, entry)| (key, entry.hits())).filter(|(_, hits)| *hits > 0).collect();
        if all.len() > most && most > 0 {
            all.select_nth_unstable_by_key(most - 1, |(_, hits)| std::cmp::Reverse(*hits));
        }
        all.truncate(most);
        all.sort_unstable_by_key(|(_, hits)| std::cmp::Reverse(*hits));
        all.into_iter().map(|(key, hits)| (key.bytes().to_vec(), hits)).collect()
    }

    /// Counters, and what is held at `now`.
    pub fn stats(&self, now: Millis) -> Stats {
        self.entries.run_pending_tasks();
        self.absences.run_pending_tasks();
        let at = self.freshness.floor_time(now);
        let mut stats = self.counters.read();
        stats.entries = self.entries.entry_count();
        stats.absences = self.absences.entry_count();
        stats.bytes = self.entries.weighted_size() + self.absences.weighted_size();
        let left = stats.removed + stats.replaced + stats.expired + stats.entries + stats.absences;
        stats.evictions = stats.stores.saturating_sub(left);
        for shard in &self.shards {
            let stripe = shard.stripe.lock();
            stats.floors += stripe.alive(at) as u64;
            stats.folded_stripes += u64::from(stripe.is_folded(at));
        }
        stats
    }

    pub(crate) fn board(&self, hash: u64, flight: Flight) {
        self.shard(hash).stripe.lock().flights.entry(hash).or_default().push(flight);
    }

    pub(crate) fn leave(&self, hash: u64, flight: &Flight) {
        let mut stripe = self.shard(hash).stripe.lock();
        if let Some(flights) = stripe.flights.get_mut(&hash) {
            flights.retain(|each| !each.is(flight));
            if flights.is_empty() {
                stripe.flights.remove(&hash);
            }
        }
    }

    pub(crate) fn begun(&self, at: Millis) -> Begun {
        Begun { at, generation: self.generation.load(Ordering::Acquire) }
    }

    pub(crate) fn admits(
        &self,
        hash: u64,
        rows: &[(i64, i64)],
        source: Source,
        begun: Begun,
        now: Now,
    ) -> Result<(), Refused> {
        if !self.is_current(begun.generation) {
            return Err(Refused::Cleared);
        }
        let at = self.freshness.floor_time(now.mono);
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let stripe = self.shard(hash).stripe.lock();
        if stripe.is_folded(at) {
            return Err(Refused::Folded);
        }
        stripe.admits(hash, &rows, read_time(source), at)
    }

    pub(crate) fn store(
        &self,
        key: &[u8],
        hash: u64,
        draft: Draft,
        source: Source,
        begun: Begun,
        now: Now,
    ) -> Result<(), Refused> {
        let mut expires = now.mono.saturating_add(draft.life);
        match source {
            // A commit may be in the log before the reader's place and not yet visible.
            Source::Sql { .. } if self.freshness.is_starting(now.mono) => {
                expires = expires.min(begun.at + self.freshness.max_staleness());
                if expires <= now.mono {
                    return Err(Refused::Starting);
                }
            }
            Source::L2 { since_first: false } => return Err(Refused::Starting),
            Source::Sql { .. } | Source::L2 { .. } => {}
        }
        if expires <= now.mono || draft.valid_through.is_some_and(|end| end <= now.wall) {
            return Err(Refused::Over);
        }
        let entry = Arc::new(Entry::new(draft, source, begun.generation, now.mono, expires));
        let probe = Probe { hash, bytes: key };
        let at = self.freshness.floor_time(now.mono);
        let stripe = self.shard(hash).stripe.lock();
        if !self.is_current(begun.generation) {
            return Err(Refused::Cleared);
        }
        if stripe.is_folded(at) {
            return Err(Refused::Folded);
        }
        stripe.admits(hash, entry.rows(), entry.read, at)?;
        let (into, other) = match entry.payload() {
            Some(_) => (&self.entries, &self.absences),
            None => (&self.absences, &self.entries),
        };
        let replaced = u64::from(into.contains_key(&probe)) + u64::from(other.remove(&probe).is_some());
        into.insert(probe.to_key(), entry);
        drop(stripe);
        Counters::add(&self.counters.stores);
        self.counters.replaced.fetch_add(replaced, Ordering::Relaxed);
        Ok(())
    }

    fn look(&self, key: &[u8], now: Now, min_version: i64) -> Found {
        if !self.freshness.is_fresh(now.mono) {
            return Found::Missed(Missed::Unfresh);
        }
        let found = self.check(self.probe(key), now, min_version);
        match &found {
            Found::Hit(entry) => {
                Counters::add(&self.counters.hits);
                if entry.touch(now.mono) {
                    self.note_due(key);
                }
            }
            Found::Absent => Counters::add(&self.counters.absent_hits),
            Found::Missed(_) => {}
        }
        found
    }

    fn check(&self, probe: Probe<'_>, now: Now, min_version: i64) -> Found {
        let Some(entry) = self.entries.get(&probe).or_else(|| self.absences.get(&probe)) else {
            return Found::Missed(Missed::Nothing);
        };
        if !self.is_current(entry.generation) {
            return Found::Missed(Missed::Nothing);
        }
        if now.mono >= entry.expires || now.wall >= entry.valid_through {
            self.drop_over(probe, &entry);
            return Found::Missed(Missed::Over);
        }
        let shard = self.shard(probe.hash);
        let at = self.freshness.floor_time(now.mono);
        if at < shard.quiet_at.load(Ordering::Acquire)
            && shard.stripe.lock().admits(probe.hash, entry.rows(), entry.read, at).is_err()
        {
            return Found::Missed(Missed::Floor);
        }
        if min_version > 0 && entry.rows().first().is_none_or(|(_, version)| *version < min_version) {
            return Found::Missed(Missed::Version);
        }
        if entry.payload().is_some() { Found::Hit(entry) } else { Found::Absent }
    }

    /// Removes the entry unless another took its place meanwhile.
    fn drop_over(&self, probe: Probe<'_>, entry: &Arc<Entry>) {
        let from = if entry.payload().is_some() { &self.entries } else { &self.absences };
        let _stripe = self.shard(probe.hash).stripe.lock();
        if from.get(&probe).is_some_and(|held| Arc::ptr_eq(&held, entry)) {
            from.invalidate(&probe);
            Counters::add(&self.counters.expired);
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        generation == self.generation.load(Ordering::Acquire)
    }

    fn note_due(&self, key: &[u8]) {
        let mut due = self.due.lock();
        if due.len() < MOST_DUE {
            due.push(key.into());
            self.any_due.store(true, Ordering::Release);
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn probe<'a>(&self, key: &'a [u8]) -> Probe<'a> {
        Probe { hash: self.hash(key), bytes: key }
    }

    fn shard(&self, hash: u64) -> &Shard {
        // Not the bits by which the maps choose their segments and buckets.
        &self.shards[(hash >> 24) as usize % STRIPES]
    }
}

fn read_time(source: Source) -> Millis {
    match source {
        Source::Sql { sent } => sent,
        Source::L2 { .. } => Millis::MIN,
    }
}
