//! Redis's protocol (RESP2 and 3) as far as a script's reply needs it: arrays of integers and errors. Whatever else comes
//! is told apart, and never taken for a verdict.

/// Lists within lists are read no deeper than this; the scripts' own are flat.
const DEEPEST: usize = 8;
/// A reply is a few kilobytes; more than this without an end is no reply.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Numbers(Vec<i64>),
    /// The text begins with the kind of the error: `NOSCRIPT …`.
    Error(String),
    Other,
}

/// So many digits are no more than a number of 64 bits holds.
const MOST_DIGITS: usize = 18;

/// What came is not Redis's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reply is not RESP")]
pub struct Malformed;

/// Cuts a stream of bytes into replies.
#[derive(Debug, Default)]
pub struct Replies {
    buffer: Vec<u8>,
    read: usize,
}

impl Replies {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole reply; what the server says unasked (RESP3's pushes) is left out.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, Malformed> {
        loop {
            let mut cursor = Cursor { bytes: self.buffer.get(self.read..).unwrap_or_default() };
            let before = cursor.bytes.len();
            let push = cursor.bytes.first() == Some(&b'>');
            match cursor.reply() {
                Ok(reply) => {
                    self.read += before - cursor.bytes.len();
                    if !push {
                        return Ok(Some(reply));
                    }
                }
                Err(Stop::Unfinished) if before > LONGEST => return Err(Malformed),
                Err(Stop::Unfinished) => return Ok(None),
                Err(Stop::Malformed) => return Err(Malformed),
            }
        }
    }
}

enum Stop {
    Unfinished,
    Malformed,
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn reply(&mut self) -> Result<Reply, Stop> {
        let whole = self.bytes;
        match self.line()? {
            (b'*', count) => {
                let count = usize::try_from(number(count)?).unwrap_or(0);
                let mut numbers = Vec::with_capacity(count.min(1024));
                for _ in 0..count {
                    if let Some(number) = self.integer() {
                        numbers.push(number);
                        continue;
                    }
                    match self.line()? {
                        (b':', text) => numbers.push(number(text)?),
                        _ => {
                            self.bytes = whole;
                            self.skip(0)?;
                            return Ok(Reply::Other);
                        }
                    }
                }
                Ok(Reply::Numbers(numbers))
            }
            (b'-', text) => Ok(Reply::Error(String::from_utf8_lossy(text).into_owned())),
            (b'!', length) => {
                let text = self.bulk(length)?;
                Ok(Reply::Error(String::from_utf8_lossy(text).into_owned()))
            }
            _ => {
                self.bytes = whole;
                self.skip(0)?;
                Ok(Reply::Other)
            }
        }
    }

    /// An integer as the server writes it, where its whole line is here. Nothing is taken otherwise.
    fn integer(&mut self) -> Option<i64> {
        let rest = self.bytes.strip_prefix(b":")?;
        let digits = rest.strip_prefix(b"-").unwrap_or(rest);
        let count = digits.iter().take(MOST_DIGITS + 1).take_while(|digit| digit.is_ascii_digit()).count();
        let (digits_here, after) = digits.split_at_checked(count).filter(|_| (1..=MOST_DIGITS).contains(&count))?;
        let value = digits_here.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        self.bytes = after.strip_prefix(b"\r\n")?;
        Some(if digits.len() < rest.len() { -value } else { value })
    }

