//! Message compression: gzip and deflate (zlib's format) both ways. What comes out of a peer's message is bounded.
use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    read::{MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};

use crate::code::{Code, Refusal};

/// What `grpc-accept-encoding` says of this server.
pub const ACCEPTED: &str = "identity,deflate,gzip";

/// How the messages of one direction of a call may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    #[default]
    Identity,
    Deflate,
    Gzip,
}

impl Encoding {
    /// The name in `grpc-encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"identity" => Some(Self::Identity),
            b"deflate" => Some(Self::Deflate),
            b"gzip" => Some(Self::Gzip),
            _ => None,
        }
    }

    /// Whether the list of a `grpc-accept-encoding` header names it.
    pub fn is_in(self, list: &[u8]) -> bool {
        list.split(|byte| *byte == b',').any(|name| name.trim_ascii() == self.name().as_bytes())
    }

    /// The message that was compressed. More than `max` bytes are RESOURCE_EXHAUSTED.
    pub fn inflate(self, data: &[u8], max: usize) -> Result<Bytes, Refusal> {
        let mut message = Vec::with_capacity(data.len().saturating_mul(2).min(max));
        let limit = (max as u64).saturating_add(1);
        let read = match self {
            Self::Identity => {
                return Err(Refusal::new(Code::Internal, "compressed flag set with identity or empty encoding"));
            }
            Self::Deflate => ZlibDecoder::new(data).take(limit).read_to_end(&mut message),
            Self::Gzip => MultiGzDecoder::new(data).take(limit).read_to_end(&mut message),
        };
        if read.is_err() {
            return Err(Refusal::new(Code::Internal, "the compressed message is malformed"));
        }
        if message.len() > max {
            return Err(Refusal::new(
                Code::ResourceExhausted,
                format!("Received message larger than max ({} vs. {max}) after decompression", message.len()),
            ));
        }
        Ok(message.into())
    }

    /// The message compressed; None where that would not make it smaller.
    pub fn deflate(self, message: &[u8]) -> Option<Vec<u8>> {
        let room = Vec::with_capacity(message.len() / 2 + 32);
        let compressed = match self {
            Self::Identity => return None,
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(room, Compression::fast());
                encoder.write_all(message).ok()?;
                encoder.finish().ok()?
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(room, Compression::fast());
                encoder.write_all(message).ok()?;
                encoder.finish().ok()?
            }
        };
        (compressed.len() < message.len()).then_some(compressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let message = vec![7; 10_000];
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let compressed = encoding.deflate(&message).unwrap();
            assert!(compressed.len() < 200);
            assert_eq!(encoding.inflate(&compressed, 10_000).unwrap(), message);
        }
    }

    #[test]
    fn a_message_that_does_not_shrink_stays_as_it_is() {
        assert_eq!(Encoding::Gzip.deflate(b"abc"), None);
        assert_eq!(Encoding::Identity.deflate(&[0; 1000]), None);
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let compressed = Encoding::Gzip.deflate(&vec![0; 1 << 20]).unwrap();
        assert_eq!(Encoding::Gzip.inflate(&compressed, 1000).unwrap_err().code, Code::ResourceExhausted);
    }

    #[test]
    fn garbage_and_a_flag_without_an_encoding_are_internal() {
        assert_eq!(Encoding::Gzip.inflate(b"garbage", 1000).unwrap_err().code, Code::Internal);
        assert_eq!(Encoding::Deflate.inflate(b"garbage", 1000).unwrap_err().code, Code::Internal);
        assert_eq!(Encoding::Identity.inflate(b"garbage", 1000).unwrap_err().code, Code::Internal);
    }

    #[test]
    fn a_list_of_encodings_is_read_with_its_blanks() {
        assert!(Encoding::Gzip.is_in(b"identity, deflate , gzip"));
        assert!(!Encoding::Gzip.is_in(b"identity,gzipped"));
    }
}
