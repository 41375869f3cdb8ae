//! What the layers keep, as the calculator wants it: made once from the bytes of an entry, and used by every call until
//! the entry goes.
use std::sync::Arc;

use couponry_discount::{State, Terms};

use crate::fields::{each, milliseconds, once};
use crate::terms::read_terms;

const UNUSED: i64 = 1;
const LOCKED: i64 = 2;
const TEMPLATE_PAUSED: i64 = 2;

/// A user's live coupons: those that are UNUSED or LOCKED as written.
#[derive(Debug)]
pub struct Wallet(Vec<Held>);

/// A live coupon.
#[derive(Debug)]
pub(crate) struct Held {
    coupon_id: i64,
    pub(crate) template_id: i64,
    locked: bool,
    locked_until: Option<i64>,
    pub(crate) valid_from: Option<i64>,
    pub(crate) valid_until: Option<i64>,
}

impl Wallet {
    /// From a ListUserCouponsResponse.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut coupons = Vec::new();
        each(message, |field, value| {
            if field == 1 {
                coupons.push(Held::read(value.bytes()?)?);
            }
            Some(())
        })?;
        coupons.sort_unstable_by_key(|coupon| coupon.coupon_id);
        Some(Self(coupons))
    }

    pub(crate) fn find(&self, coupon_id: i64) -> Option<&Held> {
        let place = self.0.binary_search_by_key(&coupon_id, |coupon| coupon.coupon_id).ok()?;
        self.0.get(place)
    }

    /// Bytes beside the entry's own.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.0.capacity() * size_of::<Held>()
    }
}

impl Held {
    fn read(message: &[u8]) -> Option<Self> {
        let (mut coupon_id, mut template_id, mut state) = (0, 0, 0);
        let (mut valid_from, mut valid_until, mut locked_until) = (None, None, None);
        each(message, |field, value| {
            match field {
                1 => coupon_id = value.number()?,
                4 => template_id = value.number()?,
                5 => state = value.number()?,
                7 => once(&mut valid_from, milliseconds(value.bytes()?)?)?,
                8 => once(&mut valid_until, milliseconds(value.bytes()?)?)?,
                12 => once(&mut locked_until, milliseconds(value.bytes()?)?)?,
                _ => {}
            }
            Some(())
        })?;
        let locked = match state {
            UNUSED => false,
            LOCKED => true,
            _ => return None,
        };
        Some(Self { coupon_id, template_id, locked, locked_until, valid_from, valid_until })
    }

    /// What it reads as: what is stored is only what was written last.
    pub(crate) fn state_at(&self, now: i64) -> State {
        if self.locked && self.locked_until.is_none_or(|until| until > now) {
            State::Locked
        } else if self.valid_until.unwrap_or(0) <= now {
            State::Expired
        } else {
            State::Unused
        }
    }
}

/// A template as far as prices go.
#[derive(Debug)]
pub struct Template {
    pub(crate) terms: Arc<Terms>,
    pub(crate) paused: bool,
    /// What is left of its budget is in the database only.
    pub(crate) has_budget: bool,
}

impl Template {
    /// From a Template.
    pub fn read(message: &[u8]) -> Option<Self> {
        let (mut spec, mut state) = (None, 0);
        each(message, |field, value| {
            match field {
                2 => once(&mut spec, value.bytes()?)?,
                3 => state = value.number()?,
                _ => {}
            }
            Some(())
        })?;
        let (mut terms, mut has_budget) = (None, false);
        each(spec?, |field, value| {
            match field {
                5 => once(&mut terms, value.bytes()?)?,
                13 => has_budget = true,
                _ => {}
            }
            Some(())
        })?;
        let terms = Terms::new(read_terms(terms?)?).ok()?;
        Some(Self { terms: Arc::new(terms), paused: state == TEMPLATE_PAUSED, has_budget })
    }
}
