//! SYNTHETIC: MySQL's own events, built here byte by byte from their published format, not written by a server.
//! `COUPONRY_TEST_MYSQLD` lets the integration tests read a real one's.
use couponry_binlog::{Broken, Cause, Coordinate, Decoder, Fate, Refused};

use crate::support::{Notes, Tables, Told, WATCHED, change, without_rows};

const FIRST: u32 = 1_900_000_000;

/// A log that grows: each event ends where the next one begins.
struct Log {
    end: u64,
    events: Vec<Vec<u8>>,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { end: 4, events: Vec::new() };
        let mut body = 4u16.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 50 + 4]);
        body.push(19);
        let mut lengths = [0u8; 42];
        lengths[18] = 8;
        body.extend_from_slice(&lengths);
        body.push(1);
        log.push(15, &body);
        log
    }

    fn push(&mut self, kind: u8, body: &[u8]) -> &mut Self {
        let event = event(kind, body, self.end, 0);
        self.end += event.len() as u64;
        self.events.push(event);
        self
    }

    fn gtid(&mut self) -> &mut Self {
        let mut body = vec![1];
        body.extend_from_slice(&[7; 16]);
        body.extend_from_slice(&5u64.to_le_bytes());
        self.push(33, &body)
    }

    fn query(&mut self, text: &str) -> &mut Self {
        self.push(2, &query(text))
    }

    /// Reads all of it.
    fn read(&self) -> Result<(Vec<Told>, Coordinate), Refused> {
        let mut decoder = Decoder::new("shop", &WATCHED, Coordinate { file: 1, position: 4, ..Coordinate::default() });
        let mut notes = Notes::default();
        for event in &self.events {
            decoder.feed(event, &mut Tables::default(), &mut notes)?;
        }
        Ok((without_rows(notes.news()), decoder.at()))
    }

    fn news(&self) -> Vec<Told> {
        self.read().unwrap().0
    }
}

fn event(kind: u8, body: &[u8], start: u64, flags: u16) -> Vec<u8> {
    let length = 19 + body.len() + 4;
    let mut event = FIRST.to_le_bytes().to_vec();
    event.push(kind);
    event.extend_from_slice(&1u32.to_le_bytes());
    event.extend_from_slice(&(length as u32).to_le_bytes());
    event.extend_from_slice(&((start + length as u64) as u32).to_le_bytes());
    event.extend_from_slice(&flags.to_le_bytes());
    event.extend_from_slice(body);
    event.extend_from_slice(&crc32fast::hash(&event).to_le_bytes());
    event
}

/// An event inside of a compressed transaction: without a checksum, its position of no meaning.
fn inner(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = event(kind, body, 0, 0);
    event.truncate(event.len() - 4);
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    event
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(4);
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(b"shop\0");
    body.extend_from_slice(text.as_bytes());
    body
}

/// MySQL's table map of `templates`, with two JSON columns.
fn templates_map() -> Vec<u8> {
    let types = [8, 15, 254, 15, 15, 245, 1, 254, 245, 8, 3, 18, 18, 18, 18, 3, 8, 1, 8, 1, 8, 18, 18];
    let metadata = [64, 0, 254, 16, 0, 1, 160, 15, 4, 254, 3, 4, 3, 3, 3, 3, 3, 3];
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 4];
    body.extend_from_slice(b"shop\0\x09templates\0");
    body.push(types.len() as u8);
    body.extend_from_slice(&types);
    body.push(metadata.len() as u8);
    body.extend_from_slice(&metadata);
    body.extend_from_slice(&[0; 3]);
    body
}

/// A whole image of a template; `metadata` is how its first JSON column is written.
fn image(id: i64, key: &str, version: i64, metadata: &[u8]) -> Vec<u8> {
    // NULL: the limit of a user, both ends of receiving, days, budget.
    let nulls: u32 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 15 | 1 << 16;
    let mut row = nulls.to_le_bytes()[..3].to_vec();
    row.extend_from_slice(&id.to_le_bytes());
    row.push(key.len() as u8);
    row.extend_from_slice(key.as_bytes());
    row.push(16);
    row.extend_from_slice(&[1; 16]);
    for text in ["name", "description"] {
        row.extend_from_slice(&(text.len() as u16).to_le_bytes());
        row.extend_from_slice(text.as_bytes());
    }
    row.extend_from_slice(&(metadata.len() as u32).to_le_bytes());
    row.extend_from_slice(metadata);
    row.push(1);
    row.extend_from_slice(b"\x03CNY");
    row.extend_from_slice(&2u32.to_le_bytes());
    row.extend_from_slice(&[0; 2]);
    row.extend_from_slice(&10i64.to_le_bytes());
    row.extend_from_slice(&[0; 14]);
    row.push(0);
    row.extend_from_slice(&0i64.to_le_bytes());
    row.push(1);
    row.extend_from_slice(&version.to_le_bytes());
    row.extend_from_slice(&[0; 14]);
    row
}