    /// A value's kind and the rest of its line.
    fn line(&mut self) -> Result<(u8, &'a [u8]), Stop> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').ok_or(Stop::Unfinished)?;
        let (line, rest) = self.bytes.split_at(end + 1);
        let [kind, text @ .., b'\r', b'\n'] = line else {
            return Err(Stop::Malformed);
        };
        self.bytes = rest;
        Ok((*kind, text))
    }

    fn bulk(&mut self, length: &[u8]) -> Result<&'a [u8], Stop> {
        let Ok(length) = usize::try_from(number(length)?) else {
            return Ok(&[]);
        };
        let (text, rest) = self.bytes.split_at_checked(length.saturating_add(2)).ok_or(Stop::Unfinished)?;
        self.bytes = rest;
        text.strip_suffix(b"\r\n").ok_or(Stop::Malformed)
    }

    fn skip(&mut self, depth: usize) -> Result<(), Stop> {
        let (kind, text) = self.line()?;
        let members = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => 0,
            b'$' | b'!' | b'=' => {
                self.bulk(text)?;
                0
            }
            b'*' | b'~' | b'>' => number(text)?,
            b'%' | b'|' => number(text)?.saturating_mul(2),
            _ => return Err(Stop::Malformed),
        };
        if members > 0 && depth >= DEEPEST {
            return Err(Stop::Malformed);
        }
        for _ in 0..members {
            self.skip(depth + 1)?;
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Result<i64, Stop> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Stop::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(reply: &Reply) -> Vec<u8> {
        match reply {
            Reply::Numbers(numbers) => {
                let mut out = format!("*{}\r\n", numbers.len());
                numbers.iter().for_each(|number| out.push_str(&format!(":{number}\r\n")));
                out.into_bytes()
            }
            Reply::Error(text) => format!("-{text}\r\n").into_bytes(),
            Reply::Other => b"*2\r\n$3\r\na\r\n\r\n*1\r\n+OK\r\n".to_vec(),
        }
    }

    fn some_reply() -> impl Strategy<Value = Reply> {
        prop_oneof![
            prop::collection::vec(any::<i64>(), 0..40).prop_map(Reply::Numbers),
            "[A-Z]{3,9} [a-z ]{0,20}".prop_map(Reply::Error),
            Just(Reply::Other),
        ]
    }

    proptest! {
        #[test]
        fn replies_come_out_as_they_went_in_however_they_are_cut(
            replies in prop::collection::vec(some_reply(), 0..8), cuts in prop::collection::vec(1usize..30, 1..40),
        ) {
            let wire: Vec<u8> = replies.iter().flat_map(written).collect();
            let (mut reader, mut out, mut rest) = (Replies::default(), Vec::new(), &wire[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                reader.feed(piece);
                while let Some(reply) = reader.next_reply().unwrap() {
                    out.push(reply);
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(out, replies);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Replies::default();
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next_reply() {}
        }
    }

    #[test]
    fn what_the_server_says_unasked_is_left_out() {
        let mut reader = Replies::default();
        reader.feed(b">2\r\n+MOVING\r\n:1\r\n*1\r\n:5\r\n");
        assert_eq!(reader.next_reply(), Ok(Some(Reply::Numbers(vec![5]))));
        assert_eq!(reader.next_reply(), Ok(None));
    }

    #[test]
    fn values_of_the_newer_protocol_are_no_verdicts() {
        for value in
            [&b"%1\r\n+a\r\n:1\r\n"[..], b"_\r\n", b"#t\r\n", b",1.5\r\n", b"$-1\r\n", b"*1\r\n_\r\n", b"+OK\r\n"]
        {
            let mut reader = Replies::default();
            reader.feed(value);
            assert_eq!(reader.next_reply(), Ok(Some(Reply::Other)), "{value:?}");
        }
        let mut reader = Replies::default();
        reader.feed(b"!9\r\nERR wrong\r\n");
        assert_eq!(reader.next_reply(), Ok(Some(Reply::Error("ERR wrong".into()))));
    }

    #[test]
    fn what_is_not_resp_is_an_error() {
        for wrong in [&b"HTTP/1.1 200\n"[..], b"*x\r\n", b"?1\r\n", b"$3\r\nabcde\r\n"] {
            let mut reader = Replies::default();
            reader.feed(wrong);
            assert_eq!(reader.next_reply(), Err(Malformed), "{wrong:?}");
        }
    }
}
