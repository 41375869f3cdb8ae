//! What a reader counts.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Cause;

/// Counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub events: u64,
    pub transactions: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Losses by cause, in the order of `Cause::ALL`.
    pub losses: [u64; Cause::ALL.len()],
    pub probes: u64,
    pub failed_probes: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) events: AtomicU64,
    pub(super) transactions: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) reconnects: AtomicU64,
    losses: [AtomicU64; Cause::ALL.len()],
    pub(super) probes: AtomicU64,
    pub(super) failed_probes: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Figures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            events: get(&self.events),
            transactions: get(&self.transactions),
            rows: get(&self.rows),
            bytes: get(&self.bytes),
            reconnects: get(&self.reconnects),
            losses: std::array::from_fn(|index| self.losses.get(index).map_or(0, get)),
            probes: get(&self.probes),
            failed_probes: get(&self.failed_probes),
        }
    }

    pub(super) fn lost(&self, cause: Cause) {
        if let Some(counter) =
            Cause::ALL.iter().position(|each| *each == cause).and_then(|place| self.losses.get(place))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}
