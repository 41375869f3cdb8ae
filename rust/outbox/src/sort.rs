//! Which wins become coupons. What Redis told in the row's epoch always fits; the checks are for wins of other
//! histories, and are the last guard against overselling in any case.
use std::collections::{HashMap, HashSet};

use crate::wins::{Hash, TRIED, Wins};

/// What MySQL leaves room for: units of stock, wins of a user, and the numbers that others have.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    pub stock: u64,
    pub limit: usize,
    pub taken: &'a HashSet<u64>,
}

/// Wins by what becomes of them.
#[derive(Debug)]
pub struct Sorted {
    pub coupons: Wins,
    pub tried: Wins,
    pub failed: Wins,
}

impl Wins {
    /// Sorts the wins in their order. `held`: the requests for which users have wins in MySQL.
    pub fn sort<'a>(&'a self, held: impl IntoIterator<Item = (&'a [u8], Hash)>, room: Room<'_>) -> Sorted {
        let mut own: HashMap<&[u8], Vec<Hash>> = HashMap::with_capacity(self.len());
        for (user, hash) in held {
            own.entry(user).or_default().push(hash);
        }
        let mut stock = room.stock;
        let mut fits = Vec::with_capacity(self.len());
        for win in self.iter() {
            let own = own.entry(win.user).or_default();
            let fit =
                stock > 0 && own.len() < room.limit && !own.contains(&win.hash) && !room.taken.contains(&win.number);
            if fit {
                stock -= 1;
                own.push(win.hash);
            }
            fits.push(fit);
        }
        let mut fits = fits.into_iter();
        let (fit, failed) = self.split(|_| fits.next().unwrap_or_default());
        let (tried, coupons) = fit.split(|win| win.kind == TRIED);
        Sorted { coupons, tried, failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wins::Win;

    fn win(number: u64, user: &'static [u8], hash: u8, kind: u8) -> Win<'static> {
        Win { number, user, hash: [hash; 16], kind, claimed_ms: 0, epoch: 1 }
    }

    fn numbers(wins: &Wins) -> Vec<u64> {
        wins.iter().map(|win| win.number).collect()
    }

    fn sorted(
        wins: &[Win<'static>],
        held: &[(&'static [u8], u8)],
        stock: u64,
        limit: usize,
        taken: &[u64],
    ) -> [Vec<u64>; 3] {
        let wins = Wins::of(wins.iter().copied());
        let taken: HashSet<u64> = taken.iter().copied().collect();
        let held = held.iter().map(|(user, hash)| (*user, [*hash; 16]));
        let found = wins.sort(held, Room { stock, limit, taken: &taken });
        [numbers(&found.coupons), numbers(&found.tried), numbers(&found.failed)]
    }

    #[test]
    fn stock_goes_to_the_lowest_numbers() {
        let wins = [win(1, b"a", 1, b'W'), win(2, b"b", 1, TRIED), win(3, b"c", 1, b'W')];
        assert_eq!(sorted(&wins, &[], 2, 1, &[]), [vec![1], vec![2], vec![3]]);
        assert_eq!(sorted(&wins, &[], 0, 1, &[]), [vec![], vec![], vec![1, 2, 3]]);
    }

    #[test]
    fn a_user_has_no_more_than_the_limit_with_what_mysql_holds() {
        let wins = [win(1, b"a", 1, b'W'), win(2, b"a", 2, b'W'), win(3, b"b", 1, b'W'), win(4, b"a", 3, b'W')];
        assert_eq!(sorted(&wins, &[(b"a", 9)], 9, 2, &[]), [vec![1, 3], vec![], vec![2, 4]]);
        assert_eq!(sorted(&wins, &[(b"a", 8), (b"a", 9)], 9, 2, &[]), [vec![3], vec![], vec![1, 2, 4]]);
    }

    #[test]
    fn one_request_is_one_win_and_one_number_one_owner() {
        let wins = [win(1, b"a", 1, b'W'), win(2, b"a", 1, b'W'), win(3, b"b", 5, b'W'), win(4, b"c", 1, b'W')];
        assert_eq!(sorted(&wins, &[(b"b", 5)], 9, 9, &[4]), [vec![1], vec![], vec![2, 3, 4]]);
    }
}
