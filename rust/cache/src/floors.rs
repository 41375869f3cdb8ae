//! Row floors: what an entry must show to be stored or served.
//!
//! A floor belongs to a row of a key, the key by its hash: two keys with one hash only refuse more than they must. All
//! times here are floor time (`Freshness::floor_time`) but `written`, which is compared with when a statement was sent.
use std::collections::HashMap;

use smallvec::SmallVec;

use crate::{
    FLOOR_LIFE, Millis,
    change::Fate,
    fill::{Flight, Refused},
    keys::Hashed,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The row is there.
    Here,
    /// It is not there with a lower version.
    Left,
    /// The same, of a row that was deleted.
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    row: i64,
    version: i64,
    place: Place,
    at: Millis,
}

/// The floors of one key.
#[derive(Debug)]
struct KeyFloors {
    rows: SmallVec<[Floor; 1]>,
    /// Nothing is stored before this.
    closed_until: Millis,
    /// What was read before this, or in this millisecond, is not stored, until `written_until`.
    written: Millis,
    written_until: Millis,
}

impl Default for KeyFloors {
    fn default() -> Self {
        Self { rows: SmallVec::new(), closed_until: Millis::MIN, written: Millis::MIN, written_until: Millis::MIN }
    }
}

/// The floors and loads of the keys of one stripe.
#[derive(Debug)]
pub struct Stripe {
    keys: HashMap<u64, KeyFloors, Hashed>,
    pub flights: HashMap<u64, SmallVec<[Flight; 1]>, Hashed>,
    /// Until when nothing is stored or answered from L2, because floors were folded.
    folded_until: Millis,
    /// Rows with a floor, and marks of keys.
    held: usize,
    most: usize,
}

impl Stripe {
    /// With at most `most` floors.
    pub fn new(most: usize) -> Self {
        Self {
            keys: HashMap::default(),
            flights: HashMap::default(),
            folded_until: Millis::MIN,
            held: 0,
            most: most.max(1),
        }
    }

    /// Raises what the fate says, at floor time `at`; `now` is the monotonic clock. True where floors were folded.
    pub fn raise(&mut self, hash: u64, row: i64, fate: Fate, at: Millis, now: Millis) -> bool {
        let folded = self.held >= self.most && self.make_room(at);
        let key = self.keys.entry(hash).or_default();
        match fate {
            Fate::Quarantine => {
                self.held += usize::from(key.closed_until == Millis::MIN);
                key.closed_until = at + FLOOR_LIFE;
            }
            Fate::Written => {
                self.held += usize::from(key.written_until == Millis::MIN);
                key.written = key.written.max(now);
                key.written_until = at + FLOOR_LIFE;
            }
            Fate::Present { version }
            | Fate::Inserted { version }
            | Fate::Left { version }
            | Fate::Touched { version } => {
                self.held += key.raise(row, fate, version, at);
            }
            // The event of a deletion has the version that the row had.
            Fate::Gone { version } => self.held += key.raise(row, fate, version.saturating_add(1), at),
        }
        folded
    }

    /// Whether an entry with these rows (by id) may be stored or served. `read` is when its statement was sent.
    pub fn admits(&self, hash: u64, rows: &[(i64, i64)], read: Millis, at: Millis) -> Result<(), Refused> {
        let Some(key) = self.keys.get(&hash) else {
            return Ok(());
        };
        if at < key.closed_until || at < key.written_until && read <= key.written {
            return Err(Refused::Floor);
        }
        let passes = key.rows.iter().filter(|floor| at < floor.at + FLOOR_LIFE).all(|floor| {
            match rows.binary_search_by_key(&floor.row, |(row, _)| *row) {
                Ok(place) => rows[place].1 >= floor.version,
                Err(_) => floor.place != Place::Here,
            }
        });
        if passes { Ok(()) } else { Err(Refused::Floor) }
    }

    /// Whether floors of this stripe were folded lately.
    pub fn is_folded(&self, at: Millis) -> bool {
        at < self.folded_until
    }

    /// Floors that are alive.
    pub fn alive(&self, at: Millis) -> usize {
        self.keys.values().map(|key| key.alive(at)).sum()
    }

    /// The floors of one key that are alive, in words.
    pub fn describe(&self, hash: u64, at: Millis) -> Vec<String> {
        let Some(key) = self.keys.get(&hash) else {
            return Vec::new();
        };
        let mut told: Vec<String> = key
            .rows
            .iter()
            .filter(|floor| at < floor.at + FLOOR_LIFE)
            .map(|floor| {
                let Floor { row, version, place, at: since } = *floor;
                let rule = match place {
                    Place::Here => "is there with version",
                    Place::Left | Place::Gone => "is not there below version",
                };
                format!("row {row} {rule} {version}, {} ms more", since + FLOOR_LIFE - at)
            })
            .collect();
        if at < key.closed_until {
            told.push(format!("nothing is stored, {} ms more", key.closed_until - at));
        }
        if at < key.written_until {
            told.push(format!("read after our own commit, {} ms more", key.written_until - at));
        }
        told
    }

    /// Drops what is dead; where that is not enough, folds the rest: nothing of the stripe is stored for a floor's life.
    fn make_room(&mut self, at: Millis) -> bool {
        self.keys.retain(|_, key| key.tidy(at));
        self.held = self.keys.values().map(KeyFloors::held).sum();
        // A little below the bound would mean to look again at once.
        let folds = self.held > self.most / 4 * 3;
        if folds {
            self.keys.clear();
            self.held = 0;
            self.folded_until = at + FLOOR_LIFE;
        }
        folds
    }
}

impl KeyFloors {
    /// Raises the floor of a row; how many floors are new.
    fn raise(&mut self, row: i64, fate: Fate, version: i64, at: Millis) -> usize {
        let place = match fate {
            Fate::Present { .. } | Fate::Inserted { .. } => Place::Here,
            Fate::Gone { .. } => Place::Gone,
            _ => Place::Left,
        };
        let Some(floor) = self.rows.iter_mut().find(|floor| floor.row == row) else {
            self.rows.push(Floor { row, version, place, at });
            return 1;
        };
        let alive = at < floor.at + FLOOR_LIFE;
        if alive && floor.place == Place::Gone && matches!(fate, Fate::Inserted { .. }) && version <= floor.version {
            // Numbered anew: versions no longer say which of two reads is newer.
            floor.at = at;
            let new = usize::from(self.closed_until == Millis::MIN);
            self.closed_until = at + FLOOR_LIFE;
            return new;
        }
        if !alive || version > floor.version {
            // What a minimal row image leaves open stays as it was.
            let kept = alive && matches!(fate, Fate::Touched { .. });
            *floor = Floor { row, version, place: if kept { floor.place } else { place }, at };
        } else {
            floor.at = at;
        }
        0
    }

    fn held(&self) -> usize {
        self.rows.len() + usize::from(self.closed_until != Millis::MIN) + usize::from(self.written_until != Millis::MIN)
    }

    fn alive(&self, at: Millis) -> usize {
        self.rows.iter().filter(|floor| at < floor.at + FLOOR_LIFE).count()
            + usize::from(at < self.closed_until)
            + usize::from(at < self.written_until)
    }

    /// Drops what is dead; false where nothing is left.
    fn tidy(&mut self, at: Millis) -> bool {
        self.rows.retain(|floor| at < floor.at + FLOOR_LIFE);
        if at >= self.closed_until {
            self.closed_until = Millis::MIN;
        }
        if at >= self.written_until {
            self.written = Millis::MIN;
            self.written_until = Millis::MIN;
        }
        self.held() > 0
    }
}
