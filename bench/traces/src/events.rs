//! How fast a log is read: a prepared file of changes of users' coupons, decoded, and decoded into L1's floors.
use std::{error::Error, fs, sync::Arc};

use couponry_binlog::{
    Cause, Change, Coordinate, Decoder, Fate, File, Key, Known, Member, Schema, Sink, Unanswered, Watched,
};
use couponry_cache::{Cache, Change as Floor, Fate as FloorFate, Freshness, Kind, L1, Limits};

/// UNUSED and LOCKED, as rust/core has them.
const LIVE: &[i64] = &[1, 2];
const WATCHED: Watched = Watched {
    table: "user_coupons",
    kind: "user",
    key: Key::Text("user_id"),
    row: "id",
    version: "version",
    member: Some(Member { column: "status", values: LIVE }),
    alias: None,
};
const ROUNDS: usize = 3;

/// Rows of the file, and CPU nanoseconds of a row.
pub struct Rate {
    pub rows: u64,
    pub decoded: f64,
    pub into_l1: f64,
}

/// The schema of the tables in the file, and the columns of `user_coupons` in order.
pub struct Table<'a> {
    pub schema: &'a str,
    pub columns: &'a str,
}

impl Schema for Table<'_> {
    fn table(&mut self, _name: &str) -> Result<Option<Known>, Unanswered> {
        let columns = self.columns.split(',').map(str::to_owned).collect();
        Ok(Some(Known { columns, raised: true }))
    }
}

/// The medians of several rounds.
pub fn rate(path: &str, mut table: Table<'_>) -> Result<Rate, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let mut decoded = Vec::new();
    let mut into_l1 = Vec::new();
    let mut rows = 0;
    for _ in 0..ROUNDS {
        let mut counted = Counted(0);
        let (read, nanoseconds) = play(&bytes, &mut table, &mut counted)?;
        // Each update of a live coupon is news for one entry.
        if counted.0 != read || read == 0 {
            return Err(format!("{} changes of {read} rows", counted.0).into());
        }
        decoded.push(nanoseconds / read as f64);
        let mut floors = Floors(cache().ok_or("L1 does not know its own kind")?);
        into_l1.push(play(&bytes, &mut table, &mut floors)?.1 / read as f64);
        if floors.0.stats(0).named().into_iter().find(|(name, _)| *name == "events").map(|(_, count)| count)
            != Some(read)
        {
            return Err("L1 was not told of every row".into());
        }
        rows = read;
    }
    decoded.sort_by(f64::total_cmp);
    into_l1.sort_by(f64::total_cmp);
    Ok(Rate { rows, decoded: decoded[ROUNDS / 2], into_l1: into_l1[ROUNDS / 2] })
}

fn play(bytes: &[u8], table: &mut Table<'_>, sink: &mut impl Sink) -> Result<(u64, f64), Box<dyn Error>> {
    let mut decoder = Decoder::new(table.schema, &[WATCHED], Coordinate::default());
    let began = cpu()?;
    for event in File::new(bytes)? {
        decoder.feed(event?, table, sink)?;
    }
    Ok((decoder.counts().rows, cpu()? - began))
}

/// What this thread has used, in nanoseconds: other processes do not count.
fn cpu() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().ok_or("no time")?.parse()?)
}

fn cache() -> Option<Arc<Cache>> {
    let limits = Limits { bytes: 64 << 20, absent_bytes: 1 << 20, decoded_percent: 0, floors: 65_536 };
    let l1 = L1::new([Kind { name: "user".to_owned(), limits, told: true }], Freshness::new(2_000, 0));
    l1.kind("user").cloned()
}

struct Counted(u64);

impl Sink for Counted {
    fn change(&mut self, change: &Change<'_>, _row: u32) {
        self.0 += u64::from(matches!(change.fate, Fate::Present(_)));
    }

    fn passed(&mut self, _at: Coordinate) {}

    fn unplaceable(&mut self, _cause: Cause) {}
}

struct Floors(Arc<Cache>);

impl Sink for Floors {
    fn change(&mut self, change: &Change<'_>, _row: u32) {
        if let Fate::Present(version) = change.fate {
            let floor = Floor { key: change.key, row: change.row, fate: FloorFate::Present { version } };
            self.0.event(&floor, 0);
        }
    }

    fn passed(&mut self, _at: Coordinate) {}

    fn unplaceable(&mut self, _cause: Cause) {}
}
