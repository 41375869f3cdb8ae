//! CalculateDiscount answered from L1: `couponry-pricing` over users' live coupons and templates, each entry decoded once
//! in its life. What L1 lacks is fetched into it; what that crate leaves alone is the handler's.
use std::sync::Arc;

use bytes::Bytes;
use couponry_cache::{Cache, Now};
use couponry_pricing::{Calculator, Lack, Source, Template, Wallet};
use couponry_wire::{Answer, Caller, Hot, framing};
use pyo3::prelude::*;

use crate::cache::{L1, Shared};

pub struct CalculateHot {
    shared: Arc<Shared>,
    user_kind: String,
    users: Arc<Cache>,
    template_kind: String,
    templates: Arc<Cache>,
    calculator: Calculator,
    /// The longest reply; a longer one is the handler's to refuse.
    most: usize,
}

impl CalculateHot {
    pub fn new(
        l1: &L1,
        user_kind: String,
        template_kind: String,
        calculator: Calculator,
        most: usize,
    ) -> PyResult<Self> {
        let (users, templates) = (Arc::clone(l1.kind(&user_kind)?), Arc::clone(l1.kind(&template_kind)?));
        Ok(Self { shared: l1.shared(), user_kind, users, template_kind, templates, calculator, most })
    }

    fn held(&self) -> Held<'_> {
        Held { hot: self, now: self.shared.clock.now() }
    }
}

impl Hot for CalculateHot {
    fn answer(&self, request: &[u8], _caller: Caller) -> Answer {
        self.compose(request, &[]).map_or(Answer::Miss, Answer::Frame)
    }

    /// `kind:key` of the entries that are not in L1.
    fn keys(&self, request: &[u8]) -> Option<Vec<String>> {
        let lacking = self.calculator.lacks(request, &self.held())?;
        let key = |lack: &Lack<'_>| match lack {
            Lack::Wallet(user_id) => format!("{}:{user_id}", self.user_kind),
            Lack::Template(template_id) => format!("{}:{template_id}", self.template_kind),
        };
        Some(lacking.iter().map(key).collect())
    }

    /// From L1: what was fetched is there by now, or the handler has the call.
    fn compose(&self, request: &[u8], _items: &[&[u8]]) -> Option<Bytes> {
        let held = self.held();
        let message = self.calculator.answer(request, &held, held.now.wall)?;
        (message.len() <= self.most).then(|| framing::frame(false, &message))
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
