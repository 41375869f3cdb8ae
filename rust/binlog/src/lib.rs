//! The replication stream of MySQL and MariaDB, reduced to what caches need: which row of which entry changed, to which
//! version, and how far the stream is. No Python, no cache: `core` joins them.
//!
//! Layout:
//! - `watch`: which tables and columns matter, and what a row's images mean for entries
//! - `decode`: events -> changes, passed coordinates, and what cannot be placed
//! - `event`, `table`, `rows`, `statement`, `compression`: the parts of the format
//! - `coordinate`, `gtid`: places in a log
//! - `file`: a log file's events
mod bytes;
mod compression;
mod coordinate;
mod decode;
mod error;
mod event;
mod file;
mod gtid;
mod rows;
mod statement;
mod table;
mod watch;

pub use coordinate::{Coordinate, NoPlace, Place};
pub use decode::{Counts, Decoder, Known, Refused, Schema, Sink};
pub use error::{Broken, Cause};
pub use file::File;
pub use gtid::{Executed, Gtids};
pub use watch::{Alias, Change, Fate, Key, Member, Watched};
