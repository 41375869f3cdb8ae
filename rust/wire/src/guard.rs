//! What a peer may do before it is cut off. h2 answers pings, settings and resets without telling anyone, so their
//! frames are counted here on the way in, before h2 sees them.
use std::time::{Duration, Instant};

use crate::config::Config;

const PREFACE: usize = 24;
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Why a peer is cut off, as the debug data of GOAWAY says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abuse(pub &'static str);

/// So many at once, and so many more a second.
struct Bucket {
    left: f64,
    burst: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self { left: burst.into(), burst: burst.into(), per_second: per_second.into(), filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.left < 1.0 {
            self.left += now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
            self.left = self.left.min(self.burst);
            self.filled = now;
            if self.left < 1.0 {
                return false;
            }
        }
        self.left -= 1.0;
        true
    }

    fn refund(&mut self, amount: f64) {
        self.left = (self.left + amount).min(self.burst);
    }
}

/// What h2 has written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Wrote {
    pub headers: bool,
    /// Bytes of messages.
    pub data: usize,
}

/// Finds the frames in a stream of bytes, however it is cut.
#[derive(Default)]
struct Frames {
    preface_left: usize,
    header: [u8; HEADER],
    have: usize,
    skip: usize,
}

impl Frames {
    /// Calls `each` with the kind, flags and length of every frame whose header ends in `data`, and where it ends.
    fn walk<E>(
        &mut self,
        mut data: &[u8],
        mut each: impl FnMut(u8, u8, usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let whole = data.len();
        if self.preface_left > 0 {
            let taken = self.preface_left.min(data.len());
            self.preface_left -= taken;
            data = &data[taken..];
        }
        while !data.is_empty() {
            if self.skip > 0 {
                let taken = self.skip.min(data.len());
                self.skip -= taken;
                data = &data[taken..];
                continue;
            }
            let taken = (HEADER - self.have).min(data.len());
            self.header[self.have..self.have + taken].copy_from_slice(&data[..taken]);
            self.have += taken;
            data = &data[taken..];
            if self.have == HEADER {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                each(kind, flags, self.skip, whole - data.len())?;
            }
        }
        Ok(())
    }

    fn is_inside(&self) -> bool {
        self.skip > 0 || self.have > 0
    }
}

/// Follows one peer's frames.
pub struct Guard {
    incoming: Frames,
    outgoing: Frames,
    rules: Rules,
}

/// What is counted.
struct Rules {
    frames: u64,
    headers_open: bool,
    max_ping_strikes: u32,
    min_ping_interval: Duration,
    last_ping: Option<Instant>,
    ping_strikes: u32,
    pings: Bucket,
    settings: Bucket,
    resets: Bucket,
    window_updates: Bucket,
    empty_data: Bucket,
    continuations: Bucket,
    others: Bucket,
    refused: Bucket,
}

impl Guard {
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            incoming: Frames { preface_left: PREFACE, ..Frames::default() },
            outgoing: Frames::default(),
            rules: Rules {
                frames: 0,
                headers_open: false,
                max_ping_strikes: config.max_ping_strikes,
                min_ping_interval: config.min_ping_interval,
                last_ping: None,
                ping_strikes: 0,
                pings: Bucket::new(1_000, 100, now),
                settings: Bucket::new(100, 10, now),
                // A proxy may end all its calls at once.
                resets: Bucket::new(config.max_concurrent_streams.clamp(500, 10_000), 100, now),
                window_updates: Bucket::new(10_000, 1_000, now),
                empty_data: Bucket::new(100, 10, now),
                continuations: Bucket::new(200, 20, now),
                others: Bucket::new(200, 20, now),
                refused: Bucket::new(1_000, 100, now),
            },
        }
    }

    /// Frames that have begun.
    pub fn frames(&self) -> u64 {
        self.rules.frames
    }

    /// Whether the preface and a first frame's header have come.
    pub fn has_begun(&self) -> bool {
        self.rules.frames > 0
    }

    /// Whether the peer is in the middle of a frame or of a block of headers.
    pub fn is_inside(&self) -> bool {
        self.incoming.is_inside() || self.rules.headers_open
    }

    /// Looks at bytes that came in.
    pub fn see(&mut self, data: &[u8], now: Instant) -> Result<(), Abuse> {
        let rules = &mut self.rules;
        self.incoming.walk(data, |kind, flags, length, _| {
            rules.frames += 1;
            rules.frame(kind, flags, length, now)
        })
    }

    /// Looks at what h2 writes. Replies let the peer ping again and open its windows. A GOAWAY names `last_stream`, where
    /// h2 knows of no later one.
    pub fn wrote(&mut self, data: &mut [u8], last_stream: u32) -> Wrote {
        let mut wrote = Wrote::default();
        let mut goaway = None;
        let Ok(()) = self.outgoing.walk(data, |kind, _, length, at| -> Result<(), std::convert::Infallible> {
            match kind {
                DATA => wrote.data += length,
                HEADERS => wrote.headers = true,
                GOAWAY => goaway = Some(at),
                _ => {}
            }
            Ok(())
        });
        if wrote.headers || wrote.data > 0 {
            self.rules.forgive_pings();
        }
        if let Some(named) = goaway.and_then(|at| data.get_mut(at..at + 4))
            && let Some(known) = named.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
        {
            named.copy_from_slice(&known.max(last_stream).to_be_bytes());
        }
        self.rules.window_updates.refund(data.len() as f64 / 64.0);
        wrote
    }

    /// So many bytes of replies go out past h2.
    pub fn wrote_replies(&mut self, bytes: usize) {
        self.rules.forgive_pings();
        self.rules.window_updates.refund(bytes as f64 / 64.0);
    }

    /// A call was answered, which earns some slack.
    pub fn replied(&mut self) {
        self.rules.resets.refund(0.1);
    }

    /// A call was refused for how it was made. A peer that makes only such calls is cut off.
    pub fn refused(&mut self, now: Instant) -> Result<(), Abuse> {
        if self.rules.refused.take(now) { Ok(()) } else { Err(Abuse("too_many_bad_requests")) }
    }
}

