//! Calls of hot methods that go past h2: what they look like from outside, and that both ways keep one connection whole.
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use couponry_wire::{
    Answer, Caller, Code, Config, Connection, Event, Finish, Hot, Key, Route, Routes, Sending, Shutdown, framing,
};
use http::HeaderMap;
use parking_lot::Mutex;
use proptest::prelude::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Says a message again; keeps and leaves out those that ask for it.
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

type Frame = (u8, u8, u32, Vec<u8>);

struct Peer {
    connection: Connection,
    events: Vec<Event>,
    now: Instant,
    echo: Arc<Echo>,
}

impl Peer {
    fn new(settings: &[u8], connection_window: u32) -> Self {
        let mut routes = Routes::default();
        let echo = Arc::<Echo>::default();
        let hot: Arc<dyn Hot> = Arc::clone(&echo) as _;
        routes.insert("/a.B/Hot", Route { id: 0, unary_request: true, hot: Some(hot) });
        routes.insert("/a.B/Unary", Route { id: 1, unary_request: true, hot: None });
        routes.insert("/a.B/Stream", Route { id: 2, unary_request: false, hot: None });
        let now = Instant::now();
        let config = Config { max_concurrent_streams: 20, ..Config::default() };
        let connection = Connection::new(Arc::new(config), Arc::new(routes), 0.0, now);
        let mut peer = Self { connection, events: Vec::new(), now, echo };
        let mut hello = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        if connection_window > 0 {
            hello.extend(window(0, connection_window));
        }
        peer.give(&hello);
        peer
    }

    /// One whose call to the hot method has gone through h2, so that the next ones need not.
    fn known() -> Self {
        let mut peer = Self::new(b"", 1 << 20);
        assert!(!is_past_h2(&peer.give(&request(1, "/a.B/Hot", b"hello")), 1));
        peer
    }

    fn give(&mut self, data: &[u8]) -> Vec<Frame> {
        self.connection.receive(data, self.now, &mut self.events);
        self.turn()
    }

    fn turn(&mut self) -> Vec<Frame> {
        let mut output = Vec::new();
        loop {
            self.connection.drive(self.now, &mut self.events);
            self.connection.take_output(|bytes| output.extend_from_slice(bytes));
            if !self.connection.has_work() {
                return frames(&output);
            }
        }
    }

    fn kept(&self) -> Vec<Caller> {
        std::mem::take(&mut *self.echo.kept.lock())
    }

    fn finish(&mut self, key: Key, word: &[u8]) -> bool {
        self.connection.finish_with(key, framing::frame(false, word), self.now)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        frames.push((header[3], header[4], stream, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "the output ends with a whole frame");
    frames
}

fn window(stream: u32, size: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &size.to_be_bytes())
}

fn literal(kind: u8, name: &str, value: &str, block: &mut Vec<u8>) {
    block.push(kind);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
}

/// What every block has beside its path; none of it is put into the table.
fn common(block: &mut Vec<u8>) {
    for (name, value) in [(":authority", "test"), ("content-type", "application/grpc"), ("te", "trailers")] {
        literal(0, name, value, block);
    }
}

fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    literal(0, ":path", path, &mut block);
    common(&mut block);
    block
}

fn call(stream: u32, block: &[u8], message: &[u8]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, 4, stream, block);
    bytes.extend(frame(DATA, 1, stream, &framing::frame(false, message)));
    bytes
}

fn request(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    call(stream, &headers(path), message)
}

/// h2 would write this header in Huffman's code, or as an index.
fn is_past_h2(out: &[Frame], stream: u32) -> bool {
    out.iter().any(|(kind, _, of, block)| (*kind, *of) == (HEADERS, stream) && block.ends_with(b"application/grpc"))
}

fn data(out: &[Frame], stream: u32) -> Vec<u8> {
    out.iter().filter(|(kind, _, of, _)| (*kind, *of) == (DATA, stream)).flat_map(|(.., data)| data.clone()).collect()
}

