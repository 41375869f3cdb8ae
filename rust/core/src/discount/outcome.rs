//! What the calculator answered, handed out part by part: most callers look at a few figures of a decision.
use couponry_discount::{Certificate, Decision, Hint, Refusal};
use pyo3::prelude::*;

type LineShares = Vec<(usize, i64, Vec<(i64, i64, i64)>)>;
type AppliedRow = (usize, i64, LineShares, Vec<(usize, i64)>, i64);
pub(super) type RejectedRow = (usize, &'static str, Option<i64>, Option<i64>, Option<String>, Option<i64>, Option<i64>);
type LineRow = (i64, i64, i64, Vec<(i64, i64)>);
type HintRow = (usize, &'static str, i64, i64);
type CertificateRow = (bool, i64, Option<(Vec<usize>, i64)>, u64);

/// A decision; coupons, lines and shipments are named by their place in the input.
#[pyclass(frozen, module = "couponry._core")]
pub(super) struct Outcome {
    decision: Decision,
    certificate: Option<Certificate>,
}

impl Outcome {
    pub(super) fn new(decision: Decision, certificate: Option<Certificate>) -> Self {
        Self { decision, certificate }
    }
}

#[pymethods]
impl Outcome {
    #[getter]
    fn original(&self) -> i64 {
        self.decision.original
    }

    #[getter]
    fn discount(&self) -> i64 {
        self.decision.discount
    }

    #[getter]
    fn payable(&self) -> i64 {
        self.decision.payable
    }

    #[getter]
    fn applied(&self) -> Vec<AppliedRow> {
        let rows = self.decision.applied.iter().map(|applied| {
            let lines = applied.lines.iter().map(|share| {
                let units = share.units.iter().map(|run| (run.from, run.count, run.amount)).collect();
                (share.line, share.discount, units)
            });
            (applied.coupon, applied.discount, lines.collect(), applied.shipments.clone(), applied.unused)
        });
        rows.collect()
    }

    #[getter]
    fn rejected(&self) -> Vec<RejectedRow> {
        self.decision.rejected.iter().map(|rejected| row_of_refusal(rejected.coupon, &rejected.refusal)).collect()
    }

    #[getter]
    fn lines(&self) -> Vec<LineRow> {
        let lines = self.decision.lines.iter();
        lines.map(|line| (line.list, line.discount, line.net, line.units.to_vec())).collect()
    }

    #[getter]
    fn shipments(&self) -> Vec<(i64, i64, i64)> {
        let shipments = self.decision.shipments.iter();
        shipments.map(|shipment| (shipment.list, shipment.discount, shipment.net)).collect()
    }

    /// (coupon, what, amount, short_by)
    #[getter]
    fn hints(&self) -> Vec<HintRow> {
        let rows = self.decision.hints.iter().map(|hint| match *hint {
            Hint::NextTier { coupon, amount_off, short_by } => (coupon, "next_tier", amount_off, short_by),
            Hint::Unused { coupon, amount } => (coupon, "unused", amount, 0),
            Hint::Unlock { coupon, short_by } => (coupon, "unlock", 0, short_by),
        });
        rows.collect()
    }

    /// (exact, gap, (coupons, less_by) of the runner-up, nodes); None of a decision on given coupons.
    #[getter]
    fn certificate(&self) -> Option<CertificateRow> {
        let certificate = self.certificate.as_ref()?;
        let runner_up = certificate.runner_up.as_ref().map(|other| (other.coupons.clone(), other.less_by));
        Some((certificate.exact, certificate.gap, runner_up, certificate.nodes))
    }
}

/// (coupon, reason, short_by, with_coupon_id, group, left, less_by)
pub(super) fn row_of_refusal(coupon: usize, refusal: &Refusal) -> RejectedRow {
    let mut row: RejectedRow = (coupon, refusal.name(), None, None, None, None, None);
    match refusal {
        Refusal::MinSpendNotMet { short_by } | Refusal::MinQuantityNotMet { short_by } => row.2 = Some(*short_by),
        Refusal::Exclusive { with } => row.3 = Some(*with),
        Refusal::GroupLimit { group } => row.4 = Some(group.clone()),
        Refusal::BudgetExhausted { left } => row.5 = Some(*left),
        Refusal::NotInBest { less_by } => row.6 = Some(*less_by),
        _ => {}
    }
    row
}
