//! CalculateDiscount answered from L1: `couponry-pricing` over users' live coupons and templates, each entry decoded once
//! in its life. What L1 lacks, and what that crate leaves alone, is the handler's, whose reads fill L1.
use std::sync::Arc;

use couponry_cache::{Cache, Now};
use couponry_pricing::{Calculator, Source, Template, Wallet};
use couponry_wire::{Answer, Caller, Hot, framing};
use pyo3::prelude::*;

use crate::cache::{L1, Shared};

pub struct CalculateHot {
    shared: Arc<Shared>,
    users: Arc<Cache>,
    templates: Arc<Cache>,
    calculator: Calculator,
    /// The longest reply; a longer one is the handler's to refuse.
    most: usize,
}

impl CalculateHot {
    pub fn new(l1: &L1, user_kind: &str, template_kind: &str, calculator: Calculator, most: usize) -> PyResult<Self> {
        let (users, templates) = (Arc::clone(l1.kind(user_kind)?), Arc::clone(l1.kind(template_kind)?));
        Ok(Self { shared: l1.shared(), users, templates, calculator, most })
    }
}

impl Hot for CalculateHot {
    fn answer(&self, request: &[u8], _caller: Caller) -> Answer {
        let now = self.shared.clock.now();
        let held = Held { hot: self, now };
        match self.calculator.answer(request, &held, now.wall) {
            Some(message) if message.len() <= self.most => Answer::Frame(framing::frame(false, &message)),
            _ => Answer::Miss,
        }
    }
}

/// What L1 holds at one moment.
struct Held<'h> {
    hot: &'h CalculateHot,
    now: Now,
}

impl Source for Held<'_> {
    fn wallet(&self, user_id: &str) -> Option<Arc<Wallet>> {
        self.hot.users.try_get(user_id.as_bytes(), self.now)?.decoded(|payload| Wallet::read(payload))
    }

    fn template(&self, template_id: i64) -> Option<Arc<Template>> {
        let key = template_id.to_string();
        self.hot.templates.try_get(key.as_bytes(), self.now)?.decoded(|payload| Template::read(payload))
    }
}
