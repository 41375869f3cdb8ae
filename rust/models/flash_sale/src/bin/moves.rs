//! Model of stock that moves between two buckets of an activity, beside the model of one bucket (../main.rs), whose
//! fence pass and adjustments it takes as they are proved there: a pass is lock, commit, open; an adjustment is one
//! transaction that holds the row. See ../../README.md.
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::time::{Duration, Instant};

const NB: usize = 2;
const NA: usize = 4; // adjustments of a bucket

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind { Restock, Move, Arrival }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Adj { kind: Kind, delta: i8, done: bool, applied: i8, nonce: u8 }
/// m of a bucket and how many wins Redis holds (histories of one bucket are prefixes of each other here). `open`: the replid is the server's. `more`: other buckets may have stock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct M { ep: u8, left: i8, won: i8, place: u8, nonce: u8, res: i8, open: bool, more: bool, tok: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row { e: u8, total: i8, sold: i8, adj: [Option<Adj>; NA] }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Db { row: [Row; NB], stock: i8 }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step { Read, Cleared, Ran(i8), Half(i8) }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Job { b: u8, place: u8, step: Step }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Pass { b: u8, committed: bool, cleared: bool, e: u8, left: i8, won: i8, place: u8, nonce: u8, res: i8 }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S {
	m: [M; NB],
	disk: [M; NB],
	db: Db,
	old: Option<Db>,
	lock: [u8; NB], // 1, 2: jobs, 3: pass, 4: who says that nothing is left
	job: [Option<Job>; 2],
	pass: Option<Pass>,
	judge: Option<u8>, // buckets that were told that nothing is left
	lied: bool,
	split: bool,
	nonce: u8,
	moves: u8,
	restocks: u8,
	faults: u8,
	crashes: u8,
}
#[derive(Clone, Copy, Debug, PartialEq)]
enum A {
	Claim(usize),
	Persist(usize),
	Restock(usize),
	Move(usize),
	JRead(usize, usize),
	JClear(usize),
	JRun(usize),
	JCommit(usize),
	JCrash(usize),
	PLock(usize),
	PCommit,
	PClear,
	POpen,
	PCrash,
	Judge,
	JudgeTells,
	JudgeCrash,
	Restart(usize),
	Save(usize),
	RestartOld(usize),
	MysqlLoses,
}
#[derive(Clone, Debug)]
struct Cfg {
	stock: i8, moves: u8, restocks: u8, faults: u8, crashes: u8, jobs: usize, loss: bool, disk: bool, emax: u8,
	// rules
	one_commit: bool,  // what a move took leaves one total and enters the other in one commit
	take_first: bool,  // a move takes from Redis before the other bucket is given anything
	remember: bool,    // m remembers how much a move took, and a repeat gets that
	pend_inc: bool,    // a pass leaves out what is written and has not arrived
	judge_locks: bool, // nothing is left: said while all rows are held and nothing is pending
	clear_first: bool, // a restock tells the other buckets before it is applied
	pass_clears: bool, // so does a pass that finds stock
	nonce: bool,       // m names the last adjustment by its unique id
}
const RULES: [&str; 8] = ["one_commit", "take_first", "remember", "pend_inc", "judge_locks", "clear_first", "pass_clears", "nonce"];

impl Default for Cfg {
	fn default() -> Self {
		Cfg {
			stock: 2, moves: 1, restocks: 0, faults: 1, crashes: 1, jobs: 1, loss: false, disk: false, emax: 4, one_commit: true, take_first: true,
			remember: true, pend_inc: true, judge_locks: true, clear_first: true, pass_clears: true, nonce: true,
		}
	}
}

impl Cfg {
	fn set(&mut self, k: &str, v: u8) -> bool {
		match k {
			"stock" => self.stock = v as i8, "moves" => self.moves = v, "restocks" => self.restocks = v, "faults" => self.faults = v,
			"crashes" => self.crashes = v, "jobs" => self.jobs = v as usize, "loss" => self.loss = v != 0, "disk" => self.disk = v != 0, "emax" => self.emax = v,
			"one_commit" => self.one_commit = v != 0, "take_first" => self.take_first = v != 0, "remember" => self.remember = v != 0,
			"pend_inc" => self.pend_inc = v != 0, "judge_locks" => self.judge_locks = v != 0, "clear_first" => self.clear_first = v != 0,
			"pass_clears" => self.pass_clears = v != 0, "nonce" => self.nonce = v != 0,
			_ => return false,
		}
		true
	}
}