fn status(out: &[Frame], stream: u32) -> Option<u8> {
    let block = out.iter().find(|(kind, flags, of, _)| (*kind, flags & 1, *of) == (HEADERS, 1, stream))?;
    let name = block.3.windows(11).position(|window| window == b"grpc-status")?;
    Some(block.3[name + 12..][..usize::from(block.3[name + 11])].iter().fold(0, |sum, digit| sum * 10 + digit - b'0'))
}

#[test]
fn a_call_whose_headers_are_known_is_answered_past_h2() {
    let mut peer = Peer::known();
    let out = peer.give(&request(3, "/a.B/Hot", b"again"));
    assert!(is_past_h2(&out, 3) && out.len() == 3);
    assert_eq!((data(&out, 3), status(&out, 3)), (framing::frame(false, b"again").to_vec(), Some(0)));
    assert!(peer.connection.is_idle() && peer.events.is_empty());
}

#[test]
fn what_the_answerer_does_not_know_goes_on_through_h2() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"miss"));
    let opened = peer.events.pop();
    assert!(
        matches!(opened, Some(Event::Opened(call)) if call.request.as_ref().is_some_and(|request| request.payload == "miss"))
    );
    assert!(is_past_h2(&peer.give(&request(5, "/a.B/Hot", b"x")), 5));
}

#[test]
fn a_call_that_asks_how_it_is_answered_is_its_handlers_each_time() {
    let mut peer = Peer::known();
    let mut block = headers("/a.B/Hot");
    literal(0, "couponry-debug", "cache", &mut block);
    for stream in [3, 5, 7] {
        peer.give(&call(stream, &block, b"x"));
        assert!(matches!(peer.events.pop(), Some(Event::Opened(_))));
    }
    assert!(is_past_h2(&peer.give(&request(9, "/a.B/Hot", b"x")), 9));
}

#[test]
fn a_block_that_changes_the_table_changes_what_known_blocks_mean() {
    let mut peer = Peer::new(b"", 1 << 20);
    let kept = |path: &str| {
        let mut block = vec![0x83, 0x86];
        literal(0x40, ":path", path, &mut block);
        common(&mut block);
        block
    };
    let mut newest = vec![0x83, 0x86, 0xbe];
    common(&mut newest);
    peer.give(&call(1, &kept("/a.B/Hot"), b"a"));
    assert!(!is_past_h2(&peer.give(&call(3, &newest, b"b")), 3));
    assert!(is_past_h2(&peer.give(&call(5, &newest, b"c")), 5));
    peer.give(&call(7, &kept("/a.B/Unary"), b"d"));
    peer.events.clear();
    let out = peer.give(&call(9, &newest, b"e"));
    assert!(out.is_empty(), "the same bytes now name another method");
    assert!(matches!(peer.events[..], [Event::Opened(ref call)] if call.route == Some(1)));
}

#[test]
fn a_window_that_is_opened_before_the_message_keeps_nobody_out() {
    let mut peer = Peer::known();
    for (stream, cut) in (3..).step_by(2).zip(1..200) {
        let mut bytes = frame(HEADERS, 4, stream, &headers("/a.B/Hot"));
        bytes.extend(window(stream, 5));
        bytes.extend(frame(DATA, 1, stream, &framing::frame(false, b"x")));
        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
        let mut out = peer.give(first);
        out.extend(peer.give(rest));
        assert_eq!(data(&out, stream), framing::frame(false, b"x"));
        assert!(is_past_h2(&out, stream) || !rest.is_empty());
    }
}

#[test]
fn a_late_reply_comes_once_and_not_after_a_reset_or_the_deadline() {
    let mut peer = Peer::known();
    let mut timed = headers("/a.B/Hot");
    literal(0, "grpc-timeout", "10m", &mut timed);
    peer.give(&call(3, &timed, b"x"));
    peer.give(
        &[request(5, "/a.B/Hot", b"later"), request(7, "/a.B/Hot", b"later"), call(9, &timed, b"later")].concat(),
    );
    let kept = peer.kept();
    assert_eq!((kept.len(), peer.connection.calls()), (3, 3));
    assert!(peer.give(&frame(RST_STREAM, 0, 7, &8u32.to_be_bytes())).is_empty());
    assert!(peer.connection.due().is_some_and(|due| due <= peer.now + Duration::from_millis(10)));
    peer.now += Duration::from_millis(11);
    peer.connection.expire(peer.now, &mut peer.events);
    assert_eq!(status(&peer.turn(), 9), Some(4));
    let told: Vec<bool> = kept.iter().map(|caller| peer.finish(caller.key, b"late")).collect();
    assert_eq!(told, [true, false, false]);
    let out = peer.turn();
    assert!(is_past_h2(&out, 5) && out.len() == 3);
    assert!(!peer.finish(kept[0].key, b"late") && peer.connection.is_idle() && peer.events.is_empty());
}

