//! The sockets and the schedule of a run, on one thread.
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use polling::{Event, Events, PollMode, Poller};

use crate::{
    Error,
    connection::{Common, Connection},
    options::{Plan, Target},
    tally::{Cpu, Report, Tally},
    usage,
};

const READ_BUFFER: usize = 256 * 1024;
/// Connections that may be lost in one run; a server that drops more is not worth measuring.
const MOST_REOPENED: usize = 1000;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp(stream))
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

struct Link {
    socket: Socket,
    connection: Connection,
    wants_write: bool,
}

struct Run<'a> {
    plan: &'a Plan,
    common: Arc<Common>,
    poller: Poller,
    links: Vec<Link>,
    tally: Tally,
    started: Instant,
    /// Calls sent, in all and of those that are measured.
    sent: u64,
    measured: u64,
    reopened: usize,
    /// The connection whose turn it is in an open loop.
    turn: usize,
    messages: crate::messages::Messages,
}

pub fn run(plan: &Plan) -> Result<Report, Error> {
    let mut run = Run::new(plan)?;
    run.wait_until_ready()?;
    if let Some(start_at) = plan.start_at {
        wait_until(start_at)?;
    }
    run.load()
}

/// Waits for a moment in nanoseconds since 1970; one that has passed came too soon for the connections.
fn wait_until(moment: u64) -> Result<(), Error> {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(moment);
    let wait = moment
        .duration_since(SystemTime::now())
        .map_err(|_| Error::Option("--start-at passed before all connections were made".into()))?;
    std::thread::sleep(wait);
    Ok(())
}

