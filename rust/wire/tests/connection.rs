//! A connection fed with frames made by hand: what comes out, and that nothing which comes in can make it panic.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use couponry_wire::{
    Answer, Caller, Code, Config, Connection, Event, Finish, Hot, Reading, Route, Routes, Sending, Shutdown, framing,
};
use parking_lot::Mutex;
use proptest::prelude::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

#[derive(Default)]
struct Echo {
    kept: Mutex<Vec<Caller>>,
}

impl Hot for Echo {
    fn answer(&self, request: &[u8], caller: Caller) -> Answer {
        match request {
            b"miss" => Answer::Miss,
            b"later" => {
                self.kept.lock().push(caller);
                Answer::Later
            }
            _ => Answer::Frame(framing::frame(false, request)),
        }
    }
}

struct Peer {
    connection: Connection,
    events: Vec<Event>,
    now: Instant,
    echo: Arc<Echo>,
}

impl Peer {
    fn new(config: Config) -> Self {
        let mut routes = Routes::default();
        let echo = Arc::<Echo>::default();
        let hot: Arc<dyn Hot> = Arc::clone(&echo) as _;
        routes.insert("/a.B/Hot", Route { id: 0, unary_request: true, hot: Some(hot) });
        routes.insert("/a.B/Unary", Route { id: 1, unary_request: true, hot: None });
        routes.insert("/a.B/Stream", Route { id: 2, unary_request: false, hot: None });
        let now = Instant::now();
        let connection = Connection::new(Arc::new(config), Arc::new(routes), 0.0, now);
        Self { connection, events: Vec::new(), now, echo }
    }

