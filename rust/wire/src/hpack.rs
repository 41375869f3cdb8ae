//! As much of HPACK as is needed beside h2: where the fields of a block end, whether a block changes the peer's table, and
//! fields that are written without a table.

/// What one field of a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Indexed,
    /// A literal that the reader puts into its table.
    Kept,
    TableSize,
    /// A literal that leaves the table alone.
    Passing,
}

/// The kind of a field by its first byte, and how many bits of that byte its number has.
pub fn kind(first: u8) -> (Kind, u32) {
    match first {
        0x80.. => (Kind::Indexed, 7),
        0x40..=0x7f => (Kind::Kept, 6),
        0x20..=0x3f => (Kind::TableSize, 5),
        _ => (Kind::Passing, 4),
    }
}

/// Whether a block reads the table only, so that the same bytes mean the same until another block changes it.
pub fn leaves_table_alone(block: &[u8]) -> bool {
    let mut at = 0;
    while let Some(first) = block.get(at).copied() {
        let (kind, bits) = kind(first);
        let Some((index, after)) = integer(block, at, bits) else {
            return false;
        };
        at = after;
        match kind {
            Kind::Indexed => {}
            Kind::Kept | Kind::TableSize => return false,
            Kind::Passing => {
                for _ in 0..if index == 0 { 2 } else { 1 } {
                    let Some((_, end)) = string(block, at) else {
                        return false;
                    };
                    at = end;
                }
            }
        }
    }
    true
}

/// An integer with a prefix of so many bits, and where it ends.
pub fn integer(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut at = at + 1;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let byte = *block.get(at)?;
            at += 1;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value, at));
            }
        }
        return None;
    }
    Some((value, at))
}

/// Where the bytes of a string begin and end.
pub fn string(block: &[u8], at: usize) -> Option<(usize, usize)> {
    let (length, start) = integer(block, at, 7)?;
    let end = start.checked_add(length)?;
    (end <= block.len()).then_some((start, end))
}

/// Writes a field that no table keeps.
pub fn put_literal(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0);
    for text in [name, value] {
        put_length(out, text.len());
        out.extend_from_slice(text);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(0x7f) else {
        // Below 127.
        return out.push(length as u8);
    };
    out.push(0x7f);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_that_adds_to_the_table_or_sizes_it_does_not_leave_it_alone() {
        assert!(leaves_table_alone(&[0x83, 0x86, 0xbe, 0xff, 0x01]));
        assert!(leaves_table_alone(b"\x83\x00\x01a\x01b\x0f\x10\x03c/d\x10\x01a\x01b"));
        for block in [&b"\x83\x40\x01a\x01b"[..], b"\x41\x01b\x83", b"\x20", b"\x3f\xe1\x1f\x83"] {
            assert!(!leaves_table_alone(block), "{block:?}");
        }
        for broken in [&b"\xff"[..], b"\x00\x05a", b"\x00\x01a", b"\x0f"] {
            assert!(!leaves_table_alone(broken), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_found_again(
            name in prop::collection::vec(any::<u8>(), 1..300), value in prop::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let mut block = Vec::new();
            put_literal(&mut block, &name, &value);
            prop_assert!(leaves_table_alone(&block));
            let (start, end) = string(&block, 1).unwrap();
            prop_assert_eq!(&block[start..end], &name[..]);
            let (start, end) = string(&block, end).unwrap();
            prop_assert_eq!(&block[start..end], &value[..]);
            prop_assert_eq!(end, block.len());
        }

        #[test]
        fn any_bytes_are_survived(block in prop::collection::vec(any::<u8>(), 0..200)) {
            leaves_table_alone(&block);
        }
    }
}