fn io_error(doing: &str) -> impl Fn(io::Error) -> Error + '_ {
    move |source| Error::Io { doing: doing.to_owned(), source }
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Result<Self, Error> {
        let common = Arc::new(Common {
            path: plan.path.clone(),
            authority: plan.authority.clone(),
            headers: plan.headers.clone(),
            expected: plan.expected.clone(),
            window: plan.window,
        });
        let poller = Poller::new().map_err(io_error("polling"))?;
        let mut run = Self {
            plan,
            common,
            poller,
            links: Vec::with_capacity(plan.connections),
            tally: Tally::new(0),
            started: Instant::now(),
            sent: 0,
            measured: 0,
            reopened: 0,
            turn: 0,
            messages: plan.messages.clone(),
        };
        for key in 0..plan.connections {
            let link = run.open(key)?;
            run.links.push(link);
        }
        Ok(run)
    }

    fn open(&self, key: usize) -> Result<Link, Error> {
        let socket = Socket::open(&self.plan.target).map_err(io_error("connecting"))?;
        // SAFETY: a link's socket is deleted from the poller in `close`, the only place where it is dropped while the
        // poller lives on.
        unsafe { self.poller.add_with_mode(&socket.as_fd(), Event::readable(key), PollMode::Level) }
            .map_err(io_error("polling"))?;
        let mut link = Link {
            socket,
            connection: Connection::new(Arc::clone(&self.common), self.plan.streams),
            wants_write: false,
        };
        self.flush(key, &mut link)?;
        Ok(link)
    }

    fn close(&self, link: Link) -> Result<Connection, Error> {
        self.poller.delete(link.socket.as_fd()).map_err(io_error("polling"))?;
        Ok(link.connection)
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Writes what the socket takes. An error is left to the next read, which says that the connection is gone.
    fn flush(&self, key: usize, link: &mut Link) -> Result<(), Error> {
        let out = &mut link.connection.out;
        let mut written = 0;
        while written < out.len() {
            match link.socket.write(&out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => written = out.len(),
            }
        }
        out.drain(..written);
        let wants_write = !out.is_empty();
        if wants_write != link.wants_write {
            link.wants_write = wants_write;
            let interest = Event::new(key, true, wants_write);
            self.poller
                .modify_with_mode(link.socket.as_fd(), interest, PollMode::Level)
                .map_err(io_error("polling"))?;
        }
        Ok(())
    }

    /// Waits for events and takes what came. Returns the links that had some.
    fn turn_once(&mut self, events: &mut Events, buffer: &mut [u8], until: Option<u64>) -> Result<(), Error> {
        events.clear();
        let timeout = until.map(|until| Duration::from_nanos(until.saturating_sub(self.now())));
        self.poller.wait(events, timeout).map_err(io_error("polling"))?;
        for event in events.iter() {
            let key = event.key;
            let now = self.now();
            let alive = match self.links[key].socket.read(buffer) {
                Ok(0) => false,
                Ok(count) => {
                    self.links[key].connection.read(&buffer[..count], now, &mut self.tally)?;
                    true
                }
                Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
            };
            let link = &self.links[key].connection;
            if !alive || (link.is_over() && link.running() == 0) {
                self.reopen(key)?;
            }
        }
        Ok(())
    }

    fn reopen(&mut self, key: usize) -> Result<(), Error> {
        self.reopened += 1;
        if self.reopened > MOST_REOPENED {
            return Err(Error::Server(format!("the server has closed {MOST_REOPENED} connections")));
        }
        let fresh = self.open_in_place(key)?;
        self.tally.unanswered(fresh.abandoned(), "connection lost");
        Ok(())
    }

    fn open_in_place(&mut self, key: usize) -> Result<Connection, Error> {
        // The old socket leaves the poller first: keys stay the same.
        self.poller.delete(self.links[key].socket.as_fd()).map_err(io_error("polling"))?;
        let link = self.open(key)?;
        Ok(std::mem::replace(&mut self.links[key], link).connection)
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let (mut events, mut buffer) = (Events::new(), vec![0; READ_BUFFER]);
        let until = self.now() + 10_000_000_000;
        while !self.links.iter().all(|link| link.connection.is_ready()) {
            if self.now() >= until {
                return Err(Error::Server("no SETTINGS from the server within 10 s".into()));
            }
            self.turn_once(&mut events, &mut buffer, Some(until))?;
            self.flush_all()?;
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        for key in 0..self.links.len() {
            if !self.links[key].connection.out.is_empty() {
                let mut links = std::mem::take(&mut self.links);
                let flushed = self.flush(key, &mut links[key]);
                self.links = links;
                flushed?;
            }
        }
        Ok(())
    }

    fn load(mut self) -> Result<Report, Error> {
        let (mut events, mut buffer) = (Events::new(), vec![0; READ_BUFFER]);
        self.started = Instant::now();
        let measured_from = self.plan.warmup;
        let end = measured_from + self.plan.duration;
        self.tally = Tally::new(measured_from);
        let mut before: Option<(u64, Option<u64>)> = None;
        loop {
            let now = self.now();
            if before.is_none() && now >= measured_from {
                before = Some((usage::of_process("self").unwrap_or(0), usage::of_servers(&self.plan.server_pids)?));
            }
            if now >= end || self.is_enough() {
                break;
            }
            self.start_calls(now.min(end), measured_from)?;
            self.flush_all()?;
            let next = if before.is_none() { measured_from } else { end };
            self.turn_once(&mut events, &mut buffer, Some(self.next_due().map_or(next, |due| due.min(next))))?;
        }
        let unsent = self.due_by(end.min(self.now())).saturating_sub(self.sent);
        let until = self.now() + self.plan.drain;
        while self.links.iter().any(|link| link.connection.running() > 0) && self.now() < until {
            self.flush_all()?;
            self.turn_once(&mut events, &mut buffer, Some(until))?;
        }
        let (client, server) = before.unwrap_or((0, None));
        let client = usage::of_process("self").unwrap_or(0).saturating_sub(client);
        let server = usage::of_servers(&self.plan.server_pids)?.zip(server).map(|(after, before)| after - before);
        for link in std::mem::take(&mut self.links) {
            let connection = self.close(link)?;
            self.tally.unanswered(connection.abandoned(), "unanswered");
        }
        Ok(self.tally.report(unsent, Cpu { client, server }))
    }

    fn is_enough(&self) -> bool {
        self.plan.requests.is_some_and(|requests| self.measured >= requests)
    }

    /// When the next call of an open loop shall be sent; None while all streams are taken, and in a closed loop.
    fn next_due(&self) -> Option<u64> {
        let interval = self.plan.interval?;
        self.links.iter().any(|link| link.connection.has_room()).then_some((self.sent as f64 * interval) as u64)
    }

    fn due_by(&self, now: u64) -> u64 {
        self.plan.interval.map_or(0, |interval| (now as f64 / interval) as u64)
    }

    fn start_calls(&mut self, now: u64, measured_from: u64) -> Result<(), Error> {
        match self.plan.interval {
            None => {
                for key in 0..self.links.len() {
                    while self.links[key].connection.has_room() && !self.is_enough() {
                        self.start(key, now, measured_from)?;
                    }
                }
            }
            Some(interval) => loop {
                let due = (self.sent as f64 * interval) as u64;
                if due > now || self.is_enough() {
                    break;
                }
                let count = self.links.len();
                let free = (0..count).map(|step| (self.turn + step) % count);
                let Some(key) = free.into_iter().find(|&key| self.links[key].connection.has_room()) else { break };
                self.turn = (key + 1) % count;
                self.start(key, due, measured_from)?;
            },
        }
        Ok(())
    }

    fn start(&mut self, key: usize, intended: u64, measured_from: u64) -> Result<(), Error> {
        self.sent += 1;
        self.measured += u64::from(intended >= measured_from);
        self.links[key].connection.start(&mut self.messages, intended)
    }
}
