//! The lane past h2, for calls of hot methods. A client that has its headers in the HPACK table sends the same few bytes
//! with every call: once h2 has read such a block its meaning is known, until a block changes the table. A call whose
//! block is known and whose message follows in one piece is answered without h2 ever hearing of its stream.
//!
//! What both sides must agree on stays in step: stream numbers only grow, h2's table is never touched, the bytes of the
//! lane's requests are given back to the peer here, and the peer's window for the connection is shared out: the lane
//! sends from its own share and h2 gets more when it runs low.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use slab::Slab;

use crate::{
    call::Key,
    config::CONNECTION_WINDOW,
    framing,
    hpack::{leaves_table_alone, put_literal},
    response::STATUS,
    routes::Hot,
};

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
const INITIAL_WINDOW_SIZE: u16 = 4;
const HEADER_TABLE_SIZE: u16 = 1;

/// What HTTP/2 gives every connection and stream to begin with.
const FIRST_WINDOW: u32 = 65_535;
pub const MOST_WINDOW: i64 = (1 << 31) - 1;
/// No setting makes a peer take less in one frame.
const MOST_PAYLOAD: usize = 16_384;
const PREFACE: usize = 24;
/// Longer blocks and messages are not met in the lane.
const MOST_BLOCK: usize = 512;
const MOST_MESSAGE: usize = 4096;
/// Blocks that are remembered, and blocks whose meaning h2 has yet to tell.
const MOST_KNOWN: usize = 8;
/// What is set aside of the peer's window for a reply that comes later.
const LATE_REPLY: usize = 256;
/// With less than this of the peer's window h2 gets more, so much at once.
const H2_LOW: i64 = 32 * 1024;
const H2_GRANT: i64 = 256 * 1024;
/// The peer gets back what its requests took of the window in pieces of this size.
const GIVE_BACK: usize = CONNECTION_WINDOW as usize / 4;
/// Unwritten replies from which on new calls go through h2, which holds a peer back that does not read.
const MOST_OUT: usize = 256 * 1024;

/// `:status: 200`, `content-type: application/grpc`.
const FIRST_BLOCK: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const OK_BLOCK: &[u8] = b"\x00\x0bgrpc-status\x010";

struct Known {
    block: Box<[u8]>,
    hot: Arc<dyn Hot>,
    timeout: Option<Duration>,
}

struct Pending {
    stream: u32,
    deadline: Option<Instant>,
}

/// What is to be done with the bytes that come next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// So many are h2's; they may go beyond what is here.
    Pass(usize),
    /// The rest must come first.
    Wait,
    /// So many are nobody's.
    Drop(usize),
    /// So many are a WINDOW_UPDATE, of which h2 gets another one of this size.
    Grant(usize, u32),
    /// So many are a WINDOW_UPDATE that makes the window larger than one may be, which h2 has to see.
    Overflow(usize),
    /// So many are a whole call: if it is not taken, its headers are h2's. `data` of them count against our window.
    Call { bytes: usize, headers: usize, data: usize, stream: u32, known: usize, message: &'a [u8] },
    /// The peer breaks the protocol where h2 would not see it.
    Broken,
}

pub struct Lane {
    /// Bytes of the current frame that are still to come, all of them h2's.
    skip: usize,
    /// What came of a frame or a call whose rest has not.
    pub tail: Vec<u8>,
    known: Vec<Known>,
    /// Streams of h2 whose blocks may become known.
    learning: Vec<(u32, Box<[u8]>)>,
    /// h2 reads a block of several frames.
    inside_block: bool,
    h2_last: u32,
    own_last: u32,
    pending: Slab<Pending>,
    /// The lane's share of what the peer takes on the connection, and h2's.
    credit: i64,
    h2_credit: i64,
    stream_window: u32,
    /// The peer changed the size of its table: h2 must be the next to send it a block.
    resized: bool,
    /// Taken of our window for the connection, and not given back.
    unreturned: usize,
    /// Frames to write as soon as h2's are whole.
    pub out: Vec<u8>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            tail: Vec::new(),
            known: Vec::new(),
            learning: Vec::new(),
            inside_block: false,
            h2_last: 0,
            own_last: 0,
            pending: Slab::new(),
            credit: 0,
            h2_credit: FIRST_WINDOW.into(),
            stream_window: FIRST_WINDOW,
            resized: false,
            unreturned: 0,
            out: Vec::new(),
        }
    }
}

