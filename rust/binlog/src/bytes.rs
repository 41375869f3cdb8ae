//! Reading of little-endian fields from a slice, each checked: an event that ends early is an error, never a panic.
use crate::error::Broken;

/// What is left of an event's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Broken::Short)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Broken> {
        self.bytes(count).map(drop)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Broken::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Broken> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Broken> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u24(&mut self) -> Result<u32, Broken> {
        self.array::<3>().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u48(&mut self) -> Result<u64, Broken> {
        self.array::<6>().map(|[a, b, c, d, e, f]| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Broken> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length-encoded integer: one byte, or a mark and two, three or eight.
    #[inline]
    pub(crate) fn packed(&mut self) -> Result<usize, Broken> {
        let value = match self.u8()? {
            small @ 0..=250 => u64::from(small),
            252 => u64::from(self.u16()?),
            253 => u64::from(self.u24()?),
            254 => self.u64()?,
            _ => return Err(Broken::Length),
        };
        usize::try_from(value).map_err(|_| Broken::Length)
    }
}

/// Whether bit `index` of a bitmap is set; past its end, no.
#[inline]
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
