//! Why a coupon is left out, with typed details. The names are those of the wire's enum `Reason`; what is found before
//! the calculation (not found, over a limit) is not among them.

/// One reason and its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotStarted,
    Expired,
    TemplatePaused,
    Used,
    Locked,
    Revoked,
    Duplicate,
    /// What the template's budget still has at this coupon's turn.
    BudgetExhausted {
        left: i64,
    },
    ScopeMismatch,
    /// Minor units of eligible goods at list price.
    MinSpendNotMet {
        short_by: i64,
    },
    /// Eligible units.
    MinQuantityNotMet {
        short_by: i64,
    },
    CurrencyMismatch,
    Overshoot,
    NoEffect,
    /// The applied coupon beside which this one cannot stand.
    Exclusive {
        with: i64,
    },
    /// The group that is full; default groups and `@count` begin with "@".
    GroupLimit {
        group: String,
    },
    StackLimit,
    /// In the answer of `best`: what the best set with this coupon takes less than the best of all.
    NotInBest {
        less_by: i64,
    },
}

impl Refusal {
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Expired => "EXPIRED",
            Self::TemplatePaused => "TEMPLATE_PAUSED",
            Self::Used => "USED",
            Self::Locked => "LOCKED",
            Self::Revoked => "REVOKED",
            Self::Duplicate => "DUPLICATE",
            Self::BudgetExhausted { .. } => "BUDGET_EXHAUSTED",
            Self::ScopeMismatch => "SCOPE_MISMATCH",
            Self::MinSpendNotMet { .. } => "MIN_SPEND_NOT_MET",
            Self::MinQuantityNotMet { .. } => "MIN_QUANTITY_NOT_MET",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::Overshoot => "OVERSHOOT",
            Self::NoEffect => "NO_EFFECT",
            Self::Exclusive { .. } => "EXCLUSIVE",
            Self::GroupLimit { .. } => "GROUP_LIMIT",
            Self::StackLimit => "STACK_LIMIT",
            Self::NotInBest { .. } => "NOT_IN_BEST",
        }
    }
}
