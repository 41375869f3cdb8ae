//! A user's coupon with the terms of its template.
use std::sync::Arc;

use crate::terms::Terms;
use crate::violation::Violations;

/// State of a user's coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unused,
    Locked,
    Used,
    Expired,
    Revoked,
    /// A flash-sale win whose row is not yet in the database: priced as unused.
    Pending,
}

impl State {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "UNUSED" => Self::Unused,
            "LOCKED" => Self::Locked,
            "USED" => Self::Used,
            "EXPIRED" => Self::Expired,
            "REVOKED" => Self::Revoked,
            "PENDING" => Self::Pending,
            _ => return None,
        })
    }
}

/// A coupon as sent. Times are milliseconds since 1970 in UTC; the window is `[valid_from, valid_until)`.
#[derive(Clone, Debug)]
pub struct CouponSpec {
    pub coupon_id: i64,
    pub template_id: i64,
    pub terms: Arc<Terms>,
    /// Absent: no limit on that side.
    pub valid_from: Option<i64>,
    pub valid_until: Option<i64>,
    pub state: State,
    pub template_paused: bool,
    /// What the template's budget has left; absent: there is no budget.
    pub budget_left: Option<i64>,
}

/// A checked coupon.
#[derive(Clone, Debug)]
pub struct Coupon(pub(crate) CouponSpec);

impl Coupon {
    pub fn new(spec: CouponSpec) -> Result<Self, Violations> {
        let window = (spec.valid_from, spec.valid_until);
        Self::check(spec.coupon_id, spec.template_id, window, spec.budget_left).or(Self(spec))
    }

    /// What is wrong with a coupon, its terms apart.
    pub fn check(
        coupon_id: i64,
        template_id: i64,
        window: (Option<i64>, Option<i64>),
        budget_left: Option<i64>,
    ) -> Violations {
        let mut violations = Violations::default();
        violations.own_id("coupon_id", coupon_id);
        violations.own_id("template_id", template_id);
        if let (Some(from), Some(until)) = window
            && from >= until
        {
            violations.add("valid_until", "must be later than valid_from");
        }
        if let Some(left) = budget_left {
            violations.at_least("budget_left", left, 0);
        }
        violations
    }
}