#[test]
fn a_late_refusal_has_its_trailers() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"later"));
    let mut trailers = HeaderMap::new();
    trailers.insert("retry", http::HeaderValue::from_static("soon"));
    let finish = Finish { code: Code::Unavailable, details: "no".into(), trailers: Some(trailers), message: None };
    assert!(peer.connection.finish(peer.kept()[0].key, finish, peer.now));
    let out = peer.turn();
    assert_eq!((out.len(), status(&out, 3)), (1, Some(14)));
    let block = String::from_utf8_lossy(&out[0].3).into_owned();
    assert!(block.contains("\x0cgrpc-message\x02no") && block.contains("\x05retry\x04soon"), "{block:?}");
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let mut peer = Peer::known();
    let calls: Vec<u8> = (0..21).flat_map(|each| request(3 + 2 * each, "/a.B/Hot", b"later")).collect();
    assert_eq!(peer.give(&calls), [(RST_STREAM, 0, 43, 7u32.to_be_bytes().to_vec())]);
    assert_eq!(peer.connection.calls(), 20);
}

#[test]
fn a_stream_of_the_lane_is_not_opened_again() {
    let mut peer = Peer::known();
    peer.give(&request(9, "/a.B/Hot", b"x"));
    let out = peer.give(&request(5, "/a.B/Unary", b"x"));
    assert!(out.iter().any(|(kind, .., payload)| *kind == GOAWAY && payload.starts_with(&9u32.to_be_bytes())));
    assert_eq!(peer.connection.shutdown(), Some(Shutdown::Linger));
}

#[test]
fn what_comes_for_a_stream_that_is_over_is_dropped() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"x"));
    let late = [window(3, 10), frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())].concat();
    assert!(peer.give(&late).is_empty());
    assert!(is_past_h2(&peer.give(&request(5, "/a.B/Hot", b"x")), 5));
}

#[test]
fn a_peer_with_small_windows_is_served_by_h2() {
    let mut peer = Peer::new(&[0, 4, 0, 0, 0, 8], 1 << 20);
    peer.give(&request(1, "/a.B/Hot", b"hello"));
    let out = peer.give(&request(3, "/a.B/Hot", b"hello"));
    assert!(!is_past_h2(&out, 3) && data(&out, 3).len() == 8);
    assert_eq!(data(&peer.give(&window(3, 100)), 3), b"lo");
}

#[test]
fn a_window_larger_than_one_may_be_ends_the_connection() {
    let mut peer = Peer::known();
    let out = peer.give(&[window(0, i32::MAX as u32), window(0, 1)].concat());
    let goaway = out.iter().find(|frame| frame.0 == GOAWAY).map(|frame| frame.3[4..8].to_vec());
    assert_eq!(goaway, Some(vec![0, 0, 0, 3]), "FLOW_CONTROL_ERROR");
}

#[test]
fn the_bytes_of_requests_are_given_back() {
    let mut peer = Peer::known();
    let (mut sent, mut back) = (0, 0);
    for each in 0..2000u32 {
        let out = peer.give(&request(3 + 2 * each, "/a.B/Hot", &[b'x'; 1000]));
        sent += 1005;
        let updates = out.iter().filter(|(kind, _, stream, _)| (*kind, *stream) == (WINDOW_UPDATE, 0));
        back += updates.map(|(.., size)| u32::from_be_bytes(size[..].try_into().unwrap())).sum::<u32>();
        peer.give(&window(0, 1005));
        assert!(back <= sent);
        assert!(sent - back < 1 << 20);
    }
    assert!(back > 1 << 20);
}

