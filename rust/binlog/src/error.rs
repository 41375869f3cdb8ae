//! What can be wrong with bytes, and why a reader lost its place.
use std::fmt;

/// Bytes that are no event as the format has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("an event ends before its last field")]
    Short,
    #[error("an event has bytes after its last field")]
    Long,
    #[error("a length is not one")]
    Length,
    #[error("an event's checksum does not fit it")]
    Checksum,
    #[error("the file does not begin as a binlog does")]
    Magic,
    #[error("the log is of a version that is not understood")]
    Version,
    #[error("rows of a table come before its map")]
    Unmapped,
    #[error("compressed bytes do not decompress")]
    Compression,
    #[error("a log file's name has no number")]
    Name,
}

/// Why nothing of what is cached can be told right or wrong any more: L1 is emptied, L2 begins a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The server no longer has the place in its log.
    Purged,
    /// Another server answers, and does not know the place.
    OtherServer,
    /// The log was reset, or a data directory restored.
    OtherLog,
    /// An event that cannot be read, time after time.
    Undecodable,
    /// DDL on a cached table.
    Ddl,
    /// A change of a cached table as the text of a statement.
    Statement,
    /// The commit of a transaction whose rows were logged long before.
    Xa,
    /// A row event without the columns that place it.
    Row,
    /// A table whose columns are not the ones expected.
    Layout,
    /// The server says that its log lacks events.
    Incident,
    /// An event of a kind that is not known.
    Unknown,
}

impl Cause {
    pub const ALL: [Self; 11] = [
        Self::Purged,
        Self::OtherServer,
        Self::OtherLog,
        Self::Undecodable,
        Self::Ddl,
        Self::Statement,
        Self::Xa,
        Self::Row,
        Self::Layout,
        Self::Incident,
        Self::Unknown,
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purged => "purged",
            Self::OtherServer => "other_server",
            Self::OtherLog => "other_log",
            Self::Undecodable => "undecodable",
            Self::Ddl => "ddl",
            Self::Statement => "statement",
            Self::Xa => "xa",
            Self::Row => "row",
            Self::Layout => "layout",
            Self::Incident => "incident",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}
