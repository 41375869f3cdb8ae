//! Where in a server's log something is. A coordinate alone is a number; a `Place` also says of which log.
//!
//! The first event's time of the file tells one file from another of the same name: after RESET MASTER, or in a
//! restored data directory, numbers begin again and times do not.
use std::{cmp::Ordering, sync::Arc};

/// A position in the log of one server: after the event that ends there, and after `row` rows of the transaction
/// that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Coordinate {
    /// When the file's first event was written, in seconds since 1970; 0 while it is not known.
    pub first: u32,
    /// The number in the file's name.
    pub file: u64,
    pub position: u64,
    pub row: u32,
}

impl Coordinate {
    /// Whether everything up to `other` is before this. Files are compared by number and by time, and where these
    /// disagree, neither is before the other.
    pub fn reaches(&self, other: &Self) -> bool {
        match self.file.cmp(&other.file) {
            Ordering::Less => false,
            Ordering::Equal => {
                same_first(self.first, other.first) && (self.position, self.row) >= (other.position, other.row)
            }
            Ordering::Greater => self.first == 0 || self.first >= other.first,
        }
    }
}

fn same_first(one: u32, other: u32) -> bool {
    one == 0 || other == 0 || one == other
}

/// A coordinate and the log that it is of.
///
/// As text it is an identity and digits of one width. Those of one identity compare as text as they follow each other,
/// for they begin with the file's time: a log that was reset lies beyond what it was before. A reader that meets a file
/// older than the one before it (a clock that was put back) takes the log for another one, so this always holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub coordinate: Coordinate,
    /// What tells the server from every other one; without an '@'.
    pub server: Arc<str>,
    /// The name of its log files without the number.
    pub base: Arc<str>,
}

/// Text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a place in a log")]
pub struct NoPlace;

/// The widths of the four numbers.
const WIDTHS: [usize; 4] = [10, 10, 12, 8];
const MOST_ROWS: u32 = 99_999_999;

impl Place {
    /// Reads what `identity` and `digits` gave.
    pub fn read(identity: &str, digits: &str) -> Result<Self, NoPlace> {
        let (server, base) = identity.split_once('@').ok_or(NoPlace)?;
        if digits.len() != WIDTHS.iter().sum::<usize>() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoPlace);
        }
        let mut rest = digits;
        let mut next = |width: usize| {
            let (number, after) = rest.split_at_checked(width).ok_or(NoPlace)?;
            rest = after;
            number.parse::<u64>().map_err(|_| NoPlace)
        };
        let [first, file, position, row] = WIDTHS;
        let (first, file, position, row) = (next(first)?, next(file)?, next(position)?, next(row)?);
        let coordinate = Coordinate {
            first: u32::try_from(first).map_err(|_| NoPlace)?,
            file,
            position,
            row: u32::try_from(row).map_err(|_| NoPlace)?,
        };
        Ok(Self { coordinate, server: server.into(), base: base.into() })
    }

    pub fn identity(&self) -> String {
        format!("{}@{}", self.server, self.base)
    }

    /// The four numbers. Rows beyond what eight digits can say are told again, should it come to that.
    pub fn digits(&self) -> String {
        let Coordinate { first, file, position, row } = self.coordinate;
        format!("{first:010}{file:010}{position:012}{:08}", row.min(MOST_ROWS))
    }

    /// The file's name as the server has it.
    pub fn file_name(&self) -> String {
        format!("{}.{:06}", self.base, self.coordinate.file)
    }
}

/// A log file's name in its two parts: `binlog.000012` is `binlog` and 12.
pub(crate) fn split_name(name: &str) -> Option<(&str, u64)> {
    let (base, digits) = name.rsplit_once('.')?;
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((base, number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(first: u32, file: u64, position: u64, row: u32) -> Coordinate {
        Coordinate { first, file, position, row }
    }

    fn place(coordinate: Coordinate) -> Place {
        Place { coordinate, server: "uid=+/#7".into(), base: "binlog".into() }
    }

    #[test]
    fn a_later_row_position_or_file_reaches_an_earlier_one() {
        assert!(at(9, 1, 50, 0).reaches(&at(9, 1, 50, 0)));
        assert!(at(9, 1, 50, 1).reaches(&at(9, 1, 50, 0)));
        assert!(!at(9, 1, 50, 0).reaches(&at(9, 1, 50, 1)));
        assert!(at(9, 1, 51, 0).reaches(&at(9, 1, 50, 7)));
        assert!(at(12, 2, 4, 0).reaches(&at(9, 1, 50, 0)));
    }

    #[test]
    fn a_file_of_the_same_number_and_another_time_is_another_file() {
        assert!(!at(20, 1, 500, 0).reaches(&at(9, 1, 50, 0)));
        assert!(!at(9, 1, 500, 0).reaches(&at(20, 1, 50, 0)));
    }

    #[test]
    fn a_reset_log_and_the_one_before_it_do_not_reach_each_other() {
        let (before, after) = (at(9, 7, 900, 0), at(20, 1, 500, 0));
        assert!(!before.reaches(&after));
        assert!(!after.reaches(&before));
        assert!(!at(5, 8, 4, 0).reaches(&at(9, 7, 900, 0)), "a clock that was put back: unknown, so no");
    }

    #[test]
    fn a_name_is_its_base_and_its_number() {
        assert_eq!(split_name("my.log-bin.000012"), Some(("my.log-bin", 12)));
        assert_eq!(split_name("binlog.1234567"), Some(("binlog", 1_234_567)));
        assert_eq!(split_name("binlog"), None);
        assert_eq!(split_name("binlog.+1"), None);
        assert_eq!(place(at(0, 12, 4, 0)).file_name(), "binlog.000012");
    }

    proptest! {
        #[test]
        fn a_place_is_its_text(
            first in any::<u32>(), file in 0u64..1 << 31, position in 0u64..1 << 39, row in 0u32..=MOST_ROWS,
        ) {
            let place = place(at(first, file, position, row));
            prop_assert_eq!(Place::read(&place.identity(), &place.digits()), Ok(place));
        }

        /// Of files whose times follow each other as their numbers do.
        #[test]
        fn digits_of_one_log_compare_as_their_coordinates_do(
            a in (0u32..4, 0u64..1 << 39, 0u32..1000), b in (0u32..4, 0u64..1 << 39, 0u32..1000),
        ) {
            let of = |(file, position, row): (u32, u64, u32)| place(at(9 + file, u64::from(file) + 1, position, row));
            let (one, other) = (of(a), of(b));
            prop_assert_eq!(one.digits() >= other.digits(), one.coordinate.reaches(&other.coordinate));
        }

        #[test]
        fn any_other_text_is_no_place_and_no_panic(identity in ".{0,20}", digits in "[0-9ä]{0,45}") {
            if let Ok(place) = Place::read(&identity, &digits) {
                prop_assert_eq!((place.identity(), place.digits()), (identity, digits));
            }
        }
    }
}
