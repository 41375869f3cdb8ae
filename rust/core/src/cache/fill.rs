//! `couponry._core.Fill`: one load of one key.
use std::sync::Arc;

use couponry_cache::{Draft, Millis, Source};
use pyo3::prelude::*;

use super::Shared;

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub(crate) struct Fill {
    fill: couponry_cache::Fill,
    shared: Arc<Shared>,
}

impl Fill {
    pub(crate) fn new(fill: couponry_cache::Fill, shared: Arc<Shared>) -> Self {
        Self { fill, shared }
    }
}

#[pymethods]
impl Fill {
    #[getter]
    fn detached(&self) -> bool {
        self.fill.is_detached()
    }

    #[pyo3(signature = (rows, *, sent_ms=None))]
    fn refusal(&self, rows: Vec<(i64, i64)>, sent_ms: Option<Millis>) -> Option<&'static str> {
        let refused = self.fill.admits(&rows, source(sent_ms, true), self.shared.clock.now());
        refused.err().map(couponry_cache::Refused::name)
    }

    #[pyo3(signature = (payload, rows, *, life_ms, valid_through_ms=None, sent_ms=None, since_first=false))]
    fn store(
        &self,
        payload: Option<Vec<u8>>,
        rows: Vec<(i64, i64)>,
        life_ms: Millis,
        valid_through_ms: Option<Millis>,
        sent_ms: Option<Millis>,
        since_first: bool,
    ) -> Option<&'static str> {
        let draft = Draft {
            rows,
            payload: payload.map(Into::into),
            decoded: None,
            valid_through: valid_through_ms,
            life: life_ms,
        };
        let stored = self.fill.store(draft, source(sent_ms, since_first), self.shared.clock.now());
        stored.err().map(couponry_cache::Refused::name)
    }
}

fn source(sent_ms: Option<Millis>, since_first: bool) -> Source {
    sent_ms.map_or(Source::L2 { since_first }, |sent| Source::Sql { sent })
}
