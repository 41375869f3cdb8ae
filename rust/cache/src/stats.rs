//! What a kind has seen: counters since the start, and what is held now.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{cache::Missed, fill::Refused};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters that many threads raise.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64),* }

        /// Counters since the start, and what is held now.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Entries that made room for others, or were not let in.
            pub evictions: u64,
            pub entries: u64,
            pub absences: u64,
            pub bytes: u64,
            /// Floors alive.
            pub floors: u64,
            /// Stripes in which nothing is stored because floors were folded.
            pub folded_stripes: u64,
        }

        impl Counters {
            pub fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }

        impl Stats {
            /// Every figure with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($name), self.$name),)*
                    ("evictions", self.evictions),
                    ("entries", self.entries),
                    ("absences", self.absences),
                    ("bytes", self.bytes),
                    ("floors", self.floors),
                    ("folded_stripes", self.folded_stripes),
                ]
            }
        }
    };
}

counters! {
    hits,
    /// Hits of negative entries.
    absent_hits,
    /// Answers while SQL was down and L1 no longer fresh.
    stale_hits,
    /// Nothing there.
    missed_nothing,
    /// Past its life or its time boundary.
    missed_over,
    /// Below a floor.
    missed_floor,
    /// Older than the version asked for.
    missed_version,
    /// L1 was not fresh: bypassed.
    missed_unfresh,
    stores,
    refused_slow,
    refused_floor,
    refused_folded,
    refused_starting,
    refused_over,
    refused_cleared,
    /// Changes heard of, local commits included.
    events,
    /// Entries that changes removed.
    removed,
    /// Times that floors were folded.
    folds,
    /// Entries that took the place of another.
    replaced,
    /// Entries removed because their time was over.
    expired,
}

impl Counters {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn missed(&self, cause: Missed) {
        Self::add(match cause {
            Missed::Nothing => &self.missed_nothing,
            Missed::Over => &self.missed_over,
            Missed::Floor => &self.missed_floor,
            Missed::Version => &self.missed_version,
            Missed::Unfresh => &self.missed_unfresh,
        });
    }

    pub fn refused(&self, cause: Refused) {
        Self::add(match cause {
            Refused::Slow => &self.refused_slow,
            Refused::Floor => &self.refused_floor,
            Refused::Folded => &self.refused_folded,
            Refused::Starting => &self.refused_starting,
            Refused::Over => &self.refused_over,
            Refused::Cleared => &self.refused_cleared,
        });
    }
}
