//! One server on one event loop. It collects the connections that Python replies woke and serves them in one callback
//! a tick, and keeps the one timer that all connections share.
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use couponry_pricing::Calculator;
use couponry_wire::{Config, Route, Routes};
use parking_lot::{Mutex, RwLock};
use pyo3::{
    exceptions::{PyKeyError, PyValueError},
    intern,
    prelude::*,
    types::PyDict,
};
use slab::Slab;

use super::{
    calculate::CalculateHot,
    hot::{HealthTable, L1Hot},
    protocol::Protocol,
};
use crate::{cache::L1, claims::ClaimBatcher, discount::rules_of};

/// Timers are not finer than this.
const TICK: Duration = Duration::from_millis(5);

/// A connection's name is its slot and, above it, how many came before: a name is never used again.
const SLOT_BITS: u32 = 24;

struct State {
    connections: Slab<(u64, Py<Protocol>)>,
    entered: u64,
    woken: Vec<Py<Protocol>>,
    flush_scheduled: bool,
    timer: Option<(Instant, Py<PyAny>)>,
    opened: u64,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct Engine {
    event_loop: Py<PyAny>,
    pub dispatch: Py<PyAny>,
    /// Called when a connection is gone.
    left: Py<PyAny>,
    pub config: Arc<Config>,
    routes: RwLock<Arc<Routes>>,
    max_connections: usize,
    claims: OnceLock<Py<ClaimBatcher>>,
    state: Mutex<State>,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(event_loop: Py<PyAny>, dispatch: Py<PyAny>, left: Py<PyAny>, limits: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut max_connections = usize::MAX;
        let config = config(limits, &mut max_connections)?;
        let state = State {
            connections: Slab::new(),
            entered: 0,
            woken: Vec::new(),
            flush_scheduled: false,
            timer: None,
            opened: 0,
        };
        Ok(Self {
            event_loop,
            dispatch,
            left,
            config: Arc::new(config),
            routes: RwLock::default(),
            max_connections: max_connections.min(1 << SLOT_BITS),
            claims: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    /// `routes`: (path, unary request) by number.
    fn set_routes(&self, routes: Vec<(String, bool)>, open_ended: bool) {
        let mut table = Routes::default();
        table.open_ended = open_ended;
        for (id, (path, unary_request)) in routes.iter().enumerate() {
            table.insert(path, Route { id, unary_request: *unary_request, hot: None });
        }
        *self.routes.write() = Arc::new(table);
    }

    fn answer_from_l1(
        &self,
        path: &str,
        l1: Py<L1>,
        kind: String,
        key_field: u32,
        item_field: u32,
        many: bool,
    ) -> PyResult<()> {
        l1.get().kind(&kind)?;
        self.set_hot(path, Arc::new(L1Hot::new(l1, kind, key_field, item_field, many)))
    }

    fn answer_claims(slf: &Bound<'_, Self>, path: &str, claims: Py<ClaimBatcher>) -> PyResult<()> {
        slf.get().set_hot(path, ClaimBatcher::answerer(&claims, slf.py()))?;
        claims.get().serve(slf.clone().unbind());
        slf.get().claims.set(claims).map_err(|_| PyValueError::new_err("claims have an answerer already"))
    }

    fn answer_calculations(
        &self,
        path: &str,
        l1: &L1,
        user_kind: String,
        template_kind: String,
        rules: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let calculator = Calculator::new(rules_of(rules)?);
        let most = self.config.max_send_message;
        self.set_hot(path, Arc::new(CalculateHot::new(l1, user_kind, template_kind, calculator, most)?))
    }

    fn answer_health(&self, path: &str, table: &HealthTable) -> PyResult<()> {
        self.set_hot(path, table.answerer())
    }

    /// A protocol for one connection: the factory for `create_server`.
    fn protocol(slf: Bound<'_, Self>) -> PyResult<Py<Protocol>> {
        let routes = Arc::clone(&slf.get().routes.read());
        let opened = {
            let mut state = slf.get().state.lock();
            state.opened += 1;
            state.opened
        };
        // Spreads the ages of connections over a tenth either way.
        let jitter = (opened.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as f64 / f64::from(1u32 << 20) / 5.0 - 0.1;
        let py = slf.py();
        Py::new(py, Protocol::new(slf.unbind(), routes, jitter))
    }

    /// Serves the connections that replies woke.
    fn flush(slf: &Bound<'_, Self>) {
        let woken = {
            let mut state = slf.get().state.lock();
            state.flush_scheduled = false;
            std::mem::take(&mut state.woken)
        };
        for protocol in woken {
            Protocol::turn(protocol.bind(slf.py()));
        }
    }

    /// Does what time asks for on every connection.
    fn sweep(slf: &Bound<'_, Self>) {
        let engine = slf.get();
        let now = Instant::now();
        engine.state.lock().timer = None;
        let mut next: Option<Instant> = None;
        for protocol in engine.all(slf.py()) {
            let protocol = protocol.bind(slf.py());
            if protocol.get().due().is_some_and(|due| due <= now) {
                Protocol::expire(protocol, now);
            }
            if let Some(due) = protocol.get().due() {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        if let Some(next) = next {
            Self::arm(slf, next, now);
        }
    }

    /// Tells every peer to go away and serves what runs.
    fn drain(slf: &Bound<'_, Self>) {
        for protocol in slf.get().all(slf.py()) {
            Protocol::drain(protocol.bind(slf.py()));
        }
    }

    /// Ends every call and connection.
    fn stop(slf: &Bound<'_, Self>) {
        for protocol in slf.get().all(slf.py()) {
            Protocol::stop(protocol.bind(slf.py()));
        }
        let timer = slf.get().state.lock().timer.take();
        if let Some((_, handle)) = timer
            && let Err(error) = handle.bind(slf.py()).call_method0(intern!(slf.py(), "cancel"))
        {
            error.write_unraisable(slf.py(), Some(&handle.into_bound(slf.py())));
        }
    }

    #[getter]
    fn connections(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Calls on all connections, those whose reply is still being sent included.
    #[getter]
    fn calls(&self, py: Python<'_>) -> usize {
        self.all(py).iter().map(|protocol| protocol.get().calls()).sum()
    }
}

impl Engine {
    fn set_hot(&self, path: &str, hot: Arc<dyn couponry_wire::Hot>) -> PyResult<()> {
        let mut routes = self.routes.write();
        let Some(table) = Arc::get_mut(&mut routes) else {
            return Err(PyValueError::new_err("hot methods are set before the first connection"));
        };
        if table.set_hot(path, hot) {
            Ok(())
        } else {
            Err(PyKeyError::new_err(format!("{path} is not a registered method with a unary request")))
        }
    }

    fn all(&self, py: Python<'_>) -> Vec<Py<Protocol>> {
        self.state.lock().connections.iter().map(|(_, (_, protocol))| protocol.clone_ref(py)).collect()
    }

    /// Takes a connection into the table and gives its slot and name; None where there are too many.
    pub fn enter(&self, protocol: Py<Protocol>) -> Option<(usize, u64)> {
        let mut state = self.state.lock();
        if state.connections.len() >= self.max_connections {
            return None;
        }
        state.entered += 1;
        let slot = state.connections.vacant_key();
        let name = state.entered << SLOT_BITS | slot as u64;
        state.connections.insert((name, protocol));
        Some((slot, name))
    }

    /// The connection of a name, while it is there.
    pub fn find(&self, py: Python<'_>, name: u64) -> Option<Py<Protocol>> {
        let state = self.state.lock();
        let (known, protocol) = state.connections.get((name & ((1 << SLOT_BITS) - 1)) as usize)?;
        (*known == name).then(|| protocol.clone_ref(py))
    }

    /// A connection's turn is over: the claims that it brought go out at the end of the tick.
    pub fn after_turn(&self, py: Python<'_>) {
        if let Some(claims) = self.claims.get() {
            ClaimBatcher::plan(claims.bind(py));
        }
    }

    pub fn leave(&self, py: Python<'_>, slot: usize) {
        let gone = self.state.lock().connections.try_remove(slot);
        drop(gone);
        if let Err(error) = self.left.bind(py).call0() {
            error.write_unraisable(py, Some(self.left.bind(py)));
        }
    }

    /// A reply woke a connection outside of its own turn.
    pub fn wake(slf: &Bound<'_, Self>, protocol: Py<Protocol>) -> PyResult<()> {
        let schedule = {
            let mut state = slf.get().state.lock();
            state.woken.push(protocol);
            !std::mem::replace(&mut state.flush_scheduled, true)
        };
        if schedule {
            let py = slf.py();
            slf.get().call_soon(py, slf.getattr(intern!(py, "flush"))?)?;
        }
        Ok(())
    }

    pub fn call_soon(&self, py: Python<'_>, callback: Bound<'_, PyAny>) -> PyResult<()> {
        self.event_loop.bind(py).call_method1(intern!(py, "call_soon"), (callback,))?;
        Ok(())
    }

    /// Makes sure that `sweep` runs at `due`.
    pub fn arm(slf: &Bound<'_, Self>, due: Instant, now: Instant) {
        let py = slf.py();
        let armed = || -> PyResult<()> {
            let old = {
                let mut state = slf.get().state.lock();
                if state.timer.as_ref().is_some_and(|(at, _)| *at <= due + TICK) {
                    return Ok(());
                }
                state.timer.take()
            };
            if let Some((_, handle)) = old {
                handle.bind(py).call_method0(intern!(py, "cancel"))?;
            }
            let delay = due.saturating_duration_since(now).max(TICK);
            let sweep = slf.getattr(intern!(py, "sweep"))?;
            let event_loop = slf.get().event_loop.bind(py);
            let handle = event_loop.call_method1(intern!(py, "call_later"), (delay.as_secs_f64(), sweep))?;
            slf.get().state.lock().timer = Some((now + delay, handle.unbind()));
            Ok(())
        };
        if let Err(error) = armed() {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }
}

fn config(limits: &Bound<'_, PyDict>, max_connections: &mut usize) -> PyResult<Config> {
    let mut config = Config::default();
    for (name, value) in limits {
        let name: String = name.extract()?;
        let seconds = || -> PyResult<Option<Duration>> {
            value
                .extract::<Option<f64>>()?
                .map(|seconds| {
                    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
                })
                .transpose()
        };
        let some_seconds = || seconds()?.ok_or_else(|| PyValueError::new_err(format!("{name} is a number")));
        match name.as_str() {
            "max_receive_message" => config.max_receive_message = value.extract()?,
            "max_send_message" => config.max_send_message = value.extract()?,
            "max_metadata" => config.max_metadata = value.extract()?,
            "max_concurrent_streams" => config.max_concurrent_streams = value.extract()?,
            "max_connections" => *max_connections = value.extract()?,
            "preface_timeout_s" => config.preface_timeout = some_seconds()?,
            "stall_timeout_s" => config.stall_timeout = some_seconds()?,
            "max_idle_s" => config.max_idle = seconds()?,
            "max_age_s" => config.max_age = seconds()?,
            "max_age_grace_s" => config.max_age_grace = seconds()?,
            "keepalive_s" => config.keepalive = seconds()?,
            "keepalive_timeout_s" => config.keepalive_timeout = some_seconds()?,
            "keepalive_without_calls" => config.keepalive_without_calls = value.extract()?,
            "min_ping_interval_s" => config.min_ping_interval = some_seconds()?,
            "max_ping_strikes" => config.max_ping_strikes = value.extract()?,
            _ => return Err(PyKeyError::new_err(name)),
        }
    }
    Ok(config)
}
