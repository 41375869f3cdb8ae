//! One HTTP/2 connection without its socket: bytes in, bytes out.
use std::{collections::VecDeque, sync::Arc};

use crate::{
    Error,
    frames::{self, Frame},
    headers::{RequestBlocks, ResponseBlocks},
    messages::Messages,
    stream::{Expected, Stream},
    tally::Tally,
};

/// What the connection may have received and not given back; raised once, at the start.
const CONNECTION_WINDOW: usize = 1 << 30;
const FIRST_WINDOW: usize = 65_535;
const MESSAGE_PREFIX: usize = 5;
const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
const SETTINGS_ENABLE_PUSH: u16 = 2;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
/// Stream ids left when a connection is given up for a new one.
const LAST_STREAM: u32 = (1 << 31) - 3;

/// What every connection of a run has in common.
#[derive(Debug)]
pub struct Common {
    pub path: String,
    pub authority: String,
    pub headers: Vec<(String, String)>,
    pub expected: Expected,
    pub window: u32,
}

pub struct Connection {
    common: Arc<Common>,
    /// Bytes to send.
    pub out: Vec<u8>,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    blocks: Option<RequestBlocks>,
    responses: ResponseBlocks,
    /// The header block that CONTINUATION frames add to.
    block: Option<(u32, bool, Vec<u8>)>,
    /// By age; the front is the oldest that runs.
    streams: VecDeque<Option<Stream>>,
    front: u32,
    running: usize,
    limit: usize,
    /// What the server still takes: on the connection, and of one message.
    send_window: i64,
    stream_window: usize,
    received: usize,
    draining: bool,
    message: Vec<u8>,
}

