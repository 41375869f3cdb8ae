//! The little of protobuf that hot methods need: one field out of a small request, one length-delimited field around a
//! stored message. Whatever is not exactly expected is None, and the call goes to Python.

/// A varint of at most ten bytes and what follows it.
pub fn varint(data: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in data.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &data[index + 1..]));
        }
    }
    None
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// The value of a message that consists of varint field `number` alone.
pub fn only_varint(message: &[u8], number: u32) -> Option<u64> {
    let (tag, rest) = varint(message)?;
    let (value, rest) = varint(rest)?;
    (tag == u64::from(number) << 3 | VARINT && rest.is_empty()).then_some(value)
}

/// The value of a message that consists of string or bytes field `number` alone; an empty message is an empty value.
pub fn only_bytes(message: &[u8], number: u32) -> Option<&[u8]> {
    if message.is_empty() {
        return Some(message);
    }
    let (tag, rest) = varint(message)?;
    let (length, rest) = varint(rest)?;
    (tag == u64::from(number) << 3 | LENGTH_DELIMITED && rest.len() as u64 == length).then_some(rest)
}

/// The values of a message that consists of repeated varint field `number` alone, packed or not.
pub fn only_varints(mut message: &[u8], number: u32) -> Option<Vec<u64>> {
    let mut values = Vec::new();
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        if tag == u64::from(number) << 3 | VARINT {
            let (value, rest) = varint(rest)?;
            values.push(value);
            message = rest;
        } else if tag == u64::from(number) << 3 | LENGTH_DELIMITED {
            let (length, rest) = varint(rest)?;
            let (mut packed, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            while !packed.is_empty() {
                let (value, rest) = varint(packed)?;
                values.push(value);
                packed = rest;
            }
            message = rest;
        } else {
            return None;
        }
    }
    Some(values)
}

/// Appends `payload` as length-delimited field `number`.
pub fn put_field(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    put_varint(out, u64::from(number) << 3 | LENGTH_DELIMITED);
    put_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_survives(value in any::<u64>(), number in 1u32..1000) {
            let mut message = Vec::new();
            put_varint(&mut message, u64::from(number) << 3);
            put_varint(&mut message, value);
            prop_assert_eq!(only_varint(&message, number), Some(value));
            prop_assert_eq!(only_varint(&message, number + 1), None);
            message.push(0);
            prop_assert_eq!(only_varint(&message, number), None);
        }

        #[test]
        fn a_field_survives(payload in prop::collection::vec(any::<u8>(), 1..300)) {
            let mut message = Vec::new();
            put_field(&mut message, 3, &payload);
            prop_assert_eq!(only_bytes(&message, 3), Some(&payload[..]));
            prop_assert_eq!(only_bytes(&message[..message.len() - 1], 3), None);
        }

        #[test]
        fn no_bytes_make_it_panic(message in prop::collection::vec(any::<u8>(), 0..40)) {
            only_varint(&message, 1);
            only_varints(&message, 1);
            only_bytes(&message, 1);
        }
    }

    #[test]
    fn repeated_numbers_are_read_packed_and_one_by_one() {
        assert_eq!(only_varints(&[0x0a, 3, 1, 0x96, 1, 0x08, 7], 1), Some(vec![1, 150, 7]));
        assert_eq!(only_varints(&[0x0a, 9, 1], 1), None);
        assert_eq!(only_varints(&[0x12, 0], 1), None);
        assert_eq!(only_varints(&[], 1), Some(vec![]));
    }
}
