//! The cart: lines, shipments, currency. A `Cart` is checked: its ids are distinct and its sum fits in 64 bits, so that
//! no later sum of parts of it can overflow.
use std::collections::HashSet;
use std::fmt;

use crate::places::Places;
use crate::violation::Violations;

pub const MAX_LINES: usize = 500;
pub const MAX_SHIPMENTS: usize = 500;
pub const MAX_CATEGORIES: usize = 100;
pub const MAX_QUANTITY: i64 = 1_000_000;

/// ISO 4217, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    pub fn new(code: &str) -> Option<Self> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    fn as_str(&self) -> &str {
        // Three letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn check(code: &str, violations: &mut Violations) -> Self {
        Self::new(code).unwrap_or_else(|| {
            violations.add("currency", "must be an ISO 4217 code of three capital letters");
            Self(*b"XXX")
        })
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub line_id: String,
    pub sku_id: String,
    pub spu_id: Option<String>,
    /// With all ancestors.
    pub category_ids: Vec<String>,
    pub shop_id: String,
    pub quantity: i64,
    /// After the catalogue's own sales, before any coupon: the "list price" of the calculation.
    pub unit_price: i64,
    /// Above `unit_price`: the line is on sale.
    pub list_unit_price: Option<i64>,
    /// Counts for no threshold and no basis.
    pub not_discountable: bool,
}

impl Line {
    /// At list price, before any coupon.
    pub(crate) fn list(&self) -> i64 {
        self.quantity * self.unit_price
    }

    pub(crate) fn on_sale(&self) -> bool {
        self.list_unit_price.is_some_and(|list| list > self.unit_price)
    }

    fn check(&self, violations: &mut Violations) {
        violations.shop_made_id("line_id", &self.line_id);
        violations.shop_made_id("sku_id", &self.sku_id);
        if let Some(spu_id) = &self.spu_id {
            violations.shop_made_id("spu_id", spu_id);
        }
        if violations.at_most_entries("category_ids", self.category_ids.len(), MAX_CATEGORIES) {
            for (position, category_id) in self.category_ids.iter().enumerate() {
                violations.within(|| format!("category_ids[{position}]"), |found| found.shop_made_id("", category_id));
            }
        }
        violations.shop_made_id("shop_id", &self.shop_id);
        violations.between("quantity", self.quantity, 1, MAX_QUANTITY);
        violations.at_least("unit_price", self.unit_price, 0);
        if let Some(list_unit_price) = self.list_unit_price {
            violations.at_least("list_unit_price", list_unit_price, 0);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    pub shipment_id: String,
    pub shop_id: String,
    pub amount: i64,
}

/// A cart as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CartSpec {
    pub currency: String,
    pub lines: Vec<Line>,
    pub shipments: Vec<Shipment>,
    /// Instead of lines.
    pub order_total: Option<i64>,
}

/// A checked cart.
#[derive(Clone, Debug)]
pub struct Cart {
    pub(crate) currency: Currency,
    /// At least one; of a totals-only cart the one line that stands for the total.
    pub(crate) lines: Vec<Line>,
    pub(crate) shipments: Vec<Shipment>,
    pub(crate) totals_only: bool,
    /// Goods and shipping before any coupon.
    pub(crate) original: i64,
    /// By line, at list price.
    pub(crate) lists: Vec<i64>,
    /// By shipment.
    pub(crate) amounts: Vec<i64>,
    pub(crate) discountable: Places,
    pub(crate) on_sale: Places,
}

impl Cart {
    pub fn new(spec: CartSpec) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let currency = Currency::check(&spec.currency, &mut violations);
        if violations.at_most_entries("lines", spec.lines.len(), MAX_LINES) {
            check_lines(&spec.lines, &mut violations);
        }
        if violations.at_most_entries("shipments", spec.shipments.len(), MAX_SHIPMENTS) {
            check_shipments(&spec.shipments, &mut violations);
        }
        let lines = match spec.order_total {
            Some(total) => {
                violations.at_least("order_total", total, 0);
                if !spec.lines.is_empty() {
                    violations.add("order_total", "must not be given beside lines");
                }
                vec![line_of_total(total)]
            }
            None if spec.lines.is_empty() => {
                violations.add("lines", "must have at least one entry, or order_total must be given");
                Vec::new()
            }
            None => spec.lines,
        };
        if !violations.is_empty() {
            return Err(violations);
        }
        let shipments = spec.shipments;
        let original = sum(&lines, &shipments)?;
        let places = |of: fn(&Line) -> bool| {
            Places::of(lines.iter().enumerate().filter(|(_, line)| of(line)).map(|(place, _)| place))
        };
        Ok(Self {
            currency,
            totals_only: spec.order_total.is_some(),
            original,
            lists: lines.iter().map(Line::list).collect(),
            amounts: shipments.iter().map(|shipment| shipment.amount).collect(),
            discountable: places(|line| !line.not_discountable),
            on_sale: places(Line::on_sale),
            lines,
            shipments,
        })
    }

    pub fn currency(&self) -> &str {
        self.currency.as_str()
    }

    /// As a decision counts them: of a total without lines the one that stands for it.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub fn shipments(&self) -> &[Shipment] {
        &self.shipments
    }

    /// Whether it is a total without lines.
    pub fn is_total(&self) -> bool {
        self.totals_only
    }
}

/// One unit that no scope can name.
fn line_of_total(total: i64) -> Line {
    Line {
        line_id: String::new(),
        sku_id: String::new(),
        spu_id: None,
        category_ids: Vec::new(),
        shop_id: String::new(),
        quantity: 1,
        unit_price: total,
        list_unit_price: None,
        not_discountable: false,
    }
}

fn check_lines(lines: &[Line], violations: &mut Violations) {
    let mut seen = HashSet::with_capacity(lines.len());
    for (position, line) in lines.iter().enumerate() {
        violations.within(
            || format!("lines[{position}]"),
            |found| {
                line.check(found);
                if !seen.insert(line.line_id.as_str()) {
                    found.add("line_id", "must not be the id of an earlier line");
                }
            },
        );
    }
}

fn check_shipments(shipments: &[Shipment], violations: &mut Violations) {
    let mut seen = HashSet::with_capacity(shipments.len());
    for (position, shipment) in shipments.iter().enumerate() {
        violations.within(
            || format!("shipments[{position}]"),
            |found| {
                found.shop_made_id("shipment_id", &shipment.shipment_id);
                found.shop_made_id("shop_id", &shipment.shop_id);
                found.at_least("amount", shipment.amount, 0);
                if !seen.insert(shipment.shipment_id.as_str()) {
                    found.add("shipment_id", "must not be the id of an earlier shipment");
                }
            },
        );
    }
}

/// Goods and shipping; names the entry with which the sum leaves 64 bits.
fn sum(lines: &[Line], shipments: &[Shipment]) -> Result<i64, Violations> {
    let mut total = 0_i64;
    for (position, line) in lines.iter().enumerate() {
        total = line
            .quantity
            .checked_mul(line.unit_price)
            .and_then(|list| total.checked_add(list))
            .ok_or_else(|| too_large(format!("lines[{position}].unit_price")))?;
    }
    for (position, shipment) in shipments.iter().enumerate() {
        total = total.checked_add(shipment.amount).ok_or_else(|| too_large(format!("shipments[{position}].amount")))?;
    }
    Ok(total)
}

fn too_large(field: String) -> Violations {
    let mut violations = Violations::default();
    violations.add(field, "takes the sum of the cart beyond 64 bits");
    violations
}
