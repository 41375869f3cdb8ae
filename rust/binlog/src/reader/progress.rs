//! How far a stream is, beside where its server is: from both follows how fresh it is.
use std::{collections::VecDeque, sync::Arc};

use crate::{
    coordinate::{Coordinate, Place},
    server::Status,
};

/// Answers that are kept; beyond, the newest gives way.
const MOST_ASKED: usize = 512;
/// So many answers of another server, and the stream follows the wrong one.
const MOST_STRANGERS: u32 = 4;

/// What an answer shows of the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Forward,
    /// It is before where it was: the log was reset.
    Back,
    /// Another server answers, again and again.
    Stranger,
}

/// How far the stream is, and where the server was when it was asked.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) server: Option<Arc<str>>,
    pub(super) base: Arc<str>,
    pub(super) passed: Option<Coordinate>,
    asked: VecDeque<Asked>,
    /// The newest answer of the same server, to see that its log goes forward.
    last: Option<Coordinate>,
    /// Answers of another server in a row.
    strangers: u32,
    /// The set of executed transactions at a place that was passed exactly.
    pub(super) learned: Option<String>,
}

struct Asked {
    at: i64,
    status: Status,
}

impl Progress {
    pub(super) fn place(&self) -> Option<Place> {
        Some(Place {
            coordinate: self.passed?,
            server: Arc::clone(self.server.as_ref()?),
            base: Arc::clone(&self.base),
        })
    }

    /// The newest moment at which the server was no further than this is.
    pub(super) fn fresh(&mut self) -> Option<i64> {
        let passed = self.passed?;
        let mut newest = None;
        while let Some(asked) = self.asked.front() {
            if self.server.as_ref() == Some(&asked.status.place.server) {
                let there = asked.status.place.coordinate;
                if asked.status.place.base != self.base || !passed.reaches(&there) {
                    break;
                }
                newest = Some(asked.at);
                if passed.file == there.file && passed.position == there.position {
                    self.learned.clone_from(&asked.status.executed);
                }
            }
            self.asked.pop_front();
        }
        newest
    }

    /// Takes in what the server said when it was asked at `at`.
    pub(super) fn answered(&mut self, at: i64, status: Status) -> Sight {
        let there = status.place.coordinate;
        if self.server.as_ref().is_some_and(|server| *server != status.place.server) {
            self.strangers += 1;
            return if self.strangers < MOST_STRANGERS { Sight::Forward } else { Sight::Stranger };
        }
        self.strangers = 0;
        let back = |last: Coordinate| (there.file, there.position) < (last.file, last.position);
        let sight = if self.last.is_some_and(back) { Sight::Back } else { Sight::Forward };
        self.last = Some(there);
        if self.asked.len() == MOST_ASKED {
            self.asked.pop_back();
        }
        self.asked.push_back(Asked { at, status });
        sight
    }

    /// Whether the server was, before `since`, at a place that was not passed yet.
    pub(super) fn waits_since(&self, since: i64) -> bool {
        self.asked.front().is_some_and(|asked| asked.at < since)
    }

    pub(super) fn forget(&mut self) {
        self.passed = None;
        self.asked.clear();
        self.last = None;
        self.strangers = 0;
        self.learned = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(server: &str, file: u64, position: u64) -> Status {
        let coordinate = Coordinate { first: 0, file, position, row: 0 };
        Status {
            place: Place { coordinate, server: server.into(), base: "binlog".into() },
            executed: Some(format!("{file}:{position}")),
        }
    }

    fn at(file: u64, position: u64) -> Progress {
        Progress {
            server: Some("one".into()),
            base: "binlog".into(),
            passed: Some(Coordinate { first: 9, file, position, row: 0 }),
            ..Progress::default()
        }
    }

    fn pass(progress: &mut Progress, file: u64, position: u64) -> Option<i64> {
        progress.passed = Some(Coordinate { first: 9 + u32::from(file > 1), file, position, row: 0 });
        progress.fresh()
    }

    #[test]
    fn what_was_passed_is_as_fresh_as_the_newest_answer_that_it_reaches() {
        let mut progress = at(1, 100);
        for (time, position) in [(10, 100), (20, 150), (30, 200)] {
            assert_eq!(progress.answered(time, status("one", 1, position)), Sight::Forward);
        }
        assert_eq!(progress.fresh(), Some(10));
        assert_eq!(progress.fresh(), None);
        assert_eq!(pass(&mut progress, 1, 149), None);
        assert!(progress.waits_since(21) && !progress.waits_since(20));
        assert_eq!(pass(&mut progress, 2, 4), Some(30));
        assert!(!progress.waits_since(1000));
    }

    #[test]
    fn the_executed_set_is_learned_only_where_a_place_is_passed_exactly() {
        let mut progress = at(1, 100);
        progress.answered(10, status("one", 1, 150));
        pass(&mut progress, 1, 160);
        assert_eq!(progress.learned, None);
        progress.answered(20, status("one", 1, 200));
        pass(&mut progress, 1, 200);
        assert_eq!(progress.learned.as_deref(), Some("1:200"));
    }

    #[test]
    fn a_log_that_goes_back_was_reset() {
        let mut progress = at(1, 100);
        progress.answered(10, status("one", 1, 100));
        assert_eq!(progress.answered(20, status("one", 1, 99)), Sight::Back);
        let mut progress = at(7, 100);
        progress.answered(10, status("one", 7, 100));
        assert_eq!(progress.answered(20, status("one", 1, 500)), Sight::Back);
    }

    #[test]
    fn another_servers_answers_say_nothing_but_are_noticed() {
        let mut progress = at(1, 100);
        for time in 1..4 {
            assert_eq!(progress.answered(time, status("other", 1, 50)), Sight::Forward);
        }
        assert_eq!(progress.fresh(), None);
        assert_eq!(progress.answered(4, status("other", 1, 50)), Sight::Stranger);
    }

    #[test]
    fn answers_before_the_first_place_count_once_there_is_one() {
        let mut progress = Progress::default();
        progress.answered(10, status("one", 1, 100));
        assert_eq!(progress.fresh(), None);
        (progress.server, progress.base) = (Some("one".into()), "binlog".into());
        assert_eq!(pass(&mut progress, 1, 100), Some(10));
    }
}
