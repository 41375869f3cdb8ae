//! The command line. `Plan` is what is left of it once everything is checked and read.
use std::{fs, path::PathBuf};

use clap::Parser;

use crate::{Error, messages::Messages, stream::Expected};

/// gRPC load: closed-loop (every stream always has a call), or open-loop with --rate.
#[derive(Parser, Debug)]
#[command(name = "couponry-loadgen", version)]
pub struct Options {
    /// host:port, or unix:PATH
    pub target: String,
    /// /package.Service/Method
    pub path: String,
    /// Connections
    #[arg(short, long, default_value_t = 8)]
    pub connections: usize,
    /// Calls at once on each connection
    #[arg(short = 'm', long, default_value_t = 32)]
    pub streams: usize,
    /// Calls a second over all connections (open loop); without it, as fast as answers come
    #[arg(short, long)]
    pub rate: Option<f64>,
    /// Seconds that are measured
    #[arg(short, long, default_value_t = 5.0)]
    pub duration: f64,
    /// Seconds before that
    #[arg(short, long, default_value_t = 1.0)]
    pub warmup: f64,
    /// When to begin, in seconds since 1970: the connections are made before and wait for it
    #[arg(long)]
    pub start_at: Option<f64>,
    /// Stop after so many measured calls
    #[arg(short = 'n', long)]
    pub requests: Option<u64>,
    /// The request: a file with one serialized message
    #[arg(long, conflicts_with_all = ["message_hex", "messages"])]
    pub message: Option<PathBuf>,
    /// The request in hexadecimal digits
    #[arg(long, conflicts_with = "messages")]
    pub message_hex: Option<String>,
    /// Distinct requests: a file of messages, each after its length as a varint; used in turn
    #[arg(long)]
    pub messages: Option<PathBuf>,
    /// A field that differs from call to call: PATH=int:FIRST..LAST or PATH=text:ab-{}:FIRST..LAST, where PATH is
    /// field numbers with dots (3.1); written behind the message, so it replaces the field there
    #[arg(long)]
    pub field: Vec<String>,
    /// A header of every request, name:value
    #[arg(short = 'H', long)]
    pub header: Vec<String>,
    /// Every message of the answers has these bytes (hexadecimal digits)
    #[arg(long)]
    pub expect_hex: Option<String>,
    /// Every message of the answers has so many bytes
    #[arg(long)]
    pub expect_length: Option<usize>,
    /// Every call is answered with so many messages
    #[arg(long)]
    pub expect_messages: Option<u64>,
    /// The grpc-status that is right
    #[arg(long, default_value_t = 0)]
    pub expect_status: u16,
    /// Count the answers, those of the warm-up included, by their field 1, a small integer
    #[arg(long)]
    pub count_kinds: bool,
    /// Bytes that an answer may have on the way
    #[arg(long, default_value_t = 1 << 20)]
    pub window: u32,
    /// Seconds to wait for answers at the end
    #[arg(long, default_value_t = 10.0)]
    pub drain: f64,
    /// Processes whose CPU time is put down to the calls
    #[arg(long)]
    pub server_pid: Vec<u32>,
}

/// A checked run.
#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    pub authority: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub connections: usize,
    pub streams: usize,
    /// Nanoseconds between two calls of an open loop.
    pub interval: Option<f64>,
    /// Nanoseconds since 1970.
    pub start_at: Option<u64>,
    pub warmup: u64,
    pub duration: u64,
    pub drain: u64,
    pub requests: Option<u64>,
    pub messages: Messages,
    pub expected: Expected,
    pub window: u32,
    pub server_pids: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Tcp(String),
    Unix(PathBuf),
}

