//! From the dataclasses of `couponry.discount` to checked values. A value of the wrong type is a violation with the path of
//! its field, like any other bad input. What was checked is kept on the dataclass it was read from: a template's terms are
//! read once, whatever carts they meet.
use std::sync::Arc;

use couponry_discount::{
    Cart, CartSpec, Class, Coupon, CouponSpec, FixedPrice, Kind, Line, NthItem, Overshoot, Repeat, Rules, RulesSpec,
    ScopeSpec, Shipment, State, Terms, TermsSpec, Tier, Violations,
};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBool, PyString, PyTuple, PyType};
use pyo3::{PyClass, PyClassInitializer};

/// Reads the attribute `$name` of `$object` with the reader `$read`.
macro_rules! read {
    ($found:expr, $read:path, $object:expr, $name:literal) => {
        $read($found, $name, &$object.getattr(intern!($object.py(), $name))?)
    };
}

/// Checks what was read, unless the reading already found something.
fn check<S, T>(found: &mut Violations, read: Violations, spec: S, new: fn(S) -> Result<T, Violations>) -> Option<T> {
    if !read.is_empty() {
        found.append(read);
        return None;
    }
    new(spec).map_err(|violations| found.append(violations)).ok()
}

/// A checked cart, kept on the dataclass that it was read from.
#[pyclass(frozen)]
struct CompiledCart(Arc<Cart>);

#[pyclass(frozen)]
struct CompiledTerms(Arc<Terms>);

#[pyclass(frozen)]
struct CompiledCoupon(Coupon);

#[pyclass(frozen)]
struct CompiledRules(Rules);

/// The dataclasses of `couponry.discount.inputs`. Only a value whose parts are all of these types and tuples can never
/// change, and only such a one keeps its compiled form.
struct Inputs {
    line: Py<PyType>,
    shipment: Py<PyType>,
    cart: Py<PyType>,
    tier: Py<PyType>,
    repeat: Py<PyType>,
    nth_item: Py<PyType>,
    fixed_price: Py<PyType>,
    scope: Py<PyType>,
    terms: Py<PyType>,
    coupon: Py<PyType>,
    rules: Py<PyType>,
    epoch: Py<PyAny>,
    millisecond: Py<PyAny>,
    keep: Py<PyAny>,
}

impl Inputs {
    fn of(py: Python<'_>) -> PyResult<&Self> {
        static INPUTS: PyOnceLock<Inputs> = PyOnceLock::new();
        INPUTS.get_or_try_init(py, || {
            let module = py.import("couponry.discount.inputs")?;
            let class = |name: &str| Ok::<_, PyErr>(module.getattr(name)?.cast_into::<PyType>()?.unbind());
            let datetime = py.import("datetime")?;
            let utc = datetime.getattr("UTC")?;
            let milliseconds = [("milliseconds", 1)].into_py_dict(py)?;
            Ok(Self {
                line: class("Line")?,
                shipment: class("Shipment")?,
                cart: class("Cart")?,
                tier: class("Tier")?,
                repeat: class("Repeat")?,
                nth_item: class("NthItem")?,
                fixed_price: class("FixedPrice")?,
                scope: class("Scope")?,
                terms: class("Terms")?,
                coupon: class("Coupon")?,
                rules: class("Rules")?,
                epoch: datetime.getattr("datetime")?.call((1970, 1, 1, 0, 0, 0, 0, utc), None)?.unbind(),
                millisecond: datetime.getattr("timedelta")?.call((), Some(&milliseconds))?.unbind(),
                // The dataclasses are frozen; this is how their own constructors write.
                keep: py.get_type::<PyAny>().getattr("__setattr__")?.unbind(),
            })
        })
    }

    fn keep<T: PyClass + Into<PyClassInitializer<T>>>(&self, object: &Bound<'_, PyAny>, compiled: T) -> PyResult<()> {
        let py = object.py();
        self.keep.bind(py).call1((object, intern!(py, "_compiled"), Bound::new(py, compiled)?)).map(drop)
    }
}

fn is(object: &Bound<'_, PyAny>, class: &Py<PyType>) -> bool {
    object.get_type().as_ptr() == class.as_ptr()
}

