//! One connection after another: from where each begins, and what its end means.
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{SILENCE, Shared};
use crate::{
    connection::Failure,
    coordinate::{Coordinate, Place},
    decode::{Decoder, Known, Refused, Schema, Sink, Unanswered},
    error::{Broken, Cause},
    event::kind,
    gtid::Gtids,
    server::{Server, executed, table},
    watch::Change,
};

const HEARTBEAT: Duration = Duration::from_millis(500);
/// A server may have to look for the place first.
const FIRST_EVENT: Duration = Duration::from_secs(30);
/// How long a stream may be at rest before a place that the server had, until it is begun anew.
const STUCK_MS: i64 = 2000;
/// Attempts to read an event, until its place is given up.
const ATTEMPTS: u32 = 3;

/// Why a stream ended.
pub(super) enum End {
    Stopped,
    /// It may go on from where it was.
    Broken(Failure),
    Lost(Cause),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        /// The server could not read its log for us: the place is gone, or somebody took our id.
        const CANNOT_READ: u16 = 1236;
        match failure {
            Failure::Server { code: CANNOT_READ, ref message } => {
                let text = message.to_ascii_lowercase();
                // Whoever has the same id pushed us out; the next try has another one.
                if text.contains("same server_uuid/server_id") || text.contains("same server_id") {
                    Self::Broken(failure)
                } else {
                    Self::Lost(Cause::Purged)
                }
            }
            failure => Self::Broken(failure),
        }
    }
}

/// What the stream's thread knows from one connection to the next.
pub(super) struct Follower {
    resume: Option<Place>,
    /// Whether the place to resume is one that was asked for at the start, and nothing was lost since.
    resumed: bool,
    gtids: Gtids,
    /// A place at which an event could not be read, and how often.
    stumbled: (Option<Coordinate>, u32),
}

impl Follower {
    pub(super) fn new(from: Option<Place>) -> Self {
        Self { resume: from, resumed: true, gtids: Gtids::Unknown, stumbled: (None, 0) }
    }

    /// The place is lost: begin where the log is then.
    pub(super) fn forget(&mut self) {
        self.resume = None;
        self.gtids = Gtids::Unknown;
    }

    /// Connects and tells what comes, until something ends it.
    pub(super) fn follow(&mut self, shared: &Shared) -> End {
        match self.connected(shared) {
            Ok(end) | Err(end) => end,
        }
    }

    fn connected(&mut self, shared: &Shared) -> Result<End, End> {
        let mut server = Server::open(&shared.options.address)?;
        let ours = self.resume.as_ref().is_none_or(|place| place.server == server.identity);
        if !ours && self.gtids == Gtids::Unknown {
            return Ok(End::Lost(Cause::OtherServer));
        }
        let place = match &self.resume {
            Some(place) if ours => place.clone(),
            _ => server.status()?.ok_or(Failure::NoLog)?.place,
        };
        if place.coordinate.position > u64::from(u32::MAX) {
            return Ok(End::Lost(Cause::Purged));
        }
        if ours && self.gtids == Gtids::Unknown {
            self.gtids = server.gtids_at(&place.file_name(), place.coordinate.position);
        }
        let id = server.register()?;
        server.prepare(HEARTBEAT)?;
        let begin = if ours {
            server.dump(id, &place)?;
            place.coordinate
        } else {
            match server.dump_after(id, &self.gtids) {
                Ok(true) => Coordinate { first: 0, file: 0, position: 4, row: 0 },
                Ok(false) | Err(Failure::Server { .. }) => return Ok(End::Lost(Cause::OtherServer)),
                Err(failure) => return Err(failure.into()),
            }
        };
        let socket = server.connection.socket();
        socket.set_patience(FIRST_EVENT).map_err(Failure::from)?;
        *shared.socket.lock() = Some(socket.duplicate().map_err(Failure::from)?);
        if shared.is_stopping() {
            return Ok(End::Stopped);
        }
        let mut decoder = Decoder::new(&shared.options.schema, &shared.options.watched, begin);
        decoder.set_gtids(std::mem::replace(&mut self.gtids, Gtids::Unknown));
        let mut relay = Relay {
            shared,
            pending: true,
            learned: None,
            server: Arc::clone(&server.identity),
            base: Arc::clone(&place.base),
            begins: if !ours {
                Begin::Moved
            } else if self.resume.is_none() {
                Begin::Started { resumed: false }
            } else if shared.progress.lock().passed.is_none() {
                Begin::Started { resumed: self.resumed }
            } else {
                Begin::Nothing
            },
        };
        self.resumed = false;
        let end = stream(shared, &mut server, &mut decoder, &mut relay);
        // Before its first event a stream has passed nothing, whatever it was asked for.
        if matches!(relay.begins, Begin::Nothing) {
            self.resume = Some(relay.place(decoder.at()));
        }
        self.gtids = decoder.gtids().clone();
        Ok(match end {
            End::Broken(Failure::Protocol(broken)) => self.stumble(decoder.at(), broken),
            End::Lost(Cause::Purged) if !ours => End::Lost(Cause::OtherServer),
            end => end,
        })
    }

