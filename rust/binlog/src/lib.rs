//! The replication stream of MySQL and MariaDB, reduced to what caches need: which row of which entry changed, to which
//! version, and how far the stream is. No Python, no cache: `core` joins them.
//!
//! Layout:
//! - `watch`: which tables and columns matter, and what a row's images mean for entries
//! - `decode`: events -> changes, passed coordinates, and what cannot be placed
//! - `event`, `table`, `rows`, `statement`, `compression`: the parts of the format
//! - `coordinate`, `gtid`: places in a log
//! - `reader`: the threads that follow a server, and measure how fresh that is
//! - `server`, `connection`, `wire`: the client protocol
//! - `file`: a log file's events
mod bytes;
mod compression;
mod connection;
mod coordinate;
mod decode;
mod error;
mod event;
mod file;
mod gtid;
mod reader;
mod rows;
mod server;
mod statement;
mod table;
mod watch;
mod wire;

pub use connection::{Address, Failure};
pub use coordinate::{Coordinate, NoPlace, Place};
pub use decode::{Counts, Decoder, Known, Refused, Schema, Sink, Unanswered};
pub use error::{Broken, Cause};
pub use file::File;
pub use gtid::{Executed, Gtids};
pub use reader::{Figures, Listener, Options, Reader};
pub use server::{Unusable, ask, check};
pub use watch::{Alias, Change, Fate, Key, Member, Watched};
pub use wire::Endpoint;
