//! One call that a Python handler has: what it asked, and how to answer it.
use std::time::Instant;

use couponry_wire::{Code, Connection, Encoding, Finish, Head, Key, Message, Opened, Reading, Sending, metadata};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyString, PyTuple},
};

use super::protocol::Protocol;

#[derive(Default)]
struct State {
    task: Option<Py<PyAny>>,
    reader: Option<Py<PyAny>>,
    writer: Option<Py<PyAny>>,
    request: Option<Message>,
    request_compressed: bool,
    cancelled: bool,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct Call {
    protocol: Py<Protocol>,
    key: Key,
    head: Head,
    route: Option<usize>,
    state: Mutex<State>,
}

#[pymethods]
impl Call {
    #[getter]
    fn path(&self) -> &str {
        &self.head.path
    }

    #[getter]
    fn route(&self) -> Option<usize> {
        self.route
    }

    #[getter]
    fn transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.protocol.get().transport(py)
    }

    /// Whether the message that was read last came compressed.
    #[getter]
    fn request_compressed(&self) -> bool {
        self.state.lock().request_compressed
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// The task that is cancelled with the call.
    fn set_task(&self, task: Py<PyAny>) {
        self.state.lock().task = Some(task);
    }

    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let entries =
            metadata::read(&self.head.headers).map_err(|problem| PyValueError::new_err(problem.to_string()))?;
        let entries = entries.into_iter().map(|(name, value)| {
            let value = match value {
                metadata::Value::Text(text) => PyString::new(py, &String::from_utf8_lossy(&text)).into_any(),
                metadata::Value::Binary(binary) => PyBytes::new(py, &binary).into_any(),
            };
            (name, value)
        });
        PyTuple::new(py, entries.collect::<Vec<_>>())
    }

    fn accepts(&self, encoding: u8) -> PyResult<bool> {
        Ok(self.head.accepts(encoding_of(encoding)?))
    }

    fn time_remaining(&self) -> Option<f64> {
        self.head.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// The next message as bytes; None at the end; False where `set_reader` is to say when to ask again; True where
    /// the call is over.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let taken = self.state.lock().request.take();
        let reading = match taken {
            Some(message) => Reading::Message(message),
            None => self.protocol.get().lock().connection.read(self.key),
        };
        match reading {
            Reading::Message(message) => {
                self.state.lock().request_compressed = message.compressed;
                self.wake(py)?;
                Ok(PyBytes::new(py, &message.payload).into_any())
            }
            Reading::End => Ok(py.None().into_bound(py)),
            Reading::Wait => {
                self.wake(py)?;
                Ok(PyBool::new(py, false).to_owned().into_any())
            }
            Reading::Gone => {
                self.wake(py)?;
                Ok(PyBool::new(py, true).to_owned().into_any())
            }
        }
    }

    /// The one message of a unary call.
    fn request<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let mut state = self.state.lock();
        let message = state.request.take()?;
        state.request_compressed = message.compressed;
        Some(PyBytes::new(py, &message.payload))
    }

    fn set_reader(&self, future: Py<PyAny>) {
        self.state.lock().reader = Some(future);
    }

    fn set_writer(&self, future: Py<PyAny>) {
        self.state.lock().writer = Some(future);
    }

    /// Says what the first headers of the reply hold; `now` sends them. False where they are sent already.
    fn send_initial(
        &self,
        py: Python<'_>,
        initial: Option<&Bound<'_, PyAny>>,
        encoding: u8,
        now: bool,
    ) -> PyResult<bool> {
        let initial = initial.map(headers).transpose()?.filter(|headers| !headers.is_empty());
        let encoding = encoding_of(encoding)?;
        let set = {
            let connection = &mut self.protocol.get().lock().connection;
            let set = connection.set_initial(self.key, initial, encoding);
            if set && now {
                connection.open_reply(self.key);
            }
            set
        };
        if set && now {
            self.wake(py)?;
        }
        Ok(set)
    }

    /// 0: sent; 1: taken, but `set_writer` is to say when the next may come; 2: too large; 3: the call is over.
    fn send(&self, py: Python<'_>, message: &[u8], compress: bool) -> PyResult<u8> {
        let sent = self.protocol.get().lock().connection.send(self.key, message, compress, Instant::now());
        if sent != Sending::TooLarge {
            self.wake(py)?;
        }
        Ok(match sent {
            Sending::Done => 0,
            Sending::Wait => 1,
            Sending::TooLarge => 2,
            Sending::Gone => 3,
        })
    }

    /// Ends the call. False where it is over already.
    #[pyo3(signature = (code, details, trailers, message=None, compress=false))]
    fn finish(
        &self,
        py: Python<'_>,
        code: i64,
        details: &str,
        trailers: Option<&Bound<'_, PyAny>>,
        message: Option<&[u8]>,
        compress: bool,
    ) -> PyResult<bool> {
        let finish = Finish {
            code: Code::from_number(code),
            details: details.into(),
            trailers: trailers.map(headers).transpose()?,
            message: message.map(|message| (message, compress)),
        };
        self.end(py, |connection| connection.finish(self.key, finish, Instant::now()))
    }

    /// The keys in L1 that a hot method's answer to this call would be made of; None where only its handler can answer.
    fn hot_keys(&self) -> Option<Vec<String>> {
        if self.head.is_debugged() {
            return None;
        }
        let state = self.state.lock();
        let request = state.request.as_ref()?;
        self.protocol.get().lock().connection.hot(&self.head.path)?.keys(&request.payload)
    }

    /// Answers a hot method's call with the items of `hot_keys`. False where one is missing, and the call is still open.
    fn answer_hot(&self, py: Python<'_>, found: &Bound<'_, PyDict>) -> PyResult<bool> {
        let Some(keys) = self.hot_keys() else {
            return Ok(false);
        };
        let mut items = Vec::with_capacity(keys.len());
        for key in &keys {
            let Some(item) = found.get_item(key)? else {
                return Ok(false);
            };
            items.push(item.cast_into::<PyBytes>()?);
        }
        let items: Vec<&[u8]> = items.iter().map(|item| item.as_bytes()).collect();
        let frame = {
            let state = self.state.lock();
            let (connection, request) = (&self.protocol.get().lock().connection, state.request.as_ref());
            request
                .zip(connection.hot(&self.head.path))
                .and_then(|(request, hot)| hot.compose(&request.payload, &items))
        };
        let Some(frame) = frame else {
            return Ok(false);
        };
        self.end(py, |connection| connection.finish_with(self.key, frame, Instant::now()))?;
        Ok(true)
    }
}

