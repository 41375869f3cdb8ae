//! What one server allows its peers. The same for all its connections.
use std::time::Duration;

/// Limits and times. Durations of None mean never.
#[derive(Debug, Clone)]
pub struct Config {
    pub max_receive_message: usize,
    pub max_send_message: usize,
    pub max_metadata: u32,
    pub max_concurrent_streams: u32,
    /// From the first byte to the end of the preface and the first frame.
    pub preface_timeout: Duration,
    /// How long a frame, a request that runs inside the front end, the rest of a finished reply or the socket may make
    /// no progress.
    pub stall_timeout: Duration,
    pub max_idle: Option<Duration>,
    pub max_age: Option<Duration>,
    /// How long calls may go on after `max_age`.
    pub max_age_grace: Option<Duration>,
    pub keepalive: Option<Duration>,
    pub keepalive_timeout: Duration,
    pub keepalive_without_calls: bool,
    /// A peer's pings may come this often, or once after each reply.
    pub min_ping_interval: Duration,
    /// Pings too many before the peer is cut off; 0 lets it ping as it likes.
    pub max_ping_strikes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_receive_message: 4 << 20,
            max_send_message: usize::MAX,
            max_metadata: 16 << 10,
            max_concurrent_streams: 1024,
            preface_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            max_idle: None,
            max_age: None,
            max_age_grace: None,
            keepalive: Some(Duration::from_secs(7200)),
            keepalive_timeout: Duration::from_secs(20),
            keepalive_without_calls: true,
            min_ping_interval: Duration::from_secs(300),
            max_ping_strikes: 2,
        }
    }
}

/// What a stream may send ahead of its reader.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// What all streams of a connection together may.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// What h2 holds of a stream's replies ahead of the peer.
pub const SEND_BUFFER: usize = 64 << 10;
