//! Clients of a unix socket send its percent-encoded path as `:authority`, which h2 takes for malformed. The percent
//! signs are replaced in place before h2 sees them; nothing here reads the authority.
use crate::hpack::{Kind, integer, kind, string};

const HEADER: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Mends every block of headers that is whole in `data`, which begins with a frame.
pub fn mend(mut data: &mut [u8]) {
    while let Some((header, rest)) = data.split_at_mut_checked(HEADER) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_mut_checked(length) else {
            return;
        };
        if header[3] == HEADERS {
            let flags = header[4];
            let pad = usize::from(flags & PADDED != 0);
            let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
            if let Some(block) = payload.get_mut(pad + priority..) {
                mend_block(block);
            }
        }
        data = rest;
    }
}

/// Walks the fields of an HPACK block: no table is needed to know where each ends.
fn mend_block(block: &mut [u8]) {
    let mut at = 0;
    while let Some(first) = block.get(at).copied() {
        let (kind, bits) = kind(first);
        let Some((index, after)) = integer(block, at, bits) else {
            return;
        };
        at = after;
        if matches!(kind, Kind::Indexed | Kind::TableSize) {
            continue;
        }
        // 1 is :authority in HPACK's static table.
        let mut is_authority = index == 1;
        if index == 0 {
            let Some((start, end)) = string(block, at) else {
                return;
            };
            is_authority = &block[start..end] == b":authority";
            at = end;
        }
        let Some((start, end)) = string(block, at) else {
            return;
        };
        // A Huffman-coded value is left alone.
        if is_authority && block[at] & 0x80 == 0 {
            for byte in &mut block[start..end] {
                if *byte == b'%' {
                    *byte = b'-';
                }
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = (block.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, 4, 0, 0, 0, 1]);
        bytes.extend_from_slice(block);
        bytes
    }

    #[test]
    fn percent_signs_of_the_authority_alone_are_replaced() {
        let mut block = vec![0x83, 0x44, 3];
        block.extend_from_slice(b"/%a");
        block.extend_from_slice(&[0x41, 5]);
        block.extend_from_slice(b"a%2Fb");
        block.extend_from_slice(b"\x40\x0a:authority\x05c%2Fd");
        block.extend_from_slice(&[0x40, 1, b'k', 3]);
        block.extend_from_slice(b"1%2");
        let mut data = frame(4, b"");
        data.extend(frame(1, &block));
        mend(&mut data);
        let text = String::from_utf8_lossy(&data).into_owned();
        assert!(
            text.contains("a-2Fb") && text.contains("c-2Fd") && text.contains("/%a") && text.contains("1%2"),
            "{text:?}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_length_and_nothing_panics(mut data in prop::collection::vec(any::<u8>(), 0..200)) {
            let before = data.clone();
            mend(&mut data);
            prop_assert!(before.iter().zip(&data).all(|(old, new)| old == new || (*old == b'%' && *new == b'-')));
        }
    }
}
