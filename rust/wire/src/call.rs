//! One call: what is still to be read of its request and sent of its reply. It knows its stream only; timers, tables
//! and other calls are the connection's.
use std::{
    borrow::Cow,
    collections::VecDeque,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, Response};

use crate::{
    code::{Code, Refusal},
    compression::Encoding,
    framing::{self, Deframer},
    request::Head,
    response,
};

/// Names a call of a connection. A number is never used again, so an old key finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) slot: usize,
    pub(crate) number: u64,
}

/// Marks the key of a call in the lane, whose stream is in the other bits.
const IN_LANE: u64 = 1 << 63;

impl Key {
    pub(crate) fn of_lane(slot: usize, stream: u32) -> Self {
        Self { slot, number: IN_LANE | u64::from(stream) }
    }

    /// The slot and the stream of a call in the lane.
    pub(crate) fn in_lane(self) -> Option<(usize, u32)> {
        // The lower half.
        (self.number & IN_LANE != 0).then_some((self.slot, self.number as u32))
    }
}

/// A request message, no longer compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub payload: Bytes,
    /// Whether it came compressed.
    pub compressed: bool,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    Message(Message),
    /// The peer sends no more messages.
    End,
    /// Nothing yet; an event says when to ask again.
    Wait,
    /// The call is over.
    Gone,
}

/// What became of a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Done,
    /// It is taken, but an event must come before the next one.
    Wait,
    TooLarge,
    /// The call is over.
    Gone,
}

/// How a call ends.
#[derive(Debug)]
pub struct Finish<'a> {
    pub code: Code,
    pub details: Cow<'a, str>,
    pub trailers: Option<HeaderMap>,
    /// A last message, and whether to compress it.
    pub message: Option<(&'a [u8], bool)>,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub enum Stop {
    /// The stream or the connection is gone.
    Gone,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How far sending got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// h2 has everything that was queued.
    Sent,
    /// The peer's windows are full.
    Waits,
    Gone,
}

pub enum Stage {
    /// A unary request is coming in; nobody outside knows of the call.
    Collecting(Box<Head>),
    /// Its headers are refused; the answer waits for the request's end, as a peer that is sending does not listen.
    Refused(Box<Response<()>>),
    /// A handler has it.
    Running,
    /// The reply is complete, but not all of it could be sent.
    Flushing,
}

enum Reply {
    Unsent(SendResponse<Bytes>),
    Open(SendStream<Bytes>),
}

pub struct Call {
    pub number: u64,
    pub stage: Stage,
    pub deadline: Option<Instant>,
    /// When a part that the front end answers for last made progress.
    pub progress: Instant,
    pub reader_waits: bool,
    pub writer_waits: bool,
    /// h2 said that the stream is over.
    pub dead: bool,
    recv: RecvStream,
    reply: Reply,
    received: Encoding,
    deframer: Deframer,
    collected: Option<Message>,
    ended: bool,
    initial: Option<HeaderMap>,
    encoding: Encoding,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    trailers: Option<HeaderMap>,
}

impl Call {
    pub fn new(number: u64, recv: RecvStream, respond: SendResponse<Bytes>, now: Instant) -> Self {
        Self {
            number,
            stage: Stage::Running,
            deadline: None,
            progress: now,
            reader_waits: false,
            writer_waits: false,
            dead: false,
            recv,
            reply: Reply::Unsent(respond),
            received: Encoding::Identity,
            deframer: Deframer::default(),
            collected: None,
            ended: false,
            initial: None,
            encoding: Encoding::Identity,
            out: VecDeque::new(),
            out_bytes: 0,
            trailers: None,
        }
    }

    /// Takes what the headers say of the call.
    pub fn set_head(&mut self, head: &Head) {
        self.deadline = head.deadline;
        self.received = head.received;
    }

    /// Reads the rest of the request and throws it away. True at its end.
    pub fn discard(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if self.recv.is_end_stream() {
                return true;
            }
            match self.recv.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => {
                    let _ = self.recv.flow_control().release_capacity(data.len());
                }
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
    }

    /// Answers with one block of headers of the caller's.
    pub fn respond(&mut self, response: Response<()>) {
        if let Reply::Unsent(respond) = &mut self.reply {
            let _ = respond.send_response(response, true);
        }
    }

    /// Whether the peer has reset the stream, or the connection is gone.
    pub fn is_reset(&mut self, context: &mut Context<'_>) -> bool {
        let polled = match &mut self.reply {
            Reply::Unsent(respond) => respond.poll_reset(context),
            Reply::Open(send) => send.poll_reset(context),
        };
        self.dead || polled.is_ready()
    }