    fn begun() -> Self {
        let mut peer = Self::new(Config::default());
        peer.give(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &window(0, 1 << 20)].concat());
        peer
    }

    /// Feeds bytes and returns the frames that come out: kind, flags, stream, payload.
    fn give(&mut self, data: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        self.connection.receive(data, self.now, &mut self.events);
        self.turn()
    }

    fn turn(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut output = Vec::new();
        loop {
            self.connection.drive(self.now, &mut self.events);
            if self.connection.take_output(|bytes| output.extend_from_slice(bytes)).is_none() {
                return frames(&output);
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        frames.push((header[3], header[4], stream, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

fn window(stream: u32, size: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &size.to_be_bytes())
}

fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(":path", path), (":authority", "test"), ("content-type", "application/grpc"), ("te", "trailers")]
    {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn request(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, 4, stream, &headers(path));
    bytes.extend(frame(DATA, 1, stream, &framing::frame(false, message)));
    bytes
}

#[test]
fn a_hot_method_is_answered_in_the_turn_that_brought_it() {
    let mut peer = Peer::begun();
    let out = peer.give(&request(1, "/a.B/Hot", b"hello"));
    let data: Vec<_> = out.iter().filter(|(kind, ..)| *kind == DATA).collect();
    assert_eq!(data.len(), 1);
    assert_eq!(data[0].3, &framing::frame(false, b"hello")[..]);
    assert!(out.iter().any(|(kind, flags, stream, _)| (*kind, flags & 1, *stream) == (HEADERS, 1, 1)));
    assert!(peer.events.is_empty() && peer.connection.is_idle());
}

#[test]
fn a_call_that_its_answerer_keeps_is_ended_by_its_key_once() {
    let mut peer = Peer::begun();
    peer.connection.set_name(7);
    let out = peer.give(&[request(1, "/a.B/Hot", b"later"), request(3, "/a.B/Hot", b"later")].concat());
    assert!(out.iter().all(|(kind, ..)| *kind != DATA) && peer.events.is_empty());
    let kept = std::mem::take(&mut *peer.echo.kept.lock());
    assert_eq!((kept.len(), kept[0].connection, peer.connection.calls()), (2, 7, 2));
    for (caller, word) in kept.iter().rev().zip([b"late 3", b"late 1"]) {
        assert!(peer.connection.finish_with(caller.key, framing::frame(false, word), peer.now));
        assert!(!peer.connection.finish_with(caller.key, framing::frame(false, word), peer.now));
    }
    let out = peer.turn();
    let data: Vec<_> =
        out.iter().filter(|(kind, ..)| *kind == DATA).map(|(_, _, stream, data)| (*stream, data)).collect();
    assert_eq!(
        data,
        [(3, &framing::frame(false, b"late 3").to_vec()), (1, &framing::frame(false, b"late 1").to_vec())]
    );
    assert!(peer.connection.is_idle());
}

#[test]
fn a_kept_call_that_was_reset_or_ran_out_of_time_is_over_for_its_answerer() {
    let mut peer = Peer::begun();
    peer.give(&request(1, "/a.B/Hot", b"later"));
    let mut timed = headers("/a.B/Hot");
    timed.push(0);
    for text in ["grpc-timeout", "10m"] {
        timed.push(text.len() as u8);
        timed.extend_from_slice(text.as_bytes());
    }
    peer.give(&[frame(HEADERS, 4, 3, &timed), frame(DATA, 1, 3, &framing::frame(false, b"later"))].concat());
    peer.give(&frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()));
    peer.now += Duration::from_millis(20);
    let now = peer.now;
    peer.connection.expire(now, &mut peer.events);
    let out = peer.turn();
    assert!(out.iter().any(|(kind, _, stream, _)| (*kind, *stream) == (HEADERS, 3)), "the deadline is told");
    for caller in std::mem::take(&mut *peer.echo.kept.lock()) {
        peer.connection.finish_with(caller.key, framing::frame(false, b"late"), now);
    }
    assert!(peer.turn().iter().all(|(kind, ..)| *kind != DATA));
    assert!(peer.connection.is_idle());
}

#[test]
fn a_miss_and_other_methods_are_handed_on_with_their_request() {
    let mut peer = Peer::begun();
    peer.give(&[request(1, "/a.B/Hot", b"miss"), request(3, "/a.B/Unary", b"x")].concat());
    let opened: Vec<_> = peer
        .events
        .iter()
        .map(|event| match event {
            Event::Opened(call) => (call.route, call.request.clone().map(|request| request.payload)),
            _ => panic!("only calls have opened"),
        })
        .collect();
    assert_eq!(opened, [(Some(0), Some(Bytes::from("miss"))), (Some(1), Some(Bytes::from("x")))]);
}

#[test]
fn a_call_is_read_written_and_ended_by_its_key() {
    let mut peer = Peer::begun();
    let body = [framing::frame(false, b"1"), framing::frame(false, b"2")].concat();
    peer.give(&[frame(HEADERS, 4, 1, &headers("/a.B/Stream")), frame(DATA, 1, 1, &body)].concat());
    let Some(Event::Opened(call)) = peer.events.pop() else { panic!("the call has opened") };
    for expected in [b"1", b"2"] {
        let Reading::Message(message) = peer.connection.read(call.key) else { panic!("a message is there") };
        assert_eq!(&message.payload[..], expected);
        assert_eq!(peer.connection.send(call.key, expected, false, peer.now), Sending::Done);
    }
    assert_eq!(peer.connection.read(call.key), Reading::End);
    let finish = || Finish { code: Code::Ok, details: "".into(), trailers: None, message: None };
    assert!(peer.connection.finish(call.key, finish(), peer.now));
    assert!(!peer.connection.finish(call.key, finish(), peer.now), "it has ended");
    assert_eq!(peer.connection.read(call.key), Reading::Gone);
    let out = peer.turn();
    assert_eq!(out.iter().filter(|(kind, ..)| *kind == DATA).count(), 2);
    assert!(peer.connection.is_idle());
}

#[test]
fn a_reset_and_a_deadline_cancel_their_call() {
    let mut peer = Peer::begun();
    let mut block = headers("/a.B/Unary");
    block.extend_from_slice(b"\0\x0cgrpc-timeout\x025S");
    let timed = [frame(HEADERS, 4, 1, &block), frame(DATA, 1, 1, &framing::frame(false, b""))].concat();
    peer.give(&[timed, request(3, "/a.B/Unary", b"")].concat());
    peer.events.clear();
    peer.give(&frame(RST_STREAM, 0, 3, &8u32.to_be_bytes()));
    assert!(matches!(peer.events[..], [Event::Cancelled(_)]));
    peer.events.clear();
    assert!(peer.connection.due().is_some_and(|due| due <= peer.now + Duration::from_secs(5)));
    peer.now += Duration::from_secs(6);
    peer.connection.expire(peer.now, &mut peer.events);
    assert!(matches!(peer.events[..], [Event::Cancelled(_)]));
    assert!(peer.turn().iter().any(|(kind, flags, stream, _)| (*kind, flags & 1, *stream) == (HEADERS, 1, 1)));
    assert!(peer.connection.is_idle());
}

#[test]
fn what_a_peer_must_not_do_ends_its_connection_with_a_goaway() {
    let mut peer = Peer::begun();
    let out = peer.give(&frame(SETTINGS, 0, 0, b"").repeat(500));
    assert!(out.iter().any(|(kind, .., payload)| *kind == GOAWAY && payload.ends_with(b"too_many_settings")));
    assert_eq!(peer.connection.shutdown(), Some(Shutdown::Linger));
}

#[test]
fn a_full_socket_stops_what_is_read() {
    let mut peer = Peer::new(Config { max_ping_strikes: 0, ..Config::default() });
    peer.give(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    peer.connection.pause(true, peer.now);
    for _ in 0..50 {
        peer.give(&frame(0x20, 0, 0, &[0; 10_000]));
    }
    assert!(!peer.connection.is_full(), "what needs no answer is taken");
    // More answers than h2 keeps for a socket that takes none.
    peer.give(&frame(6, 0, 0, &[0; 8]).repeat(990));
    for _ in 0..50 {
        peer.give(&frame(0x20, 0, 0, &[0; 10_000]));
    }
    assert!(peer.connection.is_full());
}

/// The key of the call that a request just opened.
fn opened(peer: &mut Peer) -> Option<couponry_wire::Key> {
    peer.events.drain(..).find_map(|event| match event {
        Event::Opened(call) => Some(call.key),
        _ => None,
    })
}

#[test]
fn a_peer_that_ended_its_side_is_written_to_once_a_second_so_that_its_loss_shows() {
    let mut peer = Peer::begun();
    peer.give(&request(1, "/a.B/Unary", b""));
    let key = opened(&mut peer).unwrap();
    peer.connection.receive_end();
    assert!(peer.turn().is_empty());
    for _ in 0..3 {
        peer.now += Duration::from_secs(1);
        assert!(peer.connection.due().is_some_and(|due| due <= peer.now));
        peer.connection.expire(peer.now, &mut peer.events);
        assert_eq!(peer.turn(), [(WINDOW_UPDATE, 0, 0, vec![0, 0, 0, 1])]);
    }
    let finish = Finish { code: Code::Ok, details: "".into(), trailers: None, message: Some((b"late", false)) };
    assert!(peer.connection.finish(key, finish, peer.now));
    assert!(peer.turn().iter().any(|(kind, ..)| *kind == DATA), "the reply still goes out");
    assert_eq!(peer.connection.shutdown(), Some(Shutdown::Close));
}

#[test]
fn a_reply_that_waits_for_the_windows_of_a_peer_that_ended_its_side_is_given_up() {
    let mut peer = Peer::begun();
    peer.give(&request(1, "/a.B/Stream", b""));
    let key = opened(&mut peer).unwrap();
    // More than the window of 65,535 bytes that a peer has by default.
    while !matches!(peer.connection.send(key, &[7; 20_000], false, peer.now), Sending::Wait) {
        peer.turn();
    }
    peer.turn();
    peer.connection.receive_end();
    peer.turn();
    assert!(peer.events.iter().any(|event| matches!(event, Event::Cancelled(cancelled) if *cancelled == key)));
    assert_eq!(peer.connection.shutdown(), Some(Shutdown::Close));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0u32), Just(1), Just(3), Just(5)];
    let payload = prop_oneof![
        Just(headers("/a.B/Hot")),
        Just(headers("/a.B/Unary")),
        Just(headers("/a.B/Stream")),
        Just(framing::frame(false, b"x").to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let flags = prop_oneof![Just(0u8), Just(1), Just(4), Just(5), any::<u8>()];
    (0u8..11, flags, stream, payload).prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
}

proptest! {
    /// Whatever comes in, in whatever pieces, while handlers answer or not.
    #[test]
    fn no_input_makes_it_panic(
        given in prop::collection::vec(any_frame(), 0..30),
        cut in 1usize..200,
        answers in any::<bool>(),
    ) {
        let mut peer = Peer::begun();
        for piece in given.concat().chunks(cut) {
            peer.give(piece);
            for event in std::mem::take(&mut peer.events) {
                if let Event::Opened(call) = event
                    && answers
                {
                    while let Reading::Message(message) = peer.connection.read(call.key) {
                        peer.connection.send(call.key, &message.payload, true, peer.now);
                    }
                    let finish = Finish { code: Code::Ok, details: "".into(), trailers: None, message: None };
                    peer.connection.finish(call.key, finish, peer.now);
                }
            }
            peer.now += Duration::from_millis(500);
            peer.connection.expire(peer.now, &mut peer.events);
        }
        peer.connection.receive_end();
        peer.turn();
        peer.connection.lost(peer.now, &mut peer.events);
        prop_assert!(peer.connection.is_idle());
    }
}
