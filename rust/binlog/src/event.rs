//! The common head of every event, and the few events that say where the log is.
use crate::{bytes::Take, error::Broken};

pub(crate) const HEADER: usize = 19;
pub(crate) const CHECKSUM: usize = 4;

/// Event types, MySQL's below 160, MariaDB's own from there on.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const BEGIN_LOAD_QUERY: u8 = 17;
    pub(crate) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const UPDATE_ROWS_V1: u8 = 24;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const IGNORABLE: u8 = 28;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const UPDATE_ROWS: u8 = 31;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const TRANSACTION_CONTEXT: u8 = 36;
    pub(crate) const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE: u8 = 160;
    pub(crate) const MARIADB_CHECKPOINT: u8 = 161;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_GTID_LIST: u8 = 163;
    pub(crate) const MARIADB_START_ENCRYPTION: u8 = 164;
    pub(crate) const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub(crate) const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(crate) const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub(crate) const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub(crate) const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(crate) const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(crate) const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) time: u32,
    pub(crate) kind: u8,
    pub(crate) server: u32,
    pub(crate) length: usize,
    /// The low 32 bits of where the event ends in its file; 0 for an event that is in none.
    pub(crate) end: u32,
    flags: u16,
}

impl Header {
    pub(crate) fn read(event: &[u8]) -> Result<Self, Broken> {
        let mut rest = Take(event);
        let (time, kind, server, length, end, flags) =
            (rest.u32()?, rest.u8()?, rest.u32()?, rest.u32()?, rest.u32()?, rest.u16()?);
        Ok(Self { time, kind, server, length: length as usize, end, flags })
    }

    /// Made by the server for the stream: it is in no file.
    pub(crate) fn is_artificial(&self) -> bool {
        self.flags & 0x20 != 0 || self.end == 0
    }

    /// Whoever does not know the event may pass over it.
    pub(crate) fn is_ignorable(&self) -> bool {
        self.flags & 0x80 != 0
    }
}

/// The first event of a file: how the others are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) checksums: bool,
    /// How long the id in a table map and in row events is, in bytes: 4 or 6.
    pub(crate) table_id: usize,
}

impl Format {
    /// `event` is the whole event: its own checksum is always there, whether the others have one or not.
    pub(crate) fn read(event: &[u8]) -> Result<Self, Broken> {
        let mut rest = Take(event.get(HEADER..).ok_or(Broken::Short)?);
        let version = rest.u16()?;
        rest.skip(50 + 4)?;
        if version != 4 || usize::from(rest.u8()?) != HEADER {
            return Err(Broken::Version);
        }
        let table_map = rest.0.get(usize::from(kind::TABLE_MAP) - 1).ok_or(Broken::Version)?;
        let algorithm =
            rest.0.len().checked_sub(CHECKSUM + 1).and_then(|place| rest.0.get(place)).ok_or(Broken::Short)?;
        match algorithm {
            0 | 1 => Ok(Self { checksums: *algorithm == 1, table_id: if *table_map == 6 { 4 } else { 6 } }),
            _ => Err(Broken::Version),
        }
    }
}

/// Whether the last four bytes are the CRC of what is before them.
pub(crate) fn has_checksum(event: &[u8]) -> bool {
    event
        .split_last_chunk::<CHECKSUM>()
        .is_some_and(|(before, checksum)| crc32fast::hash(before) == u32::from_le_bytes(*checksum))
}

/// Where a heartbeat says that the server is: the file's name, and the position.
pub(crate) fn heartbeat<'a>(header: &Header, body: &'a [u8]) -> Result<(&'a [u8], u64), Broken> {
    const NAME: usize = 1;
    const POSITION: usize = 2;
    if header.kind == kind::HEARTBEAT {
        return Ok((body, u64::from(header.end)));
    }
    let mut rest = Take(body);
    let (mut name, mut position) = (&body[..0], 0);
    while !rest.0.is_empty() {
        let field = rest.packed()?;
        if field == 0 {
            break;
        }
        let length = rest.packed()?;
        let value = rest.bytes(length)?;
        match field {
            NAME => name = value,
            POSITION => position = Take(value).packed()? as u64,
            _ => {}
        }
    }
    Ok((name, position))
}
