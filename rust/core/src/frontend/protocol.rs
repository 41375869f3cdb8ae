//! One connection: asyncio's callbacks on one side, `couponry_wire::Connection` on the other. No Python code runs while
//! the connection is locked: a transport calls back from inside its write.
use std::{collections::HashMap, sync::Arc, time::Instant};

use couponry_wire::{Connection, Event, Key, Opened, Routes, Shutdown};
use parking_lot::{Mutex, MutexGuard};
use pyo3::{
    intern,
    prelude::*,
    types::{PyByteArray, PyBytes, PyList, PyString, PyTuple},
};

use super::{call::Call, engine::Engine};

/// What the transport holds before it says that it is full.
const WRITE_HIGH: usize = 256 * 1024;

pub struct Inner {
    pub connection: Connection,
    /// The calls that handlers have.
    pub calls: HashMap<Key, Py<Call>>,
    transport: Option<Py<PyAny>>,
    write: Option<Py<PyAny>>,
    slot: Option<usize>,
    tls: bool,
    /// A turn runs or is planned.
    busy: bool,
    reading_paused: bool,
    closed: bool,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct Protocol {
    engine: Py<Engine>,
    inner: Mutex<Inner>,
}

#[pymethods]
impl Protocol {
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let engine = slf.get().engine.bind(py);
        let info = intern!(py, "get_extra_info");
        let tls = transport.call_method1(info, (intern!(py, "ssl_object"),))?;
        if !tls.is_none() {
            let chosen = tls.call_method0(intern!(py, "selected_alpn_protocol"))?;
            if chosen.extract::<Option<String>>()?.as_deref() != Some("h2") {
                transport.call_method0(intern!(py, "abort"))?;
                return Ok(());
            }
        }
        let Some((slot, name)) = engine.get().enter(slf.clone().unbind()) else {
            transport.call_method0(intern!(py, "abort"))?;
            return Ok(());
        };
        transport.call_method1(intern!(py, "set_write_buffer_limits"), (WRITE_HIGH,))?;
        let write = transport.getattr(intern!(py, "write"))?.unbind();
        let over_ip = transport.call_method1(info, (intern!(py, "peername"),))?.is_instance_of::<PyTuple>();
        {
            let mut inner = slf.get().inner.lock();
            if !over_ip {
                inner.connection.mend_authority();
            }
            inner.connection.set_name(name);
            inner.slot = Some(slot);
            inner.tls = !tls.is_none();
            inner.transport = Some(transport.clone().unbind());
            inner.write = Some(write);
        }
        Self::turn(slf);
        Ok(())
    }

    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut events = Vec::new();
        {
            let now = Instant::now();
            let connection = &mut slf.get().inner.lock().connection;
            if let Ok(bytes) = data.cast::<PyBytes>() {
                connection.receive(bytes.as_bytes(), now, &mut events);
            } else if let Ok(array) = data.cast::<PyByteArray>() {
                connection.receive(&array.to_vec(), now, &mut events);
            } else {
                connection.receive(&data.extract::<Vec<u8>>()?, now, &mut events);
            }
        }
        Self::turn_with(slf, events);
        Ok(())
    }

    /// True keeps the socket open for the replies that are still to come.
    fn eof_received(slf: &Bound<'_, Self>) -> bool {
        let ends = {
            let mut inner = slf.get().inner.lock();
            inner.connection.receive_end();
            inner.tls || inner.connection.shutdown().is_some()
        };
        Self::turn(slf);
        !ends
    }

    fn pause_writing(slf: &Bound<'_, Self>) {
        slf.get().inner.lock().connection.pause(true, Instant::now());
        Self::arm(slf);
    }

    fn resume_writing(slf: &Bound<'_, Self>) {
        slf.get().inner.lock().connection.pause(false, Instant::now());
        Self::turn(slf);
    }

    /// Ends the sending side of the socket.
    fn end(slf: &Bound<'_, Self>) {
        if let Some(transport) = slf.get().transport(slf.py()) {
            Self::ask(slf, &transport, intern!(slf.py(), "write_eof"));
        }
    }

    fn connection_lost(slf: &Bound<'_, Self>, _error: &Bound<'_, PyAny>) {
        let mut events = Vec::new();
        let (transport, write, slot) = {
            let mut inner = slf.get().inner.lock();
            inner.connection.lost(Instant::now(), &mut events);
            inner.closed = true;
            (inner.transport.take(), inner.write.take(), inner.slot.take())
        };
        drop((transport, write));
        if let Some(slot) = slot {
            slf.get().engine.get().leave(slf.py(), slot);
        }
        Self::act(slf, events);
    }
}

impl Protocol {
    pub fn new(engine: Py<Engine>, routes: Arc<Routes>, age_jitter: f64) -> Self {
        let config = Arc::clone(&engine.get().config);
        let inner = Inner {
            connection: Connection::new(config, routes, age_jitter, Instant::now()),
            calls: HashMap::new(),
            transport: None,
            write: None,
            slot: None,
            tls: false,
            busy: false,
            reading_paused: false,
            closed: false,
        };
        Self { engine, inner: Mutex::new(inner) }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub fn due(&self) -> Option<Instant> {
        self.inner.lock().connection.due()
    }

    pub fn calls(&self) -> usize {
        self.inner.lock().connection.calls()
    }

    pub fn transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inner.lock().transport.as_ref().map(|transport| transport.clone_ref(py))
    }

