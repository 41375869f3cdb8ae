//! How far a reader is in global transaction ids: what another server of the same replication is asked to go on from.
use std::collections::BTreeMap;
use std::fmt;

use crate::{bytes::Take, error::Broken};

/// What was passed, by the flavour of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtids {
    /// Not known: this reader can go on at its own server alone.
    Unknown,
    /// MariaDB: the last server and number of each domain.
    MariaDb(BTreeMap<u32, (u32, u64)>),
    /// MySQL: intervals of numbers of each source.
    MySql(Executed),
}

impl Gtids {
    /// MariaDB's text, as `0-1-100,1-3-7`.
    pub fn read_mariadb(text: &str) -> Self {
        let mut domains = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut numbers = part.split('-');
            let mut next = || numbers.next();
            let (Some(Ok(domain)), Some(Ok(server)), Some(Ok(number))) =
                (next().map(str::parse), next().map(str::parse), next().map(str::parse))
            else {
                return Self::Unknown;
            };
            domains.insert(domain, (server, number));
        }
        Self::MariaDb(domains)
    }

    pub(crate) fn add(&mut self, gtid: Gtid) {
        match (self, gtid) {
            (Self::MariaDb(domains), Gtid::MariaDb { domain, server, number }) => {
                domains.insert(domain, (server, number));
            }
            (Self::MySql(executed), Gtid::MySql { source, number }) => executed.add(source, number),
            (_, Gtid::Anonymous) => {}
            (this, _) => *this = Self::Unknown,
        }
    }
}

impl fmt::Display for Gtids {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => to.write_str("unknown"),
            Self::MariaDb(domains) => {
                for (index, (domain, (server, number))) in domains.iter().enumerate() {
                    write!(to, "{}{domain}-{server}-{number}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::MySql(executed) => write!(to, "{} sources", executed.0.len()),
        }
    }
}

/// The id of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gtid {
    MariaDb {
        domain: u32,
        server: u32,
        number: u64,
    },
    MySql {
        source: [u8; 16],
        number: u64,
    },
    Anonymous,
    /// One that cannot be counted here: MySQL's ids with a tag.
    Tagged,
}

impl Gtid {
    pub(crate) fn read_mysql(body: &[u8]) -> Result<Self, Broken> {
        let mut rest = Take(body);
        rest.skip(1)?;
        let source = rest.bytes(16)?.try_into().map_err(|_| Broken::Short)?;
        Ok(Self::MySql { source, number: rest.u64()? })
    }
}

/// MySQL's set of executed transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Executed(BTreeMap<[u8; 16], Vec<(u64, u64)>>);

impl Executed {
    /// The server's text, as `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7`. None for ids with tags.
    pub fn read(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (source, intervals) = part.split_once(':')?;
            let source = uuid(source)?;
            for interval in intervals.split(':') {
                let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
                let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                if first == 0 || last < first {
                    return None;
                }
                set.0.entry(source).or_default().push((first, last));
            }
        }
        Some(set)
    }

    fn add(&mut self, source: [u8; 16], number: u64) {
        let intervals = self.0.entry(source).or_default();
        // Ids come in order but for a few: the last interval is nearly always the one.
        let place = intervals.iter().rposition(|(first, _)| *first <= number);
        let after = place.map_or(0, |place| place + 1);
        match place.and_then(|place| intervals.get_mut(place)) {
            Some((_, last)) if number <= *last => {}
            Some((_, last)) if last.saturating_add(1) == number => {
                *last = number;
                if let Some((_, end)) =
                    intervals.get(after).copied().filter(|(first, _)| *first == number.saturating_add(1))
                {
                    intervals.remove(after);
                    if let Some((_, last)) = place.and_then(|place| intervals.get_mut(place)) {
                        *last = end;
                    }
                }
            }
            _ => match intervals.get_mut(after) {
                Some((first, _)) if *first == number.saturating_add(1) => *first = number,
                _ => intervals.insert(after, (number, number)),
            },
        }
    }

    /// As COM_BINLOG_DUMP_GTID carries it: intervals end before their second number.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = (self.0.len() as u64).to_le_bytes().to_vec();
        for (source, intervals) in &self.0 {
            out.extend_from_slice(source);
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (first, last) in intervals {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&last.saturating_add(1).to_le_bytes());
            }
        }
        out
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut out = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn mariadbs_position_is_the_last_id_of_each_domain() {
        let mut gtids = Gtids::read_mariadb("0-1-100, 1-3-7");
        gtids.add(Gtid::MariaDb { domain: 0, server: 2, number: 101 });
        assert_eq!(gtids.to_string(), "0-2-101,1-3-7");
        assert_eq!(Gtids::read_mariadb("").to_string(), "");
        assert_eq!(Gtids::read_mariadb("x"), Gtids::Unknown);
    }

    #[test]
    fn mysqls_set_is_encoded_with_ends_that_are_excluded() {
        let mut executed = Executed::read(&format!("{SOURCE}:1-5:7")).unwrap();
        let source = uuid(SOURCE).unwrap();
        for number in [8, 3, 6, 10, 1] {
            executed.add(source, number);
        }
        let mut expected = 1u64.to_le_bytes().to_vec();
        expected.extend_from_slice(&source);
        for number in [2u64, 1, 9, 10, 11] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(executed.encode(), expected);
    }

    #[test]
    fn a_set_with_tags_is_not_known() {
        assert_eq!(Executed::read(&format!("{SOURCE}:tag:1-5")), None);
        assert_eq!(Executed::read(""), Some(Executed::default()));
        let mut gtids = Gtids::MySql(Executed::default());
        gtids.add(Gtid::Tagged);
        assert_eq!(gtids, Gtids::Unknown);
    }
}