impl Row {
	fn first_pending(&self) -> Option<usize> { self.adj.iter().position(|a| a.is_some_and(|a| !a.done)) }
	fn last_done(&self) -> Option<(usize, Adj)> { self.adj.iter().enumerate().filter_map(|(i, a)| a.filter(|a| a.done).map(|a| (i, a))).last() }
	fn coming(&self) -> i8 { self.adj.iter().flatten().filter(|a| !a.done && a.delta > 0).map(|a| a.delta).sum() }
	fn push(&mut self, a: Adj) -> bool { match self.adj.iter_mut().find(|x| x.is_none()) { Some(x) => { *x = Some(a); true } None => false } }
}

impl S {
	fn need(&self, c: &Cfg, b: usize) -> bool {
		let (m, r) = (&self.m[b], &self.db.row[b]);
		let known = m.place == 0 || r.adj[m.place as usize - 1].is_some_and(|a| a.nonce == m.nonce);
		!m.open || m.ep != r.e || (c.nonce && !known)
	}
	fn commit(&mut self, c: &Cfg) { if c.loss && self.old.is_some() { self.old = Some(self.db) } }
	fn free(&self, b: usize) -> bool { self.lock[b] == 0 }
	fn unlock(&mut self, who: u8) { for l in &mut self.lock { if *l == who { *l = 0 } } }
	fn pending(&self) -> bool { self.db.row.iter().any(|r| r.first_pending().is_some()) }
	/// Stock that somebody could buy: in an open bucket, or on its way.
	fn buyable(&self, c: &Cfg) -> bool {
		let there = (0..NB).any(|b| !self.need(c, b) && self.m[b].left > 0);
		let coming = self.db.row.iter().any(|r| r.adj.iter().flatten().any(|a| !a.done && a.kind == Kind::Arrival));
		let taken = self.job.iter().flatten().any(|j| matches!(j.step, Step::Ran(x) | Step::Half(x) if x < 0));
		there || coming || taken
	}
}

impl Cfg {
	fn steps(&self, s: &S, out: &mut Vec<A>) {
		for b in 0..NB {
			let m = &s.m[b];
			if m.open && (m.left > 0 || !m.more) && !s.lied { out.push(A::Claim(b)) }
			if m.won > s.db.row[b].sold && m.ep == s.db.row[b].e && s.free(b) { out.push(A::Persist(b)) }
			if s.restocks > 0 && s.free(b) { out.push(A::Restock(b)) }
			if s.moves > 0 && s.free(b) && !s.need(self, b) && m.left > 0 && (self.take_first || s.free(1 - b)) { out.push(A::Move(b)) }
			if s.pass.is_none() && s.free(b) && s.need(self, b) && s.db.row[b].e < self.emax { out.push(A::PLock(b)) }
			if s.faults > 0 {
				if m.open { out.push(A::Restart(b)) }
				if self.disk { if s.disk[b] != *m { out.push(A::RestartOld(b)) } }
			}
			if self.disk && s.faults > 0 && s.disk[b] != *m { out.push(A::Save(b)) }
			if let Some(p) = s.db.row[b].first_pending() {
				let moving = s.db.row[b].adj[p].is_some_and(|a| a.kind == Kind::Move);
				for j in 0..self.jobs { if s.job[j].is_none() && s.free(b) && (!moving || s.free(1 - b)) { out.push(A::JRead(j, b)) } }
			}
		}
		for j in 0..self.jobs { if let Some(job) = s.job[j] {
			let kind = s.db.row[job.b as usize].adj[job.place as usize - 1].map(|a| a.kind);
			match job.step {
				Step::Read if kind == Some(Kind::Restock) && self.clear_first => out.push(A::JClear(j)),
				Step::Read | Step::Cleared => if s.m[job.b as usize].open { out.push(A::JRun(j)) },
				Step::Ran(_) | Step::Half(_) => out.push(A::JCommit(j)),
			}
			if s.crashes > 0 || !s.m[job.b as usize].open { out.push(A::JCrash(j)) }
		} }
		if let Some(p) = s.pass {
			if self.pass_clears && !p.cleared { out.push(A::PClear) } else if !p.committed { out.push(A::PCommit) } else { out.push(A::POpen) }
			if s.crashes > 0 { out.push(A::PCrash) }
		}
		match s.judge {
			None => {
				let held = !self.judge_locks || (s.free(0) && s.free(1) && !s.pending());
				if held && (0..NB).all(|b| !s.need(self, b) && s.m[b].left <= 0) && s.m.iter().any(|m| m.more) { out.push(A::Judge) }
			}
			Some(_) => { out.push(A::JudgeTells); if s.crashes > 0 { out.push(A::JudgeCrash) } }
		}
		if s.faults > 0 && s.old.is_some_and(|o| o != s.db) { out.push(A::MysqlLoses) }
	}

