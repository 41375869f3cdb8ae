//! Fields of protobuf messages, read without copying and written in order. Bytes that are no message are None.

/// The value of a field. Fixed-size values are not needed here and only skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message, in the order in which they stand; None in place of one that cannot be read, then the end.
pub struct Fields<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message, broken: false }
    }

    fn read(&mut self) -> Option<(u32, Value<'a>)> {
        let (tag, rest) = varint(self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
        let (value, rest) = match tag & 7 {
            0 => {
                let (value, rest) = varint(rest)?;
                (Value::Varint(value), rest)
            }
            1 => (Value::Fixed, rest.get(8..)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            5 => (Value::Fixed, rest.get(4..)?),
            _ => return None,
        };
        self.rest = rest;
        Some((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u32, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.broken {
            return None;
        }
        let field = self.read();
        self.broken = field.is_none();
        Some(field)
    }
}

fn varint(data: &[u8]) -> Option<(u64, &[u8])> {
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

pub fn put_varint_field(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    put_varint(out, value);
}

pub fn put_bytes_field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(
            fields in prop::collection::vec((1u8..16, any::<Option<u64>>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8)
        ) {
            let mut message = Vec::new();
            for (number, value, bytes) in &fields {
                match value {
                    Some(value) => put_varint_field(&mut message, *number, *value),
                    None => put_bytes_field(&mut message, *number, bytes),
                }
            }
            let read: Option<Vec<_>> = Fields::new(&message).collect();
            let expected: Vec<_> = fields
                .iter()
                .map(|(number, value, bytes)| (u32::from(*number), value.map_or(Value::Bytes(bytes), Value::Varint)))
                .collect();
            prop_assert_eq!(read, Some(expected));
        }

        #[test]
        fn no_bytes_make_it_panic_or_go_on_for_ever(message in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(Fields::new(&message).count() <= message.len());
        }
    }

    #[test]
    fn a_message_that_ends_early_or_has_a_group_is_none() {
        for broken in [&[0x0a, 5, 1][..], &[0x08], &[0x0b], &[0x00, 1], &[0x09, 1, 2]] {
            assert_eq!(Fields::new(broken).last(), Some(None), "{broken:?}");
        }
        assert_eq!(Fields::new(&[0x0d, 1, 2, 3, 4]).last(), Some(Some((1, Value::Fixed))));
    }
}