impl Lane {
    /// How many of the first of so many bytes belong to a frame that is h2's.
    pub fn skip(&mut self, bytes: usize) -> usize {
        let skipped = self.skip.min(bytes);
        self.skip -= skipped;
        skipped
    }

    /// Notes that so many more bytes are h2's.
    pub fn skip_on(&mut self, beyond: usize) {
        self.skip += beyond;
    }

    /// Looks at bytes that begin with a frame.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Next<'a> {
        let Some(frame) = Frame::read(bytes) else {
            return Next::Wait;
        };
        let whole = HEADER + frame.length;
        if self.inside_block {
            self.inside_block = frame.kind != CONTINUATION || frame.flags & END_HEADERS == 0;
            return Next::Pass(whole);
        }
        match frame.kind {
            HEADERS => self.headers(&frame, bytes),
            // A short frame is looked at whole; one of a wrong length is for h2 to complain of.
            RST_STREAM | WINDOW_UPDATE if frame.length == 4 => match frame.payload {
                Some(payload) => self.word(&frame, payload),
                None => Next::Wait,
            },
            SETTINGS if frame.flags & ACK == 0 && frame.length <= MOST_PAYLOAD => match frame.payload {
                Some(payload) => {
                    self.settings(payload);
                    Next::Pass(whole)
                }
                None => Next::Wait,
            },
            _ => Next::Pass(whole),
        }
    }

    fn headers<'a>(&mut self, frame: &Frame<'a>, bytes: &'a [u8]) -> Next<'a> {
        let (stream, whole) = (frame.stream, HEADER + frame.length);
        if self.h2_last < stream && stream <= self.own_last {
            return Next::Broken;
        }
        let bare = frame.flags & (PADDED | PRIORITY) == 0 && frame.length <= MOST_BLOCK;
        let block = match frame.payload {
            Some(block) if bare => block,
            None if bare => return Next::Wait,
            _ => {
                self.pass_block(frame, None);
                return Next::Pass(whole);
            }
        };
        let is_request = frame.flags == END_HEADERS && stream > self.h2_last && stream % 2 == 1;
        if is_request && let Some(known) = self.known.iter().position(|known| *known.block == *block) {
            let mut behind = whole;
            let mut rest = bytes.get(behind..).unwrap_or_default();
            // grpc's C core opens each stream's window between its headers and its message. A reply here fits without.
            if is_window_of(stream, rest) {
                behind += HEADER + 4;
                rest = rest.get(HEADER + 4..).unwrap_or_default();
            }
            match message_of(stream, rest) {
                Some(None) => return Next::Wait,
                Some(Some((data, message))) => {
                    let bytes = behind + HEADER + data;
                    return Next::Call { bytes, headers: whole, data, stream, known, message };
                }
                None => {}
            }
        }
        self.pass_block(frame, Some(block));
        Next::Pass(whole)
    }

    /// h2 gets this block; None for one that is not here as a whole.
    fn pass_block(&mut self, frame: &Frame<'_>, block: Option<&[u8]>) {
        self.inside_block = frame.flags & END_HEADERS == 0;
        match block {
            Some(block) if !self.inside_block && leaves_table_alone(block) => {
                if frame.flags == END_HEADERS {
                    if self.learning.len() >= MOST_KNOWN {
                        self.learning.remove(0);
                    }
                    self.learning.push((frame.stream, block.into()));
                }
            }
            _ => {
                self.known.clear();
                self.learning.clear();
            }
        }
        self.h2_last = self.h2_last.max(frame.stream);
    }

    /// A call that was not taken: its headers go to h2.
    pub fn decline(&mut self, stream: u32) {
        self.h2_last = self.h2_last.max(stream);
    }

    fn word<'a>(&mut self, frame: &Frame<'_>, payload: &[u8]) -> Next<'a> {
        let whole = HEADER + frame.length;
        let word = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff);
        if frame.stream == 0 && frame.kind == WINDOW_UPDATE && word > 0 {
            if self.credit + self.h2_credit + i64::from(word) > MOST_WINDOW {
                return Next::Overflow(whole);
            }
            let to_h2 = (H2_LOW - self.h2_credit).clamp(0, word.into());
            self.h2_credit += to_h2;
            self.credit += i64::from(word) - to_h2;
            // At most `word`.
            return Next::Grant(whole, to_h2 as u32);
        }
        if frame.kind == RST_STREAM {
            let slot = self.pending.iter().find(|(_, pending)| pending.stream == frame.stream).map(|(slot, _)| slot);
            if let Some(slot) = slot {
                self.pending.remove(slot);
                return Next::Drop(whole);
            }
        }
        if self.h2_last < frame.stream && frame.stream <= self.own_last { Next::Drop(whole) } else { Next::Pass(whole) }
    }

    fn settings(&mut self, payload: &[u8]) {
        for setting in payload.chunks_exact(6) {
            let (Some(name), Some(value)) = (setting.first_chunk(), setting.last_chunk()) else {
                continue;
            };
            match (u16::from_be_bytes(*name), u32::from_be_bytes(*value)) {
                (INITIAL_WINDOW_SIZE, value) => self.stream_window = value,
                (HEADER_TABLE_SIZE, _) => self.resized = true,
                _ => {}
            }
        }
    }

    /// h2 has been told this stream's headers, and what answers it: the same block will mean the same.
    pub fn learn(&mut self, stream: u32, hot: Option<&Arc<dyn Hot>>, timeout: Option<Duration>) {
        let Some(at) = self.learning.iter().position(|(learning, _)| *learning == stream) else {
            return;
        };
        // h2 accepts streams in their order: what is older will not come any more.
        let Some((_, block)) = self.learning.drain(..=at).next_back() else {
            return;
        };
        if let Some(hot) = hot
            && self.known.iter().all(|known| known.block != block)
        {
            if self.known.len() >= MOST_KNOWN {
                self.known.remove(0);
            }
            self.known.push(Known { block, hot: Arc::clone(hot), timeout });
        }
    }

    /// The answerer of a known block, and how long its caller waits.
    pub fn known(&self, index: usize) -> Option<(Arc<dyn Hot>, Option<Duration>)> {
        self.known.get(index).map(|known| (Arc::clone(&known.hot), known.timeout))
    }

    /// Whether another call can be taken.
    pub fn has_room(&self) -> bool {
        !self.resized
            && self.out.len() < MOST_OUT
            && self.stream_window as usize >= LATE_REPLY
            && self.spare() >= LATE_REPLY as i64
    }

    /// What no reply is promised.
    fn spare(&self) -> i64 {
        self.credit - (self.pending.len() * LATE_REPLY) as i64
    }

    /// Whether a reply of this size may go out at once.
    pub fn fits(&self, frame: usize) -> bool {
        frame <= MOST_PAYLOAD.min(self.stream_window as usize) && frame as i64 <= self.spare()
    }

    /// The key that `hold` will give the stream.
    pub fn vacant_key(&self, stream: u32) -> Key {
        Key::of_lane(self.pending.vacant_key(), stream)
    }

    /// The stream's reply comes later.
    pub fn hold(&mut self, stream: u32, deadline: Option<Instant>) {
        self.pending.insert(Pending { stream, deadline });
    }

    /// A call was taken, whose DATA frame had so many bytes.
    pub fn took(&mut self, stream: u32, data: usize) {
        self.own_last = stream;
        self.unreturned += data;
        if self.unreturned >= GIVE_BACK {
            put_window_update(&mut self.out, self.unreturned as u32);
            self.unreturned = 0;
        }
    }

    /// The stream of a key whose reply is still to come; it comes now.
    pub fn release(&mut self, key: Key) -> Option<u32> {
        let (slot, stream) = key.in_lane()?;
        self.pending.get(slot).filter(|pending| pending.stream == stream)?;
        let pending = self.pending.remove(slot);
        if self.pending.is_empty() && self.pending.capacity() > 64 {
            self.pending = Slab::new();
        }
        Some(pending.stream)
    }

    /// The keys of all calls that wait, with their deadlines.
    pub fn waiting(&self) -> impl Iterator<Item = (Key, Option<Instant>)> {
        self.pending.iter().map(|(slot, pending)| (Key::of_lane(slot, pending.stream), pending.deadline))
    }

    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The greatest stream that the lane has taken.
    pub fn last_stream(&self) -> u32 {
        self.own_last
    }

    /// Writes a whole good reply.
    pub fn reply(&mut self, stream: u32, frame: &[u8]) {
        self.out.reserve(3 * HEADER + FIRST_BLOCK.len() + frame.len() + OK_BLOCK.len());
        put_frame(&mut self.out, HEADERS, END_HEADERS, stream, FIRST_BLOCK);
        put_frame(&mut self.out, DATA, 0, stream, frame);
        put_frame(&mut self.out, HEADERS, END_HEADERS | END_STREAM, stream, OK_BLOCK);
        self.credit -= frame.len() as i64;
    }

    /// Writes a reply with these trailers and no more.
    pub fn refuse(&mut self, stream: u32, trailers: &HeaderMap) {
        let mut block = FIRST_BLOCK.to_vec();
        let (status, rest): (Vec<_>, Vec<_>) = trailers.iter().partition(|(name, _)| *name == STATUS);
        for (name, value) in status.into_iter().chain(rest) {
            let before = block.len();
            put_literal(&mut block, name.as_str().as_bytes(), value.as_bytes());
            // What no frame holds is left out.
            if block.len() > MOST_PAYLOAD {
                block.truncate(before);
            }
        }
        put_frame(&mut self.out, HEADERS, END_HEADERS | END_STREAM, stream, &block);
    }

    /// Tells the peer that too many of its streams are open.
    pub fn refuse_stream(&mut self, stream: u32) {
        put_frame(&mut self.out, RST_STREAM, 0, stream, &u32::from(h2::Reason::REFUSED_STREAM).to_be_bytes());
    }

    /// h2 has written a block, or so many bytes of messages.
    pub fn h2_wrote(&mut self, headers: bool, data: usize) {
        self.h2_credit -= data as i64;
        self.resized &= !headers;
    }

    /// Whether `grant` would give h2 anything. Its frame must not stand within another, nor within a block.
    pub fn has_grant(&self) -> bool {
        self.h2_credit < H2_LOW && self.spare() > 0 && self.skip == 0 && !self.inside_block
    }

    /// What h2 gets of the peer's window now, as a frame.
    pub fn grant(&mut self) -> Option<[u8; 13]> {
        if !self.has_grant() {
            return None;
        }
        let size = self.spare().min(H2_GRANT);
        self.credit -= size;
        self.h2_credit += size;
        // At most H2_GRANT.
        Some(window_update(size as u32))
    }

    /// The connection is over: what waits is, too.
    pub fn clear(&mut self) {
        self.tail = Vec::new();
        self.known = Vec::new();
        self.learning = Vec::new();
        self.pending = Slab::new();
    }
}

