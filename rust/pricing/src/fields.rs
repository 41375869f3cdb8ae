//! Protobuf's encoding of messages. Reading is strict: a field of another type than expected, a group, a message that
//! ends too early are `None`. Writing goes from the last field to the first, so that a message's length is known when
//! its prefix is due.
use couponry_wire::protobuf::varint;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
    /// 32 or 64 bits, which no message here has.
    Fixed,
}

const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

impl<'m> Value<'m> {
    pub(crate) fn number(self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(number as i64),
            _ => None,
        }
    }

    pub(crate) fn flag(self) -> Option<bool> {
        self.number().map(|number| number != 0)
    }

    pub(crate) fn bytes(self) -> Option<&'m [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn text(self) -> Option<&'m str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn string(self) -> Option<String> {
        self.text().map(str::to_owned)
    }
}

/// Hands each field with its number to `take`; `None` as soon as that is not content.
pub(crate) fn each<'m>(mut message: &'m [u8], mut take: impl FnMut(u32, Value<'m>) -> Option<()>) -> Option<()> {
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        let (value, rest) = match tag & 7 {
            NUMBER => {
                let (number, rest) = varint(rest)?;
                (Value::Number(number), rest)
            }
            BYTES => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            FIXED_64 => (Value::Fixed, rest.get(8..)?),
            FIXED_32 => (Value::Fixed, rest.get(4..)?),
            _ => return None,
        };
        match u32::try_from(tag).ok()? >> 3 {
            0 => return None,
            number => take(number, value)?,
        }
        message = rest;
    }
    Some(())
}

/// Puts a part into its place, once: parts that come twice would have to be merged.
pub(crate) fn once<T>(place: &mut Option<T>, part: T) -> Option<()> {
    match place.replace(part) {
        None => Some(()),
        Some(_) => None,
    }
}

/// google.protobuf.Timestamp in milliseconds, cut.
pub(crate) fn milliseconds(timestamp: &[u8]) -> Option<i64> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    each(timestamp, |field, value| {
        match field {
            1 => seconds = value.number()?,
            2 => nanos = value.number()?,
            _ => {}
        }
        Some(())
    })?;
    seconds.checked_mul(1_000)?.checked_add(nanos.div_euclid(1_000_000))
}

/// A message written backwards: the last field first.
#[derive(Default)]
pub(crate) struct Backwards(Vec<u8>);

impl Backwards {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// A number of its own presence.
    pub(crate) fn present(&mut self, field: u32, number: i64) {
        self.varint(number as u64);
        self.varint(u64::from(field) << 3 | NUMBER);
    }

    /// A number that is left out where it is 0.
    pub(crate) fn number(&mut self, field: u32, number: i64) {
        if number != 0 {
            self.present(field, number);
        }
    }

    pub(crate) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.0.extend(text.bytes().rev());
            self.prefix(field, text.len());
        }
    }

    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let before = self.0.len();
        write(self);
        self.prefix(field, self.0.len() - before);
    }

    /// Repeated numbers, from the last to the first.
    pub(crate) fn packed(&mut self, field: u32, from_the_last: impl Iterator<Item = i64>) {
        let before = self.0.len();
        for number in from_the_last {
            self.varint(number as u64);
        }
        if self.0.len() > before {
            self.prefix(field, self.0.len() - before);
        }
    }

    fn prefix(&mut self, field: u32, length: usize) {
        self.varint(length as u64);
        self.varint(u64::from(field) << 3 | BYTES);
    }

    fn varint(&mut self, number: u64) {
        let digits = (64 - (number | 1).leading_zeros()).div_ceil(7);
        for digit in (0..digits).rev() {
            let more = if digit + 1 < digits { 0x80 } else { 0 };
            self.0.push((number >> (7 * digit)) as u8 & 0x7f | more);
        }
    }

    /// The message the right way round.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.reverse();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<i64>(), text in "\\PC{0,200}", many in prop::collection::vec(any::<i64>(), 0..5)) {
            let mut message = Backwards::default();
            message.message(9, |inner| inner.present(1, number));
            message.packed(7, many.iter().rev().copied());
            message.text(3, &text);
            message.number(2, number);
            let message = message.finish();
            let mut found = (0, String::new(), Vec::new(), None);
            each(&message, |field, value| {
                match field {
                    2 => found.0 = value.number()?,
                    3 => found.1 = value.string()?,
                    7 => {
                        let mut packed = value.bytes()?;
                        while let Some((number, rest)) = varint(packed) {
                            found.2.push(number as i64);
                            packed = rest;
                        }
                    }
                    9 => each(value.bytes()?, |_, value| once(&mut found.3, value.number()?))?,
                    _ => return None,
                }
                Some(())
            }).unwrap();
            prop_assert_eq!(found, (number, text, many, Some(number)));
        }

        #[test]
        fn no_bytes_make_it_panic(message in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = each(&message, |_, value| {
                let _ = value.bytes().and_then(milliseconds);
                Some(())
            });
        }
    }

    #[test]
    fn a_time_is_cut_to_milliseconds() {
        let mut timestamp = Backwards::default();
        timestamp.number(2, 1_999_999);
        timestamp.number(1, 7);
        assert_eq!(milliseconds(&timestamp.finish()), Some(7_001));
    }

    #[test]
    fn groups_and_cut_messages_are_not_read() {
        let ignore = |_, _: Value<'_>| Some(());
        assert_eq!(each(&[0x0b, 0x0c], ignore), None);
        assert_eq!(each(&[0x0a, 5, 1], ignore), None);
        assert_eq!(each(&[0x00, 1], ignore), None);
        assert_eq!(each(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x0d, 1, 2, 3, 4], ignore), Some(()));
    }
}
