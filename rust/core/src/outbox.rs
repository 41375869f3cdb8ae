//! `couponry._core.Wins`: a batch of wins on its way from Redis to MySQL.
use std::collections::{HashMap, HashSet};

use couponry_outbox::{Entry, HASH_BYTES, Malformed, Room, Win, Wins as Batch};
use pyo3::{exceptions::PyValueError, prelude::*, pybacked::PyBackedBytes, types::PyBytes};

/// (number, user, request hash, kind, claimed_ms, epoch) as Python gives them.
type Given = (u64, PyBackedBytes, [u8; HASH_BYTES], [u8; 1], u64, u64);
type Told<'py> = (u64, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, u64);

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
struct Wins(Batch);

#[pymethods]
impl Wins {
    #[new]
    fn new(wins: Vec<Given>) -> Self {
        Self(Batch::of(wins.iter().map(|(number, user, hash, kind, claimed_ms, epoch)| Win {
            number: *number,
            user,
            hash: *hash,
            kind: kind[0],
            claimed_ms: *claimed_ms,
            epoch: *epoch,
        })))
    }

    #[staticmethod]
    fn from_outbox(entries: Vec<Bound<'_, PyAny>>, after: u64) -> PyResult<Self> {
        let entries = entries.iter().map(GivenEntry::read).collect::<PyResult<Vec<_>>>()?;
        Batch::of_entries(entries.iter().map(GivenEntry::entry), after).map(Self).map_err(malformed)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn last(&self) -> Option<u64> {
        self.0.last()
    }

    fn follow(&self, after: u64) -> bool {
        self.0.follow(after)
    }

    fn times(&self) -> Vec<u64> {
        self.0.times()
    }

    fn numbers(&self) -> Vec<u64> {
        self.0.iter().map(|win| win.number).collect()
    }

    fn values<'py>(&self, py: Python<'py>) -> Vec<Told<'py>> {
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        let values = self
            .0
            .iter()
            .map(|win| (win.number, bytes(win.user), bytes(&win.hash), bytes(&[win.kind]), win.claimed_ms, win.epoch));
        values.collect()
    }

    #[pyo3(signature = (lead, *, most))]
    fn users<'py>(&self, py: Python<'py>, lead: &[u8], most: usize) -> Vec<Bound<'py, PyBytes>> {
        texts(py, &self.0.users(lead, most))
    }

    #[pyo3(signature = (held, *, stock, limit, taken))]
    fn sort(
        &self,
        held: Vec<(PyBackedBytes, [u8; HASH_BYTES])>,
        stock: u64,
        limit: usize,
        taken: HashSet<u64>,
    ) -> (Self, Self, Self) {
        let held = held.iter().map(|(user, hash)| (&user[..], *hash));
        let sorted = self.0.sort(held, Room { stock, limit, taken: &taken });
        (Self(sorted.coupons), Self(sorted.tried), Self(sorted.failed))
    }

    #[pyo3(signature = (lead, least_id, by_time, *, most))]
    fn rows<'py>(
        &self,
        py: Python<'py>,
        lead: &[u8],
        least_id: u64,
        by_time: HashMap<u64, PyBackedBytes>,
        most: usize,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let by_time = by_time.iter().map(|(time, text)| (*time, &text[..])).collect();
        Ok(texts(py, &self.0.rows(lead, least_id, &by_time, most).map_err(malformed)?))
    }
}

fn texts<'py>(py: Python<'py>, texts: &[Vec<u8>]) -> Vec<Bound<'py, PyBytes>> {
    texts.iter().map(|text| PyBytes::new(py, text)).collect()
}

/// One entry of the stream: `epoch-(last number)` and the fields first, ms, wins.
struct GivenEntry {
    epoch: u64,
    first: u64,
    claimed_ms: u64,
    wins: PyBackedBytes,
}

impl GivenEntry {
    fn read(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (id, fields) = (given.get_item(0)?.extract::<PyBackedBytes>()?, given.get_item(1)?);
        let fields: Vec<PyBackedBytes> = fields.extract()?;
        let field = |name: &[u8]| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| pair.first().filter(|key| &key[..] == name).and(pair.get(1)))
        };
        let number_of = |name: &[u8]| field(name).and_then(|text| number(text));
        let epoch = id.split(|byte| *byte == b'-').next().and_then(number);
        match (epoch, number_of(b"first"), number_of(b"ms"), field(b"wins")) {
            (Some(epoch), Some(first), Some(claimed_ms), Some(wins)) => {
                let py = given.py();
                Ok(Self { epoch, first, claimed_ms, wins: wins.clone_ref(py) })
            }
            _ => Err(malformed(Malformed)),
        }
    }

    fn entry(&self) -> Entry<'_> {
        Entry { epoch: self.epoch, first: self.first, claimed_ms: self.claimed_ms, wins: &self.wins }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn malformed(error: Malformed) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Wins>()
}
