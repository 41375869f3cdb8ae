//! One peer. `receive`, then `drive`, then `take_output`; what happened to calls comes out as events, and calls are
//! read, answered and ended by their keys. The owner of the socket calls `expire` when `due` says so.
use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, Request};
use slab::Slab;

use crate::{
    call::{Call, Finish, Key, Message, Pumped, Reading, Sending, Stage, Stop},
    code::{Code, Refusal},
    compression::Encoding,
    config::{CONNECTION_WINDOW, Config, SEND_BUFFER, STREAM_WINDOW},
    guard::{Abuse, Guard},
    lane::Lane,
    pipe::{Inner, Outer},
    request::{self, Head},
    response,
    routes::{Answer, Caller, Hot, Routes},
    wake::{Wakes, call_waker},
};

mod past_h2;
mod streams;
mod timers;

/// Input that waits for h2, from which on the socket is read no further.
const INPUT_CAP: usize = 256 * 1024;
/// What is read from a peer after it was told to go away.
const DISCARD_CAP: usize = 2 << 20;
/// How often a peer that has ended its side, and waits for replies, is written to.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A WINDOW_UPDATE of one byte for the connection: it asks for no answer, which such a peer could not give.
const PROBE: [u8; 13] = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// How long the socket may take to hand over the last bytes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the owner must act on.
pub enum Event {
    Opened(Opened),
    /// A reader that was told to wait can read.
    Readable(Key),
    /// A writer that was told to wait can write.
    Writable(Key),
    /// The call is over before its handler ended it: cancelled, timed out, refused, or its connection is gone.
    Cancelled(Key),
}

/// A new call for a handler.
pub struct Opened {
    pub key: Key,
    pub head: Head,
    /// The route's number; None for a path that the table does not have.
    pub route: Option<usize>,
    /// The request of a unary method.
    pub request: Option<Message>,
}

/// What is to become of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Write no more, and read on until the peer has closed: to close with unread input would take back what was
    /// written last.
    Linger,
    /// After what has been written.
    Close,
    /// At once.
    Abort,
}

enum Http {
    Handshake(Box<server::Handshake<Inner, Bytes>>),
    Open(Box<server::Connection<Inner, Bytes>>),
    Gone,
}

pub struct Connection {
    config: Arc<Config>,
    routes: Arc<Routes>,
    pipe: Outer,
    wakes: Arc<Wakes>,
    waker: Waker,
    http: Http,
    calls: Slab<(Call, Waker)>,
    ready: Vec<usize>,
    lane: Lane,
    /// h2 must be polled, woken or not.
    h2_due: bool,
    next_number: u64,
    last_stream: u32,
    guard: Guard,
    pings: Option<PingPong>,
    ping_sent: Option<Instant>,
    opened: Instant,
    last_read: Instant,
    idle_since: Instant,
    inside_since: Option<Instant>,
    paused_since: Option<Instant>,
    draining_since: Option<Instant>,
    closing_since: Option<Instant>,
    max_age: Option<Duration>,
    peer_ended: bool,
    next_probe: Option<Instant>,
    mend_authority: bool,
    name: u64,
    discarded: usize,
    shutdown: Option<Shutdown>,
    /// A lower bound of the next time at which `expire` has something to do.
    due: Option<Instant>,
}

impl Connection {
    /// `age_jitter` in -0.1 ..= 0.1 keeps peers from coming back all at once.
    pub fn new(config: Arc<Config>, routes: Arc<Routes>, age_jitter: f64, now: Instant) -> Self {
        let pipe = Outer::default();
        let wakes = Arc::<Wakes>::default();
        let handshake = server::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(config.max_metadata)
            .max_concurrent_streams(config.max_concurrent_streams)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(pipe.inner());
        let max_age = config.max_age.map(|age| age.mul_f64(1.0 + age_jitter));
        Self {
            guard: Guard::new(&config, now),
            pipe,
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
            http: Http::Handshake(Box::new(handshake)),
            calls: Slab::new(),
            ready: Vec::new(),
            lane: Lane::default(),
            h2_due: true,
            next_number: 0,
            last_stream: 0,
            pings: None,
            ping_sent: None,
            opened: now,
            last_read: now,
            idle_since: now,
            inside_since: None,
            paused_since: None,
            draining_since: None,
            closing_since: None,
            max_age,
            peer_ended: false,
            next_probe: None,
            mend_authority: false,
            name: 0,
            discarded: 0,
            shutdown: None,
            due: Some(now + config.preface_timeout),
            config,
            routes,
        }
    }