fn rows_head(bitmaps: usize) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 23];
    for _ in 0..bitmaps {
        body.extend_from_slice(&[0xff; 3]);
    }
    body
}

fn write_rows(id: i64, key: &str) -> Vec<u8> {
    [rows_head(1), image(id, key, 1, b"{}")].concat()
}

fn payload(compression: Option<u8>, events: &[Vec<u8>]) -> Vec<u8> {
    let plain = events.concat();
    let packed = match compression {
        Some(0) => zstd::encode_all(plain.as_slice(), 3).unwrap(),
        _ => plain.clone(),
    };
    let mut body = Vec::new();
    match compression {
        Some(255) => body.extend_from_slice(&[2, 3, 252, 255, 0]),
        Some(kind) => body.extend_from_slice(&[2, 1, kind]),
        None => {}
    }
    body.extend_from_slice(&[3, 9, 254]);
    body.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    body.extend_from_slice(&[1, 9, 254]);
    body.extend_from_slice(&(packed.len() as u64).to_le_bytes());
    body.push(0);
    body.extend_from_slice(&packed);
    body
}

fn transaction() -> Vec<Vec<u8>> {
    vec![
        inner(2, &query("BEGIN")),
        inner(19, &templates_map()),
        inner(30, &write_rows(7, "k7")),
        inner(30, &write_rows(8, "k8")),
        inner(16, &9u64.to_le_bytes()),
    ]
}

fn inserted() -> Vec<Told> {
    vec![
        change("template", "7", 7, Fate::Inserted(1)),
        change("template_key", "k7", 7, Fate::Inserted(1)),
        change("template", "8", 8, Fate::Inserted(1)),
        change("template_key", "k8", 8, Fate::Inserted(1)),
    ]
}

#[test]
fn a_transaction_of_mysql_is_read() {
    let mut log = Log::new();
    log.gtid().query("BEGIN").push(19, &templates_map()).push(30, &write_rows(7, "k7"));
    log.push(30, &write_rows(8, "k8")).push(16, &9u64.to_le_bytes());
    let (news, at) = log.read().unwrap();
    assert_eq!(news, inserted());
    assert_eq!(at, Coordinate { first: FIRST, file: 1, position: log.end, row: 0 });
}

#[test]
fn a_compressed_transaction_says_the_same_and_is_passed_at_its_own_end() {
    for compression in [Some(0), Some(255), None] {
        let mut log = Log::new();
        log.gtid().push(40, &payload(compression, &transaction()));
        let (news, at) = log.read().unwrap();
        assert_eq!(news, inserted());
        assert_eq!(at.position, log.end);
    }
}

#[test]
fn a_compressed_transaction_that_is_cut_or_of_an_unknown_kind_is_refused() {
    let whole = payload(Some(0), &transaction());
    for body in [payload(Some(9), &transaction()), whole[..whole.len() - 9].to_vec()] {
        let mut log = Log::new();
        log.gtid().push(40, &body);
        assert!(matches!(log.read(), Err(Refused::Broken(Broken::Compression | Broken::Short))));
    }
}

#[test]
fn a_difference_of_json_is_passed_over_as_the_whole_value_would_be() {
    for (options, bits) in [(1u8, Some(0b01u8)), (1, Some(0b00)), (0, None)] {
        let mut body = rows_head(2);
        body.extend_from_slice(&image(7, "k7", 1, b"{\"a\": 1}"));
        body.push(options);
        body.extend(bits);
        body.extend_from_slice(&image(7, "k7", 2, b"\x00\x03$.a\x02\x05\x02\x00"));
        let mut log = Log::new();
        log.gtid().query("BEGIN").push(19, &templates_map()).push(39, &body).push(16, &[0; 8]);
        assert_eq!(log.news(), vec![change("template", "7", 7, Fate::Present(2))]);
    }
}