#[test]
fn a_peer_that_is_told_to_go_gets_the_replies_that_it_waits_for() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"later"));
    peer.connection.drain(peer.now);
    let out = peer.turn();
    let ping =
        out.iter().find(|(kind, flags, ..)| (*kind, *flags) == (6, 0)).map(|(.., payload)| payload.clone()).unwrap();
    let out = peer.give(&frame(6, 1, 0, &ping));
    let goaways: Vec<_> = out.iter().filter(|(kind, ..)| *kind == GOAWAY).map(|(.., payload)| &payload[..4]).collect();
    assert_eq!(goaways, [3u32.to_be_bytes()], "its stream is among those that are served");
    assert_eq!(peer.connection.shutdown(), None);
    let key = peer.kept()[0].key;
    assert!(peer.finish(key, b"late"));
    assert_eq!(data(&peer.turn(), 3), framing::frame(false, b"late"));
    assert!(peer.connection.shutdown().is_some());
}

#[test]
fn a_server_that_stops_refuses_what_waits() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"later"));
    peer.connection.stop(peer.now, &mut peer.events);
    let out = peer.turn();
    assert_eq!(status(&out, 3), Some(14));
    assert!(out.iter().any(|(kind, .., payload)| *kind == GOAWAY && payload.starts_with(&3u32.to_be_bytes())));
}

#[test]
fn a_peer_that_ended_its_side_still_gets_its_replies() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"later"));
    peer.connection.receive_end();
    peer.turn();
    assert_eq!(peer.connection.shutdown(), None);
    let key = peer.kept()[0].key;
    assert!(peer.finish(key, b"late"));
    assert_eq!(data(&peer.turn(), 3), framing::frame(false, b"late"));
    assert_eq!(peer.connection.shutdown(), Some(Shutdown::Close));
}

#[test]
fn replies_wait_while_the_socket_is_full() {
    let mut peer = Peer::known();
    peer.give(&request(3, "/a.B/Hot", b"later"));
    peer.connection.pause(true, peer.now);
    let key = peer.kept()[0].key;
    assert!(peer.finish(key, b"late"));
    assert!(peer.turn().is_empty());
    assert!(peer.give(&request(5, "/a.B/Hot", b"x")).is_empty());
    peer.connection.pause(false, peer.now);
    let out = peer.turn();
    assert!(is_past_h2(&out, 3) && data(&out, 5) == framing::frame(false, b"x"));
}

