//! Plays traces to L1, to moka used bare, to least recently used and to Belady's optimum, and prints one JSON line for
//! each trace, kind and contender; `make bench-cache` makes the table. Argument: a divisor of the traces' length, or
//! `hit`: how long a hit takes; or `binlog FILE SCHEMA COLUMNS`: how long a row of a log takes.
//!
//! Layout:
//! - `dice`: random numbers from a seed
//! - `trace`, `day`: what is read and changed when
//! - `speed`: how long a hit takes; `events`: how long a row event takes
//! - `contender`: moka bare, and how a trace is played; `ours`: L1; `lru`, `belady`: what to compare with
mod belady;
mod contender;
mod day;
mod dice;
mod events;
mod lru;
mod ours;
mod speed;
mod trace;

use std::process::ExitCode;

use contender::{Bare, Recent, Score, play, play_belady};
use ours::Ours;
use trace::{Step, Trace};

const READS: u32 = 3_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path, schema, columns] = &arguments[..]
        && mode == "binlog"
    {
        return print_rate(path, events::Table { schema, columns });
    }
    let argument = arguments.get(1).cloned();
    if argument.as_deref() == Some("hit") {
        return print_speed();
    }
    let divisor = match argument.map(|text| text.parse::<u32>()) {
        None => 1,
        Some(Ok(divisor)) if (1..=100).contains(&divisor) => divisor,
        Some(_) => {
            eprintln!(
                "the argument is `hit`, `binlog FILE SCHEMA COLUMNS`, or a divisor of the traces' length, 1 to 100"
            );
            return ExitCode::from(2);
        }
    };
    let reads = READS / divisor;
    let Some(overhead) = Ours::overhead() else {
        eprintln!("L1 does not know its own kind");
        return ExitCode::FAILURE;
    };
    for trace in [
        trace::zipf("zipf 0.9", 0.9, reads),
        trace::zipf("zipf 0.99", 0.99, reads),
        trace::scan(reads),
        day::flash_sale_day(divisor),
    ] {
        show(&trace, overhead);
    }
    ExitCode::SUCCESS
}

fn print_speed() -> ExitCode {
    let Some(speed::Hit { given, read, bare }) = speed::hit() else {
        eprintln!("a hit is not what was stored");
        return ExitCode::FAILURE;
    };
    println!(r#"{{"hit_ns": {given:.1}, "hit_with_clocks_ns": {read:.1}, "moka_ns": {bare:.1}}}"#);
    ExitCode::SUCCESS
}

fn print_rate(path: &str, table: events::Table<'_>) -> ExitCode {
    match events::rate(path, table) {
        Ok(events::Rate { rows, decoded, into_l1 }) => {
            println!(r#"{{"rows": {rows}, "decoded_ns": {decoded:.1}, "into_l1_ns": {into_l1:.1}}}"#);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(trace: &Trace, overhead: u64) {
    for (number, kind) in (0u8..).zip(&trace.kinds) {
        let steps: Vec<Step> = trace.steps.iter().filter(|step| step.kind == number).copied().collect();
        if let Some(mut ours) = Ours::new(kind.capacity) {
            print(trace, kind.name, "couponry", &play(&steps, &mut ours));
        }
        print(trace, kind.name, "moka", &play(&steps, &mut Bare::new(kind.capacity, overhead)));
        print(trace, kind.name, "lru", &play(&steps, &mut Recent::new(kind.capacity, overhead)));
        print(trace, kind.name, "optimum", &play_belady(&steps, kind.capacity, overhead));
    }
}

fn print(trace: &Trace, kind: &str, contender: &str, score: &Score) {
    println!(
        r#"{{"trace": "{}", "kind": "{kind}", "contender": "{contender}", "reads": {}, "hits": {}, "lies": {}}}"#,
        trace.name, score.reads, score.hits, score.lies
    );
}
