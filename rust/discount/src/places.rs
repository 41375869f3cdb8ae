//! A set of lines or shipments by their places. There are at most 500 of either, so a set lives on the stack.
use crate::cart::{MAX_LINES, MAX_SHIPMENTS};

const WORDS: usize = 8;
const _: () = assert!(MAX_LINES <= WORDS * 64 && MAX_SHIPMENTS <= WORDS * 64);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    words: [u64; WORDS],
    /// Words beyond these are 0: most carts need one.
    used: usize,
}

impl Places {
    pub(crate) fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        for place in places {
            set.insert(place);
        }
        set
    }

    fn insert(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
        self.used = self.used.max(place / 64 + 1);
    }

    fn used(&self) -> &[u64] {
        &self.words[..self.used]
    }

    pub(crate) fn contains(&self, place: usize) -> bool {
        self.words[place / 64] >> (place % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used().iter().all(|&word| word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.used().iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many of them come before a place.
    pub(crate) fn before(&self, place: usize) -> usize {
        let whole: u32 = self.words[..place / 64].iter().map(|word| word.count_ones()).sum();
        (whole + (self.words[place / 64] & ((1 << (place % 64)) - 1)).count_ones()) as usize
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let mut words = self.used().iter().copied().zip((0..).step_by(64));
        let (mut left, mut first) = words.next().unwrap_or_default();
        std::iter::from_fn(move || {
            while left == 0 {
                (left, first) = words.next()?;
            }
            let place = first + left.trailing_zeros() as usize;
            left &= left - 1;
            Some(place)
        })
    }

    pub(crate) fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        Self::of(self.iter().filter(|&place| keep(place)))
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut set = *self;
        for (own, other) in set.words.iter_mut().zip(&other.words).take(self.used) {
            *own &= !other;
        }
        set
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.used().iter().zip(&other.words).any(|(own, other)| own & other != 0)
    }

    pub(crate) fn is_in(&self, other: &Self) -> bool {
        self.used().iter().zip(&other.words).all(|(own, other)| own & !other == 0)
    }
}

impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Places {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn any_set() -> impl Strategy<Value = BTreeSet<usize>> {
        prop::collection::btree_set(0..MAX_LINES, 0..40)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(one in any_set(), other in any_set(), place in 0..MAX_LINES) {
            let (a, b) = (Places::of(one.clone()), Places::of(other.clone()));
            prop_assert_eq!(a == b, one == other);
            prop_assert!(a.iter().eq(one.iter().copied()));
            prop_assert_eq!((a.len(), a.is_empty(), a.contains(place)), (one.len(), one.is_empty(), one.contains(&place)));
            prop_assert_eq!(a.before(place), one.range(..place).count());
            prop_assert!(a.without(&b).iter().eq(one.difference(&other).copied()));
            prop_assert!(a.only(|place| place % 3 == 0).iter().eq(one.iter().copied().filter(|place| place % 3 == 0)));
            prop_assert_eq!((a.meets(&b), a.is_in(&b)), (!one.is_disjoint(&other), one.is_subset(&other)));
        }
    }
}
