//! A batch of wins in the order of their numbers. The layout of an entry is what lua/claim.lua states.
use std::{ops::Range, sync::Arc};

pub const HASH_BYTES: usize = 16;
/// What stands for a request id.
pub type Hash = [u8; HASH_BYTES];

/// The kind of a win that a transaction holds; it becomes a record and no coupon.
pub const TRIED: u8 = b'T';

/// What came is no entry of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the outbox cannot be read")]
pub struct Malformed;

/// One entry of the outbox: the wins of one batch of claims. `first` is the number of the first one.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub epoch: u64,
    pub first: u64,
    pub claimed_ms: u64,
    pub wins: &'a [u8],
}

/// One win. `epoch` 0: not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Win<'a> {
    pub number: u64,
    pub user: &'a [u8],
    pub hash: Hash,
    pub kind: u8,
    pub claimed_ms: u64,
    pub epoch: u64,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    number: u64,
    claimed_ms: u64,
    epoch: u64,
    user: (usize, usize),
    hash: Hash,
    kind: u8,
}

impl Record {
    fn user(&self) -> Range<usize> {
        self.user.0..self.user.1
    }
}

/// A batch; parts of it share the users' bytes.
#[derive(Debug, Clone, Default)]
pub struct Wins {
    users: Arc<Vec<u8>>,
    records: Vec<Record>,
}

