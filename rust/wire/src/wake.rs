//! Wakers that only note what was woken; whoever drives the connection looks at the notes.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// What has been woken on one connection.
#[derive(Default)]
pub struct Wakes {
    connection: AtomicBool,
    calls: Mutex<Vec<usize>>,
}

impl Wakes {
    pub fn take_connection(&self) -> bool {
        self.connection.swap(false, Ordering::Relaxed)
    }

    /// Puts the calls that were woken into `calls`.
    pub fn take_calls(&self, calls: &mut Vec<usize>) {
        std::mem::swap(&mut *self.calls.lock(), calls);
    }

    pub fn are_there(&self) -> bool {
        self.connection.load(Ordering::Relaxed) || !self.calls.lock().is_empty()
    }

    pub fn push_call(&self, slot: usize) {
        self.calls.lock().push(slot);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.connection.store(true, Ordering::Relaxed);
    }
}

/// Wakes one call of a connection.
struct CallWake {
    slot: usize,
    wakes: Arc<Wakes>,
}

impl Wake for CallWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.push_call(self.slot);
    }
}

pub fn call_waker(slot: usize, wakes: &Arc<Wakes>) -> Waker {
    Arc::new(CallWake { slot, wakes: Arc::clone(wakes) }).into()
}