	fn apply(&self, s0: &S, a: A) -> Option<S> {
		let mut s = s0.clone();
		match a {
			A::Claim(b) => {
				if s.m[b].left > 0 { s.m[b].left -= 1; s.m[b].won += 1 }
				else { if s.buyable(self) && !s.split { s.lied = true } else { return None } }
			}
			A::Persist(b) => {
				s.commit(self);
				let r = &mut s.db.row[b];
				r.sold = r.sold.max(s.m[b].won.min(r.total));
			}
			A::Restock(b) => {
				s.restocks -= 1; s.nonce += 1;
				s.commit(self);
				s.db.row[b].total += 1; s.db.stock += 1;
				if !s.db.row[b].push(Adj { kind: Kind::Restock, delta: 1, done: false, applied: 0, nonce: s.nonce }) { return None }
			}
			A::Move(b) => {
				s.moves -= 1; s.nonce += 1;
				s.commit(self);
				let much = s.m[b].left;
				if !s.db.row[b].push(Adj { kind: Kind::Move, delta: -much, done: false, applied: 0, nonce: s.nonce }) { return None }
				if !self.take_first { // the other way about: give, then take
					s.nonce += 1;
					let nonce = s.nonce;
					s.db.row[1 - b].total += much; s.db.row[b].total -= much;
					if !s.db.row[1 - b].push(Adj { kind: Kind::Arrival, delta: much, done: false, applied: 0, nonce }) { return None }
				}
			}
			A::JRead(j, b) => {
				let p = s.db.row[b].first_pending()?;
				s.lock[b] = j as u8 + 1;
				if s.db.row[b].adj[p]?.kind == Kind::Move { s.lock[1 - b] = j as u8 + 1 }
				s.job[j] = Some(Job { b: b as u8, place: p as u8 + 1, step: Step::Read });
			}
			A::JClear(j) => {
				for m in &mut s.m { m.more = true }
				s.job[j].as_mut()?.step = Step::Cleared;
			}
			A::JRun(j) => {
				let job = s.job[j]?;
				let b = job.b as usize;
				let adj = s.db.row[b].adj[job.place as usize - 1]?;
				let before = if job.place > 1 { s.db.row[b].adj[job.place as usize - 2]?.nonce } else { 0 };
				let m = &mut s.m[b];
				let take = |left: i8| if adj.delta < 0 { -left.min(-adj.delta).max(0) } else { adj.delta };
				let result = if m.ep != s.db.row[b].e { None }
				else if job.place == m.place && m.nonce == adj.nonce { Some(if self.remember { m.res } else { let x = take(m.left); m.left += x; x }) }
				else if job.place == m.place + 1 && (m.nonce == before || !self.nonce) {
					let x = take(m.left);
					m.left += x; m.place = job.place; m.nonce = adj.nonce; m.res = x;
					Some(x)
				} else { m.open = false; None };
				match result { Some(x) => s.job[j].as_mut()?.step = Step::Ran(x), None => { s.job[j] = None; s.unlock(j as u8 + 1) } }
			}
			A::JCommit(j) => {
				let job = s.job[j]?;
				let b = job.b as usize;
				let Some(adj) = s.db.row[b].adj[job.place as usize - 1] else { s.job[j] = None; s.unlock(j as u8 + 1); return Some(s) };
				s.commit(self);
				let (x, second) = match job.step { Step::Ran(x) => (x, false), Step::Half(x) => (x, true), _ => return None };
				let arrives = adj.kind == Kind::Move && x < 0 && self.take_first;
				if !second {
					let a = s.db.row[b].adj[job.place as usize - 1].as_mut()?;
					a.done = true; a.applied = x;
					if arrives { s.db.row[b].total += x }
				}
				if arrives && (self.one_commit || second) {
					s.nonce += 1;
					let nonce = s.nonce;
					s.db.row[1 - b].total -= x;
					if !s.db.row[1 - b].push(Adj { kind: Kind::Arrival, delta: -x, done: false, applied: 0, nonce }) { return None }
				} else if arrives { s.job[j].as_mut()?.step = Step::Half(x); return Some(s) }
				s.job[j] = None;
				s.unlock(j as u8 + 1);
			}
			A::JCrash(j) => { if s.m[s.job[j]?.b as usize].open { s.crashes -= 1 } s.job[j] = None; s.unlock(j as u8 + 1) }
			A::PLock(b) => {
				s.lock[b] = 3;
				s.m[b].open = false; s.m[b].tok = 1;
				s.pass = Some(Pass { b: b as u8, committed: false, cleared: false, e: 0, left: 0, won: 0, place: 0, nonce: 0, res: 0 });
			}
			A::PCommit => {
				let p = s.pass?;
				let b = p.b as usize;
				if s.m[b].tok != 1 { s.pass = None; s.unlock(3); return Some(s) }
				s.commit(self);
				let m = s.m[b];
				let r = &mut s.db.row[b];
				r.sold = r.sold.max(m.won.min(r.total));
				r.e = r.e.max(m.ep) + 1;
				let (place, last) = r.last_done().map_or((0, None), |(i, a)| (i as u8 + 1, Some(a)));
				s.pass = Some(Pass {
					committed: true, e: r.e, left: r.total - r.sold - if self.pend_inc { r.coming() } else { 0 }, won: r.sold, place, nonce: last.map_or(0, |a| a.nonce),
					res: last.map_or(0, |a| a.applied), ..p
				});
				s.unlock(3);
			}
			A::PClear => {
				let b = s.pass?.b as usize;
				let r = &s.db.row[b];
				if r.total - r.sold.max(s.m[b].won.min(r.total)) - r.coming() > 0 { for m in &mut s.m { m.more = true } }
				s.pass.as_mut()?.cleared = true;
			}
			A::POpen => {
				let p = s.pass?;
				let m = &mut s.m[p.b as usize];
				if m.tok == 1 { *m = M { ep: p.e, left: p.left, won: p.won, place: p.place, nonce: p.nonce, res: p.res, open: true, more: true, tok: 0 } }
				s.pass = None;
				s.unlock(3);
			}
			A::PCrash => { s.crashes -= 1; s.pass = None; s.unlock(3) }
			A::Judge => { s.judge = Some(0); if self.judge_locks { s.lock = [4; NB] } }
			A::JudgeTells => {
				let b = s.judge? as usize;
				if s.m[b].left <= 0 && s.m[b].open { s.m[b].more = false }
				if b + 1 < NB { s.judge = Some(b as u8 + 1) } else { s.judge = None; s.unlock(4) }
			}
			A::JudgeCrash => { s.crashes -= 1; s.judge = None; s.unlock(4) }
			A::Restart(b) => { s.faults -= 1; s.m[b].open = false; s.m[b].tok = 0 }
			A::Save(b) => s.disk[b] = s.m[b],
			A::RestartOld(b) => { s.faults -= 1; s.m[b] = M { open: false, tok: 0, ..s.disk[b] } }
			A::MysqlLoses => {
				s.faults -= 1;
				s.db = s.old.take()?;
				s.split = true; // a restock or a move that MySQL forgot: whose stock it is nobody knows for a moment
				s.lock = [0; NB];
				s.job = [None; 2];
				s.judge = None;
				if s.pass.is_some_and(|p| !p.committed) { s.pass = None }
			}
		}
		Some(s)
	}

