//! `couponry._core.L1`: the kinds of entries of `couponry-cache` under their names.
use std::collections::HashMap;

use couponry_cache::{Cache, Millis, Stats};
use pyo3::{exceptions::PyKeyError, prelude::*, types::PyBytes};

/// L1: a TinyLFU cache a kind, each with its capacity in bytes.
#[pyclass(frozen)]
pub(crate) struct L1(HashMap<String, Cache>);

impl L1 {
    pub(crate) fn kind(&self, kind: &str) -> PyResult<&Cache> {
        self.0.get(kind).ok_or_else(|| PyKeyError::new_err(kind.to_owned()))
    }
}

#[pymethods]
impl L1 {
    #[new]
    fn new(capacities: HashMap<String, u64>) -> Self {
        Self(capacities.into_iter().map(|(kind, capacity)| (kind, Cache::new(capacity))).collect())
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        key: &str,
        now_ms: Millis,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.kind(kind)?.get(key.as_bytes(), now_ms).map(|payload| PyBytes::new(py, &payload)))
    }

    fn put(&self, kind: &str, key: &str, payload: Vec<u8>, expires_at_ms: Millis) -> PyResult<()> {
        self.kind(kind)?.put(key.as_bytes(), payload.into(), expires_at_ms);
        Ok(())
    }

    fn invalidate(&self, kind: &str, key: &str) -> PyResult<()> {
        self.kind(kind)?.invalidate(key.as_bytes());
        Ok(())
    }

    fn clear(&self) {
        self.0.values().for_each(Cache::clear);
    }

    /// By kind: hits, misses, stores, invalidations, entries, bytes.
    fn stats(&self) -> HashMap<&str, HashMap<&'static str, u64>> {
        self.0.iter().map(|(kind, cache)| (kind.as_str(), by_name(cache.stats()))).collect()
    }
}

fn by_name(stats: Stats) -> HashMap<&'static str, u64> {
    HashMap::from([
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("stores", stats.stores),
        ("invalidations", stats.invalidations),
        ("entries", stats.entries),
        ("bytes", stats.bytes),
    ])
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<L1>()
}
