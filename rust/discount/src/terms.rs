//! What a template promises. `TermsSpec` is flat, as it is sent; `Terms` is checked, and has exactly the fields of its
//! kind, so that the calculation meets no impossible combination.
use crate::cart::{Currency, MAX_QUANTITY};
use crate::rules::MAX_SUBMITTED;
use crate::scope::{Scope, ScopeSpec};
use crate::violation::Violations;

pub const MAX_TIERS: usize = 50;
const MAX_RATE_BP: i64 = 10_000;
const MAX_GROUP_BYTES: usize = 64;
const MAX_GROUP_SIZE: i64 = 1_000;

/// In the order of application within a class and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    PercentOff,
    NthItem,
    FixedPrice,
    ThresholdOff,
    InstantOff,
    FreeShipping,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::PercentOff => "PERCENT_OFF",
            Self::NthItem => "NTH_ITEM",
            Self::FixedPrice => "FIXED_PRICE",
            Self::ThresholdOff => "THRESHOLD_OFF",
            Self::InstantOff => "INSTANT_OFF",
            Self::FreeShipping => "FREE_SHIPPING",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::PercentOff, Self::NthItem, Self::FixedPrice, Self::ThresholdOff, Self::InstantOff, Self::FreeShipping]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// In the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Item,
    Shop,
    Platform,
    Shipping,
}

impl Class {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ITEM" => Self::Item,
            "SHOP" => Self::Shop,
            "PLATFORM" => Self::Platform,
            "SHIPPING" => Self::Shipping,
            _ => return None,
        })
    }
}

/// What happens when the amount is more than the basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overshoot {
    Clamp,
    Reject,
}

impl Overshoot {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "CLAMP" => Self::Clamp,
            "REJECT" => Self::Reject,
            _ => return None,
        })
    }
}

/// One step of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub min_spend: i64,
    pub amount_off: i64,
}

/// Every full `every`, take `amount_off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub every: i64,
    pub amount_off: i64,
}

/// Of every `group_size` eligible units, the `discounted_units` cheapest are `percent_off_bp` off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NthItem {
    pub group_size: i64,
    pub discounted_units: i64,
    pub percent_off_bp: i64,
    /// Absent: as many groups as there are.
    pub max_groups: Option<i64>,
}

/// The eligible units at `unit_price` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPrice {
    pub unit_price: i64,
    /// The dearest so many; absent: all.
    pub max_units: Option<i64>,
}

/// Terms as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermsSpec {
    pub kind: Kind,
    pub class: Class,
    pub currency: String,
    pub min_spend: i64,
    pub min_quantity: Option<i64>,
    pub amount_off: Option<i64>,
    pub percent_off_bp: Option<i64>,
    pub max_discount: Option<i64>,
    pub tiers: Vec<Tier>,
    pub repeat: Option<Repeat>,
    pub nth_item: Option<NthItem>,
    pub fixed_price: Option<FixedPrice>,
    pub scope: ScopeSpec,
    pub shop_id: Option<String>,
    pub priority: i64,
    /// Absent: the default groups. Empty: none.
    pub exclusive_group: Option<String>,
    pub stack_limit: i64,
    pub exclusive: bool,
    pub joint: bool,
    pub overshoot: Overshoot,
    pub exclude_sale_items: bool,
}

impl TermsSpec {
    /// Terms with no conditions and no amounts.
    pub fn new(kind: Kind, class: Class, currency: &str) -> Self {
        Self {
            kind,
            class,
            currency: currency.to_owned(),
            min_spend: 0,
            min_quantity: None,
            amount_off: None,
            percent_off_bp: None,
            max_discount: None,
            tiers: Vec::new(),
            repeat: None,
            nth_item: None,
            fixed_price: None,
            scope: ScopeSpec::default(),
            shop_id: None,
            priority: 0,
            exclusive_group: None,
            stack_limit: 1,
            exclusive: false,
            joint: false,
            overshoot: Overshoot::Clamp,
            exclude_sale_items: false,
        }
    }
}

/// Checked terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Class, priority and kind: smaller is applied earlier.
    pub(crate) turn: u64,
    pub(crate) kind: Kind,
    pub(crate) class: Class,
    pub(crate) currency: Currency,
    pub(crate) min_spend: i64,
    pub(crate) min_quantity: i64,
    pub(crate) benefit: Benefit,
    pub(crate) scope: Scope,
    pub(crate) shop_id: Option<String>,
    pub(crate) priority: i64,
    pub(crate) group: Grouping,
    pub(crate) stack_limit: i64,
    pub(crate) exclusive: bool,
    pub(crate) joint: bool,
    pub(crate) exclude_sale_items: bool,
}

/// What is taken off, with exactly the figures that its kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Benefit {
    Percent { rate_bp: i64, cap: Option<i64> },
    Amount { steps: Steps, overshoot: Overshoot },
    Shipping { cap: Option<i64> },
    NthItem { nth_item: NthItem, cap: Option<i64> },
    FixedPrice { fixed_price: FixedPrice, cap: Option<i64> },
}

