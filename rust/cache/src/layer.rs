//! All kinds of entries, and how fresh they are together.
use std::sync::Arc;

use crate::{
    Millis,
    cache::{Cache, Limits},
    freshness::Freshness,
};

/// A kind as it is asked for.
#[derive(Debug, Clone)]
pub struct Kind {
    pub name: String,
    pub limits: Limits,
    /// Whether changes are told of its rows; else its entries end by time alone.
    pub told: bool,
}

/// See the module.
pub struct L1 {
    kinds: Vec<(Box<str>, Arc<Cache>)>,
    freshness: Arc<Freshness>,
}

impl L1 {
    pub fn new(kinds: impl IntoIterator<Item = Kind>, freshness: Freshness) -> Self {
        let freshness = Arc::new(freshness);
        // What nobody tells of is as fresh as its time says.
        let untold = Arc::new(Freshness::new(freshness.max_staleness(), 0));
        let kinds = kinds
            .into_iter()
            .map(|kind| {
                let freshness = if kind.told { &freshness } else { &untold };
                (kind.name.into(), Arc::new(Cache::new(kind.limits, Arc::clone(freshness))))
            })
            .collect();
        Self { kinds, freshness }
    }

    /// The kind of this name.
    pub fn kind(&self, name: &str) -> Option<&Arc<Cache>> {
        // A handful: a scan beats a hash.
        self.kinds.iter().find(|(kind, _)| **kind == *name).map(|(_, cache)| cache)
    }

    /// Every kind with its name.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Arc<Cache>)> {
        self.kinds.iter().map(|(name, cache)| (&**name, cache))
    }

    pub fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// The reader has its first coordinate, since it started or since it lost its place: L1 begins empty. `replayed`:
    /// the coordinate is at least a floor's life old, so the events up to now will be seen.
    pub fn started(&self, now: Millis, replayed: bool) {
        self.clear();
        self.freshness.started(now, replayed);
    }

    /// The reader lost its place, or met something that it cannot place: nothing held is sure any longer.
    pub fn lost(&self) {
        self.freshness.lost();
        self.clear();
    }

    /// Removes every entry and detaches every load. Floors stay.
    pub fn clear(&self) {
        for (_, cache) in &self.kinds {
            cache.clear();
        }
    }
}