    /// Replaces percent signs in `:authority`, for peers of a unix socket.
    pub fn mend_authority(&mut self) {
        self.mend_authority = true;
    }

    /// What answerers that end calls later know this connection by.
    pub fn set_name(&mut self, name: u64) {
        self.name = name;
    }

    /// Takes bytes from the socket. `drive` looks at them.
    pub fn receive(&mut self, data: &[u8], now: Instant, events: &mut Vec<Event>) {
        if self.shutdown.is_some() {
            self.discarded += data.len();
            if self.discarded > DISCARD_CAP {
                self.shutdown = Some(Shutdown::Abort);
            }
            return;
        }
        self.last_read = now;
        let frames = self.guard.frames();
        if let Err(abuse) = self.guard.see(data, now).and_then(|()| self.sort(data, now)) {
            return self.cut_off(abuse, now, events);
        }
        if !self.guard.is_inside() {
            self.inside_since = None;
        } else if self.inside_since.is_none() || self.guard.frames() != frames {
            self.inside_since = Some(now);
            self.remind(now + self.config.stall_timeout);
        }
    }

    /// The peer sends no more bytes; it may still read.
    pub fn receive_end(&mut self) {
        self.peer_ended = true;
        self.h2_due = true;
        self.pass_tail();
        let probe = self.last_read + PROBE_INTERVAL;
        self.next_probe = Some(probe);
        self.remind(probe);
        for (slot, _) in &self.calls {
            self.wakes.push_call(slot);
        }
    }

    /// Whether the socket should be read no further for now.
    pub fn is_full(&self) -> bool {
        self.pipe.unread() > INPUT_CAP
    }

    /// The socket's buffer is full, or has room again.
    pub fn pause(&mut self, paused: bool, now: Instant) {
        self.pipe.pause(paused);
        self.paused_since = paused.then_some(now);
        self.h2_due = true;
        if paused {
            self.remind(now + self.config.stall_timeout);
            return;
        }
        for (slot, (call, _)) in &self.calls {
            if call.is_backed_up() {
                self.wakes.push_call(slot);
            }
        }
    }

    /// Does everything that can be done now.
    pub fn drive(&mut self, now: Instant, events: &mut Vec<Event>) {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        self.grant();
        while self.shutdown.is_none() && (self.wakes.are_there() || self.h2_due) {
            self.h2_due = false;
            self.wakes.take_connection();
            self.poll_http(&mut context, now, events);
            let mut ready = std::mem::take(&mut self.ready);
            self.wakes.take_calls(&mut ready);
            for slot in ready.drain(..) {
                self.poll_call(slot, now, events);
            }
            self.ready = ready;
        }
        if self.shutdown.is_none() && matches!(self.http, Http::Gone) && self.lane.is_empty() {
            self.close(Shutdown::Linger, now, events);
        }
        if self.peer_ended && self.shutdown.is_none() && self.paused_since.is_none() && self.pipe.is_between_frames() {
            self.end_blocked_calls(now, events);
            if self.is_idle() {
                self.close(Shutdown::Close, now, events);
            }
        }
    }

    /// Whether `drive` would find something to do.
    pub fn has_work(&self) -> bool {
        self.shutdown.is_none() && (self.wakes.are_there() || self.lane.has_grant()) || self.can_write_lane()
    }

    /// Hands what is to be written to `write`.
    pub fn take_output<T>(&mut self, write: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.can_write_lane() {
            self.guard.wrote_replies(self.lane.out.len());
        }
        let (guard, lane) = (&mut self.guard, &mut self.lane);
        let last_stream = lane.last_stream();
        let look = |output: &mut [u8]| guard.wrote(output, last_stream);
        let (sent, written) = self.pipe.take_output(&mut lane.out, look, write);
        lane.h2_wrote(sent.headers, sent.data);
        written
    }

    /// What is to become of the socket once the output is taken.
    pub fn shutdown(&self) -> Option<Shutdown> {
        self.shutdown
    }