/// How an amount grows with the spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    Flat(i64),
    /// Not empty.
    Tiers(Vec<Tier>),
    Every {
        repeat: Repeat,
        cap: Option<i64>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// The template says nothing: the default group of its kind.
    Default,
    None,
    Named(String),
}

impl Terms {
    pub fn new(spec: TermsSpec) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let turn = turn(&spec);
        check_class(&spec, &mut violations);
        let currency = Currency::check(&spec.currency, &mut violations);
        check_conditions(&spec, &mut violations);
        let benefit = benefit(&spec, &mut violations);
        let scope = violations.within(|| "scope".to_owned(), |found| Scope::new(spec.scope, found));
        violations.between("priority", spec.priority, i32::MIN.into(), i32::MAX.into());
        let group = grouping(spec.exclusive_group, &mut violations);
        violations.between("stack_limit", spec.stack_limit, 1, MAX_SUBMITTED as i64);
        match benefit {
            Some(benefit) => violations.or(Self {
                turn,
                kind: spec.kind,
                class: spec.class,
                currency,
                min_spend: spec.min_spend,
                min_quantity: spec.min_quantity.unwrap_or(0),
                benefit,
                scope,
                shop_id: spec.shop_id,
                priority: spec.priority,
                group,
                stack_limit: spec.stack_limit,
                exclusive: spec.exclusive,
                joint: spec.joint,
                exclude_sale_items: spec.exclude_sale_items,
            }),
            None => Err(violations),
        }
    }

    /// Whether every line is in scope, whatever it is: the only terms that a total without lines can meet.
    pub(crate) fn is_unscoped(&self) -> bool {
        self.scope.is_everything() && self.shop_id.is_none() && !self.exclude_sale_items
    }
}

fn turn(spec: &TermsSpec) -> u64 {
    // A priority beyond 32 bits is refused.
    let priority = i64::from(i32::MAX).saturating_sub(spec.priority) as u64 & 0xffff_ffff;
    (spec.class as u64) << 40 | priority << 4 | spec.kind as u64
}

fn check_class(spec: &TermsSpec, violations: &mut Violations) {
    if (spec.kind == Kind::FreeShipping) != (spec.class == Class::Shipping) {
        violations.add("coupon_class", "FREE_SHIPPING is of class SHIPPING, and no other kind is");
    }
    match &spec.shop_id {
        Some(shop_id) if spec.class == Class::Shop => violations.shop_made_id("shop_id", shop_id),
        Some(_) => violations.add("shop_id", "is a field of class SHOP only"),
        None if spec.class == Class::Shop => violations.add("shop_id", "is required for class SHOP"),
        None => {}
    }
}

fn check_conditions(spec: &TermsSpec, violations: &mut Violations) {
    violations.at_least("min_spend", spec.min_spend, 0);
    if spec.min_spend > 0 && spec.kind == Kind::InstantOff {
        violations.add("min_spend", "is not a field of INSTANT_OFF");
    }
    if spec.min_spend > 0 && !spec.tiers.is_empty() {
        violations.add("min_spend", "must be 0 beside tiers, which have their own");
    }
    if let Some(min_quantity) = spec.min_quantity {
        if spec.kind == Kind::InstantOff {
            violations.add("min_quantity", "is not a field of INSTANT_OFF");
        } else {
            violations.at_least("min_quantity", min_quantity, 1);
        }
    }
}