/// The compiled form that a dataclass keeps.
fn compiled<'py, T: PyClass>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, T>> {
    object.getattr(intern!(object.py(), "_compiled")).ok()?.cast_into().ok()
}

/// Whether a field is a tuple of which every item passes.
fn settled(object: &Bound<'_, PyAny>, field: &str, each: impl Fn(&Bound<'_, PyAny>) -> bool) -> bool {
    let Ok(items) = object.getattr(field) else { return false };
    items.cast_exact::<PyTuple>().is_ok_and(|items| items.iter_borrowed().all(|item| each(&item)))
}

fn cart_is_settled(cart: &Bound<'_, PyAny>, inputs: &Inputs) -> bool {
    settled(cart, "lines", |line| is(line, &inputs.line) && settled(line, "category_ids", |_| true))
        && settled(cart, "shipments", |shipment| is(shipment, &inputs.shipment))
}

fn terms_are_settled(terms: &Bound<'_, PyAny>, inputs: &Inputs) -> bool {
    let part =
        |field: &str, class: &Py<PyType>| terms.getattr(field).is_ok_and(|part| part.is_none() || is(&part, class));
    let scope = terms.getattr("scope");
    settled(terms, "tiers", |tier| is(tier, &inputs.tier))
        && part("repeat", &inputs.repeat)
        && part("nth_item", &inputs.nth_item)
        && part("fixed_price", &inputs.fixed_price)
        && scope.is_ok_and(|scope| {
            is(&scope, &inputs.scope) && SCOPE_FIELDS.iter().all(|field| settled(&scope, field, |_| true))
        })
}

const SCOPE_FIELDS: [&str; 8] = [
    "include_skus",
    "include_spus",
    "include_categories",
    "include_shops",
    "exclude_skus",
    "exclude_spus",
    "exclude_categories",
    "exclude_shops",
];

/// What a call of the calculator is made of, checked.
pub(super) struct Call {
    pub(super) cart: Arc<Cart>,
    pub(super) coupons: Vec<Coupon>,
}

/// What is wrong with a call: with its cart, else with its coupons.
pub(super) struct Refused {
    pub(super) cart: Violations,
    pub(super) coupons: Violations,
}

impl Refused {
    fn cart(cart: Violations) -> Self {
        Self { cart, coupons: Violations::default() }
    }

    fn coupons(coupons: Violations) -> Self {
        Self { cart: Violations::default(), coupons }
    }
}

/// Cart, rules and coupons, or what is wrong with them. Times without a zone are told last.
pub(super) fn read_call(
    cart: &Bound<'_, PyAny>,
    coupons: &Bound<'_, PyAny>,
    rules: &Bound<'_, PyAny>,
    now_is_aware: bool,
) -> PyResult<Result<(Call, Rules), Refused>> {
    let mut found = Violations::default();
    let inputs = Inputs::of(cart.py())?;
    let Some(cart) = read_cart(&mut found, cart, inputs)? else {
        return Ok(Err(Refused::cart(found)));
    };
    let rules = found.within(|| "rules".to_owned(), |found| read_rules(found, rules, inputs))?;
    if let Some(Err(too_many)) = rules.as_ref().map(|rules| rules.check_submitted(coupons.len().unwrap_or(0))) {
        return Ok(Err(Refused::coupons(too_many)));
    }
    let mut times = Violations::default();
    if !now_is_aware {
        times.add("now", NAIVE);
    }
    let mut checked = Vec::with_capacity(coupons.len().unwrap_or(0));
    for (place, coupon) in coupons.try_iter()?.enumerate() {
        let coupon = coupon?;
        let prefix = || format!("coupons[{place}]");
        let read =
            found.within(prefix, |found| times.within(prefix, |times| read_coupon(found, times, &coupon, inputs)))?;
        checked.extend(read);
    }
    found.append(times);
    match rules {
        Some(rules) if found.is_empty() => Ok(Ok((Call { cart, coupons: checked }, rules))),
        _ => Ok(Err(Refused::coupons(found))),
    }
}

const NAIVE: &str = "must be an aware time";