#[test]
fn ids_with_tags_begin_a_group_as_others_do() {
    let mut log = Log::new();
    log.push(42, &[2, 60, 8, 0]).query("BEGIN").push(19, &templates_map()).push(30, &write_rows(7, "k7"));
    let before = log.read().unwrap().1;
    log.push(30, &write_rows(8, "k8")).push(16, &[0; 8]);
    let (news, at) = log.read().unwrap();
    assert_eq!(news, inserted());
    assert!(at.position > before.position, "nothing is passed inside of the transaction");
    assert_eq!(at.position, log.end);
}

#[test]
fn a_statement_after_an_id_is_a_whole_group() {
    let mut log = Log::new();
    log.gtid().query("CREATE TABLE other (a INT)");
    assert_eq!(log.read().unwrap().1.position, log.end);
    log.gtid().query("ALTER TABLE templates ADD COLUMN a INT");
    let (news, at) = log.read().unwrap();
    assert_eq!((news, at.position), (vec![Told::Unplaceable(Cause::Ddl)], log.end));
}

#[test]
fn lost_events_and_unknown_ones_cannot_be_placed_but_ignorable_ones_can() {
    let mut log = Log::new();
    log.push(26, &[1, 0, 0]);
    assert_eq!(log.news(), vec![Told::Unplaceable(Cause::Incident)]);
    let mut log = Log::new();
    log.push(150, &[]);
    assert_eq!(log.news(), vec![Told::Unplaceable(Cause::Unknown)]);
    let mut log = Log::new();
    log.events.push(event(150, &[], log.end, 0x80));
    assert_eq!(log.news(), vec![]);
}

#[test]
fn a_heartbeat_moves_the_position_between_transactions_only() {
    let beat = |position: u64| {
        let mut body = vec![1, 13];
        body.extend_from_slice(b"binlog.000001");
        body.extend_from_slice(&[2, 9, 254]);
        body.extend_from_slice(&position.to_le_bytes());
        body.push(0);
        event(41, &body, 0, 0)
    };
    let mut log = Log::new();
    log.events.push(beat(5_000_000_000));
    assert_eq!(log.read().unwrap().1.position, 5_000_000_000);
    let mut log = Log::new();
    log.gtid().query("BEGIN");
    let before = log.read().unwrap().1;
    log.events.push(beat(5_000_000_000));
    assert_eq!(log.read().unwrap().1, before);
}

#[test]
fn positions_go_on_beyond_what_an_event_can_say() {
    let mut log = Log::new();
    log.end = (1 << 32) - 10;
    log.gtid().query("BEGIN").push(16, &[0; 8]);
    assert_eq!(log.read().unwrap().1.position, log.end);
    assert!(log.end > 1 << 32);
}

#[test]
fn a_file_that_is_older_than_the_one_before_it_is_of_another_log() {
    let mut log = Log::new();
    log.push(4, &[&4u64.to_le_bytes()[..], b"binlog.000002"].concat());
    let mut second = log.events[0].clone();
    log.events.push(second.clone());
    assert!(log.read().is_ok(), "in the same second");
    second[..4].copy_from_slice(&(FIRST - 1).to_le_bytes());
    log.events.pop();
    log.events.push(second);
    assert_eq!(log.read().map(|_| ()), Err(Refused::OtherLog));
}

#[test]
fn a_rotation_made_for_the_stream_keeps_what_is_known_and_a_real_one_names_the_next_file() {
    let rotate = |name: &str, position: u64| [&position.to_le_bytes()[..], name.as_bytes()].concat();
    let mut log = Log::new();
    log.events.insert(0, event(4, &rotate("binlog.000001", 4), 0, 0x20));
    log.push(4, &rotate("binlog.000002", 4));
    let (_, at) = log.read().unwrap();
    assert_eq!(at, Coordinate { first: 0, file: 2, position: 4, row: 0 });
    let mut log = Log::new();
    log.push(4, &rotate("nonsense", 4));
    assert_eq!(log.read().map(|_| ()), Err(Refused::Broken(Broken::Name)));
}
