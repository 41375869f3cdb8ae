//! How long a hit takes: the answer is asserted before it is timed, and each figure is the median of several rounds.
use std::{
    hint::black_box,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use couponry_cache::{Draft, Found, Freshness, Kind, L1, Limits, Now, Source};
use moka::sync::Cache as Moka;

const ENTRIES: u32 = 1_000;
const CALLS: u32 = 1_000_000;
const ROUNDS: usize = 7;

/// Nanoseconds of a hit.
pub struct Hit {
    /// With the time given.
    pub given: f64,
    /// With both clocks read, as the service does.
    pub read: f64,
    /// Of moka used bare, with the same keys and payloads behind one more `Arc`.
    pub bare: f64,
}

/// None where a hit is not what was stored.
pub fn hit() -> Option<Hit> {
    let limits = Limits { bytes: 64 << 20, absent_bytes: 1 << 20, decoded_percent: 0, floors: 65_536 };
    let l1 = L1::new([Kind { name: "template".to_owned(), limits, told: true }], Freshness::new(2_000, 0));
    l1.freshness().measure(0);
    l1.started(0, true);
    l1.freshness().passed(0, 0);
    let cache = l1.kind("template")?;
    let now = Now { mono: 0, wall: 0 };
    let keys: Vec<String> = (0..ENTRIES).map(|number| number.to_string()).collect();
    for (number, key) in (0i64..).zip(&keys) {
        let draft = Draft {
            rows: vec![(number, 1)],
            payload: Some(Bytes::from(format!("payload of {key}"))),
            life: 1 << 40,
            ..Draft::default()
        };
        cache.begin(key.as_bytes(), 0).store(draft, Source::Sql { sent: 0 }, now).ok()?;
    }
    for key in &keys {
        let Found::Hit(entry) = cache.get(key.as_bytes(), now, 0) else { return None };
        if entry.payload()? != format!("payload of {key}").as_bytes() {
            return None;
        }
    }
    let key_of = |number: u32| keys[(number % ENTRIES) as usize].as_bytes();
    let given = median(|number| {
        black_box(cache.get(key_of(number), black_box(now), 0));
    });
    let begin = Instant::now();
    let read = median(|number| {
        let mono = begin.elapsed().as_millis() as i64 % 1_000;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        black_box(cache.get(key_of(number), Now { mono, wall }, 0));
    });
    Some(Hit { given, read, bare: bare(&keys)? })
}

fn bare(keys: &[String]) -> Option<f64> {
    let moka: Moka<Box<[u8]>, Arc<Bytes>> = Moka::builder().max_capacity(64 << 20).build();
    for key in keys {
        moka.insert(key.as_bytes().into(), Arc::new(Bytes::from(format!("payload of {key}"))));
    }
    for key in keys {
        if **moka.get(key.as_bytes())? != *format!("payload of {key}").as_bytes() {
            return None;
        }
    }
    Some(median(|number| {
        black_box(moka.get(keys[(number % ENTRIES) as usize].as_bytes()));
    }))
}

fn median(mut call: impl FnMut(u32)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            (0..CALLS).for_each(&mut call);
            begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
