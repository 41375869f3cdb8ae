//! A decision as a CalculateDiscountResponse.
use couponry_discount::{
    Applied, Cart, Certificate, Decision, Hint, LineReceipt, LineShare, Refusal, Rejected, ShipmentReceipt,
};

use crate::fields::Backwards;

/// The one line of a total without lines.
const ORDER_TOTAL_LINE_ID: &str = "order_total";
const REASON_DUPLICATE: i64 = 8;
const OPTIMALITY_EXACT: i64 = 1;
const OPTIMALITY_BOUNDED: i64 = 2;

/// What the answer calls a coupon.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) coupon_id: i64,
    pub(crate) template_id: i64,
}

pub(crate) struct Answered<'a> {
    pub(crate) cart: &'a Cart,
    /// By their place in the decision.
    pub(crate) coupons: &'a [Named],
    pub(crate) decision: &'a Decision,
    /// Of a chosen set.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Coupons that were named before, in the order of the call.
    pub(crate) again: &'a [Named],
}

impl Answered<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Backwards::with_capacity(512 + 128 * self.decision.lines.len());
        if let Some(certificate) = self.certificate {
            out.message(2, |out| self.certificate(out, certificate));
        }
        out.message(1, |out| self.decision(out));
        out.finish()
    }

    fn decision(&self, out: &mut Backwards) {
        let decision = self.decision;
        out.text(9, self.cart.currency());
        out.number(8, decision.payable);
        out.number(7, decision.discount);
        out.number(6, decision.original);
        for hint in decision.hints.iter().rev() {
            out.message(5, |out| self.hint(out, hint));
        }
        for (place, receipt) in decision.shipments.iter().enumerate().rev() {
            out.message(4, |out| self.shipment_receipt(out, place, receipt));
        }
        for (place, receipt) in decision.lines.iter().enumerate().rev() {
            out.message(3, |out| self.line_receipt(out, place, receipt));
        }
        for named in self.again.iter().rev() {
            out.message(2, |out| {
                out.number(3, REASON_DUPLICATE);
                name(out, *named);
            });
        }
        for rejected in decision.rejected.iter().rev() {
            out.message(2, |out| self.rejected(out, rejected));
        }
        for applied in decision.applied.iter().rev() {
            out.message(1, |out| self.applied(out, applied));
        }
    }

    fn applied(&self, out: &mut Backwards, applied: &Applied) {
        out.number(6, applied.unused);
        for &(place, discount) in applied.shipments.iter().rev() {
            out.message(5, |out| {
                out.number(2, discount);
                out.text(1, self.shipment_id(place));
            });
        }
        for share in applied.lines.iter().rev() {
            out.message(4, |out| self.share(out, share));
        }
        out.number(3, applied.discount);
        name(out, self.coupons[applied.coupon]);
    }

    fn share(&self, out: &mut Backwards, share: &LineShare) {
        for run in share.units.iter().rev() {
            out.message(3, |out| {
                out.number(3, run.amount);
                out.number(2, run.count);
                out.number(1, run.from);
            });
        }
        out.number(2, share.discount);
        out.text(1, self.line_id(share.line));
    }

    fn rejected(&self, out: &mut Backwards, rejected: &Rejected) {
        match &rejected.refusal {
            Refusal::BudgetExhausted { left } => out.present(8, *left),
            Refusal::NotInBest { less_by } => out.present(7, *less_by),
            Refusal::GroupLimit { group } => out.text(6, group),
            Refusal::Exclusive { with } => out.present(5, *with),
            Refusal::MinSpendNotMet { short_by } | Refusal::MinQuantityNotMet { short_by } => {
                out.present(4, *short_by);
            }
            _ => {}
        }
        out.number(3, reason(&rejected.refusal));
        name(out, self.coupons[rejected.coupon]);
    }

    fn line_receipt(&self, out: &mut Backwards, place: usize, receipt: &LineReceipt) {
        for &(count, net) in receipt.units.iter().rev() {
            out.message(5, |out| {
                out.number(2, net);
                out.number(1, count);
            });
        }
        out.number(4, receipt.net);
        out.number(3, receipt.discount);
        out.number(2, receipt.list);
        out.text(1, self.line_id(place));
    }

    fn shipment_receipt(&self, out: &mut Backwards, place: usize, receipt: &ShipmentReceipt) {
        out.number(4, receipt.net);
        out.number(3, receipt.discount);
        out.number(2, receipt.list);
        out.text(1, self.shipment_id(place));
    }

    fn hint(&self, out: &mut Backwards, hint: &Hint) {
        let coupon = match *hint {
            Hint::NextTier { coupon, amount_off, short_by } => {
                out.message(2, |out| {
                    out.number(2, short_by);
                    out.number(1, amount_off);
                });
                coupon
            }
            Hint::Unused { coupon, amount } => {
                out.present(3, amount);
                coupon
            }
            Hint::Unlock { coupon, short_by } => {
                out.message(4, |out| out.number(1, short_by));
                coupon
            }
        };
        out.number(1, self.coupons[coupon].coupon_id);
    }

    fn certificate(&self, out: &mut Backwards, certificate: &Certificate) {
        let id = |&place: &usize| self.coupons[place].coupon_id;
        out.number(5, i64::try_from(certificate.nodes).unwrap_or(i64::MAX));
        if let Some(runner_up) = &certificate.runner_up {
            out.message(4, |out| {
                out.number(2, runner_up.less_by);
                out.packed(1, runner_up.coupons.iter().rev().map(id));
            });
        }
        out.packed(3, self.decision.applied.iter().rev().map(|applied| id(&applied.coupon)));
        out.number(2, certificate.gap);
        out.number(1, if certificate.exact { OPTIMALITY_EXACT } else { OPTIMALITY_BOUNDED });
    }

    fn line_id(&self, place: usize) -> &str {
        if self.cart.is_total() { ORDER_TOTAL_LINE_ID } else { &self.cart.lines()[place].line_id }
    }

    fn shipment_id(&self, place: usize) -> &str {
        &self.cart.shipments()[place].shipment_id
    }
}

fn name(out: &mut Backwards, named: Named) {
    out.number(2, named.template_id);
    out.number(1, named.coupon_id);
}

/// The numbers of the enum Reason.
fn reason(refusal: &Refusal) -> i64 {
    match refusal {
        Refusal::NotStarted => 2,
        Refusal::Expired => 3,
        Refusal::TemplatePaused => 4,
        Refusal::Used => 5,
        Refusal::Locked => 6,
        Refusal::Revoked => 7,
        Refusal::Duplicate => REASON_DUPLICATE,
        Refusal::BudgetExhausted { .. } => 22,
        Refusal::ScopeMismatch => 40,
        Refusal::MinSpendNotMet { .. } => 41,
        Refusal::MinQuantityNotMet { .. } => 42,
        Refusal::CurrencyMismatch => 43,
        Refusal::Overshoot => 44,
        Refusal::NoEffect => 45,
        Refusal::Exclusive { .. } => 60,
        Refusal::GroupLimit { .. } => 61,
        Refusal::StackLimit => 62,
        Refusal::NotInBest { .. } => 63,
    }
}
