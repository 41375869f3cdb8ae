//! HTTP/2's frames: written into a buffer, and found in what was read.
use crate::Error;

pub const HEADER: usize = 9;
/// The longest payload that either side sends: HTTP/2's first setting, which this program never raises.
pub const MAX_PAYLOAD: usize = 16_384;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// Without padding and priority.
    pub payload: &'a [u8],
    /// What counts against the windows.
    pub length: usize,
}

pub fn write_header(kind: u8, flags: u8, stream: u32, length: usize, out: &mut Vec<u8>) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

pub fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    write_header(kind, flags, stream, payload.len(), out);
    out.extend_from_slice(payload);
}

/// The first frame of `bytes` and how many bytes it takes; None when it is not whole yet.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Error> {
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    if length > MAX_PAYLOAD {
        return Err(Error::Protocol(format!("a frame of {length} bytes")));
    }
    let end = HEADER + length;
    if bytes.len() < end {
        return Ok(None);
    }
    let (kind, flags) = (bytes[3], bytes[4]);
    let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
    let payload = unpadded(kind, flags, &bytes[HEADER..end])
        .ok_or_else(|| Error::Protocol("a frame shorter than its padding".into()))?;
    Ok(Some((Frame { kind, flags, stream, payload, length }, end)))
}

fn unpadded(kind: u8, flags: u8, mut payload: &[u8]) -> Option<&[u8]> {
    if kind != DATA && kind != HEADERS {
        return Some(payload);
    }
    if flags & PADDED != 0 {
        let (&padding, rest) = payload.split_first()?;
        payload = rest.get(..rest.len().checked_sub(usize::from(padding))?)?;
    }
    if kind == HEADERS && flags & PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_frame_is_read_back_and_a_part_of_it_waits() {
        let mut bytes = Vec::new();
        write(HEADERS, END_HEADERS, 7, b"block", &mut bytes);
        let frame = Frame { kind: HEADERS, flags: END_HEADERS, stream: 7, payload: b"block", length: 5 };
        assert_eq!(read(&bytes).unwrap(), Some((frame, 14)));
        assert_eq!(read(&bytes[..13]).unwrap(), None);
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let mut bytes = Vec::new();
        write(HEADERS, PADDED | PRIORITY, 1, &[2, 0, 0, 0, 0, 9, b'x', 0, 0], &mut bytes);
        assert_eq!(read(&bytes).unwrap().unwrap().0.payload, b"x");
        bytes.clear();
        write(DATA, PADDED, 1, &[9, 1], &mut bytes);
        assert!(read(&bytes).is_err());
    }
}