/// A frame's header, and its payload where all of it is here.
struct Frame<'a> {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[a, b, c, kind, flags, d, e, f, g], rest) = bytes.split_first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
        Some(Self { length, kind, flags, stream, payload: rest.get(..length) })
    }
}

/// Whether a whole WINDOW_UPDATE of this stream comes first.
fn is_window_of(stream: u32, bytes: &[u8]) -> bool {
    Frame::read(bytes).is_some_and(|frame| {
        (frame.kind, frame.stream, frame.length) == (WINDOW_UPDATE, stream, 4) && frame.payload.is_some()
    })
}

/// The message of a request and the length of its frame's payload, where all of the message is in that one frame and nothing
/// else follows; Some(None) where the rest must come first. Headers with nothing behind them do not wait.
fn message_of(stream: u32, bytes: &[u8]) -> Option<Option<(usize, &[u8])>> {
    if bytes.is_empty() {
        return None;
    }
    let Some(frame) = Frame::read(bytes) else {
        return Some(None);
    };
    let fits = (framing::PREFIX..=framing::PREFIX + MOST_MESSAGE).contains(&frame.length);
    if frame.kind != DATA || frame.flags != END_STREAM || frame.stream != stream || !fits {
        return None;
    }
    let Some(payload) = frame.payload else {
        return Some(None);
    };
    let (&[flag, a, b, c, d], message) = payload.split_first_chunk::<{ framing::PREFIX }>()?;
    let plain = flag == 0 && u32::from_be_bytes([a, b, c, d]) as usize == message.len();
    plain.then_some(Some((frame.length, message)))
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // No payload is longer than MOST_PAYLOAD.
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
    out.extend_from_slice(payload);
}

fn put_window_update(out: &mut Vec<u8>, size: u32) {
    out.extend_from_slice(&window_update(size));
}

/// A WINDOW_UPDATE for the connection.
pub fn window_update(size: u32) -> [u8; 13] {
    let [a, b, c, d] = size.to_be_bytes();
    [0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 0, a, b, c, d]
}