impl Call {
    pub fn new(protocol: Py<Protocol>, opened: Opened) -> Self {
        let Opened { key, head, route, request } = opened;
        let state = State { request, ..State::default() };
        Self { protocol, key, head, route, state: Mutex::new(state) }
    }

    pub fn release_reader(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.state.lock().reader.take();
        future.map_or(Ok(()), |future| release(py, &future))
    }

    pub fn release_writer(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.state.lock().writer.take();
        future.map_or(Ok(()), |future| release(py, &future))
    }

    /// The call is over before its handler ended it.
    pub fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let (task, waiters) = {
            let mut state = self.state.lock();
            state.cancelled = true;
            (state.task.take(), [state.reader.take(), state.writer.take()])
        };
        for future in waiters.into_iter().flatten() {
            release(py, &future)?;
        }
        if let Some(task) = task {
            task.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Ends the call by `finish`, and forgets what it held. False where it was over already.
    fn end(&self, py: Python<'_>, finish: impl FnOnce(&mut Connection) -> bool) -> PyResult<bool> {
        let (finished, held) = {
            let mut inner = self.protocol.get().lock();
            (finish(&mut inner.connection), inner.calls.remove(&self.key))
        };
        drop(held);
        let state = std::mem::take(&mut *self.state.lock());
        self.state.lock().cancelled = state.cancelled;
        drop(state);
        if finished {
            self.wake(py)?;
        }
        Ok(finished)
    }

    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let protocol = self.protocol.bind(py);
        if protocol.get().lock().connection.has_work() { Protocol::wake(protocol) } else { Ok(()) }
    }
}

fn release(py: Python<'_>, future: &Py<PyAny>) -> PyResult<()> {
    let future = future.bind(py);
    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

fn encoding_of(number: u8) -> PyResult<Encoding> {
    match number {
        0 => Ok(Encoding::Identity),
        1 => Ok(Encoding::Deflate),
        2 => Ok(Encoding::Gzip),
        _ => Err(PyValueError::new_err("an encoding is 0, 1 or 2")),
    }
}

/// Metadata as Python gives it: pairs of a key and a str or bytes.
pub fn headers(metadata: &Bound<'_, PyAny>) -> PyResult<http::HeaderMap> {
    let mut headers = http::HeaderMap::new();
    for entry in metadata.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry?.extract()?;
        let name: String = name.extract()?;
        let added = if let Ok(bytes) = value.cast::<PyBytes>() {
            metadata::append(&mut headers, &name, bytes.as_bytes())
        } else if let Ok(text) = value.cast::<PyString>() {
            metadata::append(&mut headers, &name, text.to_str()?.as_bytes())
        } else {
            return Err(PyTypeError::new_err(format!("the value of metadata {name} is neither str nor bytes")));
        };
        added.map_err(|problem| PyValueError::new_err(format!("metadata {name:?}: {problem}")))?;
    }
    Ok(headers)
}
