//! How a caller is told: a call of the front end by connection and key, a call of a servicer by its future. The calls of
//! one connection are told one after the other, and the connection is woken once.
use std::{ops::Range, time::Instant};

use bytes::Bytes;
use couponry_wire::{Caller, Code, Finish, framing::PREFIX};
use http::HeaderMap;
use pyo3::{intern, prelude::*, types::PyBytes};

use crate::frontend::{Engine, Protocol};

/// Who waits for a verdict.
pub enum Handle {
    Call(Caller),
    Future(Py<PyAny>),
}

/// Why claims were not decided, for calls and for futures.
pub struct Refused {
    pub code: Code,
    pub details: String,
    pub trailers: HeaderMap,
    pub error: Py<PyAny>,
}

/// Tells callers, one tick's at a time.
pub struct Teller<'py> {
    py: Python<'py>,
    engine: Option<Py<Engine>>,
    current: Option<(u64, Bound<'py, Protocol>)>,
    now: Instant,
}

impl<'py> Teller<'py> {
    pub fn new(py: Python<'py>, engine: Option<Py<Engine>>) -> Self {
        Self { py, engine, current: None, now: Instant::now() }
    }

    /// A response with its gRPC prefix, which is a part of `bytes`.
    pub fn answer(&mut self, handle: Handle, bytes: &Bytes, part: Range<usize>) -> PyResult<()> {
        let now = self.now;
        match handle {
            Handle::Call(caller) => {
                if let Some(protocol) = self.connection(caller)? {
                    protocol.get().lock().connection.finish_with_part(caller.key, bytes, part, now);
                }
                Ok(())
            }
            Handle::Future(future) => {
                let message = bytes.get(part.start + PREFIX..part.end).unwrap_or_default();
                let message = PyBytes::new(self.py, message).into_any();
                settle(future.bind(self.py), intern!(self.py, "set_result"), message)
            }
        }
    }

    pub fn refuse(&mut self, handle: Handle, refused: &Refused) -> PyResult<()> {
        let now = self.now;
        match handle {
            Handle::Call(caller) => {
                if let Some(protocol) = self.connection(caller)? {
                    let finish = Finish {
                        code: refused.code,
                        details: refused.details.as_str().into(),
                        trailers: Some(refused.trailers.clone()),
                        message: None,
                    };
                    protocol.get().lock().connection.finish(caller.key, finish, now);
                }
                Ok(())
            }
            Handle::Future(future) => {
                let error = refused.error.bind(self.py).clone();
                settle(future.bind(self.py), intern!(self.py, "set_exception"), error)
            }
        }
    }

    /// Wakes the last connection.
    pub fn close(mut self) -> PyResult<()> {
        self.wake()
    }

    fn connection(&mut self, caller: Caller) -> PyResult<Option<&Bound<'py, Protocol>>> {
        if self.current.as_ref().is_none_or(|(name, _)| *name != caller.connection) {
            self.wake()?;
            let found = self.engine.as_ref().and_then(|engine| engine.get().find(self.py, caller.connection));
            self.current = found.map(|protocol| (caller.connection, protocol.into_bound(self.py)));
        }
        Ok(self.current.as_ref().map(|(_, protocol)| protocol))
    }

    fn wake(&mut self) -> PyResult<()> {
        let Some((_, protocol)) = self.current.take() else {
            return Ok(());
        };
        let has_work = protocol.get().lock().connection.has_work();
        if has_work { Protocol::wake(&protocol) } else { Ok(()) }
    }
}

/// Ends a future, unless its caller has gone away.
fn settle(future: &Bound<'_, PyAny>, how: &Bound<'_, pyo3::types::PyString>, with: Bound<'_, PyAny>) -> PyResult<()> {
    if !future.call_method0(intern!(future.py(), "done"))?.is_truthy()? {
        future.call_method1(how, (with,))?;
    }
    Ok(())
}
