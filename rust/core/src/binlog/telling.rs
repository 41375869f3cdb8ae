//! A stream for whoever tells L2: changes wait here until Python takes them, so many at most. Beyond that the stream's
//! thread waits, and the server with it: a transaction of any size passes through bounded memory.
use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
};

use couponry_binlog::{Cause, Change, Coordinate, Fate, Listener, Place, Reader};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use super::{BinlogSource, Text, by_name, read, text};
use crate::cache::L1;

/// (kind, key, fate, row, version), as lua/tell.lua takes them.
type Told = (&'static str, String, &'static str, i64, i64);

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub(crate) struct TellStream {
    reader: Reader,
    desk: Arc<Desk>,
}

#[pymethods]
impl TellStream {
    #[new]
    #[pyo3(signature = (source, l1, start=None, *, most=2048))]
    fn new(source: &BinlogSource, l1: &L1, start: Option<(Vec<u8>, Vec<u8>)>, most: usize) -> PyResult<Self> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        let desk = Arc::new(Desk { most, held: Mutex::default(), room: Condvar::new(), bell, ear });
        let reader = Reader::start(source.options(&l1.shared()), read(start)?, Arc::clone(&desk) as _)?;
        Ok(Self { reader, desk })
    }

    fn fileno(&self) -> i32 {
        self.desk.ear.as_raw_fd()
    }

    fn take<'py>(&self, py: Python<'py>) -> (Option<Text<'py>>, Option<i64>, bool, Option<bool>, Vec<Told>) {
        let taken = self.desk.take();
        (taken.to.map(|place| text(py, &place)), taken.fresh, taken.lost, taken.began, taken.changes)
    }

    fn probe(&self) {
        self.reader.probe();
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        by_name(self.reader.figures())
    }

    fn trouble(&self) -> Option<String> {
        self.reader.trouble()
    }

    fn stop(&self, py: Python<'_>) {
        // The thread must not wait for room that nobody makes.
        self.desk.close();
        py.detach(|| self.reader.stop());
    }
}

impl Drop for TellStream {
    fn drop(&mut self) {
        Python::attach(|py| self.stop(py));
    }
}

/// What waits to be taken.
#[derive(Default)]
struct Held {
    changes: Vec<Told>,
    /// Everything up to here is among what was taken and what waits.
    to: Option<Place>,
    /// Everything that the server had then (monotonic milliseconds) is too.
    fresh: Option<i64>,
    /// Since the last take the place was lost, or is another server's.
    lost: bool,
    /// A first place came since the last take; whether it is the one that was asked for.
    began: Option<bool>,
    closed: bool,
}

struct Desk {
    most: usize,
    held: Mutex<Held>,
    room: Condvar,
    bell: UnixStream,
    ear: UnixStream,
}

impl Desk {
    /// Takes all that waits, and rests the bell.
    fn take(&self) -> Held {
        let mut drained = [0; 64];
        // Read before what it announces: a ring that comes later is for what comes later.
        while matches!((&self.ear).read(&mut drained), Ok(count) if count == drained.len()) {}
        let mut held = self.held.lock();
        let (to, closed) = (held.to.clone(), held.closed);
        let taken = std::mem::replace(&mut *held, Held { to, closed, ..Held::default() });
        self.room.notify_all();
        taken
    }

    fn close(&self) {
        self.held.lock().closed = true;
        self.room.notify_all();
    }

    fn ring(&self) {
        // A full pipe has rung already.
        let _ = (&self.bell).write(&[1]);
    }

    fn put(&self, put: impl FnOnce(&mut Held)) {
        let mut held = self.held.lock();
        while held.changes.len() >= self.most && !held.closed {
            self.room.wait(&mut held);
        }
        let quiet = held.changes.is_empty() && !held.lost && held.began.is_none();
        put(&mut held);
        let rings = quiet && (!held.changes.is_empty() || held.lost || held.began.is_some());
        drop(held);
        if rings {
            self.ring();
        }
    }
}

impl Listener for Desk {
    fn started(&self, at: &Place, resumed: bool) {
        self.put(|held| {
            // What waits is of a place that was lost: an epoch that begins anew does not need it.
            if !resumed {
                held.changes.clear();
            }
            held.to = Some(at.clone());
            held.began = Some(resumed);
        });
    }

    fn change(&self, change: &Change<'_>, row: u32) {
        let told = (
            change.kind,
            String::from_utf8_lossy(change.key).into_owned(),
            name(change.fate),
            change.row,
            version(change.fate),
        );
        self.put(|held| {
            held.changes.push(told);
            if let Some(to) = &mut held.to {
                // A row may be news for several entries: what stands here is told with all of it, or told again.
                to.coordinate.row = row.saturating_sub(1).max(to.coordinate.row);
            }
        });
    }

    fn passed(&self, at: Coordinate) {
        let mut held = self.held.lock();
        if let Some(to) = &mut held.to {
            to.coordinate = at;
        }
    }

    fn fresh(&self, as_of: i64) {
        let mut held = self.held.lock();
        held.fresh = Some(as_of);
        drop(held);
        self.ring();
    }

    fn lost(&self, _cause: Cause) {
        self.put(|held| *held = Held { lost: true, closed: held.closed, ..Held::default() });
    }

    fn moved(&self, at: &Place) {
        self.put(|held| {
            *held =
                Held { lost: true, began: Some(false), to: Some(at.clone()), closed: held.closed, ..Held::default() };
        });
    }
}

fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::Present(_) => "present",
        Fate::Left(_) => "left",
        Fate::Gone(_) => "gone",
        Fate::Inserted(_) => "inserted",
        Fate::Touched(_) => "touched",
        Fate::Quarantine => "quarantine",
    }
}

fn version(fate: Fate) -> i64 {
    match fate {
        Fate::Present(version)
        | Fate::Left(version)
        | Fate::Gone(version)
        | Fate::Inserted(version)
        | Fate::Touched(version) => version,
        Fate::Quarantine => 0,
    }
}