	fn safety(&self, s: &S) -> Option<&'static str> {
		if s.db.row.iter().any(|r| r.sold > r.total) { return Some("P1 a bucket is oversold") }
		// Without one_commit the stock is between two commits while its job lives.
		let between: i8 = s.job.iter().flatten().map(|j| if let Step::Half(x) = j.step { -x } else { 0 }).sum();
		if s.db.row.iter().map(|r| r.total).sum::<i8>() + between != s.db.stock { return Some("P6 stock came or went on its way") }
		for b in 0..NB {
			let (m, r) = (&s.m[b], &s.db.row[b]);
			if !s.need(self, b) && m.left + m.won > r.total { return Some("P1 Redis has more than MySQL") }
		}
		s.lied.then_some("P5 told SOLD_OUT while stock was left")
	}

	/// No more faults: what is under way is dropped, then passes, jobs and the persister work until nothing is left.
	fn recover(&self, s0: &S) -> Result<(), &'static str> {
		let mut c = self.clone();
		c.emax = 100;
		let mut s = s0.clone();
		(s.crashes, s.faults, s.old) = (9, 0, None);
		s.job = [None; 2]; s.pass = None; s.judge = None; s.lock = [0; NB];
		macro_rules! go { ($a:expr) => { match c.apply(&s, $a) { Some(t) => s = t, None => return Err("bound reached") } } }
		'work: for _ in 0..24 {
			for b in 0..NB {
				if s.need(&c, b) { go!(A::PLock(b)); go!(A::PClear); go!(A::PCommit); go!(A::POpen); continue 'work }
				if s.m[b].won > s.db.row[b].sold { go!(A::Persist(b)); continue 'work }
				if s.db.row[b].first_pending().is_some() {
					go!(A::JRead(0, b)); go!(A::JClear(0)); go!(A::JRun(0));
					while s.job[0].is_some() { go!(A::JCommit(0)) }
					continue 'work;
				}
			}
			break;
		}
		for b in 0..NB {
			let (m, r) = (&s.m[b], &s.db.row[b]);
			if s.need(&c, b) || r.first_pending().is_some() { return Err("P5 work stays undone") }
			if m.left + r.sold != r.total || m.won != r.sold { return Err("P6 total != left + wins") }
		}
		if s.db.row.iter().map(|r| r.total).sum::<i8>() != s.db.stock { return Err("P6 stock was lost on its way") }
		Ok(())
	}
}

