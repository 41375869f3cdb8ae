//! The calculator of `couponry-discount`, fed with the dataclasses of `couponry.discount` and answering in plain tuples.
//! A value of the wrong type is a violation with the path of its field, like any other bad input.
use std::sync::Arc;

use couponry_discount::{
    Cart, CartSpec, Class, Coupon, CouponSpec, Decision, Hint, Kind, Line, Overshoot, Refusal, Repeat, Rules,
    RulesSpec, ScopeSpec, Shipment, State, Terms, TermsSpec, Tier, Violations, apply_given,
};
use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A coupon and its window in milliseconds.
type Windowed<'py> = (Bound<'py, PyAny>, Option<i64>, Option<i64>);
type Told = Vec<(String, String)>;
type LineShares = Vec<(usize, i64, Vec<(i64, i64, i64)>)>;
type AppliedRow = (usize, i64, LineShares, Vec<(usize, i64)>, i64);
type RejectedRow = (usize, &'static str, Option<i64>, Option<i64>, Option<String>, Option<i64>);
type LineRow = (i64, i64, i64, Vec<(i64, i64)>);
type HintRow = (usize, Option<i64>, i64);
type DecisionRow = (Vec<AppliedRow>, Vec<RejectedRow>, Vec<LineRow>, Vec<(i64, i64, i64)>, Vec<HintRow>, i64, i64, i64);

/// Reads the attribute `$name` of `$object` with the reader `$read`.
macro_rules! read {
    ($found:expr, $read:path, $object:expr, $name:literal) => {
        $read($found, $name, &$object.getattr(intern!($object.py(), $name))?)
    };
}

/// What is wrong with the cart, else what is wrong with coupons and rules, else the decision.
#[pyfunction]
fn price_cart(
    cart: &Bound<'_, PyAny>,
    coupons: Vec<Windowed<'_>>,
    rules: &Bound<'_, PyAny>,
    now_ms: i64,
) -> PyResult<(Told, Told, Option<DecisionRow>)> {
    let py = cart.py();
    let mut found = Violations::default();
    let Some(cart) = read_cart(&mut found, cart)? else {
        return Ok((told(found), Vec::new(), None));
    };
    let rules = found.within(|| "rules".to_owned(), |found| read_rules(found, rules))?;
    if let Some(Err(too_many)) = rules.as_ref().map(|rules| rules.check_submitted(coupons.len())) {
        return Ok((Vec::new(), told(too_many), None));
    }
    let coupons = read_coupons(&mut found, &coupons)?;
    let (Some(rules), true) = (rules, found.is_empty()) else {
        return Ok((Vec::new(), told(found), None));
    };
    match py.detach(|| apply_given(&cart, &coupons, &rules, now_ms)) {
        Ok(decision) => Ok((Vec::new(), Vec::new(), Some(row_of_decision(decision)))),
        Err(violations) => Ok((Vec::new(), told(violations), None)),
    }
}

/// What is wrong with the terms of a template.
#[pyfunction]
fn check_terms(terms: &Bound<'_, PyAny>) -> PyResult<Told> {
    let mut found = Violations::default();
    read_terms(&mut found, terms)?;
    Ok(told(found))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(price_cart, module)?)?;
    module.add_function(wrap_pyfunction!(check_terms, module)?)
}

fn told(violations: Violations) -> Told {
    violations.into_vec().into_iter().map(|violation| (violation.field, violation.text)).collect()
}

/// Checks what was read, unless the reading already found something.
fn check<S, T>(found: &mut Violations, read: Violations, spec: S, new: fn(S) -> Result<T, Violations>) -> Option<T> {
    if !read.is_empty() {
        found.append(read);
        return None;
    }
    new(spec).map_err(|violations| found.append(violations)).ok()
}