    /// When `expire` wants to be called, at the latest. May be too early.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Calls in progress, those whose reply is still being sent included.
    pub fn calls(&self) -> usize {
        self.calls.len() + self.lane.len()
    }

    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.lane.is_empty()
    }

    /// Tells the peer to go away; calls in progress, and those on their way here, are still served.
    pub fn drain(&mut self, now: Instant) {
        if self.draining_since.is_some() {
            return;
        }
        self.draining_since = Some(now);
        self.h2_due = true;
        match &mut self.http {
            Http::Open(http) => http.graceful_shutdown(),
            Http::Handshake(_) => self.shutdown = Some(Shutdown::Abort),
            Http::Gone => {}
        }
        self.remind(now + self.config.stall_timeout.min(self.config.max_age_grace.unwrap_or(Duration::MAX)));
    }

    /// Ends every call and the connection.
    pub fn stop(&mut self, now: Instant, events: &mut Vec<Event>) {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        let refusal = Refusal::new(Code::Unavailable, "the server is shutting down");
        for (call, _) in self.calls.iter_mut().map(|(_, call)| call) {
            if matches!(call.stage, Stage::Flushing) {
                continue;
            }
            call.refuse(&refusal, &mut context, now);
        }
        self.refuse_lane(&refusal);
        if let Http::Open(http) = &mut self.http {
            let _ = http.poll_closed(&mut context);
            http.abrupt_shutdown(Reason::NO_ERROR);
            let _ = http.poll_closed(&mut context);
        }
        self.close(Shutdown::Close, now, events);
    }

    /// The socket is gone.
    pub fn lost(&mut self, now: Instant, events: &mut Vec<Event>) {
        self.close(Shutdown::Close, now, events);
        self.due = None;
    }

    /// The next message of a call's request.
    pub fn read(&mut self, key: Key) -> Reading {
        let max = self.config.max_receive_message;
        let ended = self.peer_ended;
        let Some((call, waker)) = self.get(key) else {
            return Reading::Gone;
        };
        let waker = waker.clone();
        let mut context = Context::from_waker(&waker);
        match call.pull(&mut context, max) {
            Poll::Ready(Ok(Some(message))) => Reading::Message(message),
            Poll::Ready(Ok(None)) => Reading::End,
            Poll::Ready(Err(stop)) => {
                if let Stop::Refused(refusal) = stop {
                    call.refuse(&refusal, &mut context, Instant::now());
                }
                call.dead = true;
                self.wakes.push_call(key.slot);
                Reading::Gone
            }
            Poll::Pending if ended => {
                call.dead = true;
                self.wakes.push_call(key.slot);
                Reading::Gone
            }
            Poll::Pending => {
                call.reader_waits = true;
                Reading::Wait
            }
        }
    }

    /// Says what the reply's first headers hold. False where they are sent, or the call is over.
    pub fn set_initial(&mut self, key: Key, metadata: Option<HeaderMap>, encoding: Encoding) -> bool {
        self.get(key).is_some_and(|(call, _)| call.set_initial(metadata, encoding))
    }

    /// Sends the reply's first headers. False where the call is over.
    pub fn open_reply(&mut self, key: Key) -> bool {
        let opened = self.get(key).map(|(call, _)| call.open_reply());
        self.guard.replied();
        matches!(opened, Some(Pumped::Sent))
    }

    /// Sends a message of the reply.
    pub fn send(&mut self, key: Key, message: &[u8], compress: bool, now: Instant) -> Sending {
        if message.len() > self.config.max_send_message || u32::try_from(message.len()).is_err() {
            return Sending::TooLarge;
        }
        self.guard.replied();
        let paused = self.paused_since.is_some();
        let Some((call, waker)) = self.get(key) else {
            return Sending::Gone;
        };
        let waker = waker.clone();
        let mut context = Context::from_waker(&waker);
        let mut pumped = call.open_reply();
        if pumped == Pumped::Sent {
            call.push(message, compress);
            pumped = if paused { Pumped::Waits } else { call.pump(&mut context, now) };
        }
        match pumped {
            Pumped::Sent => Sending::Done,
            Pumped::Waits => {
                call.writer_waits = true;
                Sending::Wait
            }
            Pumped::Gone => {
                self.wakes.push_call(key.slot);
                Sending::Gone
            }
        }
    }

    /// Ends a call. False where it was over.
    pub fn finish(&mut self, key: Key, finish: Finish<'_>, now: Instant) -> bool {
        let trailers = response::trailers(finish.trailers, finish.code, &finish.details);
        if key.in_lane().is_some() {
            return self.refuse_late(key, &trailers, now);
        }
        self.end(key, trailers, now, |call| {
            if let Some((message, compress)) = finish.message {
                call.push(message, compress);
            }
        })
    }

    /// Ends a call that was handed on with a framed reply. False where it is over already.
    pub fn finish_with(&mut self, key: Key, frame: Bytes, now: Instant) -> bool {
        let whole = 0..frame.len();
        self.finish_with_part(key, &frame, whole, now)
    }

    /// The same with a part of some bytes.
    pub fn finish_with_part(&mut self, key: Key, bytes: &Bytes, part: Range<usize>, now: Instant) -> bool {
        if key.in_lane().is_some() {
            return self.answer_late(key, bytes.get(part).unwrap_or_default(), now);
        }
        self.end(key, response::trailers(None, Code::Ok, ""), now, |call| call.push_frame(bytes.slice(part)))
    }

    /// What answers a method inside the extension.
    pub fn hot(&self, path: &str) -> Option<&dyn Hot> {
        self.routes.get(path)?.hot.as_deref()
    }

    fn end(&mut self, key: Key, trailers: HeaderMap, now: Instant, push: impl FnOnce(&mut Call)) -> bool {
        let Some((call, waker)) = self.get(key) else {
            return false;
        };
        let waker = waker.clone();
        let mut context = Context::from_waker(&waker);
        push(call);
        let mut pumped = call.push_end(trailers);
        if pumped == Pumped::Waits {
            pumped = call.pump(&mut context, now);
        }
        call.stage = Stage::Flushing;
        call.progress = now;
        self.guard.replied();
        if pumped == Pumped::Waits {
            self.remind(now + self.config.stall_timeout);
        } else {
            self.remove(key.slot, now);
        }
        true
    }

    fn get(&mut self, key: Key) -> Option<&mut (Call, Waker)> {
        self.calls
            .get_mut(key.slot)
            .filter(|(call, _)| call.number == key.number && !call.dead && matches!(call.stage, Stage::Running))
    }

    pub(super) fn insert(&mut self, call: Call) -> usize {
        let entry = self.calls.vacant_entry();
        let slot = entry.key();
        entry.insert((call, call_waker(slot, &self.wakes)));
        slot
    }

    pub(super) fn remove(&mut self, slot: usize, now: Instant) -> Option<Call> {
        let removed = self.calls.try_remove(slot).map(|(call, _)| call);
        if self.calls.is_empty() && self.calls.capacity() > 64 {
            self.calls = Slab::new();
        }
        self.note_rest(now);
        removed
    }

    /// A call is over; maybe it was the last one.
    pub(super) fn note_rest(&mut self, now: Instant) {
        if self.is_idle() {
            self.idle_since = now;
            if let Some(idle) = self.config.max_idle {
                self.remind(now + idle);
            }
        }
    }

    /// Ends the connection with a GOAWAY of its own, since h2 says nothing in its debug data.
    pub(super) fn cut_off(&mut self, Abuse(why): Abuse, now: Instant, events: &mut Vec<Event>) {
        // The first turn has written the settings, so a GOAWAY may follow even before the peer's preface was read.
        if !matches!(self.http, Http::Gone) && self.pipe.is_between_frames() {
            let mut frame = Vec::with_capacity(17 + why.len());
            frame.extend_from_slice(&(8 + why.len() as u32).to_be_bytes()[1..]);
            frame.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
            frame.extend_from_slice(&self.last_stream.max(self.lane.last_stream()).to_be_bytes());
            frame.extend_from_slice(&u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes());
            frame.extend_from_slice(why.as_bytes());
            self.pipe.append(&frame);
        }
        self.close(Shutdown::Linger, now, events);
    }

    pub(super) fn close(&mut self, how: Shutdown, now: Instant, events: &mut Vec<Event>) {
        for (slot, (call, _)) in &self.calls {
            if matches!(call.stage, Stage::Running) {
                events.push(Event::Cancelled(Key { slot, number: call.number }));
            }
        }
        self.calls = Slab::new();
        self.lane.clear();
        self.pings = None;
        self.http = Http::Gone;
        self.pipe.drop_input();
        if self.shutdown.is_none() {
            self.shutdown = Some(if self.peer_ended { Shutdown::Close } else { how });
            self.closing_since = Some(now);
            self.remind(now + CLOSE_TIMEOUT);
        }
    }

    pub(super) fn abort(&mut self, now: Instant, events: &mut Vec<Event>) {
        self.close(Shutdown::Abort, now, events);
        self.shutdown = Some(Shutdown::Abort);
    }

    pub(super) fn remind(&mut self, at: Instant) {
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
        }
    }
}