impl Connection {
    pub fn new(common: Arc<Common>, streams: usize) -> Self {
        let mut out = Vec::with_capacity(1 << 16);
        out.extend_from_slice(frames::PREFACE);
        let mut settings = Vec::new();
        for (key, value) in [(SETTINGS_ENABLE_PUSH, 0), (SETTINGS_INITIAL_WINDOW_SIZE, common.window)] {
            settings.extend_from_slice(&key.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frames::write(frames::SETTINGS, 0, 0, &settings, &mut out);
        write_window(0, CONNECTION_WINDOW - FIRST_WINDOW, &mut out);
        Self {
            common,
            out,
            partial: Vec::new(),
            blocks: None,
            responses: ResponseBlocks::new(),
            block: None,
            streams: VecDeque::new(),
            front: 1,
            running: 0,
            limit: streams,
            send_window: FIRST_WINDOW as i64,
            stream_window: FIRST_WINDOW,
            received: 0,
            draining: false,
            message: Vec::new(),
        }
    }

    /// Whether the server has said how it wants its requests.
    pub fn is_ready(&self) -> bool {
        self.blocks.is_some()
    }

    /// Whether another call may be sent now.
    pub fn has_room(&self) -> bool {
        self.blocks.is_some() && self.running < self.limit && self.send_window > 0 && !self.is_over()
    }

    /// Whether no call will be sent any more.
    pub fn is_over(&self) -> bool {
        self.draining || self.next_id() >= LAST_STREAM
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// Calls that will never be answered, because the connection is gone.
    pub fn abandoned(self) -> impl Iterator<Item = Stream> {
        self.streams.into_iter().flatten()
    }

    fn next_id(&self) -> u32 {
        self.front + 2 * self.streams.len() as u32
    }

    /// Sends the next call. `has_room` is asked before.
    pub fn start(&mut self, messages: &mut Messages, intended: u64) -> Result<(), Error> {
        let id = self.next_id();
        let Some(blocks) = &self.blocks else { return Ok(()) };
        let block = if id == 1 { &blocks.first } else { &blocks.later };
        frames::write(frames::HEADERS, frames::END_HEADERS, id, block, &mut self.out);
        self.message.clear();
        self.message.extend_from_slice(&[0; MESSAGE_PREFIX]);
        messages.write_next(&mut self.message);
        let length = (self.message.len() - MESSAGE_PREFIX) as u32;
        self.message[1..MESSAGE_PREFIX].copy_from_slice(&length.to_be_bytes());
        if self.message.len() > self.stream_window {
            return Err(Error::Option(format!("a message of {length} bytes is more than the server takes unasked")));
        }
        let mut chunks = self.message.chunks(frames::MAX_PAYLOAD).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_none() { frames::END_STREAM } else { 0 };
            frames::write(frames::DATA, flags, id, chunk, &mut self.out);
        }
        // May fall below zero only when the window is smaller than one message: the next call then waits.
        self.send_window -= self.message.len() as i64;
        self.streams.push_back(Some(Stream::new(intended)));
        self.running += 1;
        Ok(())
    }

    /// Takes what was read; finished calls go to the tally.
    pub fn read(&mut self, bytes: &[u8], now: u64, tally: &mut Tally) -> Result<(), Error> {
        if self.partial.is_empty() {
            let used = self.read_frames(bytes, now, tally)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let used = self.read_frames(&partial, now, tally)?;
        partial.drain(..used);
        self.partial = partial;
        Ok(())
    }

    fn read_frames(&mut self, bytes: &[u8], now: u64, tally: &mut Tally) -> Result<usize, Error> {
        let mut used = 0;
        while let Some((frame, length)) = frames::read(&bytes[used..])? {
            used += length;
            self.frame(&frame, now, tally)?;
        }
        if self.received > CONNECTION_WINDOW / 2 {
            write_window(0, self.received, &mut self.out);
            self.received = 0;
        }
        Ok(used)
    }

    fn frame(&mut self, frame: &Frame<'_>, now: u64, tally: &mut Tally) -> Result<(), Error> {
        let ends = frame.flags & frames::END_STREAM != 0;
        match frame.kind {
            frames::DATA => self.data(frame, ends, now, tally),
            frames::HEADERS if frame.flags & frames::END_HEADERS != 0 => {
                self.header_block(frame.stream, ends, frame.payload, now, tally)?;
            }
            frames::HEADERS => self.block = Some((frame.stream, ends, frame.payload.to_vec())),
            frames::CONTINUATION => {
                let Some((stream, ends, mut block)) = self.block.take() else {
                    return Err(Error::Protocol("CONTINUATION without HEADERS".into()));
                };
                block.extend_from_slice(frame.payload);
                if frame.flags & frames::END_HEADERS == 0 {
                    self.block = Some((stream, ends, block));
                } else {
                    self.header_block(stream, ends, &block, now, tally)?;
                }
            }
            frames::RST_STREAM => self.end(frame.stream, now, tally, Some(word(frame.payload)?)),
            frames::SETTINGS if frame.flags & frames::ACK == 0 => self.settings(frame.payload)?,
            frames::PING if frame.flags & frames::ACK == 0 => {
                frames::write(frames::PING, frames::ACK, 0, frame.payload, &mut self.out);
            }
            frames::GOAWAY => {
                self.draining = true;
                let code = word(frame.payload.get(4..8).unwrap_or_default())?;
                if code != 0 {
                    tally.goaway(code, frame.payload.get(8..).unwrap_or_default());
                }
            }
            frames::WINDOW_UPDATE if frame.stream == 0 => self.send_window += i64::from(word(frame.payload)?),
            _ => (),
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut table = 4096;
        for setting in payload.chunks_exact(6) {
            let value = word(&setting[2..])? as usize;
            match u16::from_be_bytes([setting[0], setting[1]]) {
                SETTINGS_HEADER_TABLE_SIZE => table = value.min(table),
                SETTINGS_MAX_CONCURRENT_STREAMS => self.limit = self.limit.min(value),
                SETTINGS_INITIAL_WINDOW_SIZE => self.stream_window = value,
                _ => (),
            }
        }
        frames::write(frames::SETTINGS, frames::ACK, 0, &[], &mut self.out);
        if self.blocks.is_none() {
            let Common { path, authority, headers, .. } = &*self.common;
            self.blocks = Some(RequestBlocks::new(path, authority, headers, table));
        }
        Ok(())
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let index = (id.checked_sub(self.front)? / 2) as usize;
        self.streams.get_mut(index)?.as_mut()
    }

    fn data(&mut self, frame: &Frame<'_>, ends: bool, now: u64, tally: &mut Tally) {
        self.received += frame.length;
        let common = Arc::clone(&self.common);
        let Some(stream) = self.stream(frame.stream) else { return };
        stream.data(frame.payload, &common.expected);
        stream.unreported += frame.length;
        if ends {
            self.end(frame.stream, now, tally, None);
        } else if stream.unreported > common.window as usize / 2 {
            let length = std::mem::take(&mut stream.unreported);
            write_window(frame.stream, length, &mut self.out);
        }
    }

    fn header_block(&mut self, id: u32, ends: bool, block: &[u8], now: u64, tally: &mut Tally) -> Result<(), Error> {
        let statuses = self.responses.read(block)?;
        if let Some(stream) = self.stream(id) {
            stream.merge(statuses);
        }
        if ends {
            self.end(id, now, tally, None);
        }
        Ok(())
    }

    fn end(&mut self, id: u32, now: u64, tally: &mut Tally, reset: Option<u32>) {
        let Some(index) = id.checked_sub(self.front).map(|distance| (distance / 2) as usize) else { return };
        let Some(stream) = self.streams.get_mut(index).and_then(Option::take) else { return };
        self.running -= 1;
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.front += 2;
        }
        tally.ended(&stream, now, reset, &self.common.expected);
    }
}

fn write_window(stream: u32, size: usize, out: &mut Vec<u8>) {
    frames::write(frames::WINDOW_UPDATE, 0, stream, &(size as u32).to_be_bytes(), out);
}

fn word(bytes: &[u8]) -> Result<u32, Error> {
    match *bytes {
        [a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(Error::Protocol("a frame of the wrong length".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Arc<Common> {
        Arc::new(Common {
            path: "/a.B/C".into(),
            authority: "host:1".into(),
            headers: vec![],
            expected: Expected::default(),
            window: 4096,
        })
    }

    fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (key, value) in pairs {
            payload.extend_from_slice(&key.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut bytes = Vec::new();
        frames::write(frames::SETTINGS, 0, 0, &payload, &mut bytes);
        bytes
    }

    fn ready(pairs: &[(u16, u32)]) -> (Connection, Messages, Tally) {
        let mut connection = Connection::new(common(), 4);
        let mut tally = Tally::new(0);
        assert!(!connection.has_room());
        connection.read(&settings(pairs), 0, &mut tally).unwrap();
        connection.out.clear();
        (connection, Messages::new(vec![vec![7; 10]], &[]).unwrap(), tally)
    }

    /// A whole answer: headers, one message, trailers; `grpc-status` literal.
    fn answer(id: u32, message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frames::write(frames::HEADERS, frames::END_HEADERS, id, &[0x88], &mut bytes);
        let framed = [&[0, 0, 0, 0, message.len() as u8], message].concat();
        frames::write(frames::DATA, 0, id, &framed, &mut bytes);
        let trailers = [&[0, 11][..], b"grpc-status", &[1, b'0']].concat();
        frames::write(frames::HEADERS, frames::END_HEADERS | frames::END_STREAM, id, &trailers, &mut bytes);
        bytes
    }

    #[test]
    fn answers_are_counted_out_of_order_and_cut_anywhere() {
        for piece in 1..60 {
            let (mut connection, mut messages, mut tally) = ready(&[]);
            for _ in 0..3 {
                connection.start(&mut messages, 100).unwrap();
            }
            let bytes = [answer(5, b"abc"), answer(1, b""), answer(3, b"z")].concat();
            for part in bytes.chunks(piece) {
                connection.read(part, 2100, &mut tally).unwrap();
            }
            assert_eq!((tally.calls(), tally.right(), connection.running()), (3, 3, 0));
            assert!(connection.streams.is_empty());
        }
    }

    #[test]
    fn the_servers_stream_limit_holds() {
        let (mut connection, mut messages, mut tally) = ready(&[(SETTINGS_MAX_CONCURRENT_STREAMS, 1)]);
        connection.start(&mut messages, 0).unwrap();
        assert!(!connection.has_room());
        connection.read(&answer(1, b""), 1, &mut tally).unwrap();
        assert!(connection.has_room());
    }

    #[test]
    fn calls_wait_for_the_servers_window() {
        let mut connection = ready(&[]).0;
        let mut messages = Messages::new(vec![vec![0; 65_000]], &[]).unwrap();
        connection.start(&mut messages, 0).unwrap();
        connection.start(&mut messages, 0).unwrap();
        assert!(!connection.has_room());
        let mut update = Vec::new();
        write_window(0, 200_000, &mut update);
        connection.read(&update, 0, &mut Tally::new(0)).unwrap();
        assert!(connection.has_room());
    }

    #[test]
    fn a_reset_and_a_goaway_are_told_apart_from_answers() {
        let (mut connection, mut messages, mut tally) = ready(&[]);
        connection.start(&mut messages, 0).unwrap();
        let mut bytes = Vec::new();
        frames::write(frames::RST_STREAM, 0, 1, &8u32.to_be_bytes(), &mut bytes);
        frames::write(frames::GOAWAY, 0, 0, &[0; 8], &mut bytes);
        connection.read(&bytes, 1, &mut tally).unwrap();
        assert_eq!((tally.calls(), tally.right()), (1, 0));
        assert!(connection.is_over() && !connection.has_room());
    }
}