fn read_cart(found: &mut Violations, cart: &Bound<'_, PyAny>, inputs: &Inputs) -> PyResult<Option<Arc<Cart>>> {
    let ours = is(cart, &inputs.cart);
    if ours && let Some(known) = compiled::<CompiledCart>(cart) {
        return Ok(Some(Arc::clone(&known.get().0)));
    }
    let mut read = Violations::default();
    let spec = CartSpec {
        currency: read!(&mut read, text, cart, "currency"),
        lines: each(&mut read, "lines", cart.getattr(intern!(cart.py(), "lines"))?, read_line)?,
        shipments: each(&mut read, "shipments", cart.getattr(intern!(cart.py(), "shipments"))?, read_shipment)?,
        order_total: read!(&mut read, optional_number, cart, "order_total"),
    };
    let Some(checked) = check(found, read, spec, Cart::new).map(Arc::new) else {
        return Ok(None);
    };
    if ours && cart_is_settled(cart, inputs) {
        inputs.keep(cart, CompiledCart(Arc::clone(&checked)))?;
    }
    Ok(Some(checked))
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

pub(super) fn rules(rules: &Bound<'_, PyAny>) -> PyResult<Result<Rules, Violations>> {
    let mut found = Violations::default();
    let read = read_rules(&mut found, rules, Inputs::of(rules.py())?)?;
    Ok(read.ok_or(found))
}

fn read_rules(found: &mut Violations, rules: &Bound<'_, PyAny>, inputs: &Inputs) -> PyResult<Option<Rules>> {
    let ours = is(rules, &inputs.rules);
    if ours && let Some(known) = compiled::<CompiledRules>(rules) {
        return Ok(Some(known.get().0.clone()));
    }
    let mut read = Violations::default();
    let spec = RulesSpec {
        minimum_payable: read!(&mut read, number, rules, "minimum_payable"),
        percent_or_threshold_limit: read!(&mut read, number, rules, "percent_or_threshold_limit"),
        unit_price_limit: read!(&mut read, number, rules, "unit_price_limit"),
        instant_limit: read!(&mut read, number, rules, "instant_limit"),
        free_shipping_limit: read!(&mut read, number, rules, "free_shipping_limit"),
        count_limit: read!(&mut read, number, rules, "count_limit"),
        submitted_limit: read!(&mut read, number, rules, "submitted_limit"),
    };
    let checked = check(found, read, spec, Rules::new);
    if ours && let Some(checked) = &checked {
        inputs.keep(rules, CompiledRules(checked.clone()))?;
    }
    Ok(checked)
}

fn read_coupon(
    found: &mut Violations,
    times: &mut Violations,
    coupon: &Bound<'_, PyAny>,
    inputs: &Inputs,
) -> PyResult<Option<Coupon>> {
    let ours = is(coupon, &inputs.coupon);
    if ours && let Some(known) = compiled::<CompiledCoupon>(coupon) {
        return Ok(Some(known.get().0.clone()));
    }
    let py = coupon.py();
    let mut read = Violations::default();
    let coupon_id = read!(&mut read, number, coupon, "coupon_id");
    let template_id = read!(&mut read, number, coupon, "template_id");
    let state = named(&mut read, "state", &coupon.getattr(intern!(py, "state"))?, State::from_name);
    let template_paused = read!(&mut read, flag, coupon, "template_paused");
    let budget_left = read!(&mut read, optional_number, coupon, "budget_left");
    let valid_from = read_time(times, "valid_from", &coupon.getattr(intern!(py, "valid_from"))?, inputs);
    let valid_until = read_time(times, "valid_until", &coupon.getattr(intern!(py, "valid_until"))?, inputs);
    if read.is_empty() {
        read = Coupon::check(coupon_id, template_id, (valid_from, valid_until), budget_left);
    }
    let terms = coupon.getattr(intern!(py, "terms"))?;
    let checked_terms = read.within(|| "terms".to_owned(), |found| read_terms(found, &terms, inputs))?;
    let (Some(checked_terms), Some(state), true) = (checked_terms, state, read.is_empty()) else {
        found.append(read);
        return Ok(None);
    };
    let spec = CouponSpec {
        coupon_id,
        template_id,
        terms: checked_terms,
        valid_from,
        valid_until,
        state,
        template_paused,
        budget_left,
    };
    let checked = check(found, read, spec, Coupon::new);
    if let Some(checked) = &checked
        && ours
        && times.is_empty()
        && compiled::<CompiledTerms>(&terms).is_some()
    {
        inputs.keep(coupon, CompiledCoupon(checked.clone()))?;
    }
    Ok(checked)
}

/// Whole milliseconds since 1970; what is finer is cut off.
fn read_time(found: &mut Violations, field: &str, time: &Bound<'_, PyAny>, inputs: &Inputs) -> Option<i64> {
    if time.is_none() {
        return None;
    }
    let since =
        || time.sub(&inputs.epoch).and_then(|since| since.floor_div(&inputs.millisecond)).and_then(|ms| ms.extract());
    since().map_err(|_: PyErr| found.add(field, NAIVE)).ok()
}

/// What is wrong with the terms of a template.
pub(super) fn check_terms(terms: &Bound<'_, PyAny>) -> PyResult<Violations> {
    let mut found = Violations::default();
    read_terms(&mut found, terms, Inputs::of(terms.py())?)?;
    Ok(found)
}

fn read_terms(found: &mut Violations, terms: &Bound<'_, PyAny>, inputs: &Inputs) -> PyResult<Option<Arc<Terms>>> {
    let ours = is(terms, &inputs.terms);
    if ours && let Some(known) = compiled::<CompiledTerms>(terms) {
        return Ok(Some(Arc::clone(&known.get().0)));
    }
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
        repeat: part(&mut read, "repeat", &terms.getattr(intern!(py, "repeat"))?, read_repeat)?,
        nth_item: part(&mut read, "nth_item", &terms.getattr(intern!(py, "nth_item"))?, read_nth_item)?,
        fixed_price: part(&mut read, "fixed_price", &terms.getattr(intern!(py, "fixed_price"))?, read_fixed_price)?,
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
    let checked = check(found, read, spec, Terms::new).map(Arc::new);
    if let Some(checked) = &checked
        && ours
        && terms_are_settled(terms, inputs)
    {
        inputs.keep(terms, CompiledTerms(Arc::clone(checked)))?;
    }
    Ok(checked)
}

fn read_tier(found: &mut Violations, tier: &Bound<'_, PyAny>) -> PyResult<Tier> {
    Ok(Tier {
        min_spend: read!(found, number, tier, "min_spend"),
        amount_off: read!(found, number, tier, "amount_off"),
    })
}

/// A field that is absent or has fields of its own.
fn part<T>(
    found: &mut Violations,
    field: &str,
    value: &Bound<'_, PyAny>,
    read: impl Fn(&mut Violations, &Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { found.within(|| field.to_owned(), |found| read(found, value)).map(Some) }
}

fn read_repeat(found: &mut Violations, repeat: &Bound<'_, PyAny>) -> PyResult<Repeat> {
    Ok(Repeat { every: read!(found, number, repeat, "every"), amount_off: read!(found, number, repeat, "amount_off") })
}

fn read_nth_item(found: &mut Violations, nth_item: &Bound<'_, PyAny>) -> PyResult<NthItem> {
    Ok(NthItem {
        group_size: read!(found, number, nth_item, "group_size"),
        discounted_units: read!(found, number, nth_item, "discounted_units"),
        percent_off_bp: read!(found, number, nth_item, "percent_off_bp"),
        max_groups: read!(found, optional_number, nth_item, "max_groups"),
    })
}

fn read_fixed_price(found: &mut Violations, fixed_price: &Bound<'_, PyAny>) -> PyResult<FixedPrice> {
    Ok(FixedPrice {
        unit_price: read!(found, number, fixed_price, "unit_price"),
        max_units: read!(found, optional_number, fixed_price, "max_units"),
    })
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
    // Python takes True for 1.
    let number = if value.is_instance_of::<PyBool>() { Err(PyTypeError::new_err(())) } else { value.extract() };
    number.unwrap_or_else(|error: PyErr| {
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
