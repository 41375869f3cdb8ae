//! Takes claims, lets their batches leave at the end of the tick, and tells callers what was decided. No Python code runs
//! while the state is locked, nor while a connection is.
use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use couponry_claims::{
    Ack, Activity, Batch, Batcher, Decided, Full, Hash, Limits, Reply, Request, Script, ScriptReply, Tally, UserRate,
    Verdict, request_hash,
};
use couponry_wire::{Answer, Caller, Hot, framing::PREFIX};
use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, intern, prelude::*, types::PyList};

use super::{
    callers::{Handle, Teller},
    link::ClaimLink,
    work::{ClaimBatch, Content, Win},
};
use crate::{cache::L1, codes::CodeKey, frontend::Engine};

const ACTIVITY_KIND: &str = "activity";
/// A response is seldom longer.
const RESPONSE_BYTES: usize = 48;

struct State {
    batcher: Batcher<Handle>,
    rate: Option<UserRate>,
    link: Option<Py<ClaimLink>>,
    /// Claims that were not taken: too many wait, or too many of this user.
    full: Vec<Handle>,
    fast: Vec<Handle>,
    scheduled: bool,
    /// When the first claims of this turn came, since `began`.
    now: Duration,
    verdicts: Tally,
    scripts: u64,
    refused_full: u64,
    refused_fast: u64,
    /// Called when no claim is without an answer.
    idle: Option<Py<PyAny>>,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct ClaimBatcher {
    event_loop: Py<PyAny>,
    l1: Py<L1>,
    codes: Py<CodeKey>,
    script: Script,
    work: Py<PyAny>,
    won: Py<PyAny>,
    engine: Mutex<Option<Py<Engine>>>,
    began: Instant,
    /// Claims came since the last departure.
    arrived: AtomicBool,
    state: Mutex<State>,
}

#[pymethods]
impl ClaimBatcher {
    #[new]
    #[pyo3(signature = (event_loop, l1, codes, work, won, *, sha, prefix, per_script, in_flight, held, per_user_s, user_burst))]
    #[expect(clippy::too_many_arguments, reason = "named arguments of a Python constructor")]
    fn new(
        event_loop: Py<PyAny>,
        l1: Py<L1>,
        codes: Py<CodeKey>,
        work: Py<PyAny>,
        won: Py<PyAny>,
        sha: String,
        prefix: String,
        per_script: usize,
        in_flight: usize,
        held: usize,
        per_user_s: u32,
        user_burst: u32,
    ) -> PyResult<Self> {
        l1.get().kind(ACTIVITY_KIND)?;
        if per_script == 0 || in_flight == 0 {
            return Err(PyValueError::new_err("per_script and in_flight are at least 1"));
        }
        let state = State {
            batcher: Batcher::new(Limits { per_script, in_flight, held }),
            rate: UserRate::new(per_user_s, user_burst),
            link: None,
            full: Vec::new(),
            fast: Vec::new(),
            scheduled: false,
            now: Duration::ZERO,
            verdicts: Tally::default(),
            scripts: 0,
            refused_full: 0,
            refused_fast: 0,
            idle: None,
        };
        Ok(Self {
            event_loop,
            l1,
            codes,
            script: Script { sha, prefix },
            work,
            won,
            engine: Mutex::new(None),
            began: Instant::now(),
            arrived: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    fn claim(
        slf: &Bound<'_, Self>,
        activity_id: u32,
        user: &[u8],
        request_id: &[u8],
        future: Py<PyAny>,
    ) -> PyResult<()> {
        let hash = hash_of(request_id).ok_or_else(|| PyValueError::new_err("there is no randomness"))?;
        slf.get().take(activity_id, user, &hash, Handle::Future(future));
        Self::plan(slf);
        Ok(())
    }

    /// The end of a tick.
    fn depart(slf: &Bound<'_, Self>) {
        slf.get().state.lock().scheduled = false;
        Self::leave(slf, Vec::new());
    }

    /// Sends scripts on a transport from now on; `lost` is called when it is gone.
    fn link(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>, lost: Py<PyAny>) -> PyResult<Py<ClaimLink>> {
        let link = Py::new(slf.py(), ClaimLink::new(slf.clone().unbind(), transport, lost)?)?;
        let old = slf.get().state.lock().link.replace(link.clone_ref(slf.py()));
        drop(old);
        Ok(link)
    }

    /// Forgets the server: nobody is left who could be told.
    fn close(&self) {
        let engine = self.engine.lock().take();
        let link = self.state.lock().link.take();
        drop((engine, link));
    }

    /// Calls back once, as soon as every claim has its answer.
    fn when_idle(slf: &Bound<'_, Self>, callback: Py<PyAny>) {
        slf.get().state.lock().idle = Some(callback);
        slf.get().answered(slf.py(), 0);
    }

    #[getter]
    fn held(&self) -> usize {
        self.state.lock().batcher.held()
    }

    /// By name: verdicts of each kind, claims refused, scripts sent, claims without an answer.
    fn stats(&self) -> HashMap<&'static str, u64> {
        let state = self.state.lock();
        let mut stats: HashMap<_, _> = state.verdicts.by_kind().collect();
        stats.insert("QUEUE_FULL", state.refused_full);
        stats.insert("RATE_LIMITED", state.refused_fast);
        stats.insert("scripts", state.scripts);
        stats.insert("held", state.batcher.held() as u64);
        stats
    }
}

impl ClaimBatcher {
    /// Calls of this server are told their verdicts.
    pub fn serve(&self, engine: Py<Engine>) {
        *self.engine.lock() = Some(engine);
    }

    pub fn answerer(slf: &Py<Self>, py: Python<'_>) -> Arc<dyn Hot> {
        Arc::new(Participate(slf.clone_ref(py)))
    }

    pub fn teller<'py>(&self, py: Python<'py>) -> Teller<'py> {
        Teller::new(py, self.engine.lock().as_ref().map(|engine| engine.clone_ref(py)))
    }

