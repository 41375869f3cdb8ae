//! What a trace is played to: moka used bare, least recently used, and the optimum, which needs the whole trace. The
//! project's own L1 is in `ours`.
use std::collections::HashMap;

use bytes::Bytes;
use moka::sync::Cache as Moka;

use crate::{
    belady,
    lru::Lru,
    trace::{Step, What},
};

/// The answer to a read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Hit,
    /// A hit on a row that has changed and been told of: an answer that must not be given.
    Lie,
    Miss,
}

/// `row` is what a load would find now, `newest` what was told last.
#[derive(Clone, Copy)]
pub struct Versions {
    pub row: u32,
    pub newest: u32,
}

pub trait Contender {
    fn read(&mut self, step: &Step, versions: Versions) -> Found;
    /// The event of a change arrives.
    fn changed(&mut self, step: &Step, newest: u32);
}

/// How many reads were what.
#[derive(Default)]
pub struct Score {
    pub reads: u64,
    pub hits: u64,
    pub lies: u64,
}

/// Plays one kind's steps. A change is told at once and visible to loads up to 3 ms later, as after a group commit.
pub fn play(steps: &[Step], contender: &mut dyn Contender) -> Score {
    let mut score = Score::default();
    let mut rows: HashMap<u32, (u32, u32)> = HashMap::new();
    for step in steps {
        let (newest, visible_at) = rows.get(&step.key).copied().unwrap_or((1, 0));
        match step.what {
            What::Change => {
                let lag = step.key.wrapping_add(newest) % 4;
                rows.insert(step.key, (newest + 1, step.at_ms + lag));
                contender.changed(step, newest + 1);
            }
            What::Read => {
                let row = if step.at_ms < visible_at { newest - 1 } else { newest };
                score.reads += 1;
                match contender.read(step, Versions { row, newest }) {
                    Found::Hit => score.hits += 1,
                    Found::Lie => score.lies += 1,
                    Found::Miss => {}
                }
            }
        }
    }
    score
}

/// The optimum's score.
pub fn play_belady(steps: &[Step], capacity: u64, overhead: u64) -> Score {
    let hits =
        belady::hits(steps, capacity, |step| u64::from(step.bytes) + overhead).into_iter().filter(|hit| *hit).count()
            as u64;
    let reads = steps.iter().filter(|step| step.what == What::Read).count() as u64;
    Score { reads, hits, lies: 0 }
}

/// moka with a weigher and nothing else: an event removes the key, a miss inserts what was read.
pub struct Bare(Moka<u32, (u32, Bytes)>);

impl Bare {
    pub fn new(capacity: u64, overhead: u64) -> Self {
        let weigher =
            move |_: &u32, entry: &(u32, Bytes)| u32::try_from(entry.1.len() as u64 + overhead).unwrap_or(u32::MAX);
        Self(Moka::builder().max_capacity(capacity).weigher(weigher).build())
    }
}

impl Contender for Bare {
    fn read(&mut self, step: &Step, versions: Versions) -> Found {
        match self.0.get(&step.key) {
            Some((version, _)) if version == versions.newest => Found::Hit,
            Some(_) => Found::Lie,
            None => {
                self.0.insert(step.key, (versions.row, Bytes::from(vec![0; usize::from(step.bytes)])));
                Found::Miss
            }
        }
    }

    fn changed(&mut self, step: &Step, _newest: u32) {
        self.0.invalidate(&step.key);
    }
}

/// Least recently used, in bytes.
pub struct Recent {
    lru: Lru,
    overhead: u64,
}

impl Recent {
    pub fn new(capacity: u64, overhead: u64) -> Self {
        Self { lru: Lru::new(capacity), overhead }
    }
}

impl Contender for Recent {
    fn read(&mut self, step: &Step, _versions: Versions) -> Found {
        if self.lru.read(step.key, u64::from(step.bytes) + self.overhead) { Found::Hit } else { Found::Miss }
    }

    fn changed(&mut self, step: &Step, _newest: u32) {
        self.lru.remove(step.key);
    }
}