impl Options {
    pub fn plan(self) -> Result<Plan, Error> {
        if self.connections == 0 || self.streams == 0 {
            return Err(Error::Option("--connections and --streams are at least 1".into()));
        }
        if !self.path.starts_with('/') {
            return Err(Error::Option("the path begins with /: /package.Service/Method".into()));
        }
        let interval = match self.rate {
            Some(rate) if rate > 0.0 && rate.is_finite() => Some(1e9 / rate),
            Some(_) => return Err(Error::Option("--rate is above 0".into())),
            None => None,
        };
        if !(1 << 10..1 << 31).contains(&self.window) {
            return Err(Error::Option("--window is 1024 to 2147483647".into()));
        }
        let messages = self.messages()?;
        let headers = self.header.iter().map(|header| header_pair(header)).collect::<Result<_, _>>()?;
        let (target, authority) = match self.target.strip_prefix("unix:") {
            Some(path) => (Target::Unix(path.into()), "localhost".to_owned()),
            None => (Target::Tcp(self.target.clone()), self.target.clone()),
        };
        let expected = Expected {
            status: self.expect_status,
            messages: self.expect_messages,
            length: self.expect_length,
            kinds: self.count_kinds,
            bytes: self.expect_hex.as_deref().map(|digits| unhex("--expect-hex", digits)).transpose()?,
        };
        Ok(Plan {
            target,
            authority,
            path: self.path,
            headers,
            connections: self.connections,
            streams: self.streams,
            interval,
            start_at: self.start_at.map(start_at).transpose()?,
            warmup: nanoseconds("--warmup", self.warmup)?,
            duration: nanoseconds("--duration", self.duration)?,
            drain: nanoseconds("--drain", self.drain)?,
            requests: self.requests,
            messages,
            expected,
            window: self.window,
            server_pids: self.server_pid,
        })
    }

    fn messages(&self) -> Result<Messages, Error> {
        let templates = match (&self.message, &self.message_hex, &self.messages) {
            (Some(file), _, _) => vec![read(file)?],
            (_, Some(digits), _) => vec![unhex("--message-hex", digits)?],
            (_, _, Some(file)) => Messages::split(&read(file)?)?,
            _ => vec![Vec::new()],
        };
        Messages::new(templates, &self.field)
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|source| Error::Io { doing: format!("reading {}", file.display()), source })
}

fn nanoseconds(option: &str, seconds: f64) -> Result<u64, Error> {
    if !(0.0..=1e6).contains(&seconds) {
        return Err(Error::Option(format!("{option} is 0 to 1000000 seconds")));
    }
    Ok((seconds * 1e9) as u64)
}

fn start_at(seconds: f64) -> Result<u64, Error> {
    if !(0.0..=1e10).contains(&seconds) {
        return Err(Error::Option("--start-at is 0 to 10000000000 seconds".into()));
    }
    Ok((seconds * 1e9) as u64)
}

fn header_pair(text: &str) -> Result<(String, String), Error> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
        _ => Err(Error::Option(format!("--header {text}: name:value is wanted"))),
    }
}

fn unhex(option: &str, digits: &str) -> Result<Vec<u8>, Error> {
    let wrong = || Error::Option(format!("{option}: pairs of hexadecimal digits are wanted"));
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(wrong());
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, Error> {
        Options::try_parse_from([&["loadgen", "127.0.0.1:1", "/a.B/C"], arguments].concat()).unwrap().plan()
    }

    #[test]
    fn a_rate_becomes_an_interval_and_hex_becomes_bytes() {
        let plan = plan(&["--rate", "1000", "--expect-hex", "00ff", "-H", "X-Key: a:b"]).unwrap();
        assert_eq!(plan.interval, Some(1e6));
        assert_eq!(plan.expected.bytes, Some(vec![0, 255]));
        assert_eq!(plan.headers, [("x-key".to_owned(), "a:b".to_owned())]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_the_name_of_the_option() {
        for (arguments, word) in [
            (&["--rate", "0"][..], "--rate"),
            (&["-m", "0"], "--streams"),
            (&["--expect-hex", "abc"], "--expect-hex"),
            (&["--window", "1"], "--window"),
            (&["--start-at=-1"], "--start-at"),
            (&["-H", "nothing"], "--header"),
        ] {
            assert!(plan(arguments).unwrap_err().to_string().contains(word), "{arguments:?}");
        }
    }
}
