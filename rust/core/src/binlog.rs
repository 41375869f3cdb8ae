//! `couponry._core.Binlog` and `TellStream`: readers of `couponry-binlog`, the one straight into L1, the other for whoever
//! tells L2.
//!
//! Layout:
//! - `tables`: which tables are watched, and for which kinds of entries
//! - `feed`: from a reader into L1, without Python
//! - `telling`: from a reader to Python, a bounded number of changes at a time
use std::sync::Arc;

use couponry_binlog::{Address, Cause, Endpoint, Figures, Options, Place, Reader, Unusable};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};

use crate::cache::{L1, Shared};

mod feed;
mod tables;
mod telling;

/// A place as Python and Redis hold it: identity and digits.
type Text<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn text<'py>(py: Python<'py>, place: &Place) -> Text<'py> {
    (PyBytes::new(py, place.identity().as_bytes()), PyBytes::new(py, place.digits().as_bytes()))
}

fn read(place: Option<(Vec<u8>, Vec<u8>)>) -> PyResult<Option<Place>> {
    place
        .map(|(identity, digits)| {
            let (identity, digits) = (String::from_utf8(identity)?, String::from_utf8(digits)?);
            Place::read(&identity, &digits).map_err(|no| PyValueError::new_err(no.to_string()))
        })
        .transpose()
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
#[derive(Clone)]
pub(crate) struct BinlogSource {
    address: Address,
    schema: String,
}

#[pymethods]
impl BinlogSource {
    #[new]
    #[pyo3(signature = (*, host, port, unix_socket, user, password, schema))]
    fn new(
        host: String,
        port: u16,
        unix_socket: Option<String>,
        user: String,
        password: String,
        schema: String,
    ) -> Self {
        let endpoint = match unix_socket {
            Some(path) => Endpoint::Unix(path.into()),
            None => Endpoint::Tcp { host, port },
        };
        Self { address: Address { endpoint, user, password }, schema }
    }

    fn problem(&self, py: Python<'_>) -> Option<(&'static str, String)> {
        let unusable = py.detach(|| couponry_binlog::check(&self.address)).err()?;
        let kind = match unusable {
            Unusable::NoLog => "no_log",
            Unusable::NotAllowed(_) => "not_allowed",
            Unusable::Unreachable(_) => "unreachable",
        };
        Some((kind, unusable.to_string()))
    }
}

impl BinlogSource {
    fn options(&self, l1: &Arc<Shared>) -> Options {
        let clock = Arc::clone(l1);
        Options {
            address: self.address.clone(),
            schema: self.schema.clone(),
            watched: tables::WATCHED.to_vec(),
            probe: true,
            now: Arc::new(move || clock.clock.mono()),
        }
    }
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub(crate) struct Binlog {
    reader: Reader,
    feed: Arc<feed::Feed>,
}

#[pymethods]
impl Binlog {
    #[new]
    #[pyo3(signature = (source, l1, start=None))]
    fn new(source: &BinlogSource, l1: &L1, start: Option<(Vec<u8>, Vec<u8>)>) -> PyResult<Self> {
        let shared = l1.shared();
        shared.layer.freshness().measure(shared.clock.mono());
        let feed = Arc::new(feed::Feed::new(Arc::clone(&shared)));
        let reader = Reader::start(source.options(&shared), read(start)?, Arc::clone(&feed) as _)?;
        Ok(Self { reader, feed })
    }

    fn passed<'py>(&self, py: Python<'py>) -> Option<Text<'py>> {
        // Between a loss and the place where it begins anew, nothing counts as passed.
        self.feed.first()?;
        self.reader.place().map(|place| text(py, &place))
    }

    fn first<'py>(&self, py: Python<'py>) -> Option<Text<'py>> {
        self.feed.first().map(|place| text(py, &place))
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        by_name(self.reader.figures())
    }

    fn losses(&self) -> Vec<(&'static str, u64)> {
        by_cause(self.reader.figures())
    }

    fn trouble(&self) -> Option<String> {
        self.reader.trouble()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.reader.stop());
    }
}

impl Drop for Binlog {
    fn drop(&mut self) {
        // The threads may want the interpreter for a clock that a test handed in.
        Python::attach(|py| self.stop(py));
    }
}

fn by_name(figures: Figures) -> Vec<(&'static str, u64)> {
    vec![
        ("events", figures.events),
        ("transactions", figures.transactions),
        ("rows", figures.rows),
        ("bytes", figures.bytes),
        ("reconnects", figures.reconnects),
        ("probes", figures.probes),
        ("failed_probes", figures.failed_probes),
    ]
}

fn by_cause(figures: Figures) -> Vec<(&'static str, u64)> {
    Cause::ALL.iter().zip(figures.losses).map(|(cause, count)| (cause.name(), count)).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BinlogSource>()?;
    module.add_class::<Binlog>()?;
    module.add_class::<telling::TellStream>()
}
