//! HPACK both ways. A request's block is made once: the first call of a connection puts its headers into the server's
//! table, every later one is a few bytes of indexes.
use std::borrow::Cow;

use loona_hpack::Decoder;

use crate::Error;

/// HPACK's static entries that requests use.
const METHOD_POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;
const STATIC_ENTRIES: usize = 61;
/// Headers of a call beside those given on the command line.
const FIXED: usize = 4;
/// A server has one block for the beginning and one for the end of most answers.
const MOST_FIXED: usize = 4;
/// A table entry costs this beside its name and value.
const ENTRY_OVERHEAD: usize = 32;

/// The blocks of a connection's first request and of all others.
#[derive(Debug)]
pub struct RequestBlocks {
    pub first: Vec<u8>,
    pub later: Vec<u8>,
}

impl RequestBlocks {
    /// `table` is the size that the server gives its table.
    pub fn new(path: &str, authority: &str, extra: &[(String, String)], table: usize) -> Self {
        let mut fields: Vec<(&str, &str)> = vec![(":path", path), (":authority", authority)];
        fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        debug_assert_eq!(fields.len(), FIXED);
        fields.extend(extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + ENTRY_OVERHEAD).sum();
        let indexed = size <= table;
        let mut first = vec![METHOD_POST, SCHEME_HTTP];
        for (name, value) in &fields {
            first.push(if indexed { 0x40 } else { 0 });
            write_text(name, &mut first);
            write_text(value, &mut first);
        }
        if !indexed {
            return Self { later: first.clone(), first };
        }
        let mut later = vec![METHOD_POST, SCHEME_HTTP];
        // The newest entry has the lowest index.
        for age in (0..fields.len()).rev() {
            write_integer(STATIC_ENTRIES + 1 + age, 7, 0x80, &mut later);
        }
        Self { first, later }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_integer(text.len(), 7, 0, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_integer(value: usize, bits: u8, pattern: u8, out: &mut Vec<u8>) {
    let limit = (1 << bits) - 1;
    if value < limit {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | limit as u8);
    let mut rest = value - limit;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// What a call's end depends on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    pub http: Option<u16>,
    pub grpc: Option<u16>,
}

/// Reads the header blocks of one connection, in the order in which they come.
pub struct ResponseBlocks {
    decoder: Decoder<'static>,
    /// Blocks that have nothing to do with the table, which mean the same each time.
    fixed: Vec<(Box<[u8]>, Statuses)>,
}

impl ResponseBlocks {
    pub fn new() -> Self {
        Self { decoder: Decoder::new(), fixed: Vec::new() }
    }

    pub fn read(&mut self, block: &[u8]) -> Result<Statuses, Error> {
        if let Some((_, statuses)) = self.fixed.iter().find(|(known, _)| **known == *block) {
            return Ok(*statuses);
        }
        let statuses = self.decode(block)?;
        if self.fixed.len() < MOST_FIXED && is_fixed(block) {
            self.fixed.push((block.into(), statuses));
        }
        Ok(statuses)
    }

    fn decode(&mut self, block: &[u8]) -> Result<Statuses, Error> {
        let mut statuses = Statuses::default();
        let mut note = |name: Cow<'_, [u8]>, value: Cow<'_, [u8]>| match &*name {
            b":status" => statuses.http = number(&value),
            b"grpc-status" => statuses.grpc = number(&value),
            _ => (),
        };
        self.decoder
            .decode_with_cb(block, &mut note)
            .map_err(|error| Error::Protocol(format!("a header block cannot be read: {error:?}")))?;
        Ok(statuses)
    }
}

/// Whether a block neither reads nor changes the table beyond its static entries. False for the unusual.
fn is_fixed(mut block: &[u8]) -> bool {
    while let Some((&first, rest)) = block.split_first() {
        let (names, after) = match (first, rest) {
            (0x80..=0xbd, _) => {
                block = rest;
                continue;
            }
            (0x00 | 0x10, _) => (1, rest),
            (0x01..=0x0e | 0x11..=0x1e, _) => (0, rest),
            // Static entries from the fifteenth on.
            (0x0f | 0x1f, [0..=0x2e, after @ ..]) => (0, after),
            _ => return false,
        };
        block = after;
        for _ in 0..=names {
            let Some((&length, rest)) = block.split_first() else { return false };
            let Some(rest) = rest.get(usize::from(length & 0x7f)..).filter(|_| length & 0x7f < 0x7f) else {
                return false;
            };
            block = rest;
        }
    }
    true
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &mut Decoder<'_>, block: &[u8]) -> Vec<(String, String)> {
        let pairs = decoder.decode(block).unwrap();
        pairs.into_iter().map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap())).collect()
    }

    #[test]
    fn later_blocks_mean_what_the_first_one_says() {
        let long = "v".repeat(300);
        let blocks = RequestBlocks::new("/a.B/C", "host:1", &[("x-key".to_owned(), long.clone())], 4096);
        let mut decoder = Decoder::new();
        let first = decoded(&mut decoder, &blocks.first);
        assert_eq!(first[0], (":method".to_owned(), "POST".to_owned()));
        assert_eq!(first[2], (":path".to_owned(), "/a.B/C".to_owned()));
        assert_eq!(first[6], ("x-key".to_owned(), long));
        assert_eq!(decoded(&mut decoder, &blocks.later), first);
        assert_eq!(blocks.later.len(), first.len());
    }

    #[test]
    fn a_small_table_of_the_server_is_left_alone() {
        let blocks = RequestBlocks::new("/a.B/C", "host:1", &[], 64);
        assert_eq!(blocks.first, blocks.later);
        let mut decoder = Decoder::new();
        decoder.set_max_table_size(0);
        assert_eq!(decoded(&mut decoder, &blocks.first), decoded(&mut decoder, &blocks.later));
    }

    #[test]
    fn only_blocks_apart_from_the_table_are_fixed() {
        assert!(is_fixed(b"\x88\x0f\x10\x01a\x00\x0bgrpc-status\x010\x08\x03200\x10\x01a\x00"));
        for block in [&b"\xbe"[..], b"\x40\x01a\x01b", b"\x20", b"\x0f\x2f\x01a", b"\x00\x01a\x02b", b"\x00\x7f"] {
            assert!(!is_fixed(block), "{block:?}");
        }
        let mut blocks = ResponseBlocks::new();
        let trailers = b"\x00\x0bgrpc-status\x015";
        for _ in 0..2 {
            assert_eq!(blocks.read(trailers).unwrap(), Statuses { http: None, grpc: Some(5) });
        }
        assert_eq!(blocks.fixed.len(), 1);
    }

    #[test]
    fn statuses_are_found_among_other_headers() {
        let block = [0x88, 0x00, 11, b'g', b'r', b'p', b'c', b'-', b's', b't', b'a', b't', b'u', b's', 2, b'1', b'2'];
        assert_eq!(ResponseBlocks::new().read(&block).unwrap(), Statuses { http: Some(200), grpc: Some(12) });
        assert!(ResponseBlocks::new().read(&[0x80]).is_err());
    }
}
