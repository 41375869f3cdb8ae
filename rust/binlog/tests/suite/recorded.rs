//! Files that a real MariaDB wrote (`tests/data/record.py`), and what they must be read as.
use couponry_binlog::{Broken, Cause, Coordinate, Decoder, Fate, File, Refused, Unanswered};
use proptest::prelude::*;

use crate::support::{Notes, Tables, Told, WATCHED, change, read, start, without_rows};

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../data/", $name, ".binlog"))
    };
}

fn news(bytes: &[u8]) -> Vec<Told> {
    without_rows(read(bytes, &mut Tables::default()).unwrap().0.news())
}

/// What the statements of the scenarios with full images mean.
fn full() -> Vec<Told> {
    vec![
        change("template", "1", 1, Fate::Inserted(1)),
        change("template_key", "k1", 1, Fate::Inserted(1)),
        change("template", "2", 2, Fate::Inserted(1)),
        change("template", "1", 1, Fate::Present(2)),
        change("template", "1", 1, Fate::Present(3)),
        change("template_key", "k1", 1, Fate::Left(3)),
        change("template_key", "k2", 1, Fate::Inserted(3)),
        change("activity", "3", 3, Fate::Inserted(1)),
        change("activity_key", "a3", 3, Fate::Inserted(1)),
        change("user", "u1", 11, Fate::Inserted(1)),
        change("user", "u1", 12, Fate::Inserted(1)),
        change("user", "u2", 21, Fate::Inserted(1)),
        change("user", "u1", 11, Fate::Present(2)),
        change("user", "u1", 12, Fate::Present(2)),
        change("user", "u1", 11, Fate::Left(3)),
        change("user", "u1", 12, Fate::Present(3)),
        change("user", "u2", 21, Fate::Left(2)),
        change("user", "u3", 21, Fate::Inserted(2)),
        change("user", "u1", 12, Fate::Gone(3)),
    ]
}

#[test]
fn rows_with_full_images_are_read() {
    assert_eq!(news(recorded!("full")), full());
}

#[test]
fn compressed_events_say_the_same() {
    assert_eq!(news(recorded!("compressed")), full());
}

#[test]
fn a_log_without_checksums_says_the_same() {
    assert_eq!(news(recorded!("plain")), full());
}

#[test]
fn a_log_that_names_its_columns_is_read_by_those_names() {
    assert_eq!(news(recorded!("named")), full());
    let mut wrong = Tables { note: true, ..Tables::default() };
    let (notes, _) = read(recorded!("named"), &mut wrong).unwrap();
    assert_eq!(without_rows(notes.news()), full(), "the names in the log win over what the server says later");
}

#[test]
fn minimal_images_carry_keys_and_versions_and_status_where_it_changed() {
    let mut expected = full();
    // Only what changed is there: the old key of a template is not, nor is the status of a coupon that kept it.
    expected.retain(|told| *told != change("template_key", "k1", 1, Fate::Left(3)));
    for told in &mut expected {
        if *told == change("user", "u1", 12, Fate::Present(3)) {
            *told = change("user", "u1", 12, Fate::Touched(3));
        } else if *told == change("user", "u3", 21, Fate::Inserted(2)) {
            *told = change("user", "u3", 21, Fate::Touched(2));
        } else if *told == change("user", "u1", 12, Fate::Gone(3)) {
            *told = change("user", "u1", 12, Fate::Quarantine);
        }
    }
    assert_eq!(news(recorded!("minimal")), expected);
}

#[test]
fn without_a_trigger_a_minimal_image_is_quarantined() {
    let mut tables = Tables { raised: false, ..Tables::default() };
    let (notes, _) = read(recorded!("minimal"), &mut tables).unwrap();
    let updates =
        |told: &Told| matches!(told, Told::Change(_, _, _, Fate::Present(_) | Fate::Touched(_) | Fate::Left(_), _));
    assert!(!notes.0.iter().any(updates), "{:?}", notes.0);
}

#[test]
fn the_rows_of_a_large_transaction_are_numbered_and_passed_together() {
    let (notes, decoder) = read(recorded!("large"), &mut Tables::default()).unwrap();
    let rows: Vec<u32> =
        notes.0.iter().filter_map(|told| if let Told::Change(.., row) = told { Some(*row) } else { None }).collect();
    assert_eq!(rows, (1..=400).collect::<Vec<u32>>());
    let first = notes.0.iter().position(|told| matches!(told, Told::Change(..))).unwrap();
    assert!(
        notes.0[first..first + 400].iter().all(|told| matches!(told, Told::Change(..))),
        "nothing is passed inside"
    );
    assert_eq!(decoder.counts().rows, 400);
    assert_eq!(decoder.counts().transactions, 1);
}

#[test]
fn a_large_transaction_is_taken_up_in_its_middle() {
    let bytes = recorded!("large");
    let (whole, _) = read(bytes, &mut Tables::default()).unwrap();
    let before = whole.0.iter().take_while(|told| !matches!(told, Told::Change(..)));
    let Some(Told::Passed(position)) = before.last() else { panic!("something is passed before the transaction") };
    let mut decoder = Decoder::new("shop", &WATCHED, Coordinate { position: *position, row: 250, ..start() });
    let mut notes = Notes::default();
    let mut place = 4;
    for event in File::new(bytes).unwrap() {
        let event = event.unwrap();
        // A server that is asked for a later position sends the first event, and goes on from there.
        if place == 4 || place >= *position {
            decoder.feed(&artificial_where(place == 4, event), &mut Tables::default(), &mut notes).unwrap();
        }
        place += event.len() as u64;
    }
    let expected =
        whole.0.iter().filter(|told| matches!(told, Told::Change(.., row) if *row > 250)).cloned().collect::<Vec<_>>();
    assert_eq!(notes.0.iter().filter(|told| matches!(told, Told::Change(..))).cloned().collect::<Vec<_>>(), expected);
}