    /// The next message; None at the end.
    pub fn pull(&mut self, context: &mut Context<'_>, max: usize) -> Poll<Result<Option<Message>, Stop>> {
        loop {
            if let Some(raw) = self.deframer.next(max)? {
                let payload = if raw.compressed { self.received.inflate(&raw.payload, max)? } else { raw.payload };
                return Poll::Ready(Ok(Some(Message { payload, compressed: raw.compressed })));
            }
            if self.ended {
                return Poll::Ready(if self.deframer.is_empty() {
                    Ok(None)
                } else {
                    Err(Refusal::new(Code::Internal, "the request ends inside a message").into())
                });
            }
            match self.recv.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => {
                    // It fails only for more than was received.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    self.deframer.push(data);
                    self.ended = self.recv.is_end_stream();
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Stop::Gone)),
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The one message of a unary request, when the request is complete.
    pub fn collect(&mut self, context: &mut Context<'_>, max: usize) -> Poll<Result<Message, Stop>> {
        loop {
            let Poll::Ready(pulled) = self.pull(context, max)? else {
                return Poll::Pending;
            };
            match pulled {
                Some(message) if self.collected.is_none() => self.collected = Some(message),
                Some(_) => {
                    return Poll::Ready(Err(
                        Refusal::new(Code::Internal, "a unary request of more than one message").into()
                    ));
                }
                None => {
                    return Poll::Ready(
                        self.collected
                            .take()
                            .ok_or_else(|| Refusal::new(Code::Internal, "a unary request without a message").into()),
                    );
                }
            }
        }
    }

    /// What the headers in front of the first message will hold. False where they are sent already.
    pub fn set_initial(&mut self, metadata: Option<HeaderMap>, encoding: Encoding) -> bool {
        let unsent = matches!(self.reply, Reply::Unsent(_));
        if unsent {
            self.initial = metadata;
            self.encoding = encoding;
        }
        unsent
    }

    /// Sends the headers in front of the messages, unless they are sent.
    pub fn open_reply(&mut self) -> Pumped {
        if let Reply::Unsent(respond) = &mut self.reply {
            match respond.send_response(response::initial(self.initial.take(), self.encoding), false) {
                Ok(send) => self.reply = Reply::Open(send),
                Err(_) => {
                    self.dead = true;
                    return Pumped::Gone;
                }
            }
        }
        Pumped::Sent
    }

    /// Queues a message.
    pub fn push(&mut self, message: &[u8], compress: bool) {
        let compressed = if compress { self.encoding.deflate(message) } else { None };
        self.push_frame(match compressed {
            Some(compressed) => framing::frame(true, &compressed),
            None => framing::frame(false, message),
        });
    }

    pub fn push_frame(&mut self, frame: Bytes) {
        self.out_bytes += frame.len();
        self.out.push_back(frame);
    }

    /// Whether the reply waits for the peer's windows.
    pub fn is_backed_up(&self) -> bool {
        self.out_bytes > 0
    }

    /// Queues the end. A reply that is nothing but its status is one block of headers.
    pub fn push_end(&mut self, trailers: HeaderMap) -> Pumped {
        if let Reply::Unsent(respond) = &mut self.reply
            && self.initial.is_none()
            && self.out.is_empty()
        {
            return match respond.send_response(response::trailers_only(trailers), true) {
                Ok(_) => Pumped::Sent,
                Err(_) => Pumped::Gone,
            };
        }
        self.trailers = Some(trailers);
        if self.open_reply() == Pumped::Gone { Pumped::Gone } else { Pumped::Waits }
    }

    /// Hands to h2 what the peer's windows allow.
    pub fn pump(&mut self, context: &mut Context<'_>, now: Instant) -> Pumped {
        let Reply::Open(send) = &mut self.reply else {
            return Pumped::Sent;
        };
        while let Some(front) = self.out.front_mut() {
            send.reserve_capacity(self.out_bytes);
            let mut room = send.capacity();
            if room == 0 {
                room = match send.poll_capacity(context) {
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(_) => {
                        self.dead = true;
                        return Pumped::Gone;
                    }
                    Poll::Pending => return Pumped::Waits,
                };
            }
            let piece = front.split_to(room.min(front.len()));
            if front.is_empty() {
                self.out.pop_front();
            }
            self.out_bytes -= piece.len();
            self.progress = now;
            if send.send_data(piece, false).is_err() {
                self.dead = true;
                return Pumped::Gone;
            }
        }
        if let Some(trailers) = self.trailers.take()
            && send.send_trailers(trailers).is_err()
        {
            self.dead = true;
            return Pumped::Gone;
        }
        Pumped::Sent
    }

    /// Ends the call with a status where that can be sent at once, else with a reset.
    pub fn refuse(&mut self, refusal: &Refusal, context: &mut Context<'_>, now: Instant) {
        self.initial = None;
        if self.is_backed_up() {
            self.reset(Reason::CANCEL);
            return;
        }
        let trailers = response::trailers(None, refusal.code, &refusal.details);
        if self.push_end(trailers) == Pumped::Waits {
            self.pump(context, now);
        }
    }

    pub fn reset(&mut self, reason: Reason) {
        match &mut self.reply {
            Reply::Unsent(respond) => respond.send_reset(reason),
            Reply::Open(send) => send.send_reset(reason),
        }
    }
}
