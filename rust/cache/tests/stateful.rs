//! L1 with floors against a model, under an adversarial scheduler: commits that become visible late, a reader that lags
//! or loses its place, loads that hang anywhere, answers of an L2 that was told less, own writes, evictions, expiry.
//!
//! The model knows every commit and what each value saw of them. Whatever the order of steps: no entry that is served
//! lacks a commit that the reader has passed or that this process has made, and none lacks a commit that was visible for
//! longer than `max_staleness`.
#![allow(clippy::unwrap_used)] // clippy allows it in test functions, not in what they share
use std::sync::Arc;

use bytes::Bytes;
use couponry_cache::{
    Cache, Change, Draft, FLOOR_LIFE, Fate, Fill, Found, Freshness, Kind, L1, Limits, MAX_FILL, Millis, Now, Source,
};
use proptest::prelude::*;

const STALENESS: Millis = 2000;
const LAG: Millis = FLOOR_LIFE - MAX_FILL;
const KEYS: usize = 3;
const ROWS: usize = 2;

fn name(key: usize) -> Vec<u8> {
    format!("key{key}").into_bytes()
}

/// What a worker of the world may do next. Times are how long the steps before it took.
#[derive(Debug, Clone)]
enum Step {
    Wait(Millis),
    /// A commit: in the log at once, visible later. `own`: by this process, told to L1 when it is visible.
    Commit {
        key: usize,
        row: usize,
        leaves: bool,
        own: Own,
    },
    /// The oldest commit that is not visible becomes visible.
    Show,
    /// The reader meets one event.
    Meet,
    /// The server's coordinate is asked for now, and told when the reader is there.
    Probe,
    Begin {
        key: usize,
    },
    /// A load sends its statement, and sees what is visible.
    Read {
        load: usize,
    },
    /// A load is answered by an L2 that was told of the log up to somewhere.
    ReadL2 {
        load: usize,
        told: usize,
    },
    Store {
        load: usize,
    },
    Drop {
        load: usize,
    },
    Lose,
    Restart {
        back: usize,
    },
    Evict {
        key: usize,
    },
    Get {
        key: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    No,
    /// With its versions.
    Told,
    /// Without them.
    Written,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        3 => prop_oneof![4 => 0..50i64, 2 => 50..1500i64, 1 => 1500..8000i64, 1 => 8000..40_000i64].prop_map(Step::Wait),
        4 => (key.clone(), 0..ROWS, any::<bool>(), prop_oneof![4 => Just(Own::No), 1 => Just(Own::Told), 1 => Just(Own::Written)])
            .prop_map(|(key, row, leaves, own)| Step::Commit { key, row, leaves, own }),
        4 => Just(Step::Show),
        6 => Just(Step::Meet),
        4 => Just(Step::Probe),
        4 => key.clone().prop_map(|key| Step::Begin { key }),
        4 => (0..4usize).prop_map(|load| Step::Read { load }),
        2 => (0..4usize, 0..6usize).prop_map(|(load, told)| Step::ReadL2 { load, told }),
        4 => (0..4usize).prop_map(|load| Step::Store { load }),
        1 => (0..4usize).prop_map(|load| Step::Drop { load }),
        1 => Just(Step::Lose),
        1 => (0..4usize).prop_map(|back| Step::Restart { back }),
        1 => key.clone().prop_map(|key| Step::Evict { key }),
        6 => key.prop_map(|key| Step::Get { key }),
    ]
}

#[derive(Debug, Clone)]
struct Commit {
    key: usize,
    row: usize,
    version: i64,
    here: bool,
    own: Own,
    logged: Millis,
    visible: Option<Millis>,
}

/// What a load has read: how many commits of the log it saw (those that are visible become so in the log's order).
#[derive(Clone, Copy)]
struct Value {
    saw: usize,
    source: Source,
}

struct Load {
    key: usize,
    fill: Fill,
    value: Option<Value>,
}

struct World {
    now: Millis,
    l1: L1,
    log: Vec<Commit>,
    /// How many commits are visible.
    visible: usize,
    /// How many the reader has passed, and where it began; None: it has no place.
    passed: Option<usize>,
    first: usize,
    /// Probes that wait for the reader: the coordinate and when it was asked for.
    probes: Vec<(usize, Millis)>,
    loads: Vec<Load>,
    served: usize,
}