fn read_cart(found: &mut Violations, cart: &Bound<'_, PyAny>) -> PyResult<Option<Cart>> {
    let mut read = Violations::default();
    let spec = CartSpec {
        currency: read!(&mut read, text, cart, "currency"),
        lines: each(&mut read, "lines", cart.getattr(intern!(cart.py(), "lines"))?, read_line)?,
        shipments: each(&mut read, "shipments", cart.getattr(intern!(cart.py(), "shipments"))?, read_shipment)?,
        order_total: read!(&mut read, optional_number, cart, "order_total"),
    };
    Ok(check(found, read, spec, Cart::new))
}

fn read_line(found: &mut Violations, line: &Bound<'_, PyAny>) -> PyResult<Line> {
    Ok(Line {
        line_id: read!(found, text, line, "line_id"),
        sku_id: read!(found, text, line, "sku_id"),
        spu_id: read!(found, optional_text, line, "spu_id"),
        category_ids: read!(found, texts, line, "category_ids")?,
        shop_id: read!(found, text, line, "shop_id"),
        quantity: read!(found, number, line, "quantity"),
        unit_price: read!(found, number, line, "unit_price"),
        list_unit_price: read!(found, optional_number, line, "list_unit_price"),
        not_discountable: read!(found, flag, line, "not_discountable"),
    })
}

fn read_shipment(found: &mut Violations, shipment: &Bound<'_, PyAny>) -> PyResult<Shipment> {
    Ok(Shipment {
        shipment_id: read!(found, text, shipment, "shipment_id"),
        shop_id: read!(found, text, shipment, "shop_id"),
        amount: read!(found, number, shipment, "amount"),
    })
}

fn read_rules(found: &mut Violations, rules: &Bound<'_, PyAny>) -> PyResult<Option<Rules>> {
    let mut read = Violations::default();
    let spec = RulesSpec {
        minimum_payable: read!(&mut read, number, rules, "minimum_payable"),
        percent_or_threshold_limit: read!(&mut read, number, rules, "percent_or_threshold_limit"),
        instant_limit: read!(&mut read, number, rules, "instant_limit"),
        free_shipping_limit: read!(&mut read, number, rules, "free_shipping_limit"),
        count_limit: read!(&mut read, number, rules, "count_limit"),
        submitted_limit: read!(&mut read, number, rules, "submitted_limit"),
    };
    Ok(check(found, read, spec, Rules::new))
}

