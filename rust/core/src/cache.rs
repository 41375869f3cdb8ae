//! `couponry._core.L1`: the kinds of entries of `couponry-cache` under their names, with the clocks.
//!
//! Layout:
//! - `fill`: one load of one key
//! - `inspection`: one entry as people look at it
use std::{collections::HashMap, sync::Arc};

use couponry_cache::{Cache, Change, Entry, Fate, Found, Freshness, Kind, Limits, Millis};
use pyo3::{
    exceptions::{PyKeyError, PyValueError},
    prelude::*,
    types::{PyBool, PyBytes, PyDict},
};

use crate::clock::Clock;

mod fill;
mod inspection;

/// What the threads share: the binlog reader tells it, readers ask it.
pub(crate) struct Shared {
    pub(crate) layer: couponry_cache::L1,
    pub(crate) clock: Clock,
}

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub(crate) struct L1(Arc<Shared>);

impl L1 {
    /// For a thread of its own: raise floors with `Cache::event`, tell `layer` of starts, losses and what was passed.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    pub(crate) fn kind(&self, kind: &str) -> PyResult<&Arc<Cache>> {
        self.0.layer.kind(kind).ok_or_else(|| PyKeyError::new_err(kind.to_owned()))
    }

    /// The entry of a key, checked: for readers in Rust. A miss is not counted, since Python asks next.
    pub(crate) fn hot(&self, kind: &str, key: &[u8]) -> Option<Arc<Entry>> {
        self.0.layer.kind(kind)?.try_get(key, self.0.clock.now())
    }
}

#[pymethods]
impl L1 {
    #[new]
    #[pyo3(signature = (
        capacities, *, absent_bytes=1 << 20, floors=65_536, untold=Vec::new(), decoded_percent=HashMap::new(),
        max_staleness_ms=2000, fail_safe_ms=60_000, mono_ms=None, wall_ms=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords of a Python constructor")]
    fn new(
        capacities: HashMap<String, u64>,
        absent_bytes: u64,
        floors: usize,
        untold: Vec<String>,
        decoded_percent: HashMap<String, u32>,
        max_staleness_ms: Millis,
        fail_safe_ms: Millis,
        mono_ms: Option<Py<PyAny>>,
        wall_ms: Option<Py<PyAny>>,
    ) -> Self {
        let kinds = capacities.into_iter().map(|(name, bytes)| {
            let decoded_percent = decoded_percent.get(&name).copied().unwrap_or(0);
            let told = !untold.contains(&name);
            Kind { limits: Limits { bytes, absent_bytes, decoded_percent, floors }, told, name }
        });
        let layer = couponry_cache::L1::new(kinds, Freshness::new(max_staleness_ms, fail_safe_ms));
        Self(Arc::new(Shared { layer, clock: Clock::new(mono_ms, wall_ms) }))
    }

    #[pyo3(signature = (kind, key, min_version=0))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        key: &str,
        min_version: i64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(answer(py, self.kind(kind)?.get(key.as_bytes(), self.0.clock.now(), min_version)))
    }

    fn get_stale<'py>(&self, py: Python<'py>, kind: &str, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(answer(py, self.kind(kind)?.get_stale(key.as_bytes(), self.0.clock.now())))
    }

    fn put(&self, kind: &str, key: &str, payload: Vec<u8>, valid_through_ms: Millis) -> PyResult<()> {
        self.kind(kind)?.put(key.as_bytes(), payload.into(), valid_through_ms, self.0.clock.now());
        Ok(())
    }

    fn begin(&self, kind: &str, key: &str) -> PyResult<fill::Fill> {
        let fill = self.kind(kind)?.begin(key.as_bytes(), self.0.clock.mono());
        Ok(fill::Fill::new(fill, self.shared()))
    }

    fn changed(&self, kind: &str, key: &str, row: i64, fate: &str, version: i64) -> PyResult<()> {
        let fate = Fate::named(fate, version).ok_or_else(|| PyValueError::new_err(format!("no fate: {fate}")))?;
        let change = Change { key: key.as_bytes(), row, fate };
        self.kind(kind)?.local_write(&change, self.0.clock.mono());
        Ok(())
    }

    fn remove(&self, kind: &str, key: &str) -> PyResult<bool> {
        Ok(self.kind(kind)?.remove(key.as_bytes()))
    }

    #[pyo3(signature = (kind=None))]
    fn clear(&self, kind: Option<&str>) -> PyResult<()> {
        match kind {
            Some(kind) => self.kind(kind)?.clear(),
            None => self.0.layer.clear(),
        }
        Ok(())
    }

    fn take_due(&self) -> Vec<(&str, String)> {
        let mut due = Vec::new();
        for (kind, cache) in self.0.layer.kinds() {
            due.extend(
                cache.take_due().into_iter().filter_map(|key| Some((kind, String::from_utf8(key.into()).ok()?))),
            );
        }
        due
    }

    fn hottest(&self, py: Python<'_>, kind: &str, most: usize) -> PyResult<Vec<(String, u32)>> {
        let cache = self.kind(kind)?;
        let hottest = py.detach(|| cache.hottest(most));
        Ok(hottest.into_iter().filter_map(|(key, hits)| Some((String::from_utf8(key).ok()?, hits))).collect())
    }

    fn inspect<'py>(&self, py: Python<'py>, kind: &str, key: &str) -> PyResult<Bound<'py, PyDict>> {
        inspection::inspect(py, self.kind(kind)?, key.as_bytes(), self.0.clock.now())
    }

    fn stats(&self) -> HashMap<&str, HashMap<&'static str, u64>> {
        let now = self.0.clock.mono();
        let named = |cache: &Cache| cache.stats(now).named().into_iter().collect();
        self.0.layer.kinds().map(|(kind, cache)| (kind, named(cache))).collect()
    }

    // How fresh L1 is

    fn measure(&self) {
        self.0.layer.freshness().measure(self.0.clock.mono());
    }

    fn started(&self, replayed: bool) {
        self.0.layer.started(self.0.clock.mono(), replayed);
    }

    fn lost(&self) {
        self.0.layer.lost();
    }

    fn passed(&self, as_of_ms: Millis) {
        self.0.layer.freshness().passed(as_of_ms, self.0.clock.mono());
    }

    #[getter]
    fn measured(&self) -> bool {
        self.0.layer.freshness().is_measured()
    }

    #[getter]
    fn fresh(&self) -> bool {
        self.0.layer.freshness().is_fresh(self.0.clock.mono())
    }

    #[getter]
    fn starting(&self) -> bool {
        self.0.layer.freshness().is_starting(self.0.clock.mono())
    }

    #[getter]
    fn age_ms(&self) -> Option<Millis> {
        self.0.layer.freshness().as_of().map(|as_of| self.0.clock.mono() - as_of)
    }

    #[getter]
    fn now_ms(&self) -> Millis {
        self.0.clock.mono()
    }
}

/// The payload; False where there is known to be nothing; None where a load must tell.
fn answer(py: Python<'_>, found: Found) -> Option<Bound<'_, PyAny>> {
    match found {
        Found::Hit(entry) => entry.payload().map(|payload| PyBytes::new(py, payload).into_any()),
        Found::Absent => Some(PyBool::new(py, false).to_owned().into_any()),
        Found::Missed(_) => None,
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<L1>()?;
    module.add_class::<fill::Fill>()
}
