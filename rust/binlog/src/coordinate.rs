//! Where in a server's log something is. A coordinate alone is a number; a `Place` also says of which log.
//!
//! The first event's time of the file tells one file from another of the same name: after RESET MASTER, or in a
//! restored data directory, numbers begin again and times do not.
use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

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

/// A coordinate and the log that it is of. As text it is what Redis holds: coordinates of one log compare as strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub coordinate: Coordinate,
    /// What tells the server from every other one.
    pub server: Arc<str>,
    /// The name of its log files without the number.
    pub base: Arc<str>,
}

/// Text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a place in a log")]
pub struct NoPlace;

impl Place {
    /// The file's name as the server has it.
    pub fn file_name(&self) -> String {
        format!("{}.{:06}", self.base, self.coordinate.file)
    }

    /// Whether everything up to `other` is before this; false for a place in another log.
    pub fn reaches(&self, other: &Self) -> bool {
        self.server == other.server && self.base == other.base && self.coordinate.reaches(&other.coordinate)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Coordinate { first, file, position, row } = self.coordinate;
        write!(to, "{file:010}{position:012}{row:08}@{first:010}@{}@{}", self.server, self.base)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.splitn(4, '@');
        let mut next = || parts.next().ok_or(NoPlace);
        let (digits, first, server, base) = (next()?, next()?, next()?, next()?);
        if digits.len() != 30 || first.len() != 10 || !digits.bytes().chain(first.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(NoPlace);
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| NoPlace);
        let coordinate = Coordinate {
            first: first.parse().map_err(|_| NoPlace)?,
            file: number(digits.get(..10).ok_or(NoPlace)?)?,
            position: number(digits.get(10..22).ok_or(NoPlace)?)?,
            row: digits.get(22..).ok_or(NoPlace)?.parse().map_err(|_| NoPlace)?,
        };
        Ok(Self { coordinate, server: server.into(), base: base.into() })
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
        Place { coordinate, server: "uid=+/@7".replace('@', "-").into(), base: "binlog".into() }
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
    fn places_of_two_servers_do_not_reach_each_other() {
        let one = place(at(9, 1, 50, 0));
        let other = Place { server: "other".into(), ..one.clone() };
        assert!(one.reaches(&one));
        assert!(!one.reaches(&other) && !other.reaches(&one));
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
        fn a_place_is_its_text(first in any::<u32>(), file in 0u64..1 << 31, position in 0u64..1 << 39, row in 0u32..99_999_999) {
            let place = place(at(first, file, position, row));
            prop_assert_eq!(place.to_string().parse(), Ok(place));
        }

        #[test]
        fn texts_of_one_file_compare_as_their_coordinates_do(a in (0u64..1 << 39, 0u32..1000), b in (0u64..1 << 39, 0u32..1000)) {
            let (one, other) = (place(at(9, 3, a.0, a.1)), place(at(9, 3, b.0, b.1)));
            prop_assert_eq!(one.to_string() >= other.to_string(), one.reaches(&other));
        }

        #[test]
        fn any_other_text_is_no_place_and_no_panic(text in ".{0,80}") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string(), text);
            }
        }
    }
}