/// The figures of the kind; those of other kinds are violations, so that nobody relies on what is not looked at.
fn benefit(spec: &TermsSpec, violations: &mut Violations) -> Option<Benefit> {
    let kind = spec.kind;
    let with_amount = matches!(kind, Kind::ThresholdOff | Kind::InstantOff);
    for (field, given, belongs) in [
        ("amount_off", spec.amount_off.is_some(), with_amount),
        ("percent_off_bp", spec.percent_off_bp.is_some(), kind == Kind::PercentOff),
        ("max_discount", spec.max_discount.is_some(), kind != Kind::InstantOff),
        ("tiers", !spec.tiers.is_empty(), kind == Kind::ThresholdOff),
        ("repeat", spec.repeat.is_some(), kind == Kind::ThresholdOff),
        ("nth_item", spec.nth_item.is_some(), kind == Kind::NthItem),
        ("fixed_price", spec.fixed_price.is_some(), kind == Kind::FixedPrice),
    ] {
        if given && !belongs {
            violations.add(field, format!("is not a field of {}", kind.name()));
        }
    }
    if let Some(cap) = spec.max_discount {
        violations.at_least("max_discount", cap, 1);
    }
    if spec.overshoot == Overshoot::Reject && !with_amount {
        violations.add("overshoot", format!("must be CLAMP for {}, which cannot overshoot", kind.name()));
    }
    match kind {
        Kind::PercentOff => {
            let rate_bp = required("percent_off_bp", spec.percent_off_bp, kind, violations)?;
            violations.between("percent_off_bp", rate_bp, 1, MAX_RATE_BP);
            Some(Benefit::Percent { rate_bp, cap: spec.max_discount })
        }
        Kind::ThresholdOff => {
            let steps = steps(spec, violations)?;
            Some(Benefit::Amount { steps, overshoot: spec.overshoot })
        }
        Kind::InstantOff => {
            let amount_off = required("amount_off", spec.amount_off, kind, violations)?;
            violations.at_least("amount_off", amount_off, 1);
            Some(Benefit::Amount { steps: Steps::Flat(amount_off), overshoot: spec.overshoot })
        }
        Kind::FreeShipping => Some(Benefit::Shipping { cap: spec.max_discount }),
        Kind::NthItem => {
            let nth_item = required("nth_item", spec.nth_item, kind, violations)?;
            violations.within(|| "nth_item".to_owned(), |found| check_nth_item(nth_item, found));
            Some(Benefit::NthItem { nth_item, cap: spec.max_discount })
        }
        Kind::FixedPrice => {
            let fixed_price = required("fixed_price", spec.fixed_price, kind, violations)?;
            violations.within(|| "fixed_price".to_owned(), |found| check_fixed_price(fixed_price, found));
            Some(Benefit::FixedPrice { fixed_price, cap: spec.max_discount })
        }
    }
}

fn check_nth_item(nth_item: NthItem, violations: &mut Violations) {
    violations.between("group_size", nth_item.group_size, 2, MAX_GROUP_SIZE);
    // All units of a group at a discount would be PERCENT_OFF.
    if !(1..nth_item.group_size.max(2)).contains(&nth_item.discounted_units) {
        violations.add(
            "discounted_units",
            format!("must be at least 1 and below group_size, is {}", nth_item.discounted_units),
        );
    }
    violations.between("percent_off_bp", nth_item.percent_off_bp, 1, MAX_RATE_BP);
    if let Some(max_groups) = nth_item.max_groups {
        violations.between("max_groups", max_groups, 1, MAX_QUANTITY);
    }
}

fn check_fixed_price(fixed_price: FixedPrice, violations: &mut Violations) {
    violations.at_least("unit_price", fixed_price.unit_price, 1);
    if let Some(max_units) = fixed_price.max_units {
        violations.between("max_units", max_units, 1, MAX_QUANTITY);
    }
}

fn required<T>(field: &str, value: Option<T>, kind: Kind, violations: &mut Violations) -> Option<T> {
    if value.is_none() {
        violations.add(field, format!("is required for {}", kind.name()));
    }
    value
}

/// Exactly one of a plain amount, tiers and a repeat.
fn steps(spec: &TermsSpec, violations: &mut Violations) -> Option<Steps> {
    if let Some(amount_off) = spec.amount_off {
        violations.at_least("amount_off", amount_off, 1);
    }
    if violations.at_most_entries("tiers", spec.tiers.len(), MAX_TIERS) {
        for (position, tier) in spec.tiers.iter().enumerate() {
            violations.within(
                || format!("tiers[{position}]"),
                |found| {
                    found.at_least("min_spend", tier.min_spend, 0);
                    found.at_least("amount_off", tier.amount_off, 1);
                },
            );
        }
    }
    if let Some(repeat) = spec.repeat {
        violations.at_least("repeat.every", repeat.every, 1);
        violations.at_least("repeat.amount_off", repeat.amount_off, 1);
        // More than it asks for would make every order free; and so no repeat can promise more than the spend.
        if repeat.amount_off > repeat.every {
            violations.add("repeat.amount_off", format!("must be at most every, which is {}", repeat.every));
        }
    } else if spec.max_discount.is_some() {
        violations.add("max_discount", "goes with repeat where the kind is THRESHOLD_OFF");
    }
    match (spec.amount_off, spec.tiers.is_empty(), spec.repeat) {
        (Some(amount_off), true, None) => Some(Steps::Flat(amount_off)),
        (None, false, None) => Some(Steps::Tiers(spec.tiers.clone())),
        (None, true, Some(repeat)) => Some(Steps::Every { repeat, cap: spec.max_discount }),
        _ => {
            violations.add("amount_off", "THRESHOLD_OFF takes exactly one of amount_off, tiers and repeat");
            None
        }
    }
}

fn grouping(group: Option<String>, violations: &mut Violations) -> Grouping {
    let Some(name) = group else {
        return Grouping::Default;
    };
    if name.is_empty() {
        return Grouping::None;
    }
    if name.starts_with('@') {
        violations.add("exclusive_group", "must not begin with \"@\": those names are reserved");
    }
    if name.len() > MAX_GROUP_BYTES {
        violations.add("exclusive_group", format!("must be at most {MAX_GROUP_BYTES} bytes, is {}", name.len()));
    }
    Grouping::Named(name)
}