impl World {
    fn new(floors: usize) -> Self {
        let limits = Limits { bytes: 1 << 20, absent_bytes: 1 << 20, decoded_percent: 0, floors };
        let kind = Kind { name: "rows".to_owned(), limits, told: true };
        let l1 = L1::new([kind], Freshness::new(STALENESS, 0));
        let now = 1_000_000;
        l1.freshness().measure(now);
        l1.started(now, true);
        l1.freshness().passed(now, now);
        Self {
            now,
            l1,
            log: Vec::new(),
            visible: 0,
            passed: Some(0),
            first: 0,
            probes: Vec::new(),
            loads: Vec::new(),
            served: 0,
        }
    }

    fn cache(&self) -> &Arc<Cache> {
        self.l1.kind("rows").unwrap()
    }

    fn clocks(&self) -> Now {
        Now { mono: self.now, wall: self.now }
    }

    /// The row as it is after the first `saw` commits: its version, and whether it is in the list.
    fn row(&self, key: usize, row: usize, saw: usize) -> (i64, bool) {
        let last = self.log[..saw].iter().rev().find(|commit| commit.key == key && commit.row == row);
        last.map_or((1, true), |commit| (commit.version, commit.here))
    }

    fn rows(&self, key: usize, saw: usize) -> Vec<(i64, i64)> {
        let rows = (0..ROWS).map(|row| (row, self.row(key, row, saw)));
        rows.filter(|(_, (_, here))| *here).map(|(row, (version, _))| (row as i64, version)).collect()
    }

    fn change(&self, commit: &Commit) -> Fate {
        let version = commit.version;
        if commit.here { Fate::Present { version } } else { Fate::Left { version } }
    }

