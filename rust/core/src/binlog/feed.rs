//! What a reader tells goes straight into L1, on the reader's thread: no Python, no lock of the interpreter.
use std::sync::Arc;

use couponry_binlog::{Cause, Change, Coordinate, Fate, Listener, Place};
use couponry_cache::{Cache, Change as Floor, Fate as FloorFate};
use parking_lot::Mutex;

use super::tables::WATCHED;
use crate::cache::Shared;

pub(super) struct Feed {
    l1: Arc<Shared>,
    /// The kinds that changes are told of, by the names that the watched tables have for them.
    kinds: Vec<(&'static str, Arc<Cache>)>,
    first: Mutex<Option<Place>>,
}

impl Feed {
    pub(super) fn new(l1: Arc<Shared>) -> Self {
        let names = WATCHED.iter().flat_map(|table| [Some(table.kind), table.alias.map(|alias| alias.kind)]);
        let kinds = names.flatten().filter_map(|name| Some((name, Arc::clone(l1.layer.kind(name)?)))).collect();
        Self { l1, kinds, first: Mutex::new(None) }
    }

    /// Where the reader began, since it started or since it lost its place.
    pub(super) fn first(&self) -> Option<Place> {
        self.first.lock().clone()
    }
}

impl Listener for Feed {
    fn started(&self, at: &Place, resumed: bool) {
        self.l1.layer.started(self.l1.clock.mono(), resumed);
        *self.first.lock() = Some(at.clone());
    }

    fn change(&self, change: &Change<'_>, _row: u32) {
        // Kinds that this process does not cache have no entries to be wrong.
        if let Some((_, cache)) = self.kinds.iter().find(|(name, _)| *name == change.kind) {
            let floor = Floor { key: change.key, row: change.row, fate: floor(change.fate) };
            cache.event(&floor, self.l1.clock.mono());
        }
    }

    fn passed(&self, _at: Coordinate) {}

    fn fresh(&self, as_of: i64) {
        self.l1.layer.freshness().passed(as_of, self.l1.clock.mono());
    }

    fn lost(&self, _cause: Cause) {
        *self.first.lock() = None;
        self.l1.layer.lost();
    }

    fn moved(&self, at: &Place) {
        // What is held may be of transactions that the new server never had.
        self.l1.layer.clear();
        *self.first.lock() = Some(at.clone());
    }
}

fn floor(fate: Fate) -> FloorFate {
    match fate {
        Fate::Present(version) => FloorFate::Present { version },
        Fate::Left(version) => FloorFate::Left { version },
        Fate::Gone(version) => FloorFate::Gone { version },
        Fate::Inserted(version) => FloorFate::Inserted { version },
        Fate::Touched(version) => FloorFate::Touched { version },
        Fate::Quarantine => FloorFate::Quarantine,
    }
}
