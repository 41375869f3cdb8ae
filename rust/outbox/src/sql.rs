//! Users and rows as SQL text: what stands behind VALUES. Bytes go in as `_binary'…'` with the escapes of MySQL's default
//! mode (without NO_BACKSLASH_ESCAPES), hashes as `x'…'`.
use std::collections::{HashMap, HashSet};

use crate::wins::{Malformed, Wins};

/// About what a row takes beside the text of its time and its user.
const ROW_BYTES: usize = 96;
const USER_BYTES: usize = 32;

/// Rows gathered into texts of at most `most` bytes, or of one row.
struct Texts {
    most: usize,
    hint: usize,
    done: Vec<Vec<u8>>,
    text: Vec<u8>,
}

impl Texts {
    fn push(&mut self, row: &[u8]) {
        if !self.text.is_empty() && self.text.len() + 1 + row.len() > self.most {
            self.done.push(std::mem::take(&mut self.text));
        }
        if self.text.is_empty() {
            self.text.reserve(self.most.min(self.hint));
        } else {
            self.text.push(b',');
        }
        self.text.extend_from_slice(row);
    }

    fn end(mut self) -> Vec<Vec<u8>> {
        if !self.text.is_empty() {
            self.done.push(self.text);
        }
        self.done
    }
}

impl Wins {
    fn texts(&self, row_bytes: usize, most: usize) -> Texts {
        Texts { most, hint: self.len() * row_bytes, done: Vec::new(), text: Vec::new() }
    }

    /// The users, each once, as rows `(_binary'…')`, in texts of at most `most` bytes or one row. A row begins with `lead`.
    pub fn users(&self, lead: &[u8], most: usize) -> Vec<Vec<u8>> {
        let mut seen = HashSet::with_capacity(self.len());
        let (mut texts, mut row) = (self.texts(USER_BYTES, most), Vec::new());
        for win in self.iter().filter(|win| seen.insert(win.user)) {
            row.clear();
            row.extend_from_slice(lead);
            row.push(b'(');
            push_bytes(&mut row, win.user);
            row.push(b')');
            texts.push(&row);
        }
        texts.end()
    }

    /// A row for each win, `(user, id, number, epoch, request hash, by time)`, in texts of at most `most` bytes or one row. A
    /// row begins with `lead`, its id is `least_id` + number, and `by_time` has SQL for each time of a claim.
    pub fn rows(
        &self,
        lead: &[u8],
        least_id: u64,
        by_time: &HashMap<u64, &[u8]>,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, Malformed> {
        let longest = by_time.values().map(|text| text.len()).max().unwrap_or_default();
        let (mut texts, mut row) = (self.texts(ROW_BYTES + longest, most), Vec::new());
        let mut digits = itoa::Buffer::new();
        for win in self.iter() {
            row.clear();
            row.extend_from_slice(lead);
            row.push(b'(');
            push_bytes(&mut row, win.user);
            for number in [least_id.checked_add(win.number).ok_or(Malformed)?, win.number, win.epoch] {
                row.push(b',');
                row.extend_from_slice(digits.format(number).as_bytes());
            }
            row.extend_from_slice(b",x'");
            push_hex(&mut row, &win.hash);
            row.extend_from_slice(b"',");
            row.extend_from_slice(by_time.get(&win.claimed_ms).ok_or(Malformed)?);
            row.push(b')');
            texts.push(&row);
        }
        Ok(texts.end())
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"_binary'");
    for byte in bytes {
        let escaped = match byte {
            0 => b'0',
            b'\n' => b'n',
            b'\r' => b'r',
            0x1A => b'Z',
            b'\'' | b'"' | b'\\' => *byte,
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
    out.push(b'\'');
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(digit)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wins::Win;

    fn wins(users: &[&'static [u8]]) -> Wins {
        Wins::of((1..).zip(users).map(|(number, user)| Win {
            number,
            user,
            hash: [0xA5; 16],
            kind: b'W',
            claimed_ms: 3 + number % 2,
            epoch: 9,
        }))
    }

    fn text(parts: Vec<Vec<u8>>) -> Vec<String> {
        parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn users_come_once_and_are_cut_between_rows() {
        let batch = wins(&[b"a", b"b", b"a", b"c"]);
        assert_eq!(text(batch.users(b"", 25)), ["(_binary'a'),(_binary'b')", "(_binary'c')"]);
        assert_eq!(text(batch.users(b"ROW", 1000)), ["ROW(_binary'a'),ROW(_binary'b'),ROW(_binary'c')"]);
        assert!(wins(&[]).users(b"", 25).is_empty());
    }

    #[test]
    fn what_would_end_a_text_is_escaped() {
        let users = wins(&[b"o'b\\r\"\0\n\r\x1A"]).users(b"", 99);
        assert_eq!(text(users), [r#"(_binary'o\'b\\r\"\0\n\r\Z')"#]);
    }

    #[test]
    fn rows_carry_the_text_of_their_time_and_are_cut_between_rows() {
        let by_time = HashMap::from([(3, &b"'x'"[..]), (4, &b"'y'"[..])]);
        let hash = "a5".repeat(16);
        let (one, two) = (format!("(_binary'a',101,1,9,x'{hash}','y')"), format!("(_binary'b',102,2,9,x'{hash}','x')"));
        let batch = wins(&[b"a", b"b"]);
        assert_eq!(text(batch.rows(b"", 100, &by_time, 1000).unwrap()), [format!("{one},{two}")]);
        assert_eq!(text(batch.rows(b"ROW", 100, &by_time, 1).unwrap()), [format!("ROW{one}"), format!("ROW{two}")]);
        assert!(batch.rows(b"", 100, &HashMap::from([(3, &b"'x'"[..])]), 1000).is_err());
    }
}