/// The first event as a server sends it to a reader that begins in the middle: without a position.
fn artificial_where(first: bool, event: &[u8]) -> Vec<u8> {
    let mut event = event.to_vec();
    if first {
        event[13..17].fill(0);
    }
    event
}

#[test]
fn every_end_of_a_transaction_is_passed_and_the_end_of_the_file_too() {
    let bytes = recorded!("full");
    let (notes, decoder) = read(bytes, &mut Tables::default()).unwrap();
    let passed: Vec<u64> =
        notes.0.iter().filter_map(|told| if let Told::Passed(at) = told { Some(*at) } else { None }).collect();
    assert!(passed.is_sorted(), "{passed:?}");
    assert_eq!(decoder.counts().transactions, 12);
    // The last event names the file that follows.
    assert_eq!(decoder.at().position, 4);
    assert_eq!(decoder.base(), "binlog");
}

#[test]
fn the_commit_of_a_prepared_transaction_cannot_be_placed_unless_it_had_no_row_of_ours() {
    assert_eq!(
        news(recorded!("xa")),
        vec![
            change("user", "u1", 11, Fate::Inserted(1)),
            change("user", "u1", 11, Fate::Present(2)),
            Told::Unplaceable(Cause::Xa),
        ]
    );
}

#[test]
fn a_change_as_text_cannot_be_placed() {
    assert_eq!(
        news(recorded!("statement")),
        vec![change("user", "u1", 11, Fate::Inserted(1)), Told::Unplaceable(Cause::Statement)]
    );
}

#[test]
fn after_ddl_the_columns_are_asked_for_again() {
    let mut tables = Tables::default();
    let mut decoder = Decoder::new("shop", &WATCHED, start());
    let mut notes = Notes::default();
    for event in File::new(recorded!("ddl")).unwrap() {
        decoder.feed(event.unwrap(), &mut tables, &mut notes).unwrap();
        tables.note = notes.0.contains(&Told::Unplaceable(Cause::Ddl));
    }
    assert_eq!(
        without_rows(notes.news()),
        vec![
            change("user", "u1", 11, Fate::Inserted(1)),
            Told::Unplaceable(Cause::Ddl),
            change("user", "u1", 11, Fate::Present(2)),
            Told::Unplaceable(Cause::Ddl),
            Told::Unplaceable(Cause::Ddl),
        ]
    );
    assert_eq!(tables.asked, ["user_coupons", "user_coupons"]);
}

#[test]
fn rows_of_a_table_whose_columns_are_others_cannot_be_placed() {
    let mut ahead = Tables { note: true, ..Tables::default() };
    let (notes, _) = read(recorded!("full"), &mut ahead).unwrap();
    let told = notes.news();
    assert!(told.contains(&Told::Unplaceable(Cause::Layout)));
    assert!(!told.iter().any(|told| matches!(told, Told::Change("user", ..))), "nothing is guessed");
}

#[test]
fn a_server_that_does_not_say_what_its_tables_are_is_asked_again_and_nothing_is_lost() {
    let (mut tables, mut notes) = (Tables { silent: true, ..Tables::default() }, Notes::default());
    let mut decoder = Decoder::new("shop", &WATCHED, start());
    for event in File::new(recorded!("full")).unwrap() {
        let event = event.unwrap();
        if decoder.feed(event, &mut tables, &mut notes) == Err(Refused::Unanswered(Unanswered)) {
            tables.silent = false;
            decoder.feed(event, &mut tables, &mut notes).unwrap();
        }
    }
    assert_eq!(without_rows(notes.news()), full());
    assert_eq!(tables.asked[..2], ["templates", "templates"]);
}

#[test]
fn a_file_of_another_time_is_refused() {
    let mut decoder = Decoder::new("shop", &WATCHED, Coordinate { first: 1, ..start() });
    let first = File::new(recorded!("full")).unwrap().next().unwrap().unwrap();
    assert_eq!(decoder.feed(first, &mut Tables::default(), &mut Notes::default()), Err(Refused::OtherLog));
}

#[test]
fn a_flipped_bit_is_noticed() {
    let mut bytes = recorded!("full").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let refused = read(&bytes, &mut Tables::default()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Refused::Broken(Broken::Checksum | Broken::Length | Broken::Short)), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Damaged bytes of a log without checksums reach every reader of fields.
    #[test]
    fn damaged_logs_are_read_without_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = recorded!("plain").to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read(&bytes, &mut Tables::default());
    }

    #[test]
    fn damaged_compressed_logs_are_read_without_panic(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = recorded!("compressed").to_vec();
        let place = place.index(bytes.len());
        bytes[place] = value;
        let mut decoder = Decoder::new("shop", &WATCHED, start());
        // Each event alone, its checksum made right again.
        for event in File::new(&bytes).into_iter().flatten().flatten() {
            let mut event = event.to_vec();
            if let Some((before, checksum)) = event.split_last_chunk_mut::<4>() {
                *checksum = crc32fast::hash(before).to_le_bytes();
            }
            let _ = decoder.feed(&event, &mut Tables::default(), &mut Notes::default());
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..175) {
        let mut decoder = Decoder::new("shop", &WATCHED, start());
        let mut event = vec![0; 19];
        event[4] = kind;
        event[9..13].copy_from_slice(&(19 + bytes.len() as u32).to_le_bytes());
        event.extend_from_slice(&bytes);
        let _ = decoder.feed(&event, &mut Tables::default(), &mut Notes::default());
        let _ = decoder.feed(&bytes, &mut Tables::default(), &mut Notes::default());
    }
}