    fn tell(&self, commit: &Commit, fate: Fate) {
        let key = name(commit.key);
        self.cache().event(&Change { key: &key, row: commit.row as i64, fate }, self.now);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Wait(time) => self.wait(time),
            Step::Commit { key, row, leaves, own } => {
                // The row is locked by a commit that is not visible yet.
                if self.log[self.visible..].iter().any(|commit| commit.key == key && commit.row == row) {
                    return;
                }
                let (version, here) = self.row(key, row, self.log.len());
                let here = if here { !leaves } else { true };
                self.log.push(Commit { key, row, version: version + 1, here, own, logged: self.now, visible: None });
            }
            Step::Show => self.show(),
            Step::Meet => self.meet(),
            Step::Probe => {
                self.probes.push((self.log.len(), self.now));
                self.reach();
            }
            Step::Begin { key } => {
                if self.loads.len() < 4 {
                    let fill = self.cache().begin(&name(key), self.now);
                    self.loads.push(Load { key, fill, value: None });
                }
            }
            Step::Read { load } => {
                let (now, saw) = (self.now, self.visible);
                if let Some(load) = self.loads.get_mut(load) {
                    load.value.get_or_insert(Value { saw, source: Source::Sql { sent: now } });
                }
            }
            Step::ReadL2 { load, told } => {
                // It holds what was visible when a worker whose reader was at `told` or beyond read it.
                let told = self.log.len().saturating_sub(told).min(self.visible);
                let since_first = self.passed.is_some() && told >= self.first;
                let fresh = self.log.get(told).is_none_or(|commit| self.now - commit.logged <= STALENESS);
                if let Some(load) = self.loads.get_mut(load).filter(|_| fresh) {
                    load.value.get_or_insert(Value { saw: told, source: Source::L2 { since_first } });
                }
            }
            Step::Store { load } => self.store(load),
            Step::Drop { load } => {
                if load < self.loads.len() {
                    self.loads.remove(load);
                }
            }
            Step::Lose => {
                self.passed = None;
                self.probes.clear();
                self.l1.lost();
            }
            Step::Restart { back } => self.restart(back),
            Step::Evict { key } => {
                self.cache().remove(&name(key));
            }
            Step::Get { key } => self.get(key),
        }
    }

    fn wait(&mut self, time: Millis) {
        // No commit hides for longer than the promise allows.
        let end = self.now + time;
        while let Some(commit) = self.log.get(self.visible).filter(|commit| commit.logged + LAG <= end) {
            self.now = self.now.max(commit.logged + LAG);
            self.show();
        }
        self.now = end;
    }

    fn show(&mut self) {
        let now = self.now;
        let Some(commit) = self.log.get_mut(self.visible) else { return };
        commit.visible = Some(now);
        let commit = commit.clone();
        self.visible += 1;
        match commit.own {
            Own::No => {}
            Own::Told => self.tell(&commit, self.change(&commit)),
            Own::Written => self.tell(&commit, Fate::Written),
        }
    }

    fn meet(&mut self) {
        let Some(passed) = self.passed.filter(|passed| *passed < self.log.len()) else { return };
        let commit = self.log[passed].clone();
        self.tell(&commit, self.change(&commit));
        self.passed = Some(passed + 1);
        self.reach();
    }

    fn reach(&mut self) {
        let Some(passed) = self.passed else { return };
        let (l1, now) = (&self.l1, self.now);
        self.probes.retain(|(at, asked)| {
            let there = *at <= passed;
            if there {
                l1.freshness().passed(*asked, now);
            }
            !there
        });
    }

    fn restart(&mut self, back: usize) {
        if self.passed.is_some() {
            return;
        }
        // At a coordinate a floor's life old, if there is one, else where the log ends.
        let old = self.log.iter().rposition(|commit| self.now - commit.logged >= FLOOR_LIFE).map_or(0, |at| at + 1);
        let replayed = back > 0;
        let first = if replayed { old.saturating_sub(back - 1) } else { self.log.len() };
        (self.first, self.passed) = (first, Some(first));
        self.l1.started(self.now, replayed);
    }

    fn store(&mut self, load: usize) {
        let Some(Load { key, fill, value: Some(value) }) = self.loads.get(load) else { return };
        let rows = self.rows(*key, value.saw);
        let payload = Bytes::from(value.saw.to_string());
        let draft = Draft { rows, payload: Some(payload), life: 600_000, ..Draft::default() };
        // Refused or not: what is served is judged.
        let _ = fill.store(draft, value.source, self.clocks());
        self.loads.remove(load);
    }

    fn get(&mut self, key: usize) {
        let Found::Hit(entry) = self.cache().get(&name(key), self.clocks(), 0) else { return };
        let saw: usize = std::str::from_utf8(entry.payload().unwrap()).unwrap().parse().unwrap();
        self.served += 1;
        let passed = self.passed.unwrap_or(0);
        for (place, commit) in self.log.iter().enumerate().skip(saw).filter(|(_, commit)| commit.key == key) {
            let heard = place < passed && place >= self.first && self.now - commit.logged < FLOOR_LIFE;
            assert!(!heard, "served {saw} though the reader has passed {place}: {commit:?}");
            let own = commit.own != Own::No && commit.visible.is_some();
            assert!(!own, "served {saw} though this process wrote {place}: {commit:?}");
            let old = commit.visible.is_some_and(|visible| self.now - visible > STALENESS);
            assert!(!old, "served {saw} at {}, {place} is visible for too long: {commit:?}", self.now);
        }
        assert_eq!(entry.rows(), self.rows(key, saw));
    }

    /// Faults stop: everything is shown, met and fresh, and floors age. Is a key cached again, and current?
    fn calm(&mut self) {
        self.loads.clear();
        while self.visible < self.log.len() {
            self.show();
        }
        if self.passed.is_none() {
            self.restart(0);
        }
        for _ in 0..70 {
            while self.passed.is_some_and(|passed| passed < self.log.len()) {
                self.meet();
            }
            self.take(&Step::Probe);
            self.wait(1000);
        }
        self.take(&Step::Probe);
        for key in 0..KEYS {
            self.take(&Step::Begin { key });
            self.take(&Step::Read { load: 0 });
            self.take(&Step::Store { load: 0 });
            let before = self.served;
            self.get(key);
            assert_eq!(self.served, before + 1, "key {key} is cached again");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_of_steps_nothing_older_than_a_floor_is_served(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(65_536);
        for step in &steps {
            world.take(step);
        }
        world.calm();
    }

    #[test]
    fn nor_where_floors_are_folded_all_the_time(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(1);
        for step in &steps {
            world.take(step);
        }
        world.calm();
    }
}
