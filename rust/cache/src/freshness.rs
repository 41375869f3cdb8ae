//! As of when the reader of changes has passed everything, shared by its thread and all who read.
//!
//! Without a reader nothing is measured, and entries must be short-lived. With one, L1 is fresh while the newest moment
//! as of which the reader had passed the server's coordinate is at most `max_staleness` ago.
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::{FLOOR_LIFE, Millis};

/// See the module. Methods that change it take a lock, those that read it do not.
#[derive(Debug)]
pub struct Freshness {
    max_staleness: Millis,
    fail_safe: Millis,
    measured: AtomicBool,
    as_of: AtomicI64,
    /// For how long L1 was not fresh, up to `as_of`: that time does not count for floors.
    frozen: AtomicI64,
    /// Until when the reader's first coordinate is too young for entries to live long.
    starting_until: AtomicI64,
    writing: Mutex<()>,
}

impl Freshness {
    /// Without a reader.
    pub fn new(max_staleness: Millis, fail_safe: Millis) -> Self {
        Self {
            max_staleness,
            fail_safe,
            measured: AtomicBool::new(false),
            as_of: AtomicI64::new(0),
            frozen: AtomicI64::new(0),
            starting_until: AtomicI64::new(Millis::MIN),
            writing: Mutex::new(()),
        }
    }

    pub fn max_staleness(&self) -> Millis {
        self.max_staleness
    }

    /// Whether there is a reader.
    pub fn is_measured(&self) -> bool {
        self.measured.load(Ordering::Acquire)
    }

    /// The newest moment as of which everything was passed, and None without a reader.
    pub fn as_of(&self) -> Option<Millis> {
        self.is_measured().then(|| self.as_of.load(Ordering::Acquire))
    }

    /// Whether L1 may be served.
    pub fn is_fresh(&self, now: Millis) -> bool {
        self.within(now, self.max_staleness)
    }

    /// Whether L1 may still be served while SQL does not answer.
    pub fn is_within_fail_safe(&self, now: Millis) -> bool {
        self.within(now, self.max_staleness + self.fail_safe)
    }

    /// Whether entries filled from SQL live at most `max_staleness`, and L2 is not filled: the first floor's life after
    /// a first coordinate that was not old enough, or no coordinate yet.
    pub fn is_starting(&self, now: Millis) -> bool {
        self.is_measured() && now < self.starting_until.load(Ordering::Acquire)
    }

    /// The clock by which floors age: it stands still while L1 is not fresh.
    pub(crate) fn floor_time(&self, now: Millis) -> Millis {
        if !self.is_measured() {
            return now;
        }
        // In this order: an `as_of` that is seen comes with the frozen time before it, so no floor ages too fast.
        let as_of = self.as_of.load(Ordering::Acquire);
        let frozen = self.frozen.load(Ordering::Acquire);
        now - frozen - self.overdue(as_of, now)
    }

    /// A reader is about to start: until it has passed a first coordinate, L1 is not fresh.
    pub fn measure(&self, now: Millis) {
        let _writing = self.writing.lock();
        if !self.is_measured() {
            self.as_of.store(now - self.max_staleness, Ordering::Release);
            self.starting_until.store(Millis::MAX, Ordering::Release);
            self.measured.store(true, Ordering::Release);
        }
    }

    /// The reader has passed the coordinate that the server had at `as_of`.
    pub fn passed(&self, as_of: Millis, now: Millis) {
        let _writing = self.writing.lock();
        let old = self.as_of.load(Ordering::Acquire);
        if as_of > old {
            let thawed = self.overdue(old, now) - self.overdue(as_of, now);
            self.frozen.fetch_add(thawed, Ordering::AcqRel);
            self.as_of.store(as_of, Ordering::Release);
        }
    }

    /// The reader has its first coordinate since it started or lost its place. `replayed`: that coordinate is at least
    /// a floor's life old.
    pub(crate) fn started(&self, now: Millis, replayed: bool) {
        let _writing = self.writing.lock();
        let until = if replayed { now } else { now + FLOOR_LIFE };
        self.starting_until.store(until, Ordering::Release);
    }

    /// The reader lost its place.
    pub(crate) fn lost(&self) {
        let _writing = self.writing.lock();
        self.starting_until.store(Millis::MAX, Ordering::Release);
    }

    fn within(&self, now: Millis, limit: Millis) -> bool {
        !self.is_measured() || now - self.as_of.load(Ordering::Acquire) <= limit
    }

    fn overdue(&self, as_of: Millis, now: Millis) -> Millis {
        (now - as_of - self.max_staleness).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_reader_everything_is_fresh_and_floors_age_with_time() {
        let freshness = Freshness::new(2000, 60_000);
        assert!(freshness.is_fresh(1 << 40));
        assert!(!freshness.is_starting(5));
        assert_eq!(freshness.floor_time(77), 77);
    }

    #[test]
    fn a_reader_that_has_passed_nothing_yet_is_not_fresh() {
        let freshness = Freshness::new(2000, 60_000);
        freshness.measure(10_000);
        assert!(!freshness.is_fresh(10_001));
        assert!(freshness.is_starting(10_001));
        freshness.passed(10_500, 10_600);
        assert!(freshness.is_fresh(12_500));
        assert!(!freshness.is_fresh(12_501));
    }

    #[test]
    fn floors_do_not_age_while_l1_is_not_fresh() {
        let freshness = Freshness::new(2000, 60_000);
        freshness.measure(10_000);
        let at = freshness.floor_time(10_000);
        assert_eq!(freshness.floor_time(15_000), at, "nothing was passed yet");
        freshness.passed(15_000, 15_000);
        assert_eq!(freshness.floor_time(15_000), at);
        assert_eq!(freshness.floor_time(16_000), at + 1000);
        // Fresh until 17,000; then silence; then what was passed is still not fresh when it is told of.
        assert_eq!(freshness.floor_time(40_000), at + 2000);
        freshness.passed(30_000, 40_000);
        assert_eq!(freshness.floor_time(40_000), at + 2000);
        assert_eq!(freshness.floor_time(41_000), at + 2000);
        freshness.passed(41_000, 41_000);
        assert_eq!(freshness.floor_time(42_000), at + 3000);
    }

    #[test]
    fn a_first_coordinate_that_is_old_enough_needs_no_start_up_rule() {
        let freshness = Freshness::new(2000, 60_000);
        freshness.measure(0);
        freshness.started(100, true);
        assert!(!freshness.is_starting(100));
        freshness.lost();
        assert!(freshness.is_starting(1 << 40));
        freshness.started(1000, false);
        assert!(freshness.is_starting(1000 + FLOOR_LIFE - 1));
        assert!(!freshness.is_starting(1000 + FLOOR_LIFE));
    }

    #[test]
    fn an_older_probe_changes_nothing() {
        let freshness = Freshness::new(2000, 60_000);
        freshness.measure(0);
        freshness.passed(5000, 5000);
        freshness.passed(4000, 5500);
        assert_eq!(freshness.as_of(), Some(5000));
    }
}
