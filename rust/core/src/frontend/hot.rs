//! Methods answered without Python. Each is one `couponry_wire::Hot` in the engine's table of methods.
use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use couponry_wire::{Answer, Caller, Hot, framing, protobuf};
use parking_lot::RwLock;
use pyo3::prelude::*;

use crate::cache::L1;

/// Most items of one answer; a request for more is the handler's to refuse.
const MOST_ITEMS: usize = 200;

/// Answers by id from L1: the request holds nothing but an id (or ids), the answer is the stored message as a field, or
/// with an `item_field` of 0 the stored message itself.
/// Every other request, and every miss, is the handler's.
pub struct L1Hot {
    l1: Py<L1>,
    kind: String,
    key_field: u32,
    item_field: u32,
    many: bool,
}

impl L1Hot {
    pub fn new(l1: Py<L1>, kind: String, key_field: u32, item_field: u32, many: bool) -> Self {
        Self { l1, kind, key_field, item_field, many }
    }

    fn ids(&self, request: &[u8]) -> Option<Vec<i64>> {
        let ids = if self.many {
            protobuf::only_varints(request, self.key_field)?
        } else {
            vec![protobuf::only_varint(request, self.key_field)?]
        };
        if ids.is_empty() || ids.len() > MOST_ITEMS {
            return None;
        }
        ids.into_iter().map(|id| i64::try_from(id).ok()).collect()
    }

    fn items(&self, request: &[u8]) -> Option<Vec<Bytes>> {
        let l1 = self.l1.get();
        let held = |id: i64| l1.hot(&self.kind, id.to_string().as_bytes())?.payload().cloned();
        self.ids(request)?.into_iter().map(held).collect()
    }
}

impl Hot for L1Hot {
    fn answer(&self, request: &[u8], _caller: Caller) -> Answer {
        let Some(items) = self.items(request) else {
            return Answer::Miss;
        };
        self.compose(request, &items.iter().map(Bytes::as_ref).collect::<Vec<_>>()).map_or(Answer::Miss, Answer::Frame)
    }

    fn keys(&self, request: &[u8]) -> Option<Vec<String>> {
        Some(self.ids(request)?.iter().map(i64::to_string).collect())
    }

    fn compose(&self, _request: &[u8], items: &[&[u8]]) -> Option<Bytes> {
        let size: usize = items.iter().map(|item| item.len() + 12).sum();
        let mut message = Vec::with_capacity(size);
        for item in items {
            if self.item_field == 0 {
                message.extend_from_slice(item);
            } else {
                protobuf::put_field(&mut message, self.item_field, item);
            }
        }
        Some(framing::frame(false, &message))
    }
}

type Frames = RwLock<HashMap<Box<[u8]>, Bytes>>;

/// See `_core.pyi`.
#[pyclass(frozen, module = "couponry._core")]
pub struct HealthTable(Arc<Frames>);

#[pymethods]
impl HealthTable {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn set(&self, service: &str, status: u64) {
        let mut message = Vec::new();
        if status != 0 {
            message.push(0x08);
            protobuf::put_varint(&mut message, status);
        }
        self.0.write().insert(service.as_bytes().into(), framing::frame(false, &message));
    }
}

impl HealthTable {
    pub fn answerer(&self) -> Arc<dyn Hot> {
        Arc::new(Health(Arc::clone(&self.0)))
    }
}

struct Health(Arc<Frames>);

impl Hot for Health {
    fn answer(&self, request: &[u8], _caller: Caller) -> Answer {
        let found = protobuf::only_bytes(request, 1).and_then(|service| self.0.read().get(service).cloned());
        found.map_or(Answer::Miss, Answer::Frame)
    }
}
