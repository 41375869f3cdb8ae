//! gRPC over HTTP/2 without sockets: bytes in, calls out, bytes out. The h2 crate speaks HTTP/2 over an in-memory pipe
//! and is polled by hand, inline, with a waker that only sets a flag: no executor, no thread, no clock of its own.
//!
//! Layout:
//! - `Connection`: one peer; the only type with behaviour of its own
//! - `call`: one call on it, and what is still to be read and sent
//! - `request`, `response`: what gRPC says in HTTP headers
//! - `framing`, `compression`, `metadata`, `timeout`, `code`: gRPC's own encodings
//! - `routes`: which methods exist, and which are answered right here
//! - `lane`, `hpack`: the way past h2 for hot methods
//! - `authority`: a courtesy to clients of unix sockets
//! - `guard`: what a peer may do before it is cut off
//! - `pipe`, `wake`: what h2 reads, writes and wakes
pub mod code;
pub mod compression;
pub mod framing;
pub mod guard;
pub mod metadata;
pub mod protobuf;
pub mod routes;
pub mod timeout;

mod authority;
mod call;
mod config;
mod connection;
mod hpack;
mod lane;
mod pipe;
mod request;
mod response;
mod wake;

pub use call::{Finish, Key, Message, Reading, Sending};
pub use code::Code;
pub use compression::Encoding;
pub use config::Config;
pub use connection::{Connection, Event, Opened, Shutdown};
pub use request::Head;
pub use routes::{Answer, Caller, Hot, Route, Routes};