    /// A reply was made outside of a turn: plans one.
    pub fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        {
            let mut inner = slf.get().inner.lock();
            if inner.busy || inner.closed {
                return Ok(());
            }
            inner.busy = true;
        }
        Engine::wake(slf.get().engine.bind(slf.py()), slf.clone().unbind())
    }

    /// Does all that can be done now, and writes what there is to write.
    pub fn turn(slf: &Bound<'_, Self>) {
        Self::turn_with(slf, Vec::new());
    }

    pub fn expire(slf: &Bound<'_, Self>, now: Instant) {
        let mut events = Vec::new();
        slf.get().inner.lock().connection.expire(now, &mut events);
        Self::turn_with(slf, events);
    }

    pub fn drain(slf: &Bound<'_, Self>) {
        slf.get().inner.lock().connection.drain(Instant::now());
        Self::turn(slf);
    }

    pub fn stop(slf: &Bound<'_, Self>) {
        let mut events = Vec::new();
        slf.get().inner.lock().connection.stop(Instant::now(), &mut events);
        Self::turn_with(slf, events);
    }

    fn turn_with(slf: &Bound<'_, Self>, mut events: Vec<Event>) {
        let py = slf.py();
        loop {
            let (output, write) = {
                let mut inner = slf.get().inner.lock();
                inner.busy = true;
                inner.connection.drive(Instant::now(), &mut events);
                let output = inner.connection.take_output(|bytes| PyBytes::new(py, bytes).unbind());
                let write = output.as_ref().and(inner.write.as_ref()).map(|write| write.clone_ref(py));
                (output, write)
            };
            if !events.is_empty() {
                Self::act(slf, std::mem::take(&mut events));
            }
            if let (Some(output), Some(write)) = (output, write)
                && let Err(error) = write.bind(py).call1((output,))
            {
                error.write_unraisable(py, Some(slf.as_any()));
            }
            let mut inner = slf.get().inner.lock();
            if !inner.connection.has_work() {
                inner.busy = false;
                break;
            }
        }
        Self::settle(slf);
        slf.get().engine.get().after_turn(py);
    }

    /// Closes the socket, stops or resumes reading, and plans the timer, as the connection wants it.
    fn settle(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let mut lingers = false;
        let (transport, method) = {
            let mut inner = slf.get().inner.lock();
            let method = match inner.connection.shutdown() {
                Some(Shutdown::Abort) => Some(intern!(py, "abort")),
                Some(Shutdown::Linger | Shutdown::Close) if inner.closed => None,
                Some(shutdown) => {
                    inner.closed = true;
                    // TLS has no half-closed connections.
                    lingers = shutdown == Shutdown::Linger && !inner.tls;
                    if lingers { None } else { Some(intern!(py, "close")) }
                }
                None if inner.connection.is_full() != inner.reading_paused => {
                    inner.reading_paused = !inner.reading_paused;
                    Some(if inner.reading_paused {
                        intern!(py, "pause_reading")
                    } else {
                        intern!(py, "resume_reading")
                    })
                }
                None => None,
            };
            let transport = method.and(inner.transport.as_ref()).map(|transport| transport.clone_ref(py));
            (transport, method)
        };
        if let (Some(transport), Some(method)) = (transport, method) {
            Self::ask(slf, &transport, method);
        }
        if lingers && let Err(error) = Self::end_soon(slf) {
            error.write_unraisable(py, Some(slf.as_any()));
        }
        Self::arm(slf);
    }

    /// uvloop writes at the end of a tick, but ends at once: what was written last would be lost.
    fn end_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let end = slf.getattr(intern!(slf.py(), "end"))?;
        slf.get().engine.get().call_soon(slf.py(), end)
    }

    /// Asks the transport for something. One that has closed by itself says so by raising, and takes an abort.
    fn ask(slf: &Bound<'_, Self>, transport: &Py<PyAny>, method: &Bound<'_, PyString>) {
        let py = slf.py();
        if transport.bind(py).call_method0(method).is_err()
            && let Err(error) = transport.bind(py).call_method0(intern!(py, "abort"))
        {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    fn arm(slf: &Bound<'_, Self>) {
        if let Some(due) = slf.get().due() {
            Engine::arm(slf.get().engine.bind(slf.py()), due, Instant::now());
        }
    }

    /// Tells handlers what happened.
    fn act(slf: &Bound<'_, Self>, events: Vec<Event>) {
        let py = slf.py();
        let mut opened = Vec::new();
        for event in events {
            let done = match event {
                Event::Opened(call) => Self::opened(slf, call).map(|call| opened.push(call)),
                Event::Readable(key) => slf.get().find(py, key).map_or(Ok(()), |call| call.get().release_reader(py)),
                Event::Writable(key) => slf.get().find(py, key).map_or(Ok(()), |call| call.get().release_writer(py)),
                Event::Cancelled(key) => {
                    let call = slf.get().inner.lock().calls.remove(&key);
                    call.map_or(Ok(()), |call| call.get().cancel(py))
                }
            };
            if let Err(error) = done {
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
        if opened.is_empty() {
            return;
        }
        let dispatched = PyList::new(py, opened)
            .and_then(|calls| slf.get().engine.get().dispatch.bind(py).call1((calls,)).map(drop));
        if let Err(error) = dispatched {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    fn opened(slf: &Bound<'_, Self>, opened: Opened) -> PyResult<Py<Call>> {
        let py = slf.py();
        let key = opened.key;
        let call = Py::new(py, Call::new(slf.clone().unbind(), opened))?;
        slf.get().inner.lock().calls.insert(key, call.clone_ref(py));
        Ok(call)
    }

    fn find(&self, py: Python<'_>, key: Key) -> Option<Py<Call>> {
        self.inner.lock().calls.get(&key).map(|call| call.clone_ref(py))
    }
}
