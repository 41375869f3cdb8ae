//! What bounds memory: floors are folded, never forgotten, however many rows change.
use std::sync::Arc;

use bytes::Bytes;
use couponry_cache::{Cache, Change, Draft, FLOOR_LIFE, Fate, Freshness, Limits, Millis, Now, Refused, Source};

const FLOORS: usize = 65_536;
/// Floors are bounded in 256 parts; each has room for an even share.
const STRIPES: usize = 256;

fn cache(floors: usize) -> Arc<Cache> {
    let limits = Limits { bytes: 1 << 20, absent_bytes: 1 << 20, decoded_percent: 0, floors };
    Arc::new(Cache::new(limits, Arc::new(Freshness::new(2000, 0))))
}

fn change(cache: &Cache, number: usize, now: Millis) {
    let key = format!("user{number}");
    cache.event(&Change { key: key.as_bytes(), row: number as i64, fate: Fate::Present { version: 2 } }, now);
}

fn load(cache: &Arc<Cache>, number: usize, version: i64, now: Millis) -> Result<(), Refused> {
    let rows = vec![(number as i64, version)];
    let draft = Draft { rows, payload: Some(Bytes::from_static(b"p")), life: 1000, ..Draft::default() };
    let fill = cache.begin(format!("user{number}").as_bytes(), now);
    fill.store(draft, Source::Sql { sent: now }, Now { mono: now, wall: now })
}

#[test]
fn a_million_changed_rows_leave_floors_within_the_bound_and_let_nothing_older_in() {
    let cache = cache(FLOORS);
    for number in 0..1_000_000 {
        change(&cache, number, (number / 1000) as Millis);
        if number % 100_000 == 0 {
            assert!(cache.stats(0).floors as usize <= FLOORS);
        }
    }
    let stats = cache.stats(1000);
    assert!(stats.floors as usize <= FLOORS, "{} floors", stats.floors);
    assert!(stats.folds > 0);
    for number in (0..1_000_000).step_by(997) {
        assert!(load(&cache, number, 1, 1000).is_err(), "the change of user{number} was forgotten");
    }
}

#[test]
fn a_folded_stripe_stores_again_after_a_floors_life() {
    let cache = cache(STRIPES);
    for number in 0..10_000 {
        change(&cache, number, 0);
    }
    assert_eq!(cache.stats(0).folded_stripes, STRIPES as u64);
    assert_eq!(load(&cache, 1, 2, FLOOR_LIFE - 1), Err(Refused::Folded));
    assert_eq!(load(&cache, 1, 1, FLOOR_LIFE), Ok(()));
    assert_eq!(cache.stats(FLOOR_LIFE).folded_stripes, 0);
}

#[test]
fn floors_that_are_dead_make_room_without_a_fold() {
    let cache = cache(FLOORS);
    for round in 0..5 {
        let now = round * FLOOR_LIFE;
        for number in 0..FLOORS / 2 {
            change(&cache, round as usize * FLOORS + number, now);
        }
    }
    let stats = cache.stats(5 * FLOOR_LIFE);
    assert_eq!(stats.folds, 0);
    assert_eq!(stats.floors, 0);
}
