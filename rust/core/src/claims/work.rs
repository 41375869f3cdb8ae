//! A batch of claims that Python has to do something for. It is answered or refused exactly once; whoever drops one
//! unanswered leaves its callers to their deadlines.
use couponry_claims::{Ack, Activity, Batch, Decided, Hash, Place, ScriptReply, Verdict};
use couponry_wire::Code;
use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};

use super::{
    batcher::{ClaimBatcher, Responses, report},
    callers::{Handle, Refused},
};
use crate::frontend::headers;

/// A win that is told when it is safe elsewhere.
pub struct Win {
    pub number: u32,
    pub user: Box<[u8]>,
    pub hash: Hash,
    pub handle: Handle,
}

pub enum Content {
    /// Counted as a script under way.
    Script(Batch<Handle>),
    /// Its activity must be found out first.
    Stray(Batch<Handle>),
    /// Its bucket had nothing left, `round` times by now, and others of the activity may.
    Empty {
        batch: Batch<Handle>,
        round: u8,
    },
    Wins {
        place: Place,
        ack: Ack,
        decided: Decided,
        wins: Vec<Win>,
    },
    /// Not taken, and not counted.
    Refused(Vec<Handle>),
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct ClaimBatch {
    batcher: Py<ClaimBatcher>,
    kind: &'static str,
    place: Place,
    ack: u8,
    content: Mutex<Option<Content>>,
}

#[pymethods]
impl ClaimBatch {
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    #[getter]
    fn activity_id(&self) -> u32 {
        self.place.activity_id
    }

    #[getter]
    fn bucket(&self) -> u8 {
        self.place.bucket
    }

    #[getter]
    fn ack(&self) -> u8 {
        self.ack
    }

    #[getter]
    fn round(&self) -> u8 {
        match &*self.content.lock() {
            Some(Content::Empty { round, .. }) => *round,
            _ => 0,
        }
    }

    fn __len__(&self) -> usize {
        match &*self.content.lock() {
            Some(Content::Script(batch) | Content::Stray(batch) | Content::Empty { batch, .. }) => batch.len(),
            Some(Content::Wins { wins, .. }) => wins.len(),
            Some(Content::Refused(handles)) => handles.len(),
            None => 0,
        }
    }

