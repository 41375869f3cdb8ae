//! The connection to Redis that claim scripts travel on, as an asyncio Protocol. Replies come in the order of the
//! scripts. Whoever made the transport has logged in, and makes the next one when this one is lost.
//!
//! What is under way is bounded by the scripts in flight, so there is no backpressure here.
use std::{collections::VecDeque, time::Instant};

use couponry_claims::{Batch, Replies, Reply, Script};
use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    types::{PyByteArray, PyBytes},
};

use super::{batcher::ClaimBatcher, callers::Handle, work::Content};

struct State {
    write: Option<Py<PyAny>>,
    transport: Option<Py<PyAny>>,
    under_way: VecDeque<(Instant, Batch<Handle>)>,
    replies: Replies,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct ClaimLink {
    batcher: Py<ClaimBatcher>,
    lost: Py<PyAny>,
    state: Mutex<State>,
}

#[pymethods]
impl ClaimLink {
    /// The transport was there before.
    fn connection_made(&self, _transport: &Bound<'_, PyAny>) {}

    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        let mut landed = Vec::new();
        let sound = {
            let state = &mut *this.state.lock();
            if let Ok(bytes) = data.cast::<PyBytes>() {
                state.replies.feed(bytes.as_bytes());
            } else if let Ok(array) = data.cast::<PyByteArray>() {
                state.replies.feed(&array.to_vec());
            } else {
                state.replies.feed(&data.extract::<Vec<u8>>()?);
            }
            loop {
                match state.replies.next_reply() {
                    Ok(None) => break true,
                    Ok(Some(reply)) => match state.under_way.pop_front() {
                        Some((_, batch)) => landed.push((batch, reply)),
                        None => break false,
                    },
                    Err(_) => break false,
                }
            }
        };
        // A server that lacks the script is sound; one that refuses for another reason is no longer asked on this link.
        let sound = sound && landed.iter().all(|(_, reply)| is_sound(reply));
        let batcher = this.batcher.bind(slf.py());
        let mut work = Vec::new();
        for (batch, reply) in landed {
            ClaimBatcher::land(batcher, batch, &reply, &mut work);
        }
        if !sound {
            batcher.get().unlink(slf.py(), slf);
            this.abort(slf.py());
        }
        ClaimBatcher::leave(batcher, work);
        Ok(())
    }

    fn eof_received(&self) -> bool {
        false
    }

    fn pause_writing(&self) {}

    fn resume_writing(&self) {}

    /// What became of the scripts under way is not known. They may be sent again: a request that has won gets its win.
    fn connection_lost(slf: &Bound<'_, Self>, _error: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let batcher = this.batcher.bind(py);
        batcher.get().unlink(py, slf);
        let (under_way, write, transport) = {
            let mut state = this.state.lock();
            (std::mem::take(&mut state.under_way), state.write.take(), state.transport.take())
        };
        drop((write, transport));
        let lost = under_way.into_iter().map(|(_, batch)| ClaimBatcher::work(batcher, "carry", Content::Script(batch)));
        ClaimBatcher::hand_over(batcher, lost.collect());
        this.lost.bind(py).call0().map(drop)
    }

    /// Seconds since the oldest script under way was sent; 0 where there is none.
    fn waiting_s(&self) -> f64 {
        self.state.lock().under_way.front().map_or(0.0, |(sent, _)| sent.elapsed().as_secs_f64())
    }
}

impl ClaimLink {
    pub fn new(batcher: Py<ClaimBatcher>, transport: &Bound<'_, PyAny>, lost: Py<PyAny>) -> PyResult<Self> {
        let write = transport.getattr(intern!(transport.py(), "write"))?.unbind();
        let state = State {
            write: Some(write),
            transport: Some(transport.clone().unbind()),
            under_way: VecDeque::new(),
            replies: Replies::default(),
        };
        Ok(Self { batcher, lost, state: Mutex::new(state) })
    }

    /// Sends scripts with one write.
    pub fn send(slf: &Bound<'_, Self>, scripts: Vec<Batch<Handle>>, script: &Script) {
        let (py, this) = (slf.py(), slf.get());
        let mut commands = Vec::new();
        for batch in &scripts {
            batch.write_command(script, &mut commands);
        }
        let commands = PyBytes::new(py, &commands);
        let now = Instant::now();
        let write = {
            let mut state = this.state.lock();
            state.under_way.extend(scripts.into_iter().map(|batch| (now, batch)));
            state.write.as_ref().map(|write| write.clone_ref(py))
        };
        if let Some(write) = write
            && let Err(error) = write.bind(py).call1((commands,))
        {
            // The transport says by itself that it is gone; what is under way is told then.
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    fn abort(&self, py: Python<'_>) {
        let transport = self.state.lock().transport.as_ref().map(|transport| transport.clone_ref(py));
        if let Some(transport) = transport
            && let Err(error) = transport.bind(py).call_method0(intern!(py, "abort"))
        {
            error.write_unraisable(py, None);
        }
    }
}

fn is_sound(reply: &Reply) -> bool {
    match reply {
        Reply::Numbers(_) => true,
        Reply::Error(text) => text.starts_with("NOSCRIPT"),
        Reply::Other => false,
    }
}
