//! What time decides: deadlines, stalls, keepalive, idle and old connections.
use super::*;

impl Connection {
    /// Does what time asks for: deadlines, stalls, keepalive, idle and old connections.
    pub fn expire(&mut self, now: Instant, events: &mut Vec<Event>) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        self.h2_due = true;
        if let Some(since) = self.closing_since {
            if self.past(since, CLOSE_TIMEOUT, now) {
                self.shutdown = Some(Shutdown::Abort);
            }
            return;
        }
        if self.is_stuck(now) {
            return self.abort(now, events);
        }
        self.expire_calls(now, events);
        self.expire_lane(now);
        self.expire_life(now, events);
        self.keep_alive(now, events);
        self.probe(now);
    }

    /// Writes to a peer that has ended its side while calls run. If it is gone altogether its kernel answers with a
    /// reset, and the socket is lost; nothing else would tell, because nothing more is read from it.
    pub(super) fn probe(&mut self, now: Instant) {
        let Some(at) = self.next_probe else {
            return;
        };
        if self.shutdown.is_none() && self.past(at, Duration::ZERO, now) {
            if self.paused_since.is_none() && self.pipe.is_between_frames() {
                self.pipe.append(&PROBE);
            }
            let next = now + PROBE_INTERVAL;
            self.next_probe = Some(next);
            self.remind(next);
        }
    }

    /// Whether `since + limit` has passed; if not, a reminder is left.
    pub(super) fn past(&mut self, since: Instant, limit: Duration, now: Instant) -> bool {
        let end = since + limit;
        if end > now {
            self.remind(end);
        }
        end <= now
    }

    /// A slow preface, an unfinished frame, a socket that takes nothing, a drain that the peer does not answer.
    pub(super) fn is_stuck(&mut self, now: Instant) -> bool {
        let stall = self.config.stall_timeout;
        let preface = self.config.preface_timeout;
        let mut stuck = !self.guard.has_begun() && self.past(self.opened, preface, now);
        for since in [self.inside_since, self.paused_since].into_iter().flatten() {
            stuck |= self.past(since, stall, now);
        }
        if let Some(since) = self.draining_since
            && self.is_idle()
        {
            stuck |= self.past(since.max(self.idle_since), stall, now);
        }
        stuck
    }

    pub(super) fn expire_calls(&mut self, now: Instant, events: &mut Vec<Event>) {
        let stall = self.config.stall_timeout;
        let mut next: Option<Instant> = None;
        let mut over = Vec::new();
        for (slot, (call, _)) in &self.calls {
            let stalls = match call.stage {
                Stage::Running => None,
                Stage::Collecting(_) | Stage::Refused(_) | Stage::Flushing => Some(call.progress + stall),
            };
            let Some(end) = call.deadline.into_iter().chain(stalls).min() else {
                continue;
            };
            if end <= now {
                over.push(slot);
            } else {
                next = Some(next.map_or(end, |next| next.min(end)));
            }
        }
        if let Some(next) = next {
            self.remind(next);
        }
        let refusal = Refusal::new(Code::DeadlineExceeded, "Deadline Exceeded");
        let mut stalled = false;
        for slot in over {
            let Some((call, waker)) = self.calls.get_mut(slot) else {
                continue;
            };
            if matches!(call.stage, Stage::Refused(_)) {
                self.answer_refused(slot, now);
                continue;
            }
            let waker = waker.clone();
            let mut context = Context::from_waker(&waker);
            if matches!(call.stage, Stage::Running) {
                events.push(Event::Cancelled(Key { slot, number: call.number }));
            }
            if call.deadline.is_some_and(|deadline| deadline <= now) && !matches!(call.stage, Stage::Flushing) {
                call.refuse(&refusal, &mut context, now);
            } else {
                stalled |= matches!(call.stage, Stage::Flushing);
                call.reset(Reason::CANCEL);
            }
            self.remove(slot, now);
        }
        if stalled && self.calls.is_empty() {
            // Nothing else moved either: the peer holds the connection and does not use it.
            self.cut_off(Abuse("stalled"), now, events);
        }
    }

    pub(super) fn expire_life(&mut self, now: Instant, events: &mut Vec<Event>) {
        if let Some(since) = self.draining_since {
            if let Some(grace) = self.config.max_age_grace
                && self.max_age.is_some()
                && self.past(since, grace, now)
            {
                self.stop(now, events);
            }
            return;
        }
        let opened = self.opened;
        if let Some(age) = self.max_age
            && self.past(opened, age, now)
        {
            return self.drain(now);
        }
        if let Some(idle) = self.config.max_idle
            && self.is_idle()
        {
            let since = self.idle_since;
            if self.past(since, idle, now) {
                self.drain(now);
            }
        }
    }

    pub(super) fn keep_alive(&mut self, now: Instant, events: &mut Vec<Event>) {
        let Some(keepalive) = self.config.keepalive else {
            return;
        };
        let (last_read, timeout) = (self.last_read, self.config.keepalive_timeout);
        if let Some(sent) = self.ping_sent {
            if last_read > sent {
                self.ping_sent = None;
            } else if self.past(sent, timeout, now) {
                self.abort(now, events);
                return;
            }
        }
        let wanted = self.config.keepalive_without_calls || !self.is_idle();
        if wanted
            && self.ping_sent.is_none()
            && self.past(last_read, keepalive, now)
            && let Some(pings) = &mut self.pings
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.ping_sent = Some(now);
            self.remind(now + timeout);
        } else if !wanted {
            self.remind(now + keepalive);
        }
    }

    pub(super) fn remind_of_life(&mut self, now: Instant) {
        let times = [self.max_age, self.config.max_idle, self.config.keepalive];
        for time in times.into_iter().flatten() {
            self.remind(now + time);
        }
    }
}
