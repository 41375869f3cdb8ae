//! `couponry._core.CodeKey`: coupon ids to codes and back.
use couponry_codes::{CodeKey as Key, KEY_BYTES};
use pyo3::{exceptions::PyValueError, prelude::*};

/// The key that turns coupon ids into codes: 16 bytes.
#[pyclass(frozen)]
pub(crate) struct CodeKey(Key);

impl CodeKey {
    /// The code as people see it, `XXXX-XXXX-XXXX`; None for an id that no coupon has.
    pub(crate) fn grouped(&self, coupon_id: u64) -> Option<[u8; 14]> {
        let code = self.0.characters(coupon_id)?;
        let mut out = [b'-'; 14];
        for (group, digits) in out.chunks_mut(5).zip(code.chunks_exact(4)) {
            group.get_mut(..4)?.copy_from_slice(digits);
        }
        Some(out)
    }
}

#[pymethods]
impl CodeKey {
    #[new]
    fn new(key: &[u8]) -> PyResult<Self> {
        let key: &[u8; KEY_BYTES] =
            key.try_into().map_err(|_| PyValueError::new_err(format!("a code key has {KEY_BYTES} bytes")))?;
        Ok(Self(Key::new(key)))
    }

    fn encode(&self, coupon_id: u64) -> PyResult<String> {
        self.0.encode(coupon_id).ok_or_else(|| PyValueError::new_err("a coupon id is below 2^53"))
    }

    fn decode(&self, typed: &str) -> Option<u64> {
        self.0.decode(typed)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CodeKey>()
}
