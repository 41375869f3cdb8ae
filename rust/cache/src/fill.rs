//! One load of one key. Between its begin and its store anything may happen to the key; the floors know.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    MAX_FILL, Millis, Now,
    cache::Cache,
    entry::{Draft, Source},
};

/// Why a load is not stored. Its callers are answered all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it took too long")]
    Slow,
    #[error("it is below a floor")]
    Floor,
    #[error("floors were folded")]
    Folded,
    #[error("the reader has not seen enough yet")]
    Starting,
    #[error("its time is over")]
    Over,
    #[error("everything was removed since it began")]
    Cleared,
}

impl Refused {
    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Floor => "floor",
            Self::Folded => "folded",
            Self::Starting => "starting",
            Self::Over => "over",
            Self::Cleared => "cleared",
        }
    }
}

/// A load as its stripe knows it.
#[derive(Debug, Clone)]
pub struct Flight(Arc<AtomicBool>);

impl Flight {
    pub fn detach(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// When a load began, and in which generation of its cache.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    pub at: Millis,
    pub generation: u64,
}

/// A load that is under way. Dropping it ends it.
pub struct Fill {
    cache: Arc<Cache>,
    key: Box<[u8]>,
    hash: u64,
    begun: Begun,
    flight: Flight,
}

impl Fill {
    pub(crate) fn new(cache: Arc<Cache>, key: &[u8], hash: u64, begun: Millis) -> Self {
        let flight = Flight(Arc::default());
        let begun = cache.begun(begun);
        cache.board(hash, flight.clone());
        Self { cache, key: key.into(), hash, begun, flight }
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether the key changed since the begin: later callers must not join, but begin anew.
    pub fn is_detached(&self) -> bool {
        self.flight.0.load(Ordering::Acquire)
    }

    /// Whether what was read may be kept now, here or in L2, or answered (from L2). Nothing is stored or counted.
    pub fn admits(&self, rows: &[(i64, i64)], source: Source, now: Now) -> Result<(), Refused> {
        if now.mono - self.begun.at > MAX_FILL {
            return Err(Refused::Slow);
        }
        self.cache.admits(self.hash, rows, source, self.begun, now)
    }

    /// Stores what was read, unless a rule refuses it.
    pub fn store(&self, draft: Draft, source: Source, now: Now) -> Result<(), Refused> {
        let stored = if now.mono - self.begun.at > MAX_FILL {
            Err(Refused::Slow)
        } else {
            self.cache.store(&self.key, self.hash, draft, source, self.begun, now)
        };
        if let Err(cause) = stored {
            self.cache.counters.refused(cause);
        }
        stored
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.cache.leave(self.hash, &self.flight);
    }
}