    /// (user, request hash) of each claim of a script, a stray or an empty bucket.
    fn claims<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        match &*self.content.lock() {
            Some(Content::Script(batch) | Content::Stray(batch) | Content::Empty { batch, .. }) => {
                batch.claims().map(|(user, hash)| (PyBytes::new(py, user), PyBytes::new(py, hash))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// (user, request hash, number) of each win.
    fn wins<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, u32)> {
        match &*self.content.lock() {
            Some(Content::Wins { wins, .. }) => {
                wins.iter().map(|win| (PyBytes::new(py, &win.user), PyBytes::new(py, &win.hash), win.number)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Strays go to Redis, as the stored message of their activity says. False, and nothing is done, where it says that
    /// the activity is settled.
    fn send(&self, py: Python<'_>, activity: &[u8]) -> bool {
        let Some(activity) = Activity::read(activity) else {
            return false;
        };
        let mut content = self.content.lock();
        if let Some(Content::Stray(batch)) = content.take_if(|content| matches!(content, Content::Stray(_))) {
            drop(content);
            ClaimBatcher::admit(self.batcher.bind(py), batch, activity);
        }
        true
    }

    /// What the script said when somebody else carried it. ValueError, and nothing is told, where that is no reply to it.
    fn decided(&self, py: Python<'_>, left: i64, now_ms: i64, start_ms: i64, verdicts: Vec<i64>) -> PyResult<()> {
        let mut content = self.content.lock();
        let Some(Content::Script(batch) | Content::Empty { batch, .. }) = &*content else {
            return Ok(());
        };
        let numbers = [&[1, left, now_ms, start_ms][..], &verdicts].concat();
        let Some(ScriptReply::Decided(decided)) = ScriptReply::read(&numbers, batch.len()) else {
            return Err(PyValueError::new_err("no reply to these claims"));
        };
        let taken = content.take();
        drop(content);
        let batcher = self.batcher.bind(py);
        let (batch, round) = match taken {
            Some(Content::Script(batch)) => {
                batcher.get().landed(&batch);
                (batch, 1)
            }
            Some(Content::Empty { batch, round }) => (batch, round.saturating_add(1)),
            _ => return Ok(()),
        };
        let mut work = Vec::new();
        ClaimBatcher::tell(batcher, batch, &decided, round, &mut work);
        ClaimBatcher::hand_over(batcher, work);
        ClaimBatcher::go_on(batcher);
        Ok(())
    }

    /// A serialized ParticipateResponse for each claim of a script or a stray.
    fn answer(&self, py: Python<'_>, messages: Vec<Vec<u8>>) -> PyResult<()> {
        let mut content = self.content.lock();
        let Some(Content::Script(batch) | Content::Stray(batch)) = &*content else {
            return Ok(());
        };
        if batch.len() != messages.len() {
            return Err(PyValueError::new_err("there is one message for each claim"));
        }
        let taken = content.take();
        drop(content);
        let mut responses = Responses::new(messages.len());
        let ranges: Vec<_> = messages.iter().map(|message| responses.message(message)).collect();
        let ready = self.release(py, taken).into_iter().zip(ranges).collect();
        self.batcher.get().answer_all(py, responses, ready);
        Ok(())
    }

    /// Tells the wins that are safe (True) or failed (False). Those with None stay.
    fn confirmed(&self, py: Python<'_>, found: Vec<Option<bool>>) -> PyResult<()> {
        let mut content = self.content.lock();
        let Some(Content::Wins { place, decided, wins, .. }) = &mut *content else {
            return Ok(());
        };
        if wins.len() != found.len() {
            return Err(PyValueError::new_err("there is one answer for each win"));
        }
        let batcher = self.batcher.get();
        let mut responses = Responses::new(wins.len());
        let (mut ready, mut waiting) = (Vec::new(), Vec::new());
        for (win, found) in std::mem::take(wins).into_iter().zip(found) {
            let range = match found {
                Some(true) => responses.win(decided, place.coupon_id(win.number), batcher.codes()),
                Some(false) => responses.other(decided, Verdict::Failed),
                None => {
                    waiting.push(win);
                    continue;
                }
            };
            ready.push((win.handle, range));
        }
        *wins = waiting;
        drop(content);
        batcher.answered(py, ready.len());
        batcher.answer_all(py, responses, ready);
        Ok(())
    }

    /// Refuses all claims that have no answer: calls with a status, futures with the error.
    fn refuse(
        &self,
        py: Python<'_>,
        error: Py<PyAny>,
        code: i64,
        details: String,
        trailers: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let refused = Refused { code: Code::from_number(code), details, trailers: headers(trailers)?, error };
        let content = self.content.lock().take();
        let mut teller = self.batcher.get().teller(py);
        for handle in self.release(py, content) {
            report(py, teller.refuse(handle, &refused));
        }
        report(py, teller.close());
        Ok(())
    }
}

impl ClaimBatch {
    /// The callers, who are about to be told: their claims count no longer, nor does their script.
    fn release(&self, py: Python<'_>, content: Option<Content>) -> Vec<Handle> {
        let batcher = self.batcher.bind(py);
        let handles = match content {
            Some(Content::Script(batch)) => {
                batcher.get().landed(&batch);
                ClaimBatcher::go_on(batcher);
                batch.into_handles()
            }
            Some(Content::Stray(batch) | Content::Empty { batch, .. }) => batch.into_handles(),
            Some(Content::Wins { wins, .. }) => wins.into_iter().map(|win| win.handle).collect(),
            Some(Content::Refused(handles)) => return handles,
            None => return Vec::new(),
        };
        batcher.get().answered(py, handles.len());
        handles
    }

    pub fn new(batcher: Py<ClaimBatcher>, kind: &'static str, content: Content) -> Self {
        let (place, ack) = match &content {
            Content::Script(batch) | Content::Stray(batch) | Content::Empty { batch, .. } => (batch.place, batch.ack),
            Content::Wins { place, ack, .. } => (*place, *ack),
            Content::Refused(_) => (Place { activity_id: 0, bucket: 0 }, Ack::default()),
        };
        Self { batcher, kind, place, ack: ack as u8, content: Mutex::new(Some(content)) }
    }
}