#[derive(Debug, Clone)]
enum Step {
    Hot(u8),
    Later,
    Answer,
    Stream(u16),
    Unknown,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Hot),
        3 => Just(Step::Later),
        3 => Just(Step::Answer),
        2 => (0..20_000u16).prop_map(Step::Stream),
        1 => Just(Step::Unknown),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// However the input is cut: every call has its one right answer, and no window is overrun.
    #[test]
    fn both_ways_keep_one_connection_whole(
        steps in steps(), cut in 1usize..400, extra in prop_oneof![Just(0u32), 1..100_000u32], opens in 1_000u32..60_000,
    ) {
        let mut peer = Peer::new(b"", extra);
        let mut room = 65_535 + i64::from(extra);
        let mut stream = 1u32;
        let mut expected: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut got: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut late: Vec<(Key, u32)> = Vec::new();
        let mut reset: Vec<Key> = Vec::new();
        let mut taken = 0u32;
        let mut ended = 0;
        let mut sent = 0usize;
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Answer, 200)) {
            let bytes = match step {
                Step::Hot(size) => {
                    let message = vec![b'm'; usize::from(size) + 10];
                    expected.insert(stream, framing::frame(false, &message).to_vec());
                    request(stream, "/a.B/Hot", &message)
                }
                Step::Later => {
                    expected.insert(stream, framing::frame(false, b"late").to_vec());
                    request(stream, "/a.B/Hot", b"later")
                }
                Step::Stream(size) => {
                    expected.insert(stream, framing::frame(false, &vec![b's'; size.into()]).to_vec());
                    request(stream, "/a.B/Stream", &size.to_be_bytes())
                }
                Step::Unknown => {
                    request(stream, "/a.B/Nothing", b"")
                }
                Step::Reset => match late.pop() {
                    Some((key, of)) => {
                        expected.remove(&of);
                        reset.push(key);
                        frame(RST_STREAM, 0, of, &8u32.to_be_bytes())
                    }
                    None => continue,
                },
                Step::Answer => {
                    if let Some((key, _)) = (!late.is_empty()).then(|| late.remove(0)) {
                        prop_assert!(peer.finish(key, b"late"));
                    }
                    Vec::new()
                }
            };
            let opened = !bytes.is_empty() && bytes[3] == HEADERS;
            let mut out = Vec::new();
            for piece in bytes.chunks(cut) {
                out.extend(peer.give(piece));
            }
            if opened {
                sent += 1;
                late.extend(peer.kept().into_iter().map(|caller| (caller.key, stream)));
                stream += 2;
            }
            for event in std::mem::take(&mut peer.events) {
                if let Event::Opened(opened) = event {
                    let now = peer.now;
                    let couponry_wire::Reading::Message(message) = peer.connection.read(opened.key) else { continue };
                    let size = u16::from_be_bytes(message.payload[..].try_into().unwrap());
                    let sent = peer.connection.send(opened.key, &vec![b's'; size.into()], false, now);
                    prop_assert!(matches!(sent, Sending::Done | Sending::Wait));
                    let finish = Finish { code: Code::Ok, details: "".into(), trailers: None, message: None };
                    peer.connection.finish(opened.key, finish, now);
                }
            }
            out.extend(peer.turn());
            // A peer that takes what comes, and says so from time to time.
            loop {
                for (kind, flags, of, payload) in std::mem::take(&mut out) {
                    prop_assert!(kind != GOAWAY && (kind != RST_STREAM || !expected.contains_key(&of)));
                    if kind == DATA {
                        room -= payload.len() as i64;
                        taken += payload.len() as u32;
                        prop_assert!(room >= 0, "the window is overrun");
                        got.entry(of).or_default().extend(payload);
                    }
                    ended += usize::from(kind <= HEADERS && flags & 1 == 1);
                }
                if taken < opens {
                    break;
                }
                room += i64::from(taken);
                out = peer.give(&window(0, std::mem::take(&mut taken)));
            }
            // The limit of streams is not what is tried here.
            while late.len() > 15 {
                let (key, _) = late.remove(0);
                peer.finish(key, b"late");
            }
        }
        prop_assert!(ended <= sent);
        for key in reset {
            peer.finish(key, b"late");
        }
        for (of, bytes) in expected {
            prop_assert_eq!(got.remove(&of).unwrap_or_default().len(), bytes.len(), "stream {}", of);
        }
        prop_assert!(peer.connection.is_idle());
    }

    #[test]
    fn any_bytes_behind_known_headers_are_survived(
        noise in prop::collection::vec((0u8..10, any::<u8>(), 0u32..12, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        cut in 1usize..60,
    ) {
        let mut peer = Peer::known();
        let bytes: Vec<u8> = noise
            .iter()
            .flat_map(|(kind, flags, stream, payload)| {
                [frame(*kind, *flags, *stream, payload), frame(HEADERS, 4, *stream, &headers("/a.B/Hot"))].concat()
            })
            .collect();
        for piece in bytes.chunks(cut) {
            peer.connection.receive(piece, peer.now, &mut peer.events);
            peer.connection.drive(peer.now, &mut peer.events);
            peer.connection.take_output(|_| ());
        }
    }
}

#[test]
fn an_answer_too_large_for_the_lane_goes_through_h2() {
    let mut peer = Peer::new(b"", 1000);
    peer.give(&request(1, "/a.B/Hot", b"hello"));
    let message = Bytes::from(vec![b'x'; 3000]);
    let out = peer.give(&request(3, "/a.B/Hot", &message));
    assert!(!is_past_h2(&out, 3));
    assert_eq!(data(&out, 3).len(), 3005);
    assert!(is_past_h2(&peer.give(&request(5, "/a.B/Hot", b"x")), 5));
}
