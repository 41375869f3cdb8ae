//! The lane's calls: sorted out of what comes in, answered by hot methods, and ended, all without h2.
use http::HeaderMap;

use super::*;
use crate::{
    authority,
    lane::{MOST_WINDOW, Next, window_update},
    routes::Route,
};

impl Connection {
    /// Takes the lane's calls out of the bytes from the socket; h2 gets the rest.
    pub(super) fn sort(&mut self, data: &[u8], now: Instant) -> Result<(), Abuse> {
        let mut joined = std::mem::take(&mut self.lane.tail);
        let bytes = if joined.is_empty() {
            data
        } else {
            joined.extend_from_slice(data);
            &joined
        };
        let mut at = self.lane.skip(bytes.len());
        // From here on the bytes are h2's, from there on they begin with a frame.
        let (mut from, mut frames) = (0, at);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (whole, grant) = match self.lane.next(rest) {
                Next::Pass(length) => {
                    at += length;
                    continue;
                }
                Next::Wait => {
                    self.lane.tail = rest.to_vec();
                    break;
                }
                Next::Call { bytes: whole, headers, data, stream, known, message } => {
                    if !self.take_call(known, stream, message, data, now) {
                        self.lane.decline(stream);
                        at += headers;
                        continue;
                    }
                    (whole, 0)
                }
                Next::Drop(whole) => {
                    self.note_rest(now);
                    (whole, 0)
                }
                Next::Grant(whole, grant) => (whole, grant),
                Next::Overflow(whole) => {
                    // Whatever h2 has of the window by now, twice as much as one may be is too much.
                    self.pass(&bytes[from..at], frames - from);
                    for _ in 0..2 {
                        self.pass(&window_update(MOST_WINDOW as u32), 0);
                    }
                    at += whole;
                    (from, frames) = (at, at);
                    continue;
                }
                Next::Broken => return Err(Abuse("a_stream_opened_twice")),
            };
            self.pass(&bytes[from..at], frames - from);
            if grant > 0 {
                self.pass(&window_update(grant), 0);
            }
            at += whole;
            (from, frames) = (at, at);
        }
        let end = at.min(bytes.len());
        self.lane.skip_on(at - end);
        self.pass(&bytes[from..end], frames - from);
        Ok(())
    }

    /// Gives h2 bytes in which a frame begins at `start`.
    fn pass(&mut self, bytes: &[u8], start: usize) {
        if bytes.is_empty() {
            return;
        }
        self.h2_due = true;
        let mends = self.mend_authority;
        self.pipe.feed(bytes, |bytes| {
            if mends {
                authority::mend(bytes.get_mut(start..).unwrap_or_default());
            }
        });
    }

    /// Nothing more comes in: h2 gets what was held back.
    pub(super) fn pass_tail(&mut self) {
        let tail = std::mem::take(&mut self.lane.tail);
        self.pass(&tail, 0);
    }

    /// Answers a call whose headers are known. False leaves it to h2, and nothing was done.
    fn take_call(&mut self, known: usize, stream: u32, message: &[u8], data: usize, now: Instant) -> bool {
        let Some((hot, timeout)) = self.lane.known(known) else {
            return false;
        };
        let closing = self.draining_since.is_some() || matches!(self.http, Http::Gone) || self.paused_since.is_some();
        let late = timeout.is_some_and(|timeout| timeout.is_zero());
        if closing || late || !self.lane.has_room() || message.len() > self.config.max_receive_message {
            return false;
        }
        if self.calls() >= self.config.max_concurrent_streams as usize {
            self.lane.refuse_stream(stream);
            self.lane.took(stream, data);
            return true;
        }
        let caller = Caller { connection: self.name, key: self.lane.vacant_key(stream) };
        match hot.answer(message, caller) {
            Answer::Miss => return false,
            Answer::Later => {
                let deadline = timeout.map(|timeout| now + timeout);
                self.lane.hold(stream, deadline);
                if let Some(deadline) = deadline {
                    self.remind(deadline);
                }
            }
            Answer::Frame(frame) if self.lane.fits(frame.len()) => {
                self.lane.reply(stream, &frame);
                self.guard.replied();
            }
            Answer::Frame(_) => return false,
            Answer::Refusal(refusal) => {
                self.lane.refuse(stream, &response::trailers(None, refusal.code, &refusal.details));
                self.guard.replied();
            }
        }
        self.lane.took(stream, data);
        true
    }

    /// h2 has brought in a call: what answers it may answer the same headers in the lane.
    pub(super) fn learn(&mut self, head: &Head, route: Option<&Route>, now: Instant) {
        // A debugged call is its handler's, here too.
        let plain = head.received == Encoding::Identity && !head.is_debugged();
        let hot = route.filter(|route| route.unary_request && plain).and_then(|route| route.hot.as_ref());
        let timeout = head.deadline.map(|deadline| deadline.saturating_duration_since(now));
        self.lane.learn(self.last_stream, hot, timeout);
    }

    /// Ends a call of the lane with a message. False where it is over already.
    pub(super) fn answer_late(&mut self, key: Key, frame: &[u8], now: Instant) -> bool {
        let Some(stream) = self.lane.release(key) else {
            return false;
        };
        if self.lane.fits(frame.len()) {
            self.lane.reply(stream, frame);
        } else {
            // The peer has shut its window since, or this is no reply that comes late.
            let refusal = "the reply does not fit the caller's window";
            self.lane.refuse(stream, &response::trailers(None, Code::Unavailable, refusal));
        }
        self.guard.replied();
        self.note_rest(now);
        true
    }

    /// Ends a call of the lane without a message. False where it is over already.
    pub(super) fn refuse_late(&mut self, key: Key, trailers: &HeaderMap, now: Instant) -> bool {
        let Some(stream) = self.lane.release(key) else {
            return false;
        };
        self.lane.refuse(stream, trailers);
        self.guard.replied();
        self.note_rest(now);
        true
    }

    /// Ends all calls of the lane.
    pub(super) fn refuse_lane(&mut self, refusal: &Refusal) {
        let trailers = response::trailers(None, refusal.code, &refusal.details);
        let keys: Vec<Key> = self.lane.waiting().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(stream) = self.lane.release(key) {
                self.lane.refuse(stream, &trailers);
            }
        }
    }

    /// Ends the calls of the lane whose time is up.
    pub(super) fn expire_lane(&mut self, now: Instant) {
        let mut over = Vec::new();
        let mut next: Option<Instant> = None;
        for (key, deadline) in self.lane.waiting() {
            match deadline {
                Some(deadline) if deadline <= now => over.push(key),
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                None => {}
            }
        }
        if let Some(next) = next {
            self.remind(next);
        }
        let trailers = response::trailers(None, Code::DeadlineExceeded, "Deadline Exceeded");
        for key in over {
            self.refuse_late(key, &trailers, now);
        }
    }

    /// Whether the lane has something to write that may be written.
    pub(super) fn can_write_lane(&self) -> bool {
        !self.lane.out.is_empty() && self.pipe.takes_more()
    }

    /// Gives h2 more of the peer's window when it runs low.
    pub(super) fn grant(&mut self) {
        if self.shutdown.is_none()
            && let Some(frame) = self.lane.grant()
        {
            self.pass(&frame, 0);
        }
    }
}
