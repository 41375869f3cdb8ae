//! The answer to one call: the messages in its DATA frames, checked as they come.
use crate::headers::Statuses;

const PREFIX: usize = 5;
/// A tag and a value below 128.
const HEAD: usize = 2;
const FIELD_1: u8 = 0x08;

/// What a right answer is.
#[derive(Debug, Default, Clone)]
pub struct Expected {
    pub status: u16,
    pub messages: Option<u64>,
    pub length: Option<usize>,
    pub bytes: Option<Vec<u8>>,
    /// Note the kind of each answer.
    pub kinds: bool,
}

/// A call that was sent.
#[derive(Debug)]
pub struct Stream {
    /// When it was meant to be sent.
    pub intended: u64,
    pub statuses: Statuses,
    pub messages: u64,
    pub bytes: u64,
    /// Received since the last WINDOW_UPDATE of this stream.
    pub unreported: usize,
    /// Field 1 of the last message, where it comes first and is a small integer: the status of many responses.
    pub kind: Option<u8>,
    wrong: bool,
    head: [u8; HEAD],
    prefix: [u8; PREFIX],
    prefix_length: usize,
    /// The length of the message being read and how much of it was seen.
    length: usize,
    seen: usize,
}

impl Stream {
    pub fn new(intended: u64) -> Self {
        Self {
            intended,
            statuses: Statuses::default(),
            messages: 0,
            bytes: 0,
            unreported: 0,
            kind: None,
            wrong: false,
            head: [0; HEAD],
            prefix: [0; PREFIX],
            prefix_length: 0,
            length: 0,
            seen: 0,
        }
    }

    pub fn merge(&mut self, statuses: Statuses) {
        self.statuses.http = statuses.http.or(self.statuses.http);
        self.statuses.grpc = statuses.grpc.or(self.statuses.grpc);
    }

    pub fn data(&mut self, mut data: &[u8], expected: &Expected) {
        loop {
            if self.prefix_length < PREFIX {
                let taken = data.len().min(PREFIX - self.prefix_length);
                self.prefix[self.prefix_length..self.prefix_length + taken].copy_from_slice(&data[..taken]);
                self.prefix_length += taken;
                data = &data[taken..];
                if self.prefix_length < PREFIX {
                    return;
                }
                let [_, a, b, c, d] = self.prefix;
                self.length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.seen = 0;
                self.wrong |= expected.length.is_some_and(|length| length != self.length)
                    || expected.bytes.as_ref().is_some_and(|bytes| bytes.len() != self.length);
            }
            let taken = data.len().min(self.length - self.seen);
            if let Some(bytes) = &expected.bytes {
                self.wrong |= bytes.get(self.seen..self.seen + taken) != Some(&data[..taken]);
            }
            if expected.kinds && self.seen < HEAD {
                let head = taken.min(HEAD - self.seen);
                self.head[self.seen..self.seen + head].copy_from_slice(&data[..head]);
            }
            self.seen += taken;
            self.bytes += taken as u64;
            data = &data[taken..];
            if self.seen < self.length {
                return;
            }
            self.messages += 1;
            if expected.kinds {
                let whole = self.length >= HEAD && self.head[0] == FIELD_1 && self.head[1] < 0x80;
                self.kind = whole.then_some(self.head[1]);
            }
            self.prefix_length = 0;
            if data.is_empty() {
                return;
            }
        }
    }

    /// Whether the whole answer is what was expected.
    pub fn right(&self, expected: &Expected) -> bool {
        !self.wrong
            && self.prefix_length == 0
            && self.statuses.http == Some(200)
            && self.statuses.grpc == Some(expected.status)
            && expected.messages.is_none_or(|count| count == self.messages)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.push(0);
            bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
            bytes.extend_from_slice(message);
        }
        bytes
    }

    fn ended(bytes: &[u8], piece: usize, expected: &Expected) -> Stream {
        let mut stream = Stream::new(0);
        stream.merge(Statuses { http: Some(200), grpc: None });
        for part in bytes.chunks(piece) {
            stream.data(part, expected);
        }
        stream.merge(Statuses { http: None, grpc: Some(0) });
        stream
    }

    proptest! {
        #[test]
        fn messages_are_counted_however_the_frames_cut_them(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..9), piece in 1..50usize,
        ) {
            let expected = Expected { messages: Some(messages.len() as u64), ..Expected::default() };
            let stream = ended(&framed(&messages), piece, &expected);
            prop_assert_eq!(stream.messages, messages.len() as u64);
            prop_assert_eq!(stream.bytes, messages.iter().map(Vec::len).sum::<usize>() as u64);
            prop_assert!(stream.right(&expected));
        }

        #[test]
        fn one_wrong_byte_is_noticed(message in prop::collection::vec(any::<u8>(), 1..40), at in any::<prop::sample::Index>(), piece in 1..50usize) {
            let expected = Expected { bytes: Some(message.clone()), ..Expected::default() };
            prop_assert!(ended(&framed(std::slice::from_ref(&message)), piece, &expected).right(&expected));
            let mut other = message.clone();
            other[at.index(message.len())] ^= 1;
            prop_assert!(!ended(&framed(&[other]), piece, &expected).right(&expected));
        }
    }

    #[test]
    fn the_kind_of_an_answer_is_its_first_field_however_it_is_cut() {
        let expected = Expected { kinds: true, ..Expected::default() };
        for piece in [1, 6, 7, 99] {
            assert_eq!(ended(&framed(&[vec![8, 1], vec![8, 3, 0x20, 7]]), piece, &expected).kind, Some(3));
            for other in [vec![], vec![8], vec![8, 0x80, 1], vec![0x10, 3]] {
                assert_eq!(ended(&framed(&[other]), piece, &expected).kind, None);
            }
        }
    }

    #[test]
    fn an_answer_that_stops_within_a_message_is_not_right() {
        let bytes = framed(&[vec![1, 2, 3]]);
        let expected = Expected::default();
        assert!(!ended(&bytes[..6], 99, &expected).right(&expected));
        assert!(ended(&bytes, 99, &expected).right(&expected));
        assert!(!ended(&bytes, 99, &Expected { length: Some(2), ..Expected::default() }).right(&expected));
    }
}
