//! A reader: a thread that follows a server's log and tells a listener, and one that measures how fresh that is.
//!
//! Every half second the server is asked where its log is. Once the stream has passed that place, everything up to the
//! moment of the question was told: silence proves nothing, and a busy stream may still be old.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    connection::{Address, Failure},
    coordinate::{Coordinate, Place},
    error::Cause,
    server::{Server, random},
    watch::{Change, Watched},
    wire::Socket,
};

mod figures;
mod follower;
mod progress;

use figures::Counters;
pub use figures::Figures;
use follower::{End, Follower};
use progress::{Progress, Sight};

/// A stream from which nothing comes for this long is dead.
const SILENCE: Duration = Duration::from_secs(2);
const PROBE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Who is told. Everything but `fresh` comes from one thread, in the log's order; `fresh` may come from another.
pub trait Listener: Send + Sync {
    /// The first place, since the start or since a loss. `resumed`: it is the one that was asked for.
    fn started(&self, at: &Place, resumed: bool);
    fn change(&self, change: &Change<'_>, row: u32);
    /// Everything up to `at` was told.
    fn passed(&self, at: Coordinate);
    /// Everything that the server had at `as_of` (monotonic milliseconds) was told.
    fn fresh(&self, as_of: i64);
    /// Nothing that is held is sure any longer. `started` follows.
    fn lost(&self, cause: Cause);
    /// Another server goes on where the last one was. It may lack the last transactions of that one.
    fn moved(&self, at: &Place);
}

/// What is read, and whose clock says when.
#[derive(Clone)]
pub struct Options {
    pub address: Address,
    /// The database of the watched tables.
    pub schema: String,
    pub watched: Vec<Watched>,
    /// Whether freshness is measured.
    pub probe: bool,
    /// Monotonic milliseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// A reader at work. Dropping it ends it.
pub struct Reader {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Reader {
    /// Begins at `from`, or where the log is now.
    pub fn start(options: Options, from: Option<Place>, listener: Arc<dyn Listener>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            listener,
            stopping: AtomicBool::new(false),
            socket: Mutex::new(None),
            bell: (Mutex::new(()), Condvar::new()),
            nudged: (Mutex::new(true), Condvar::new()),
            progress: Mutex::default(),
            reset: AtomicBool::new(false),
            figures: Counters::default(),
            trouble: Mutex::new(None),
        });
        let stream = Arc::clone(&shared);
        let mut threads = vec![thread::Builder::new().name("binlog".into()).spawn(move || stream.run(from))?];
        if shared.options.probe {
            let probe = Arc::clone(&shared);
            threads.push(thread::Builder::new().name("binlog-probe".into()).spawn(move || probe.probe())?);
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// The last place that was passed; None before the first.
    pub fn place(&self) -> Option<Place> {
        self.shared.progress.lock().place()
    }

    pub fn figures(&self) -> Figures {
        self.shared.figures.read()
    }

    /// What keeps the stream from going on, in words; None while it goes on.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }

    /// Has the server asked where its log is now, rather than at the next half second.
    pub fn probe(&self) {
        self.shared.nudge();
    }

    /// Ends both threads. A listener that waits in a call must be let go before.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        {
            let _held = self.shared.bell.0.lock();
            self.shared.bell.1.notify_all();
        }
        self.shared.nudge();
        self.shared.cut();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Shared {
    options: Options,
    listener: Arc<dyn Listener>,
    stopping: AtomicBool,
    /// The stream's, so that whoever stops can end a read.
    socket: Mutex<Option<Socket>>,
    bell: (Mutex<()>, Condvar),
    /// Whether the server is to be asked at once.
    nudged: (Mutex<bool>, Condvar),
    progress: Mutex<Progress>,
    /// The server's log began anew under the stream.
    reset: AtomicBool,
    figures: Counters,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Sleeps unless told to stop; whether to go on.
    fn pause(&self, time: Duration) -> bool {
        let mut held = self.bell.0.lock();
        if !self.is_stopping() {
            self.bell.1.wait_for(&mut held, time);
        }
        !self.is_stopping()
    }

    fn run(self: Arc<Self>, from: Option<Place>) {
        let mut follower = Follower::new(from);
        let mut pause = FIRST_PAUSE;
        while !self.is_stopping() {
            let before = self.progress.lock().passed;
            match follower.follow(&self) {
                End::Stopped => return,
                End::Broken(failure) => *self.trouble.lock() = Some(failure.to_string()),
                End::Lost(cause) => {
                    self.lose(cause);
                    *self.trouble.lock() = Some(format!("the place in the log is lost: {cause}"));
                    follower.forget();
                }
            }
            if self.is_stopping() {
                return;
            }
            *self.socket.lock() = None;
            self.figures.reconnects.fetch_add(1, Ordering::Relaxed);
            pause = if self.progress.lock().passed == before { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            // Many readers lose a server at once, and should not come back at once.
            let jitter = Duration::from_millis(random() % (pause.as_millis() as u64 / 2 + 1));
            if !self.pause(pause / 2 + jitter) {
                return;
            }
        }
    }

    fn cut(&self) {
        if let Some(socket) = self.socket.lock().as_ref() {
            socket.shut();
        }
    }

    fn lose(&self, cause: Cause) {
        self.figures.lost(cause);
        self.progress.lock().forget();
        self.listener.lost(cause);
    }

    fn nudge(&self) {
        *self.nudged.0.lock() = true;
        self.nudged.1.notify_all();
    }

    /// Sleeps until it is time to ask.
    fn rest(&self) {
        let mut nudged = self.nudged.0.lock();
        if !*nudged {
            self.nudged.1.wait_for(&mut nudged, PROBE);
        }
        *nudged = false;
    }

    fn probe(&self) {
        let mut server: Option<Server> = None;
        loop {
            self.rest();
            if self.is_stopping() {
                return;
            }
            let at = (self.options.now)();
            match self.ask(&mut server, at) {
                Ok(()) => self.figures.probes.fetch_add(1, Ordering::Relaxed),
                Err(_) => {
                    server = None;
                    self.figures.failed_probes.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    }

    fn ask(&self, held: &mut Option<Server>, at: i64) -> Result<(), Failure> {
        let server = match held {
            Some(server) => server,
            None => {
                let server = Server::open(&self.options.address)?;
                server.connection.socket().set_patience(SILENCE)?;
                held.insert(server)
            }
        };
        let Some(status) = server.status()? else { return Ok(()) };
        if !server.is_still()? {
            *held = None;
            return Ok(());
        }
        let (sight, fresh) = {
            let mut progress = self.progress.lock();
            (progress.answered(at, status), progress.fresh())
        };
        match sight {
            Sight::Forward => {}
            Sight::Back => self.reset.store(true, Ordering::Release),
            // The stream's thread connects anew, and sees who is there.
            Sight::Stranger => self.cut(),
        }
        if let Some(as_of) = fresh {
            self.listener.fresh(as_of);
        }
        Ok(())
    }
}
