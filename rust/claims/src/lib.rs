//! Claims of flash sales, from the bytes of a request to the bytes of its answer, without sockets, clock or Python.
//!
//! Claims gather in batches, one script each; an answer carries the verdicts of a whole batch. Nothing is kept for a
//! single claim but its arguments and the caller's handle: no task, no channel.
//!
//! Layout:
//! - `request`: what a caller sends
//! - `activity`: what must be known of an activity before its claims may go
//! - `place`: a bucket of an activity: its keys, the ids of its coupons
//! - `batch`: the claims of one script, and the script's command
//! - `batcher`: batches that fill, wait and leave
//! - `replies`: Redis's protocol, as far as a script's reply needs it
//! - `verdicts`: what the script decided, counted and written as responses
//! - `rate`: how often one user may claim
mod activity;
mod batch;
mod batcher;
mod place;
mod protobuf;
mod rate;
mod replies;
mod request;
mod verdicts;

pub use activity::{Ack, Activity};
pub use batch::{Batch, HASH_BYTES, Hash, Script};
pub use batcher::{Batcher, Departure, Full, Limits};
pub use place::Place;
pub use rate::UserRate;
pub use replies::{Malformed, Replies, Reply};
pub use request::{MAX_ACTIVITY_ID, Request, request_hash};
pub use verdicts::{Decided, KINDS, ScriptReply, Tally, Verdict};
