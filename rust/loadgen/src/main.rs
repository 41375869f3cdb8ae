//! `couponry-loadgen`: gRPC load for measuring a front end, light enough to leave the cores to the server.
//!
//! It speaks just enough HTTP/2 itself: a request is a header block that was made once, one message, and a table
//! entry. Latency counts from the moment a request was meant to be sent, so a server that stalls cannot hide it.
//!
//! Layout:
//! - `options`: the command line, and what is left of it once checked
//! - `messages`: the distinct requests
//! - `frames`, `headers`: HTTP/2's frames, and HPACK both ways
//! - `stream`: the answer to one call, message by message
//! - `connection`: one connection: bytes in, bytes out, no socket
//! - `tally`: what was answered, how soon
//! - `usage`: the CPU time of this process and of the server
//! - `load`: the sockets and the schedule
mod connection;
mod frames;
mod headers;
mod load;
mod messages;
mod options;
mod stream;
mod tally;
mod usage;

use std::process::ExitCode;

use clap::Parser;

/// Why a run could not be made or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Option(String),
    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    #[error("the server breaks HTTP/2: {0}")]
    Protocol(String),
    #[error("{0}")]
    Server(String),
}

fn main() -> ExitCode {
    let run = options::Options::parse().plan().and_then(|plan| load::run(&plan));
    match run {
        Ok(report) => {
            println!("{}", report.json());
            if report.all_right() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("couponry-loadgen: {error}");
            ExitCode::from(2)
        }
    }
}
