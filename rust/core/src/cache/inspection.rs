//! One entry as people look at it: nothing is served, counted or removed.
use couponry_cache::{Cache, Millis, Now};
use pyo3::{prelude::*, types::PyDict};

pub(super) fn inspect<'py>(py: Python<'py>, cache: &Cache, key: &[u8], now: Now) -> PyResult<Bound<'py, PyDict>> {
    let told = PyDict::new(py);
    told.set_item("floors", cache.floors(key, now.mono))?;
    let Some(entry) = cache.peek(key) else {
        told.set_item("held", false)?;
        return Ok(told);
    };
    let (stored, expires) = entry.lifetime();
    let ends = (entry.valid_through() != Millis::MAX).then_some(entry.valid_through());
    told.set_item("held", true)?;
    told.set_item("absent", entry.payload().is_none())?;
    told.set_item("bytes", entry.payload().map_or(0, |payload| payload.len()))?;
    told.set_item("rows", entry.rows().to_vec())?;
    told.set_item("hits", entry.hits())?;
    told.set_item("age_ms", now.mono - stored)?;
    told.set_item("left_ms", expires - now.mono)?;
    told.set_item("valid_through_ms", ends)?;
    Ok(told)
}