impl Wins {
    /// The wins of these entries whose numbers are beyond `after`.
    pub fn of_entries<'a>(entries: impl IntoIterator<Item = Entry<'a>>, after: u64) -> Result<Self, Malformed> {
        let (mut users, mut records) = (Vec::new(), Vec::new());
        for entry in entries {
            let mut rest = entry.wins;
            let mut number = entry.first;
            while let Some((length, behind)) = rest.split_first() {
                let (user, behind) = behind.split_at_checked(usize::from(*length)).ok_or(Malformed)?;
                let (hash, behind) = behind.split_first_chunk::<HASH_BYTES>().ok_or(Malformed)?;
                let (kind, behind) = behind.split_first().ok_or(Malformed)?;
                rest = behind;
                if number > after {
                    let from = users.len();
                    users.extend_from_slice(user);
                    records.push(Record {
                        number,
                        claimed_ms: entry.claimed_ms,
                        epoch: entry.epoch,
                        user: (from, users.len()),
                        hash: *hash,
                        kind: *kind,
                    });
                }
                number = number.checked_add(1).ok_or(Malformed)?;
            }
        }
        Ok(Self { users: Arc::new(users), records })
    }

    /// A batch of these wins, in this order.
    pub fn of<'a>(wins: impl IntoIterator<Item = Win<'a>>) -> Self {
        let (mut users, mut records) = (Vec::new(), Vec::new());
        for win in wins {
            let from = users.len();
            users.extend_from_slice(win.user);
            records.push(Record {
                number: win.number,
                claimed_ms: win.claimed_ms,
                epoch: win.epoch,
                user: (from, users.len()),
                hash: win.hash,
                kind: win.kind,
            });
        }
        Self { users: Arc::new(users), records }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Win<'_>> {
        self.records.iter().map(|record| Win {
            number: record.number,
            user: self.users.get(record.user()).unwrap_or_default(),
            hash: record.hash,
            kind: record.kind,
            claimed_ms: record.claimed_ms,
            epoch: record.epoch,
        })
    }

    /// The number of the last win.
    pub fn last(&self) -> Option<u64> {
        self.records.last().map(|record| record.number)
    }

    /// Whether the numbers are `after + 1`, `after + 2`, …: none is missing, none comes twice.
    pub fn follow(&self, after: u64) -> bool {
        self.records.iter().zip(after.saturating_add(1)..).all(|(record, expected)| record.number == expected)
    }

    /// The times of the claims, each at least once: wins of one entry have one.
    pub fn times(&self) -> Vec<u64> {
        let mut times: Vec<_> = self.records.iter().map(|record| record.claimed_ms).collect();
        times.dedup();
        times
    }

    /// The wins that `keep` says yes to, asked in their order, and the others.
    pub(crate) fn split(&self, mut keep: impl FnMut(Win<'_>) -> bool) -> (Self, Self) {
        let (mut kept, mut others) = (Vec::with_capacity(self.records.len()), Vec::new());
        for (record, win) in self.records.iter().zip(self.iter()) {
            if keep(win) { kept.push(*record) } else { others.push(*record) }
        }
        (self.with(kept), self.with(others))
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { users: Arc::clone(&self.users), records }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) type Owned = (Vec<u8>, Hash, u8);

    pub(crate) fn written(wins: &[Owned]) -> Vec<u8> {
        let mut out = Vec::new();
        for (user, hash, kind) in wins {
            out.push(u8::try_from(user.len()).unwrap());
            out.extend_from_slice(user);
            out.extend_from_slice(hash);
            out.push(*kind);
        }
        out
    }

    fn some_wins() -> impl Strategy<Value = Vec<Owned>> {
        prop::collection::vec((prop::collection::vec(any::<u8>(), 1..64), any::<Hash>(), any::<u8>()), 0..20)
    }

    proptest! {
        #[test]
        fn wins_come_out_as_they_went_in(batches in prop::collection::vec(some_wins(), 0..5), skipped in 0u64..30) {
            let blobs: Vec<_> = batches.iter().map(|batch| written(batch)).collect();
            let mut first = 100;
            let mut entries = Vec::new();
            for (at, (blob, batch)) in blobs.iter().zip(&batches).enumerate() {
                entries.push(Entry { epoch: 7, first, claimed_ms: 50 + at as u64, wins: blob });
                first += batch.len() as u64;
            }
            let after = 99 + skipped;
            let wins = Wins::of_entries(entries, after).unwrap();
            let flat: Vec<_> = batches.iter().enumerate()
                .flat_map(|(at, batch)| batch.iter().map(move |win| (50 + at as u64, win)))
                .zip(100u64..)
                .filter(|(_, number)| *number > after)
                .map(|((claimed_ms, (user, hash, kind)), number)| Win { number, user, hash: *hash, kind: *kind, claimed_ms, epoch: 7 })
                .collect();
            prop_assert_eq!(wins.iter().collect::<Vec<_>>(), flat.clone());
            let again = Wins::of(flat.iter().copied());
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), flat);
            prop_assert!(wins.follow(after));
            prop_assert!(wins.is_empty() || !wins.follow(after + 1));
        }

        #[test]
        fn any_bytes_are_survived(wins in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = Wins::of_entries([Entry { epoch: 1, first: u64::MAX - 1, claimed_ms: 0, wins: &wins }], 0) {
                prop_assert!(read.len() <= 1);
            }
        }
    }

    #[test]
    fn an_entry_that_ends_early_is_no_entry() {
        let whole = written(&[(b"ann".to_vec(), [1; 16], b'W')]);
        for end in 1..whole.len() {
            let entry = Entry { epoch: 1, first: 1, claimed_ms: 0, wins: &whole[..end] };
            assert!(matches!(Wins::of_entries([entry], 0), Err(Malformed)));
        }
    }

    #[test]
    fn a_number_that_is_missing_or_comes_twice_does_not_follow() {
        let wins = |numbers: &[u64]| {
            Wins::of(numbers.iter().map(|&number| Win {
                number,
                user: b"a",
                hash: [0; 16],
                kind: b'W',
                claimed_ms: 0,
                epoch: 1,
            }))
        };
        assert!(wins(&[5, 6, 7]).follow(4));
        assert!(wins(&[]).follow(4));
        for numbers in [&[5, 7][..], &[5, 5, 6], &[6], &[4, 5]] {
            assert!(!wins(numbers).follow(4), "{numbers:?}");
        }
    }
}