    /// An event that could not be read: again from the place before it, a few times.
    fn stumble(&mut self, at: Coordinate, broken: Broken) -> End {
        let times = if self.stumbled.0 == Some(at) { self.stumbled.1 + 1 } else { 1 };
        self.stumbled = (Some(at), times);
        if times >= ATTEMPTS { End::Lost(Cause::Undecodable) } else { End::Broken(broken.into()) }
    }
}

/// Takes in events until something ends it.
fn stream(shared: &Shared, server: &mut Server, decoder: &mut Decoder, relay: &mut Relay<'_>) -> End {
    let mut schema = Tables { shared, failure: None };
    let mut counted = decoder.counts();
    let mut first = true;
    loop {
        let event = match server.connection.event() {
            Ok(Some(event)) => event,
            _ if shared.is_stopping() => return End::Stopped,
            Ok(None) => return End::Broken(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
            Err(failure) => return failure.into(),
        };
        let idle = matches!(event.get(4), Some(&(kind::HEARTBEAT | kind::HEARTBEAT_V2)));
        shared.figures.bytes.fetch_add(event.len() as u64, Ordering::Relaxed);
        match decoder.feed(event, &mut schema, relay) {
            Ok(()) => {}
            Err(Refused::OtherLog) => return End::Lost(Cause::OtherLog),
            Err(Refused::Broken(broken)) => return End::Broken(broken.into()),
            Err(Refused::Unanswered(_)) => {
                let failure = schema.failure.take();
                return failure.unwrap_or(Failure::Io(io::ErrorKind::NotConnected.into())).into();
            }
        }
        let now = decoder.counts();
        shared.figures.events.fetch_add(now.events - counted.events, Ordering::Relaxed);
        shared.figures.rows.fetch_add(now.rows - counted.rows, Ordering::Relaxed);
        shared.figures.transactions.fetch_add(now.transactions - counted.transactions, Ordering::Relaxed);
        counted = now;
        if shared.is_stopping() {
            return End::Stopped;
        }
        if shared.reset.swap(false, Ordering::AcqRel) {
            return End::Lost(Cause::OtherLog);
        }
        if std::mem::take(&mut first)
            && let Err(error) = server.connection.socket().set_patience(SILENCE)
        {
            return End::Broken(error.into());
        }
        if let Some(text) = relay.learned.take()
            && *decoder.gtids() == Gtids::Unknown
        {
            decoder.set_gtids(executed(&text));
        }
        // Nothing more to send, the server says; but it was further than this when it was asked.
        if idle && shared.progress.lock().waits_since((shared.options.now)() - STUCK_MS) {
            return End::Broken(Failure::Io(io::ErrorKind::TimedOut.into()));
        }
    }
}

/// What is said at the next place that is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Nothing,
    Started { resumed: bool },
    Moved,
}

/// From a decoder to the listener, beside what the reader itself must know.
struct Relay<'a> {
    shared: &'a Shared,
    server: Arc<str>,
    base: Arc<str>,
    begins: Begin,
    /// Something is said at the next place; on a connection's first, at least that there is no trouble.
    pending: bool,
    learned: Option<String>,
}

impl Relay<'_> {
    fn place(&self, coordinate: Coordinate) -> Place {
        Place { coordinate, server: Arc::clone(&self.server), base: Arc::clone(&self.base) }
    }

    fn begin(&self, begin: Begin, at: Coordinate) {
        let place = self.place(at);
        {
            let mut progress = self.shared.progress.lock();
            if begin == Begin::Moved {
                progress.forget();
            }
            progress.server = Some(Arc::clone(&self.server));
            progress.base = Arc::clone(&self.base);
        }
        *self.shared.trouble.lock() = None;
        match begin {
            Begin::Nothing => {}
            Begin::Started { resumed } => self.shared.listener.started(&place, resumed),
            Begin::Moved => self.shared.listener.moved(&place),
        }
        // How fresh this is should be known at once.
        self.shared.nudge();
    }
}

impl Sink for Relay<'_> {
    fn change(&mut self, change: &Change<'_>, row: u32) {
        self.shared.listener.change(change, row);
    }

    fn passed(&mut self, at: Coordinate) {
        if self.pending {
            self.pending = false;
            let begin = std::mem::replace(&mut self.begins, Begin::Nothing);
            self.begin(begin, at);
        }
        let fresh = {
            let mut progress = self.shared.progress.lock();
            progress.passed = Some(at);
            let fresh = progress.fresh();
            if progress.learned.is_some() {
                self.learned = progress.learned.take();
            }
            fresh
        };
        self.shared.listener.passed(at);
        if let Some(as_of) = fresh {
            self.shared.listener.fresh(as_of);
        }
    }

    fn unplaceable(&mut self, cause: Cause) {
        // What was lost is lost once, until there is a place to begin at.
        if self.begins == Begin::Nothing {
            self.shared.figures.lost(cause);
            self.shared.listener.lost(cause);
            self.begins = Begin::Started { resumed: false };
            self.pending = true;
        }
    }
}

/// The tables as the server has them now.
struct Tables<'a> {
    shared: &'a Shared,
    failure: Option<Failure>,
}

impl Schema for Tables<'_> {
    fn table(&mut self, name: &str) -> Result<Option<Known>, Unanswered> {
        table(&self.shared.options.address, &self.shared.options.schema, name).map_err(|failure| {
            self.failure = Some(failure);
            Unanswered
        })
    }
}
