//! Compressed parts of a log: MariaDB compresses single events, MySQL whole transactions.
use std::io::{Cursor, Read};

use flate2::bufread::ZlibDecoder;
use zstd::stream::read::Decoder;

use crate::{
    bytes::Take,
    error::Broken,
    event::{HEADER, Header},
};

/// What an event may hold at most; a length beyond it is a damaged one.
const LONGEST_EVENT: usize = 1 << 30;

/// Decompresses MariaDB's form into `into`: a byte that says how long the length is, the length with its high byte
/// first, and a zlib stream.
pub(crate) fn inflate(body: &[u8], into: &mut Vec<u8>) -> Result<(), Broken> {
    let mut rest = Take(body);
    let head = rest.u8()?;
    if head & 0x70 != 0 {
        return Err(Broken::Compression);
    }
    let length = rest.bytes(usize::from(head & 7))?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > LONGEST_EVENT {
        return Err(Broken::Length);
    }
    into.clear();
    let mut decoder = ZlibDecoder::new(rest.0).take(length as u64 + 1);
    decoder.read_to_end(into).map_err(|_| Broken::Compression)?;
    if into.len() == length { Ok(()) } else { Err(Broken::Compression) }
}

/// The events of a MySQL transaction that is one compressed event, one at a time: memory holds one, however large the
/// transaction is.
pub(crate) struct Payload<'a> {
    source: Source<'a>,
    event: Vec<u8>,
}

enum Source<'a> {
    Plain(&'a [u8]),
    Zstd(Box<Decoder<'static, Cursor<&'a [u8]>>>),
}

impl<'a> Payload<'a> {
    /// `body` is the event's, without its header. Its head is a list of fields: type, length, value.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Broken> {
        const END: usize = 0;
        const SIZE: usize = 1;
        const COMPRESSION: usize = 2;
        const ZSTD: usize = 0;
        const NONE: usize = 255;
        let mut rest = Take(body);
        let (mut compression, mut size) = (NONE, None);
        loop {
            let field = rest.packed()?;
            if field == END {
                break;
            }
            let length = rest.packed()?;
            let mut value = Take(rest.bytes(length)?);
            match field {
                SIZE => size = Some(value.packed()?),
                COMPRESSION => compression = value.packed()?,
                _ => {}
            }
        }
        let payload = match size {
            Some(size) => rest.bytes(size)?,
            None => rest.0,
        };
        let source = match compression {
            ZSTD => {
                Source::Zstd(Box::new(Decoder::with_buffer(Cursor::new(payload)).map_err(|_| Broken::Compression)?))
            }
            NONE => Source::Plain(payload),
            _ => return Err(Broken::Compression),
        };
        Ok(Self { source, event: Vec::new() })
    }

    /// The next event with its header; None at the end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        self.event.clear();
        match self.fill(HEADER)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(Broken::Short),
        }
        let length = Header::read(&self.event)?.length;
        if !(HEADER..=LONGEST_EVENT).contains(&length) {
            return Err(Broken::Length);
        }
        if self.fill(length - HEADER)? < length - HEADER {
            return Err(Broken::Short);
        }
        Ok(Some(&self.event))
    }

    /// Appends so many bytes to the event; how many there were.
    fn fill(&mut self, count: usize) -> Result<usize, Broken> {
        match &mut self.source {
            Source::Plain(bytes) => bytes.take(count as u64).read_to_end(&mut self.event),
            Source::Zstd(decoder) => decoder.take(count as u64).read_to_end(&mut self.event),
        }
        .map_err(|_| Broken::Compression)
    }
}