impl Rules {
    fn forgive_pings(&mut self) {
        self.ping_strikes = 0;
        self.last_ping = None;
    }

    fn frame(&mut self, kind: u8, flags: u8, length: usize, now: Instant) -> Result<(), Abuse> {
        let allowed = match kind {
            DATA if length > 0 || flags & END_STREAM != 0 => true,
            DATA => self.empty_data.take(now),
            HEADERS => {
                self.headers_open = flags & END_HEADERS == 0;
                true
            }
            CONTINUATION => {
                self.headers_open = flags & END_HEADERS == 0;
                self.continuations.take(now)
            }
            RST_STREAM => self.resets.take(now),
            SETTINGS => self.settings.take(now),
            PING if flags & ACK != 0 => self.others.take(now),
            PING => return self.ping(now),
            GOAWAY => self.others.take(now),
            WINDOW_UPDATE => self.window_updates.take(now),
            _ => self.others.take(now),
        };
        if allowed { Ok(()) } else { Err(Abuse(name(kind))) }
    }

    fn ping(&mut self, now: Instant) -> Result<(), Abuse> {
        let early = self.last_ping.is_some_and(|last| now.saturating_duration_since(last) < self.min_ping_interval);
        self.last_ping = Some(now);
        if early && self.max_ping_strikes > 0 {
            self.ping_strikes += 1;
            if self.ping_strikes > self.max_ping_strikes {
                return Err(Abuse("too_many_pings"));
            }
        }
        if self.pings.take(now) { Ok(()) } else { Err(Abuse("too_many_pings")) }
    }
}

fn name(kind: u8) -> &'static str {
    match kind {
        DATA => "too_many_empty_data_frames",
        RST_STREAM => "too_many_resets",
        SETTINGS => "too_many_settings",
        WINDOW_UPDATE => "too_many_window_updates",
        CONTINUATION => "too_many_continuations",
        _ => "too_many_frames",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn begun(now: Instant) -> Guard {
        let mut guard = Guard::new(&Config::default(), now);
        guard.see(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        guard
    }

    #[test]
    fn pings_without_calls_are_strikes_and_a_reply_forgives_them() {
        let now = Instant::now();
        let mut guard = begun(now);
        for _ in 0..3 {
            guard.see(&frame(PING, 0, &[0; 8]), now).unwrap();
        }
        guard.wrote(&mut frame(DATA, 0, b"reply"), 0);
        for _ in 0..3 {
            guard.see(&frame(PING, 0, &[0; 8]), now).unwrap();
        }
        assert_eq!(guard.see(&frame(PING, 0, &[0; 8]), now), Err(Abuse("too_many_pings")));
    }

    #[test]
    fn pings_at_the_allowed_pace_are_no_strikes() {
        let mut now = Instant::now();
        let mut guard = begun(now);
        for _ in 0..100 {
            guard.see(&frame(PING, 0, &[0; 8]), now).unwrap();
            now += Duration::from_secs(300);
        }
    }

    #[test]
    fn floods_are_cut_off_and_slow_peers_are_not() {
        let start = Instant::now();
        for (kind, flags, payload) in [
            (SETTINGS, 0, &b""[..]),
            (RST_STREAM, 0, &[0; 4]),
            (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
            (DATA, 0, b""),
            (CONTINUATION, 0, b"x"),
            (2, 0, &[0; 5]),
        ] {
            let mut guard = begun(start);
            let one = frame(kind, flags, payload);
            assert!((0..20_000).any(|_| guard.see(&one, start).is_err()), "kind {kind}");
            let mut guard = begun(start);
            assert!((0..2_000).all(|second| guard.see(&one, start + Duration::from_secs(second)).is_ok()));
        }
    }

    #[test]
    fn frames_are_followed_through_any_cut() {
        let now = Instant::now();
        let mut guard = begun(now);
        let mut bytes = frame(HEADERS, 0, &[1; 30]);
        bytes.extend(frame(CONTINUATION, END_HEADERS, &[1; 30]));
        for byte in bytes {
            assert!(guard.frames() < 2 || guard.is_inside());
            guard.see(&[byte], now).unwrap();
        }
        assert_eq!(guard.frames(), 2);
        assert!(!guard.is_inside());
    }
}
