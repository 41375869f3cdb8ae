//! What was answered, how soon, and the report of a run.
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::stream::{Expected, Stream};

const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const NANOSECONDS: f64 = 1e9;

/// Counts calls that were meant to be sent at or after `from`.
#[derive(Debug)]
pub struct Tally {
    from: u64,
    last: u64,
    calls: u64,
    right: u64,
    messages: u64,
    bytes: u64,
    grpc: [u64; GRPC_STATUSES.len()],
    others: BTreeMap<String, u64>,
    goaways: BTreeMap<String, u64>,
    /// Answers by their kind, those before `from` included: who keeps books counts every call.
    kinds: Kinds,
    measured_kinds: Kinds,
    counts_kinds: bool,
    /// Nanoseconds; None when a histogram could not be made, which its fixed bounds exclude.
    latency: Option<Histogram<u64>>,
}

/// Answers by their kind: the first field of a good one, else what came instead.
#[derive(Debug)]
struct Kinds {
    good: [u64; 256],
    others: BTreeMap<String, u64>,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { good: [0; 256], others: BTreeMap::new() }
    }
}

impl Kinds {
    fn count(&mut self, stream: &Stream, reset: Option<u32>) {
        let kind = match (reset, stream.statuses.grpc, stream.kind) {
            (None, Some(0), Some(kind)) => {
                self.good[usize::from(kind)] += 1;
                return;
            }
            (None, Some(0), None) => "none".to_owned(),
            (None, Some(status), _) => {
                GRPC_STATUSES.get(usize::from(status)).map_or_else(|| status.to_string(), |name| (*name).to_owned())
            }
            _ => "broken".to_owned(),
        };
        *self.others.entry(kind).or_default() += 1;
    }

    fn named(self) -> BTreeMap<String, u64> {
        let good = self.good.into_iter().enumerate().filter(|(_, count)| *count > 0);
        good.map(|(kind, count)| (kind.to_string(), count)).chain(self.others).collect()
    }
}

impl Tally {
    pub fn new(from: u64) -> Self {
        Self {
            from,
            last: from,
            calls: 0,
            right: 0,
            messages: 0,
            bytes: 0,
            grpc: [0; GRPC_STATUSES.len()],
            others: BTreeMap::new(),
            goaways: BTreeMap::new(),
            kinds: Kinds::default(),
            measured_kinds: Kinds::default(),
            counts_kinds: false,
            latency: Histogram::new_with_bounds(1_000, 600_000_000_000, 3).ok(),
        }
    }

    #[cfg(test)]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    #[cfg(test)]
    pub fn right(&self) -> u64 {
        self.right
    }

    pub fn ended(&mut self, stream: &Stream, now: u64, reset: Option<u32>, expected: &Expected) {
        if expected.kinds {
            self.count_kind(stream, reset);
        }
        if stream.intended < self.from {
            return;
        }
        self.calls += 1;
        self.last = self.last.max(now);
        self.messages += stream.messages;
        self.bytes += stream.bytes;
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(now.saturating_sub(stream.intended));
        }
        let statuses = stream.statuses;
        match (reset, statuses.http, statuses.grpc) {
            (None, Some(200), Some(status)) if usize::from(status) < GRPC_STATUSES.len() => {
                self.grpc[usize::from(status)] += 1;
                self.right += u64::from(stream.right(expected));
            }
            (Some(code), _, _) => self.count(format!("reset {code}")),
            (_, Some(200), status) => self.count(format!("grpc-status {status:?}")),
            (_, http, _) => self.count(format!("http {}", http.unwrap_or(0))),
        }
    }

    /// Calls whose connection was lost, or that had no answer when the run ended.
    pub fn unanswered(&mut self, streams: impl Iterator<Item = Stream>, why: &str) {
        let from = self.from;
        let streams: Vec<_> = streams.collect();
        if self.counts_kinds && !streams.is_empty() {
            *self.kinds.others.entry(why.to_owned()).or_default() += streams.len() as u64;
        }
        for stream in streams.into_iter().filter(|stream| stream.intended >= from) {
            self.calls += 1;
            self.messages += stream.messages;
            self.bytes += stream.bytes;
            self.count(why.to_owned());
        }
    }

    fn count_kind(&mut self, stream: &Stream, reset: Option<u32>) {
        self.counts_kinds = true;
        if stream.intended >= self.from {
            self.measured_kinds.count(stream, reset);
        }
        self.kinds.count(stream, reset);
    }

    pub fn goaway(&mut self, code: u32, text: &[u8]) {
        *self.goaways.entry(format!("{code} {}", String::from_utf8_lossy(text))).or_default() += 1;
    }

    fn count(&mut self, what: String) {
        *self.others.entry(what).or_default() += 1;
    }

    pub fn report(self, unsent: u64, cpu: Cpu) -> Report {
        let seconds = (self.last - self.from) as f64 / NANOSECONDS;
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let each = |total: u64| if self.calls > 0 { total as f64 / 1e3 / self.calls as f64 } else { 0.0 };
        let named = GRPC_STATUSES.iter().zip(self.grpc).filter(|(_, count)| *count > 0);
        let mut statuses: BTreeMap<String, u64> = named.map(|(name, count)| ((*name).to_owned(), count)).collect();
        statuses.extend(self.others);
        Report {
            calls: self.calls,
            wrong: self.calls - self.right,
            unsent,
            seconds,
            calls_per_second: rate(self.calls),
            messages_per_second: rate(self.messages),
            bytes_per_second: rate(self.bytes),
            statuses,
            goaways: self.goaways,
            kinds: self.kinds.named(),
            measured_kinds: self.measured_kinds.named(),
            latency_us: self.latency.as_ref().map(Latency::of),
            client_cpu_us: each(cpu.client),
            server_cpu_us: cpu.server.map(each),
        }
    }
}

/// Nanoseconds of processor time within the measured part.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    pub client: u64,
    pub server: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub calls: u64,
    /// Calls whose status, messages or bytes were not as expected.
    pub wrong: u64,
    /// Calls of an open loop that were due and never sent.
    pub unsent: u64,
    pub seconds: f64,
    pub calls_per_second: f64,
    pub messages_per_second: f64,
    pub bytes_per_second: f64,
    pub statuses: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub goaways: BTreeMap<String, u64>,
    /// All answers by field 1 of their message, or by what came instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, u64>,
    /// The same of the calls that are measured.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub measured_kinds: BTreeMap<String, u64>,
    pub latency_us: Option<Latency>,
    /// Processor time a call of this process, and of those that --server-pid names.
    pub client_cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

impl Report {
    pub fn all_right(&self) -> bool {
        self.calls > 0 && self.wrong == 0
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    }
}
