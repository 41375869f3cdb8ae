//! gRPC's framing of messages: a flag, a length of four bytes, the message.
use bytes::{BufMut, Bytes, BytesMut};

use crate::code::{Code, Refusal};

/// Bytes in front of every message.
pub const PREFIX: usize = 5;

/// A message as it came: still compressed where `compressed` says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Raw {
    pub compressed: bool,
    pub payload: Bytes,
}

/// Cuts a stream of bytes into messages. A message in one piece is not copied.
#[derive(Default)]
pub struct Deframer {
    /// What came last, while nothing older is left over.
    piece: Bytes,
    /// Pieces put together, where one did not hold a whole message.
    joined: BytesMut,
}

impl Deframer {
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.is_empty() {
            self.piece = piece;
            return;
        }
        if !self.piece.is_empty() {
            self.joined.extend_from_slice(&self.piece);
            self.piece = Bytes::new();
        }
        self.joined.extend_from_slice(&piece);
    }

    /// Whether no byte of a further message is here.
    pub fn is_empty(&self) -> bool {
        self.piece.is_empty() && self.joined.is_empty()
    }

    /// The next message if all of it is here. One longer than `max` is refused by its prefix alone.
    pub fn next(&mut self, max: usize) -> Result<Option<Raw>, Refusal> {
        let here: &[u8] = if self.joined.is_empty() { &self.piece } else { &self.joined };
        let Some((&[flag, a, b, c, d], rest)) = here.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let compressed = match flag {
            0 => false,
            1 => true,
            _ => return Err(Refusal::new(Code::Internal, format!("invalid flag {flag} in front of a message"))),
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > max {
            return Err(Refusal::new(
                Code::ResourceExhausted,
                format!("SERVER: Received message larger than max ({length} vs. {max})"),
            ));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let whole = PREFIX + length;
        let mut payload = if self.joined.is_empty() {
            self.piece.split_to(whole)
        } else {
            let taken = self.joined.split_to(whole).freeze();
            if self.joined.is_empty() {
                self.joined = BytesMut::new();
            }
            taken
        };
        payload = payload.slice(PREFIX..);
        Ok(Some(Raw { compressed, payload }))
    }
}

/// A message with its prefix. The caller has checked that its length fits.
pub fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(compressed.into());
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
            cuts in prop::collection::vec(1usize..20, 1..40),
        ) {
            let mut wire: Vec<u8> = Vec::new();
            for (compressed, message) in &messages {
                wire.extend_from_slice(&frame(*compressed, message));
            }
            let mut deframer = Deframer::default();
            let mut out = Vec::new();
            let mut rest = &wire[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                deframer.push(Bytes::copy_from_slice(piece));
                while let Some(raw) = deframer.next(50).unwrap() {
                    out.push((raw.compressed, raw.payload.to_vec()));
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(deframer.is_empty());
            prop_assert_eq!(out, messages);
        }
    }

    #[test]
    fn a_length_of_four_gib_is_refused_by_its_prefix() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[0, 255, 255, 255, 255]));
        assert_eq!(deframer.next(1 << 22).unwrap_err().code, Code::ResourceExhausted);
    }

    #[test]
    fn an_unknown_flag_is_internal() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[2, 0, 0, 0, 0]));
        assert_eq!(deframer.next(10).unwrap_err().code, Code::Internal);
    }

    #[test]
    fn a_short_message_waits_and_is_not_empty() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[0, 0, 0, 0, 3, 1]));
        assert_eq!(deframer.next(10).unwrap(), None);
        assert!(!deframer.is_empty());
    }
}
