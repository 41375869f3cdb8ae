//! The rules of the request and of the shop: the least amount payable, and the limits of the default groups.
use crate::violation::Violations;

pub const MAX_SUBMITTED: usize = 30;

/// Rules as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesSpec {
    /// Goods and shipping; no coupon goes below it.
    pub minimum_payable: i64,
    /// Coupons of the default group `@percent_or_threshold`.
    pub percent_or_threshold_limit: i64,
    /// Coupons of the default group `@unit_price`.
    pub unit_price_limit: i64,
    /// Coupons of the default group `@instant_off`.
    pub instant_limit: i64,
    /// Coupons of the default group `@free_shipping`.
    pub free_shipping_limit: i64,
    /// Coupons applied in all: the group `@count`.
    pub count_limit: i64,
    /// Coupons submitted in one call.
    pub submitted_limit: i64,
}

impl Default for RulesSpec {
    fn default() -> Self {
        Self {
            minimum_payable: 0,
            percent_or_threshold_limit: 1,
            unit_price_limit: 1,
            instant_limit: 2,
            free_shipping_limit: 1,
            count_limit: 5,
            submitted_limit: MAX_SUBMITTED as i64,
        }
    }
}

/// Checked rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub(crate) RulesSpec);

impl Rules {
    pub fn new(spec: RulesSpec) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        violations.at_least("minimum_payable", spec.minimum_payable, 0);
        for (field, limit) in [
            ("percent_or_threshold_limit", spec.percent_or_threshold_limit),
            ("unit_price_limit", spec.unit_price_limit),
            ("instant_limit", spec.instant_limit),
            ("free_shipping_limit", spec.free_shipping_limit),
            ("count_limit", spec.count_limit),
            ("submitted_limit", spec.submitted_limit),
        ] {
            violations.between(field, limit, 1, MAX_SUBMITTED as i64);
        }
        violations.or(Self(spec))
    }

    /// These rules for a call with another least amount payable.
    pub fn with_minimum_payable(&self, minimum_payable: i64) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        violations.at_least("minimum_payable", minimum_payable, 0);
        violations.or(Self(RulesSpec { minimum_payable, ..self.0.clone() }))
    }

    pub fn submitted_limit(&self) -> usize {
        usize::try_from(self.0.submitted_limit).unwrap_or(MAX_SUBMITTED)
    }

    /// Refuses a call with too many coupons.
    pub fn check_submitted(&self, count: usize) -> Result<(), Violations> {
        let mut violations = Violations::default();
        violations.at_most_entries("coupons", count, self.submitted_limit());
        violations.or(())
    }
}
