//! The two clocks that L1 lives by: monotonic milliseconds (CLOCK_MONOTONIC, the same as Python's `time.monotonic`) and
//! wall milliseconds since 1970. Tests hand in their own.
use couponry_cache::{Millis, Now};
use pyo3::prelude::*;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A clock that is None is the system's; else a callable that returns milliseconds.
pub(crate) struct Clock {
    mono: Option<Py<PyAny>>,
    wall: Option<Py<PyAny>>,
}

impl Clock {
    pub(crate) fn new(mono: Option<Py<PyAny>>, wall: Option<Py<PyAny>>) -> Self {
        Self { mono, wall }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono(), wall: read(self.wall.as_ref(), ClockId::Realtime) }
    }

    pub(crate) fn mono(&self) -> Millis {
        read(self.mono.as_ref(), ClockId::Monotonic)
    }
}

fn read(own: Option<&Py<PyAny>>, id: ClockId) -> Millis {
    if let Some(own) = own {
        return Python::attach(|py| {
            own.bind(py).call0().and_then(|ms| ms.extract()).unwrap_or_else(|error| {
                error.write_unraisable(py, Some(own.bind(py)));
                system(id)
            })
        });
    }
    system(id)
}

fn system(id: ClockId) -> Millis {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
    tv_sec * 1000 + tv_nsec / 1_000_000
}
