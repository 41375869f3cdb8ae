//! One call, from its bytes to those of its answer.
use std::sync::Arc;

use couponry_discount::{BestDecision, Cart, Coupon, CouponSpec, Rules, apply_given, best_within};

use crate::held::{Template, Wallet};
use crate::request::Request;
use crate::response::{Answered, Named};

/// A choice that needs more than this is the handler's: here everybody waits for it. About a millisecond.
const WORK: i64 = 1_000;

/// What L1 holds. `None`: not now, or not in a form that is answered here.
pub trait Source {
    fn wallet(&self, user_id: &str) -> Option<Arc<Wallet>>;
    fn template(&self, template_id: i64) -> Option<Arc<Template>>;
}

/// An entry that an answer lacks.
#[derive(Debug, PartialEq, Eq)]
pub enum Lack<'r> {
    /// Of this user.
    Wallet(&'r str),
    Template(i64),
}

/// Answers calls under one set of rules.
pub struct Calculator(Rules);

impl Calculator {
    /// `minimum_payable` is each call's own.
    pub fn new(rules: Rules) -> Self {
        Self(rules)
    }

    /// The CalculateDiscountResponse to a CalculateDiscountRequest.
    pub fn answer(&self, request: &[u8], source: &impl Source, now: i64) -> Option<Vec<u8>> {
        let request = Request::read(request, self.0.submitted_limit())?;
        let rules = self.0.with_minimum_payable(request.minimum_payable).ok()?;
        let (mut coupons, mut named, mut again) = (Vec::new(), Vec::<Named>::new(), Vec::new());
        if !request.coupon_ids.is_empty() {
            let wallet = source.wallet(request.user_id)?;
            for &coupon_id in &request.coupon_ids {
                let held = wallet.find(coupon_id)?;
                let name = Named { coupon_id, template_id: held.template_id };
                if named.iter().any(|earlier| earlier.coupon_id == coupon_id) {
                    again.push(name);
                    continue;
                }
                let template = source.template(held.template_id)?;
                if template.has_budget {
                    return None;
                }
                named.push(name);
                coupons.push(
                    Coupon::new(CouponSpec {
                        coupon_id,
                        template_id: held.template_id,
                        terms: Arc::clone(&template.terms),
                        valid_from: held.valid_from,
                        valid_until: held.valid_until,
                        state: held.state_at(now),
                        template_paused: template.paused,
                        budget_left: None,
                    })
                    .ok()?,
                );
            }
        }
        let cart = Cart::new(request.cart).ok()?;
        let (decision, certificate) = if request.best {
            let BestDecision { decision, certificate } = best_within(&cart, &coupons, &rules, now, WORK).ok()?;
            if !certificate.exact {
                return None;
            }
            (decision, Some(certificate))
        } else {
            (apply_given(&cart, &coupons, &rules, now).ok()?, None)
        };
        let answered = Answered {
            cart: &cart,
            coupons: &named,
            decision: &decision,
            certificate: certificate.as_ref(),
            again: &again,
        };
        Some(answered.write())
    }

    /// What there would have to be for an answer, as far as can be told; `None` where no entry would help.
    pub fn lacks<'r>(&self, request: &'r [u8], source: &impl Source) -> Option<Vec<Lack<'r>>> {
        let request = Request::read(request, self.0.submitted_limit())?;
        if request.coupon_ids.is_empty() {
            return None;
        }
        let Some(wallet) = source.wallet(request.user_id) else {
            return Some(vec![Lack::Wallet(request.user_id)]);
        };
        let mut lacking = Vec::new();
        for &coupon_id in &request.coupon_ids {
            let template_id = wallet.find(coupon_id)?.template_id;
            match source.template(template_id) {
                Some(template) if template.has_budget => return None,
                Some(_) => {}
                None if lacking.contains(&Lack::Template(template_id)) => {}
                None => lacking.push(Lack::Template(template_id)),
            }
        }
        Some(lacking)
    }
}