fn read_coupons(found: &mut Violations, coupons: &[Windowed<'_>]) -> PyResult<Vec<Coupon>> {
    let mut checked = Vec::with_capacity(coupons.len());
    for (place, coupon) in coupons.iter().enumerate() {
        let coupon = found.within(|| format!("coupons[{place}]"), |found| read_coupon(found, coupon))?;
        checked.extend(coupon);
    }
    Ok(checked)
}

fn read_coupon(found: &mut Violations, windowed: &Windowed<'_>) -> PyResult<Option<Coupon>> {
    let &(ref coupon, valid_from, valid_until) = windowed;
    let mut read = Violations::default();
    let coupon_id = read!(&mut read, number, coupon, "coupon_id");
    let template_id = read!(&mut read, number, coupon, "template_id");
    let state = named(&mut read, "state", &coupon.getattr(intern!(coupon.py(), "state"))?, State::from_name);
    let template_paused = read!(&mut read, flag, coupon, "template_paused");
    let budget_left = read!(&mut read, optional_number, coupon, "budget_left");
    if read.is_empty() {
        read = Coupon::check(coupon_id, template_id, (valid_from, valid_until), budget_left);
    }
    let terms = coupon.getattr(intern!(coupon.py(), "terms"))?;
    let terms = read.within(|| "terms".to_owned(), |found| read_terms(found, &terms))?;
    let (Some(terms), Some(state), true) = (terms, state, read.is_empty()) else {
        found.append(read);
        return Ok(None);
    };
    let terms = Arc::new(terms);
    let spec =
        CouponSpec { coupon_id, template_id, terms, valid_from, valid_until, state, template_paused, budget_left };
    Ok(check(found, read, spec, Coupon::new))
}

fn read_terms(found: &mut Violations, terms: &Bound<'_, PyAny>) -> PyResult<Option<Terms>> {
    let py = terms.py();
    let mut read = Violations::default();
    let kind = named(&mut read, "kind", &terms.getattr(intern!(py, "kind"))?, Kind::from_name);
    let class = named(&mut read, "coupon_class", &terms.getattr(intern!(py, "coupon_class"))?, Class::from_name);
    let overshoot = named(&mut read, "overshoot", &terms.getattr(intern!(py, "overshoot"))?, Overshoot::from_name);
    let scope = terms.getattr(intern!(py, "scope"))?;
    let spec = TermsSpec {
        kind: kind.unwrap_or(Kind::PercentOff),
        class: class.unwrap_or(Class::Item),
        currency: read!(&mut read, text, terms, "currency"),
        min_spend: read!(&mut read, number, terms, "min_spend"),
        min_quantity: read!(&mut read, optional_number, terms, "min_quantity"),
        amount_off: read!(&mut read, optional_number, terms, "amount_off"),
        percent_off_bp: read!(&mut read, optional_number, terms, "percent_off_bp"),
        max_discount: read!(&mut read, optional_number, terms, "max_discount"),
        tiers: each(&mut read, "tiers", terms.getattr(intern!(py, "tiers"))?, read_tier)?,
        repeat: read_repeat(&mut read, &terms.getattr(intern!(py, "repeat"))?)?,
        scope: read.within(|| "scope".to_owned(), |found| read_scope(found, &scope))?,
        shop_id: read!(&mut read, optional_text, terms, "shop_id"),
        priority: read!(&mut read, number, terms, "priority"),
        exclusive_group: read!(&mut read, optional_text, terms, "exclusive_group"),
        stack_limit: read!(&mut read, number, terms, "stack_limit"),
        exclusive: read!(&mut read, flag, terms, "exclusive"),
        joint: read!(&mut read, flag, terms, "joint"),
        overshoot: overshoot.unwrap_or(Overshoot::Clamp),
        exclude_sale_items: read!(&mut read, flag, terms, "exclude_sale_items"),
    };
    Ok(check(found, read, spec, Terms::new))
}

fn read_tier(found: &mut Violations, tier: &Bound<'_, PyAny>) -> PyResult<Tier> {
    Ok(Tier {
        min_spend: read!(found, number, tier, "min_spend"),
        amount_off: read!(found, number, tier, "amount_off"),
    })
}

fn read_repeat(found: &mut Violations, repeat: &Bound<'_, PyAny>) -> PyResult<Option<Repeat>> {
    if repeat.is_none() {
        return Ok(None);
    }
    found.within(
        || "repeat".to_owned(),
        |found| {
            let every = read!(found, number, repeat, "every");
            let amount_off = read!(found, number, repeat, "amount_off");
            Ok(Some(Repeat { every, amount_off }))
        },
    )
}

fn read_scope(found: &mut Violations, scope: &Bound<'_, PyAny>) -> PyResult<ScopeSpec> {
    Ok(ScopeSpec {
        include_skus: read!(found, texts, scope, "include_skus")?,
        include_spus: read!(found, texts, scope, "include_spus")?,
        include_categories: read!(found, texts, scope, "include_categories")?,
        include_shops: read!(found, texts, scope, "include_shops")?,
        exclude_skus: read!(found, texts, scope, "exclude_skus")?,
        exclude_spus: read!(found, texts, scope, "exclude_spus")?,
        exclude_categories: read!(found, texts, scope, "exclude_categories")?,
        exclude_shops: read!(found, texts, scope, "exclude_shops")?,
    })
}

fn number(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> i64 {
    value.extract().unwrap_or_else(|error: PyErr| {
        let overflow = error.is_instance_of::<PyOverflowError>(value.py());
        found.add(field, if overflow { "must fit in 64 bits" } else { "must be a whole number" });
        0
    })
}

fn optional_number(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> Option<i64> {
    (!value.is_none()).then(|| number(found, field, value))
}

fn text(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> String {
    match value.cast::<PyString>().map(|text| text.to_str().map(str::to_owned)) {
        Ok(Ok(text)) => text,
        _ => {
            found.add(field, "must be Unicode text");
            String::new()
        }
    }
}

fn optional_text(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> Option<String> {
    (!value.is_none()).then(|| text(found, field, value))
}

fn texts(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    each(found, field, value.clone(), |found, item| Ok(text(found, "", item)))
}

fn flag(found: &mut Violations, field: &str, value: &Bound<'_, PyAny>) -> bool {
    value.extract().unwrap_or_else(|_| {
        found.add(field, "must be True or False");
        false
    })
}

fn named<T>(
    found: &mut Violations,
    field: &str,
    value: &Bound<'_, PyAny>,
    from_name: fn(&str) -> Option<T>,
) -> Option<T> {
    let name = value.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
    let member = name.and_then(from_name);
    if member.is_none() {
        found.add(field, "must be a member of its enum");
    }
    member
}

/// Every item of a list or tuple. Text is not a list, though Python would iterate over its letters.
fn each<T>(
    found: &mut Violations,
    field: &str,
    items: Bound<'_, PyAny>,
    read_item: impl Fn(&mut Violations, &Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let Some(items) = items.try_iter().ok().filter(|_| !items.is_instance_of::<PyString>()) else {
        found.add(field, "must be a tuple");
        return Ok(Vec::new());
    };
    let mut result = Vec::new();
    for (place, item) in items.enumerate() {
        let item = item?;
        result.push(found.within(|| format!("{field}[{place}]"), |found| read_item(found, &item))?);
    }
    Ok(result)
}

fn row_of_decision(decision: Decision) -> DecisionRow {
    let applied = decision.applied.into_iter().map(|applied| {
        let lines = applied.lines.into_iter().map(|share| {
            let units = share.units.into_iter().map(|run| (run.from, run.count, run.amount)).collect();
            (share.line, share.discount, units)
        });
        (applied.coupon, applied.discount, lines.collect(), applied.shipments, applied.unused)
    });
    let rejected = decision.rejected.into_iter().map(|rejected| row_of_refusal(rejected.coupon, rejected.refusal));
    let lines = decision.lines.into_iter().map(|line| (line.list, line.discount, line.net, line.units));
    let shipments = decision.shipments.into_iter().map(|shipment| (shipment.list, shipment.discount, shipment.net));
    let hints = decision.hints.into_iter().map(|hint| match hint {
        Hint::NextTier { coupon, amount_off, short_by } => (coupon, Some(amount_off), short_by),
        Hint::Unused { coupon, amount } => (coupon, None, amount),
    });
    (
        applied.collect(),
        rejected.collect(),
        lines.collect(),
        shipments.collect(),
        hints.collect(),
        decision.original,
        decision.discount,
        decision.payable,
    )
}

/// (coupon, reason, short_by, with_coupon_id, group, left)
fn row_of_refusal(coupon: usize, refusal: Refusal) -> RejectedRow {
    let name = refusal.name();
    match refusal {
        Refusal::MinSpendNotMet { short_by } | Refusal::MinQuantityNotMet { short_by } => {
            (coupon, name, Some(short_by), None, None, None)
        }
        Refusal::Exclusive { with } => (coupon, name, None, Some(with), None, None),
        Refusal::GroupLimit { group } => (coupon, name, None, None, Some(group), None),
        Refusal::BudgetExhausted { left } => (coupon, name, None, None, None, Some(left)),
        _ => (coupon, name, None, None, None, None),
    }
}
