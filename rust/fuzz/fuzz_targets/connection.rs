//! What a peer sends, as frames that are mostly right and as bytes that are not: no panic, no more calls than allowed,
//! no input held beyond its cap, and every call that was opened is over once the connection is.
#![no_main]
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use couponry_wire::{Code, Config, Connection, Event, Finish, Key, Reading, Route, Routes};
use libfuzzer_sys::fuzz_target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const PATHS: [&str; 3] = ["/a.B/Unary", "/a.B/Stream", "/a.B/Nothing"];
const MOST_CALLS: u32 = 16;
/// The input cap of a connection and what one read may add to it.
const MOST_UNREAD: usize = (256 << 10) + (64 << 10);

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Raw(&'a [u8]),
    Frame { kind: u8, flags: u8, stream: u8, payload: &'a [u8] },
    Call { stream: u8, path: u8, timeout: Option<u16>, encoding: u8, end: bool },
    Message { stream: u8, compressed: bool, claimed: Option<u32>, body: &'a [u8], end: bool },
    Wait { milliseconds: u16 },
    Pause(bool),
    PeerEnds,
    Drain,
    Reply { which: u8, body: &'a [u8], end: bool },
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    begins_right: bool,
    piece: u8,
    steps: Vec<Step<'a>>,
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, stream];
    bytes.extend_from_slice(payload);
    bytes
}

fn literal(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, name.len() as u8]);
    out.extend_from_slice(name.as_bytes());
    out.push(value.len() as u8);
    out.extend_from_slice(value.as_bytes());
}

fn call(stream: u8, path: u8, timeout: Option<u16>, encoding: u8, end: bool) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    literal(":path", PATHS[usize::from(path) % PATHS.len()], &mut block);
    literal("content-type", "application/grpc", &mut block);
    if let Some(timeout) = timeout {
        literal("grpc-timeout", &format!("{timeout}m"), &mut block);
    }
    literal("grpc-encoding", ["identity", "gzip", "deflate", "snappy"][usize::from(encoding) % 4], &mut block);
    frame(1, 4 | u8::from(end), stream | 1, &block)
}

fn message(stream: u8, compressed: bool, claimed: Option<u32>, body: &[u8], end: bool) -> Vec<u8> {
    let mut payload = vec![u8::from(compressed)];
    payload.extend_from_slice(&claimed.unwrap_or(body.len() as u32).to_be_bytes());
    payload.extend_from_slice(body);
    frame(0, u8::from(end), stream | 1, &payload)
}

struct Peer {
    connection: Connection,
    now: Instant,
    events: Vec<Event>,
    open: Vec<Key>,
}

impl Peer {
    fn new() -> Self {
        let mut routes = Routes::default();
        routes.insert(PATHS[0], Route { id: 0, unary_request: true, hot: None });
        routes.insert(PATHS[1], Route { id: 1, unary_request: false, hot: None });
        let config = Config { max_concurrent_streams: MOST_CALLS, max_receive_message: 64 << 10, ..Config::default() };
        let now = Instant::now();
        let connection = Connection::new(Arc::new(config), Arc::new(routes), 0.0, now);
        Self { connection, now, events: Vec::new(), open: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            if self.connection.is_full() {
                return;
            }
            self.connection.receive(part, self.now, &mut self.events);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.connection.drive(self.now, &mut self.events);
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Opened(opened) => self.open.push(opened.key),
                Event::Cancelled(key) => self.open.retain(|open| *open != key),
                Event::Readable(key) => {
                    while matches!(self.connection.read(key), Reading::Message(_)) {}
                }
                Event::Writable(_) => (),
            }
        }
        self.connection.take_output(|_| ());
        if self.connection.due().is_some_and(|due| due <= self.now) {
            self.connection.expire(self.now, &mut self.events);
        }
        assert!(self.open.len() <= MOST_CALLS as usize, "more calls than streams");
    }

    fn reply(&mut self, which: u8, body: &[u8], end: bool) {
        if self.open.is_empty() {
            return;
        }
        let index = usize::from(which) % self.open.len();
        let key = self.open[index];
        while matches!(self.connection.read(key), Reading::Message(_)) {}
        if end {
            self.open.swap_remove(index);
            let details = String::from_utf8_lossy(body);
            let finish = Finish { code: Code::Ok, details, trailers: None, message: Some((body, true)) };
            self.connection.finish(key, finish, self.now);
        } else {
            self.connection.send(key, body, false, self.now);
        }
        self.turn();
    }
}

fuzz_target!(|input: Input<'_>| {
    let mut peer = Peer::new();
    let piece = usize::from(input.piece) + 1;
    if input.begins_right {
        peer.receive(PREFACE, piece);
    }
    let mut sent = 0;
    for step in input.steps {
        let bytes = match step {
            Step::Raw(bytes) => bytes.to_vec(),
            Step::Frame { kind, flags, stream, payload } => frame(kind % 10, flags, stream, payload),
            Step::Call { stream, path, timeout, encoding, end } => call(stream, path, timeout, encoding, end),
            Step::Message { stream, compressed, claimed, body, end } => message(stream, compressed, claimed, body, end),
            Step::Wait { milliseconds } => {
                peer.now += Duration::from_millis(milliseconds.into());
                peer.connection.expire(peer.now, &mut peer.events);
                peer.turn();
                continue;
            }
            Step::Pause(paused) => {
                peer.connection.pause(paused, peer.now);
                peer.turn();
                continue;
            }
            Step::PeerEnds => {
                peer.connection.receive_end();
                peer.turn();
                continue;
            }
            Step::Drain => {
                peer.connection.drain(peer.now);
                peer.turn();
                continue;
            }
            Step::Reply { which, body, end } => {
                peer.reply(which, body, end);
                continue;
            }
        };
        sent += bytes.len();
        peer.receive(&bytes, piece);
        assert!(sent < MOST_UNREAD || peer.connection.calls() <= MOST_CALLS as usize + 1, "calls are held beyond their end");
    }
    peer.connection.lost(peer.now, &mut peer.events);
    peer.turn();
    assert!(peer.open.is_empty(), "a call outlives its connection");
});