    /// Takes a claim; `plan` lets it leave.
    fn take(&self, activity_id: u32, user: &[u8], hash: &Hash, handle: Handle) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !self.arrived.swap(true, Ordering::Relaxed) {
            state.now = self.began.elapsed();
        }
        if let Some(rate) = &mut state.rate
            && !rate.allows(user, state.now)
        {
            state.refused_fast += 1;
            state.fast.push(handle);
        } else if let Err(Full(handle)) =
            state.batcher.add(activity_id, user, hash, handle, || self.look_up(activity_id))
        {
            state.refused_full += 1;
            state.full.push(handle);
        }
    }

    fn look_up(&self, activity_id: u32) -> Option<Activity> {
        let stored = self.l1.get().hot(ACTIVITY_KIND, activity_id.to_string().as_bytes())?;
        Activity::read(stored.payload()?)
    }

    /// If claims came, they leave at the end of this tick.
    pub fn plan(slf: &Bound<'_, Self>) {
        if slf.get().arrived.swap(false, Ordering::Relaxed) {
            Self::schedule(slf);
        }
    }

    fn schedule(slf: &Bound<'_, Self>) {
        let py = slf.py();
        if std::mem::replace(&mut slf.get().state.lock().scheduled, true) {
            return;
        }
        let planned = slf.getattr(intern!(py, "depart")).and_then(|depart| {
            slf.get().event_loop.bind(py).call_method1(intern!(py, "call_soon"), (depart,)).map(drop)
        });
        if let Err(error) = planned {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    /// Sends what may go, and hands `work`, and whatever else only Python can do, to Python as one list.
    pub fn leave(slf: &Bound<'_, Self>, mut work: Vec<ClaimBatch>) {
        let (py, this) = (slf.py(), slf.get());
        let (departure, link, full, fast) = {
            let mut state = this.state.lock();
            let departure = state.batcher.depart();
            state.scripts += departure.scripts.len() as u64;
            let link = state.link.as_ref().map(|link| link.clone_ref(py));
            (departure, link, std::mem::take(&mut state.full), std::mem::take(&mut state.fast))
        };
        let mut scripts = Vec::new();
        for batch in departure.scripts {
            if link.is_some() {
                scripts.push(batch);
            } else {
                work.push(Self::work(slf, "carry", Content::Script(batch)));
            }
        }
        work.extend(departure.strays.into_iter().map(|batch| Self::work(slf, "stray", Content::Stray(batch))));
        for (kind, handles) in [("full", full), ("fast", fast)] {
            if !handles.is_empty() {
                work.push(Self::work(slf, kind, Content::Refused(handles)));
            }
        }
        if let Some(link) = link
            && !scripts.is_empty()
        {
            ClaimLink::send(link.bind(py), scripts, &this.script);
        }
        Self::hand_over(slf, work);
    }

    pub fn hand_over(slf: &Bound<'_, Self>, work: Vec<ClaimBatch>) {
        if work.is_empty() {
            return;
        }
        let py = slf.py();
        let batches: PyResult<Vec<_>> = work.into_iter().map(|batch| Py::new(py, batch)).collect();
        let done = batches
            .and_then(|batches| PyList::new(py, batches))
            .and_then(|batches| slf.get().work.bind(py).call1((batches,)));
        if let Err(error) = done {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    pub fn work(slf: &Bound<'_, Self>, kind: &'static str, content: Content) -> ClaimBatch {
        ClaimBatch::new(slf.clone().unbind(), kind, content)
    }

    /// A script's reply has come: callers are told, or Python gets the batch.
    pub fn land(slf: &Bound<'_, Self>, batch: Batch<Handle>, reply: &Reply, work: &mut Vec<ClaimBatch>) {
        let decided = match reply {
            Reply::Numbers(numbers) => ScriptReply::read(numbers, batch.len()),
            Reply::Error(_) | Reply::Other => None,
        };
        match decided {
            Some(ScriptReply::Decided(decided)) => {
                slf.get().landed(&batch);
                Self::tell(slf, batch, &decided, 1, work);
            }
            Some(ScriptReply::NotReady) => work.push(Self::work(slf, "not_ready", Content::Script(batch))),
            None => work.push(Self::work(slf, "carry", Content::Script(batch))),
        }
    }

    /// A script of the batch's place is over.
    pub fn landed(&self, batch: &Batch<Handle>) {
        self.state.lock().batcher.landed(batch.place);
    }

    pub fn answered(&self, py: Python<'_>, claims: usize) {
        let idle = {
            let mut state = self.state.lock();
            state.batcher.answered(claims);
            if state.batcher.held() == 0 { state.idle.take() } else { None }
        };
        if let Some(idle) = idle {
            report(py, idle.bind(py).call0().map(drop));
        }
    }

    /// Strays go to Redis.
    pub fn admit(slf: &Bound<'_, Self>, strays: Batch<Handle>, activity: Activity) {
        slf.get().state.lock().batcher.admit(strays, activity);
        Self::schedule(slf);
    }

    /// After scripts have landed: the next ones may go.
    pub fn go_on(slf: &Bound<'_, Self>) {
        if slf.get().state.lock().batcher.has_work() {
            Self::schedule(slf);
        }
    }

    pub fn unlink(&self, py: Python<'_>, gone: &Bound<'_, ClaimLink>) {
        let mut state = self.state.lock();
        let link = state.link.take_if(|link| link.bind(py).is(gone));
        drop(state);
        drop(link);
    }

    /// Tells the callers of a batch their verdicts. Wins that are told once they are safe elsewhere become work.
    /// Those that found their bucket empty do too; `round` is how often they have now.
    pub fn tell(slf: &Bound<'_, Self>, batch: Batch<Handle>, decided: &Decided, round: u8, work: &mut Vec<ClaimBatch>) {
        let (py, this) = (slf.py(), slf.get());
        {
            let verdicts = &mut this.state.lock().verdicts;
            decided.verdicts.iter().for_each(|verdict| verdicts.count(*verdict));
        }
        let place = batch.place;
        let has_won = decided.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Won(_)));
        if has_won && let Err(error) = this.won.bind(py).call1((place.activity_id, place.bucket)) {
            error.write_unraisable(py, Some(slf.as_any()));
        }
        let ack = batch.ack;
        let (mut wins, mut empty) = (Vec::new(), Batch::new(place, ack));
        let confirmed = ack != Ack::Redis;
        let mut responses = Responses::new(batch.len());
        let mut ready = Vec::with_capacity(batch.len());
        let mut verdicts = decided.verdicts.iter();
        batch.for_each(|user, hash, handle| match verdicts.next() {
            Some(Verdict::Won(number)) if confirmed => {
                wins.push(Win { number: *number, user: user.into(), hash: *hash, handle });
            }
            Some(Verdict::Won(number)) => {
                ready.push((handle, responses.win(decided, place.coupon_id(*number), this.codes.get())));
            }
            // A reply has a verdict for each claim.
            Some(Verdict::Empty) | None => empty.push(user, hash, handle),
            Some(verdict) => ready.push((handle, responses.other(decided, *verdict))),
        });
        this.answered(py, ready.len());
        if !empty.is_empty() {
            work.push(Self::work(slf, "empty", Content::Empty { batch: empty, round }));
        }
        if !wins.is_empty() {
            work.push(Self::work(slf, "wins", Content::Wins { place, ack, decided: decided.clone(), wins }));
        }
        this.answer_all(py, responses, ready);
    }

    pub fn answer_all(&self, py: Python<'_>, responses: Responses, ready: Vec<(Handle, Range<usize>)>) {
        let bytes = responses.into_bytes();
        let mut teller = self.teller(py);
        for (handle, range) in ready {
            report(py, teller.answer(handle, &bytes, range));
        }
        report(py, teller.close());
    }

    pub(crate) fn codes(&self) -> &CodeKey {
        self.codes.get()
    }
}

/// Errors of single callers must not keep the others from being told.
pub fn report(py: Python<'_>, told: PyResult<()>) {
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}

/// Without a request id a repeat is a new claim.
fn hash_of(request_id: &[u8]) -> Option<Hash> {
    if !request_id.is_empty() {
        return Some(request_hash(request_id));
    }
    let mut hash = Hash::default();
    getrandom::fill(&mut hash).ok()?;
    Some(hash)
}

/// Participate, answered in batches.
struct Participate(Py<ClaimBatcher>);

impl Hot for Participate {
    fn answer(&self, request: &[u8], caller: Caller) -> Answer {
        let claim = Request::read(request).and_then(|request| Some((request, hash_of(request.request_id)?)));
        let Some((request, hash)) = claim else {
            return Answer::Miss;
        };
        self.0.get().take(request.activity_id, request.user, &hash, Handle::Call(caller));
        Answer::Later
    }
}

/// The framed responses to a batch, in one piece of memory; equal ones are written once.
pub struct Responses {
    bytes: Vec<u8>,
    others: Vec<(Verdict, Range<usize>)>,
}

impl Responses {
    pub fn new(claims: usize) -> Self {
        Self { bytes: Vec::with_capacity(claims * RESPONSE_BYTES), others: Vec::new() }
    }

    pub(crate) fn win(&mut self, decided: &Decided, coupon_id: u64, codes: &CodeKey) -> Range<usize> {
        // Every coupon id is below 2^53, so it has a code.
        let code = codes.grouped(coupon_id).unwrap_or_default();
        self.framed(|out| decided.write_win(out, coupon_id, &code))
    }

    pub fn other(&mut self, decided: &Decided, verdict: Verdict) -> Range<usize> {
        if let Some((_, range)) = self.others.iter().find(|(known, _)| *known == verdict) {
            return range.clone();
        }
        let range = self.framed(|out| decided.write_other(out, verdict));
        self.others.push((verdict, range.clone()));
        range
    }

    pub fn message(&mut self, message: &[u8]) -> Range<usize> {
        self.framed(|out| out.extend_from_slice(message))
    }

    fn framed(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PREFIX]);
        write(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start - PREFIX).unwrap_or(u32::MAX);
        if let Some(prefix) = self.bytes.get_mut(start + 1..start + PREFIX) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        start..self.bytes.len()
    }

    fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}
