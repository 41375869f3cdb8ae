//! The distinct requests: message templates used in turn, and fields behind them that count.
//!
//! A protobuf field that is written again replaces the one before (and a nested message is merged), so a counting field
//! is simply appended.
use crate::Error;

/// Makes the message of each call.
#[derive(Debug, Clone)]
pub struct Messages {
    templates: Vec<Vec<u8>>,
    fields: Vec<Field>,
    made: u64,
}

#[derive(Debug, Clone)]
struct Field {
    /// Field numbers from the outermost message inwards.
    path: Vec<u32>,
    /// Text before and behind the number; None for an integer.
    text: Option<(String, String)>,
    first: u64,
    count: u64,
}

impl Messages {
    pub fn new(templates: Vec<Vec<u8>>, fields: &[String]) -> Result<Self, Error> {
        if templates.is_empty() {
            return Err(Error::Option("--messages: the file has no message".into()));
        }
        let fields = fields.iter().map(|field| Field::parse(field)).collect::<Result<_, _>>()?;
        Ok(Self { templates, fields, made: 0 })
    }

    /// Messages, each after its length as a varint.
    pub fn split(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let wrong = || Error::Option("--messages: the file ends within a message".into());
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = read_varint(bytes).ok_or_else(wrong)?;
            let length = usize::try_from(length).map_err(|_| wrong())?;
            if rest.len() < length {
                return Err(wrong());
            }
            messages.push(rest[..length].to_vec());
            bytes = &rest[length..];
        }
        Ok(messages)
    }

    /// Appends the next message.
    pub fn write_next(&mut self, out: &mut Vec<u8>) {
        let n = self.made;
        self.made += 1;
        out.extend_from_slice(&self.templates[(n % self.templates.len() as u64) as usize]);
        for field in &self.fields {
            field.write(field.first + n % field.count, out);
        }
    }
}

impl Field {
    fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_parts(text)
            .ok_or_else(|| Error::Option(format!("--field {text}: PATH=int:1..9 or PATH=text:ab-{{}}:1..9 is wanted")))
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let (path, rest) = text.split_once('=')?;
        let path: Vec<u32> = path.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let (kind, rest) = rest.split_once(':')?;
        let (text, range) = match kind {
            "int" => (None, rest),
            "text" => {
                let (text, range) = rest.rsplit_once(':')?;
                let (before, behind) = text.split_once("{}")?;
                (Some((before.to_owned(), behind.to_owned())), range)
            }
            _ => return None,
        };
        let (first, last) = range.split_once("..")?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let numbers = path.iter().all(|number| (1..1 << 29).contains(number));
        (numbers && first <= last && last - first < u64::MAX).then(|| Self {
            path,
            text,
            first,
            count: last - first + 1,
        })
    }

    fn write(&self, value: u64, out: &mut Vec<u8>) {
        let mut field = Vec::with_capacity(32);
        for (depth, number) in self.path.iter().rev().enumerate() {
            let inner = std::mem::take(&mut field);
            if depth == 0 {
                self.write_value(*number, value, &mut field);
            } else {
                write_varint(u64::from(*number) << 3 | 2, &mut field);
                write_varint(inner.len() as u64, &mut field);
                field.extend_from_slice(&inner);
            }
        }
        out.extend_from_slice(&field);
    }

    fn write_value(&self, number: u32, value: u64, out: &mut Vec<u8>) {
        match &self.text {
            None => {
                write_varint(u64::from(number) << 3, out);
                write_varint(value, out);
            }
            Some((before, behind)) => {
                let text = format!("{before}{value}{behind}");
                write_varint(u64::from(number) << 3 | 2, out);
                write_varint(text.len() as u64, out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(templates: Vec<Vec<u8>>, fields: &[&str], count: usize) -> Vec<Vec<u8>> {
        let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
        let mut messages = Messages::new(templates, &fields).unwrap();
        (0..count)
            .map(|_| {
                let mut out = Vec::new();
                messages.write_next(&mut out);
                out
            })
            .collect()
    }

    #[test]
    fn a_counting_integer_starts_again_behind_its_last_value() {
        assert_eq!(
            made(vec![vec![]], &["1=int:299..300"], 3),
            [vec![0x08, 0xab, 0x02], vec![0x08, 0xac, 0x02], vec![0x08, 0xab, 0x02]]
        );
    }

    #[test]
    fn a_nested_text_is_wrapped_in_its_message() {
        assert_eq!(
            made(vec![vec![0x08, 1]], &["3.2=text:u-{}x:7..9"], 1),
            [[0x08, 1, 0x1a, 6, 0x12, 4, b'u', b'-', b'7', b'x']]
        );
    }

    #[test]
    fn a_field_that_cannot_be_read_is_refused() {
        for field in ["", "1", "0=int:1..2", "1=int:2..1", "1=float:1..2", "1=text:none:1..2", "a=int:1..2"] {
            assert!(Messages::new(vec![vec![]], &[field.to_owned()]).is_err(), "{field}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_refused() {
        assert!(Messages::split(&[5, 1, 2]).is_err());
        assert!(Messages::split(&[0x80]).is_err());
    }

    proptest! {
        #[test]
        fn messages_behind_their_lengths_come_back(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..9)) {
            let mut file = Vec::new();
            for message in &messages {
                write_varint(message.len() as u64, &mut file);
                file.extend_from_slice(message);
            }
            prop_assert_eq!(Messages::split(&file).unwrap(), messages);
        }
    }
}