impl Model for Cfg {
	type State = S;
	type Action = A;
	fn init_states(&self) -> Vec<S> {
		let m = |left| M { ep: 1, left, won: 0, place: 0, nonce: 0, res: 0, open: true, more: true, tok: 0 };
		let row = |total| Row { e: 1, total, sold: 0, adj: [None; NA] };
		let db = Db { row: [row(self.stock), row(0)], stock: self.stock };
		vec![S {
			m: [m(self.stock), m(0)], disk: [m(self.stock), m(0)], db, old: self.loss.then_some(db), lock: [0; NB], job: [None; 2], pass: None, judge: None, lied: false,
			split: false, nonce: 0, moves: self.moves, restocks: self.restocks, faults: self.faults, crashes: self.crashes,
		}]
	}
	fn actions(&self, s: &S, out: &mut Vec<A>) { self.steps(s, out) }
	fn next_state(&self, s: &S, a: A) -> Option<S> { self.apply(s, a) }
	fn properties(&self) -> Vec<Property<Self>> {
		vec![
			Property::always("safety P1 P5 P6", |c: &Cfg, s| c.safety(s).is_none()),
			Property::always("recovery P5 P6", |c: &Cfg, s| c.recover(s).is_ok()),
		]
	}
}

fn main() {
	let mut c = Cfg::default();
	let mut secs = 300u64;
	for a in std::env::args().skip(1) {
		let (k, v) = match a.split_once('=') {
			Some((k, v)) => (k.to_string(), v.parse().expect("a number")),
			None => match a.strip_prefix('-') { Some(k) => (k.to_string(), 0), None => (a.clone(), 1) },
		};
		if k == "fixed" { continue }
		if k == "secs" { secs = v as u64; continue }
		assert!(c.set(&k, v as u8), "unknown option {k}; rules: {RULES:?}");
	}
	let t = Instant::now();
	let done = c.clone().checker().threads(2).finish_when(HasDiscoveries::Any).timeout(Duration::from_secs(secs)).spawn_bfs().join();
	println!("states {} unique {} depth {} time {:?} done {}", done.state_count(), done.unique_state_count(), done.max_depth(), t.elapsed(), t.elapsed().as_secs() < secs);
	for (name, path) in done.discoveries() {
		println!("== {name}");
		let v = path.into_vec();
		for (s, a) in &v { if let Some(a) = a { println!("  {a:?}"); if std::env::var("V").is_ok() { println!("      {:?}", c.apply(s, *a)) } } }
		if let Some((last, _)) = v.last() { println!("  -> {:?} {:?}", c.safety(last), c.recover(last)); println!("  state: {last:?}") }
	}
}
