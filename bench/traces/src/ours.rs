//! The project's L1 as the service uses it: loads begin and are stored, events raise floors, a reader reports that it
//! has passed everything each half second.
use std::sync::Arc;

use bytes::Bytes;
use couponry_cache::{Cache, Change, Draft, Fate, Found as Got, Freshness, Kind, L1, Limits, Now, Source};

use crate::{
    contender::{Contender, Found, Versions},
    trace::Step,
};

const PROBE_MS: i64 = 500;
/// Longer than any trace.
const LIFE_MS: i64 = 1 << 40;

/// One kind of an L1.
pub struct Ours {
    l1: L1,
    cache: Arc<Cache>,
    probed: i64,
}

impl Ours {
    /// None where L1 does not know the kind that it was given.
    pub fn new(capacity: u64) -> Option<Self> {
        let limits = Limits { bytes: capacity, absent_bytes: 0, decoded_percent: 0, floors: 65_536 };
        let kind = Kind { name: "row".to_owned(), limits, told: true };
        let l1 = L1::new([kind], Freshness::new(2_000, 0));
        l1.freshness().measure(0);
        l1.started(0, true);
        l1.freshness().passed(0, 0);
        let cache = Arc::clone(l1.kind("row")?);
        Some(Self { l1, cache, probed: 0 })
    }

    /// What an entry weighs beside its payload, asked of L1 itself, so that every contender counts alike.
    pub fn overhead() -> Option<u64> {
        let mut ours = Self::new(1 << 20)?;
        let step = Step { at_ms: 0, key: 1, bytes: 0, kind: 0, what: crate::trace::What::Read };
        let _ = ours.read(&step, Versions { row: 1, newest: 1 });
        Some(ours.cache.stats(0).bytes)
    }

    fn now(&mut self, step: &Step) -> Now {
        let mono = i64::from(step.at_ms);
        if mono >= self.probed + PROBE_MS {
            self.probed = mono;
            self.l1.freshness().passed(mono, mono);
        }
        Now { mono, wall: mono }
    }
}

impl Contender for Ours {
    fn read(&mut self, step: &Step, versions: Versions) -> Found {
        let (now, key) = (self.now(step), step.key.to_be_bytes());
        match self.cache.get(&key, now, 0) {
            Got::Hit(entry) if entry.rows().iter().all(|(_, version)| *version == i64::from(versions.newest)) => {
                Found::Hit
            }
            Got::Hit(_) => Found::Lie,
            Got::Absent | Got::Missed(_) => {
                let fill = self.cache.begin(&key, now.mono);
                let draft = Draft {
                    rows: vec![(i64::from(step.key), i64::from(versions.row))],
                    payload: Some(Bytes::from(vec![0; usize::from(step.bytes)])),
                    life: LIFE_MS,
                    ..Draft::default()
                };
                // A refused fill still answers its caller; the next read tries again.
                let _ = fill.store(draft, Source::Sql { sent: now.mono }, now);
                Found::Miss
            }
        }
    }

    fn changed(&mut self, step: &Step, newest: u32) {
        let now = self.now(step);
        let fate = Fate::Present { version: i64::from(newest) };
        self.cache.event(&Change { key: &step.key.to_be_bytes(), row: i64::from(step.key), fate }, now.mono);
    }
}
