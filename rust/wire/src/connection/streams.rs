//! What h2 brings in, and what it woke: new streams become refusals, hot answers or calls; old ones go on.
use super::*;

impl Connection {
    pub(super) fn poll_http(&mut self, context: &mut Context<'_>, now: Instant, events: &mut Vec<Event>) {
        if let Http::Handshake(handshake) = &mut self.http {
            match Pin::new(handshake.as_mut()).poll(context) {
                Poll::Ready(Ok(mut http)) => {
                    self.pings = http.ping_pong();
                    self.http = Http::Open(Box::new(http));
                    self.remind_of_life(now);
                }
                Poll::Ready(Err(_)) => return self.close(Shutdown::Linger, now, events),
                Poll::Pending => return,
            }
        }
        while let Http::Open(http) = &mut self.http {
            match http.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond, context, now, events),
                // What is in the lane is still answered; `drive` closes after that.
                Poll::Ready(None) if !self.lane.is_empty() => self.http = Http::Gone,
                Poll::Ready(Some(Err(_)) | None) => self.close(Shutdown::Linger, now, events),
                Poll::Pending => break,
            }
        }
        if let Some(pings) = &mut self.pings
            && self.ping_sent.is_some()
            && pings.poll_pong(context).is_ready()
        {
            self.ping_sent = None;
        }
    }

    pub(super) fn accept(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        context: &mut Context<'_>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let (parts, recv) = request.into_parts();
        self.last_stream = respond.stream_id().as_u32();
        self.next_number += 1;
        let mut call = Call::new(self.next_number, recv, respond, now);
        let head = match request::check(parts, now) {
            Ok(head) => head,
            Err(refused) => {
                let response = response::refused(&refused);
                if call.discard(context) {
                    call.respond(response);
                } else {
                    call.stage = Stage::Refused(Box::new(response));
                    self.remind(now + self.config.stall_timeout);
                    let slot = self.insert(call);
                    self.wakes.push_call(slot);
                }
                if let Err(abuse) = self.guard.refused(now) {
                    self.cut_off(abuse, now, events);
                }
                return;
            }
        };
        call.set_head(&head);
        let routes = Arc::clone(&self.routes);
        let route = routes.get(&head.path);
        self.learn(&head, route, now);
        if head.deadline.is_some_and(|deadline| deadline <= now) {
            return call.refuse(&Refusal::new(Code::DeadlineExceeded, "Deadline Exceeded"), context, now);
        }
        let Some(route) = route else {
            if routes.open_ended {
                return self.open(call, head, None, None, now, events);
            }
            return call.refuse(&Refusal::new(Code::Unimplemented, "Method not found!"), context, now);
        };
        if !route.unary_request {
            return self.open(call, head, Some(route.id), None, now, events);
        }
        match call.collect(context, self.config.max_receive_message) {
            Poll::Ready(collected) => self.collected(call, head, collected, context, now, events),
            Poll::Pending => {
                call.stage = Stage::Collecting(Box::new(head));
                self.remind(now + self.config.stall_timeout);
                let slot = self.insert(call);
                self.wakes.push_call(slot);
            }
        }
    }

    /// A unary request is complete: answered here, or handed on.
    pub(super) fn collected(
        &mut self,
        mut call: Call,
        head: Head,
        collected: Result<Message, Stop>,
        context: &mut Context<'_>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let request = match collected {
            Ok(request) => request,
            Err(Stop::Refused(refusal)) => return call.refuse(&refusal, context, now),
            Err(Stop::Gone) => return,
        };
        let routes = Arc::clone(&self.routes);
        let route = routes.get(&head.path);
        let key = Key { slot: self.calls.vacant_key(), number: call.number };
        let answer = match route.and_then(|route| route.hot.as_ref()).filter(|_| !head.is_debugged()) {
            Some(hot) => hot.answer(&request.payload, Caller { connection: self.name, key }),
            None => Answer::Miss,
        };
        match answer {
            Answer::Miss => return self.open(call, head, route.map(|route| route.id), Some(request), now, events),
            Answer::Later => {
                if let Some(deadline) = call.deadline {
                    self.remind(deadline.max(now));
                }
                // Nobody polls it: a call that was reset is found to be over when it is ended.
                self.insert(call);
                return;
            }
            Answer::Refusal(refusal) => call.refuse(&refusal, context, now),
            Answer::Frame(frame) => {
                call.push_frame(frame);
                let mut pumped = call.push_end(response::trailers(None, Code::Ok, ""));
                if pumped == Pumped::Waits {
                    pumped = call.pump(context, now);
                }
                if pumped == Pumped::Waits {
                    call.stage = Stage::Flushing;
                    self.remind(now + self.config.stall_timeout);
                    let slot = self.insert(call);
                    self.wakes.push_call(slot);
                }
            }
        }
        self.guard.replied();
    }

    pub(super) fn open(
        &mut self,
        call: Call,
        head: Head,
        route: Option<usize>,
        request: Option<Message>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let number = call.number;
        if let Some(deadline) = call.deadline {
            self.remind(deadline.max(now));
        }
        let slot = self.insert(call);
        // The first poll leaves a waker with the stream, so that a reset is noticed.
        self.wakes.push_call(slot);
        events.push(Event::Opened(Opened { key: Key { slot, number }, head, route, request }));
    }

    pub(super) fn poll_call(&mut self, slot: usize, now: Instant, events: &mut Vec<Event>) {
        let Some((call, waker)) = self.calls.get_mut(slot) else {
            return;
        };
        let waker = waker.clone();
        let mut context = Context::from_waker(&waker);
        let key = Key { slot, number: call.number };
        if call.is_reset(&mut context) {
            if matches!(call.stage, Stage::Running) {
                events.push(Event::Cancelled(key));
            }
            self.remove(slot, now);
            return;
        }
        if matches!(call.stage, Stage::Refused(_)) {
            if call.discard(&mut context) || self.peer_ended {
                self.answer_refused(slot, now);
            }
            return;
        }
        if let Stage::Collecting(_) = call.stage {
            match call.collect(&mut context, self.config.max_receive_message) {
                Poll::Ready(collected) => {
                    if let Some(mut call) = self.remove(slot, now)
                        && let Stage::Collecting(head) = std::mem::replace(&mut call.stage, Stage::Running)
                    {
                        self.collected(call, *head, collected, &mut context, now, events);
                    }
                }
                Poll::Pending if self.peer_ended => {
                    self.remove(slot, now);
                }
                Poll::Pending => call.progress = now,
            }
            return;
        }
        if call.reader_waits {
            call.reader_waits = false;
            events.push(Event::Readable(key));
        }
        if self.paused_since.is_some() {
            return;
        }
        match call.pump(&mut context, now) {
            Pumped::Waits => {}
            Pumped::Sent | Pumped::Gone if matches!(call.stage, Stage::Flushing) => {
                self.remove(slot, now);
            }
            Pumped::Sent => {
                if std::mem::take(&mut call.writer_waits) {
                    events.push(Event::Writable(key));
                }
            }
            Pumped::Gone => {
                events.push(Event::Cancelled(key));
                self.remove(slot, now);
            }
        }
    }

    /// Ends the calls that wait for the peer's windows: a peer that has ended its side can no longer open them.
    pub(super) fn end_blocked_calls(&mut self, now: Instant, events: &mut Vec<Event>) {
        let blocked = |call: &Call| call.is_backed_up() || matches!(call.stage, Stage::Flushing);
        let slots: Vec<usize> =
            self.calls.iter().filter(|(_, (call, _))| blocked(call)).map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(call) = self.remove(slot, now)
                && matches!(call.stage, Stage::Running)
            {
                events.push(Event::Cancelled(Key { slot, number: call.number }));
            }
        }
    }

    pub(super) fn answer_refused(&mut self, slot: usize, now: Instant) {
        if let Some(mut call) = self.remove(slot, now)
            && let Stage::Refused(response) = std::mem::replace(&mut call.stage, Stage::Flushing)
        {
            call.respond(*response);
        }
    }
}
