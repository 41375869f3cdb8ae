//! The rules of docs/discounts.md, plainly: a vector of unit prices, and a walk over every set in the order of
//! application.
use couponry_discount::{Class, Kind, Line, Overshoot, TermsSpec};

use crate::cases::{Case, Plain};

#[derive(Clone, Debug)]
pub struct Set {
    pub total: i64,
    pub set: u32,
}

pub struct Judged {
    pub best: Set,
    /// By coupon: the most that a set with it takes.
    pub with: Vec<Option<i64>>,
    pub sets: u64,
}

#[derive(Clone)]
struct Order {
    units: Vec<Vec<i64>>,
    shipping: i64,
    taken: Vec<(usize, i64)>,
}

impl Order {
    fn payable(&self) -> i64 {
        self.units.iter().flatten().sum::<i64>() + self.shipping
    }
}

pub fn judge(case: &Case) -> Judged {
    let order = Order {
        units: case.lines.iter().map(|line| vec![line.unit_price; line.quantity as usize]).collect(),
        shipping: case.shipping,
        taken: Vec::new(),
    };
    let mut turns: Vec<usize> = (0..case.coupons.len()).collect();
    turns.sort_by_key(|&place| {
        let Plain { coupon_id, terms, .. } = &case.coupons[place];
        let class = [Class::Item, Class::Shop, Class::Platform, Class::Shipping].iter().position(|c| *c == terms.class);
        let kinds = [Kind::PercentOff, Kind::NthItem, Kind::FixedPrice, Kind::ThresholdOff, Kind::InstantOff];
        (class, -terms.priority, kinds.iter().position(|kind| *kind == terms.kind), *coupon_id)
    });
    let mut judged = Judged { best: Set { total: 0, set: 0 }, with: vec![None; case.coupons.len()], sets: 0 };
    walk(case, &turns, &order, &mut judged);
    judged
}

fn walk(case: &Case, turns: &[usize], order: &Order, judged: &mut Judged) {
    for (number, &place) in turns.iter().enumerate() {
        let mut next = order.clone();
        if apply(case, place, &mut next) {
            look_at(case, &next, judged);
            walk(case, &turns[number + 1..], &next, judged);
        }
    }
}

fn look_at(case: &Case, order: &Order, judged: &mut Judged) {
    judged.sets += 1;
    let total = order.taken.iter().map(|(_, discount)| discount).sum();
    let set = order.taken.iter().map(|(place, _)| 1_u32 << place).sum();
    for &(place, _) in &order.taken {
        judged.with[place] = judged.with[place].max(Some(total));
    }
    let key = |found: &Set| {
        let members = || case.coupons.iter().enumerate().filter(|(place, _)| found.set >> place & 1 == 1);
        let mut ends: Vec<i64> = members().map(|(_, coupon)| coupon.valid_until).collect();
        let mut ids: Vec<i64> = members().map(|(_, coupon)| coupon.coupon_id).collect();
        ends.sort_unstable();
        ids.sort_unstable();
        (-found.total, ends.len(), ends, ids)
    };
    let found = Set { total, set };
    if key(&found) < key(&judged.best) {
        judged.best = found;
    }
}

/// Whether the coupon takes something.
fn apply(case: &Case, place: usize, order: &mut Order) -> bool {
    let coupon = &case.coupons[place];
    let terms = &coupon.terms;
    let lines: Vec<usize> = (0..case.lines.len()).filter(|&line| eligible(&case.lines[line], terms)).collect();
    let spend: i64 = lines.iter().map(|&line| case.lines[line].unit_price * case.lines[line].quantity).sum();
    if spend < terms.min_spend || !stacks(case, coupon, order) {
        return false;
    }
    let picked = if terms.kind == Kind::FreeShipping {
        let names_goods = !terms.scope.include_skus.is_empty();
        if names_goods && !lines.iter().any(|&line| case.lines[line].shop_id == "shop-0") {
            return false;
        }
        Vec::new()
    } else {
        match pick(case, &lines, terms) {
            Some(picked) if !lines.is_empty() => picked,
            _ => return false,
        }
    };
    let above = terms.fixed_price.map_or(0, |fixed| fixed.unit_price);
    let part = |order: &Order, &(line, unit): &(usize, usize)| (order.units[line][unit] - above).max(0);
    let basis = match terms.kind {
        Kind::FreeShipping => order.shipping,
        _ => picked.iter().map(|unit| part(order, unit)).sum(),
    };
    let percent = |rate: i64| (basis * rate + 5_000) / 10_000;
    let amount = terms.amount_off.unwrap_or(0);
    if terms.overshoot == Overshoot::Reject && amount > basis {
        return false;
    }
    let promised = match terms.kind {
        Kind::PercentOff => percent(terms.percent_off_bp.unwrap_or(0)),
        Kind::NthItem => percent(terms.nth_item.map_or(0, |nth| nth.percent_off_bp)),
        Kind::FixedPrice | Kind::FreeShipping => basis,
        Kind::ThresholdOff | Kind::InstantOff => amount.min(basis),
    };
    let discount =
        promised.min(terms.max_discount.unwrap_or(i64::MAX)).min((order.payable() - case.minimum_payable).max(0));
    let of_template = order.taken.iter().filter(|(other, _)| case.coupons[*other].template_id == coupon.template_id);
    let spent: i64 = of_template.map(|(_, discount)| discount).sum();
    if discount == 0 || coupon.budget_left.is_some_and(|left| discount > left - spent) {
        return false;
    }
    if terms.kind == Kind::FreeShipping {
        order.shipping -= discount;
    } else {
        let of_line = |order: &Order, line: usize| -> Vec<i64> {
            let units = picked.iter().filter(|unit| unit.0 == line);
            units.map(|unit| part(order, unit)).collect()
        };
        let nets: Vec<i64> = lines.iter().map(|&line| of_line(order, line).iter().sum()).collect();
        for (&line, taken) in lines.iter().zip(share(discount, &nets)) {
            let units: Vec<usize> = picked.iter().filter(|unit| unit.0 == line).map(|unit| unit.1).collect();
            let parts = of_line(order, line);
            for (unit, less) in units.into_iter().zip(share(taken, &parts)) {
                order.units[line][unit] -= less;
            }
        }
    }
    order.taken.push((place, discount));
    true
}

fn eligible(line: &Line, terms: &TermsSpec) -> bool {
    !line.not_discountable
        && terms.shop_id.as_ref().is_none_or(|shop| *shop == line.shop_id)
        && (terms.scope.include_skus.is_empty() || terms.scope.include_skus.contains(&line.sku_id))
}

/// (line, unit) of what the coupon takes from, in cart order; `None` with too few units.
fn pick(case: &Case, lines: &[usize], terms: &TermsSpec) -> Option<Vec<(usize, usize)>> {
    let all = lines.iter().flat_map(|&line| (0..case.lines[line].quantity as usize).map(move |unit| (line, unit)));
    let mut units: Vec<(usize, usize)> = all.collect();
    let price = |unit: &(usize, usize)| case.lines[unit.0].unit_price;
    if let Some(nth) = terms.nth_item {
        units.retain(|unit| price(unit) > 0);
        units.sort_by_key(price);
        let groups = (units.len() as i64 / nth.group_size).min(nth.max_groups.unwrap_or(i64::MAX));
        if groups == 0 {
            return None;
        }
        units.truncate((groups * nth.discounted_units) as usize);
    }
    if let Some(fixed) = terms.fixed_price {
        units.retain(|unit| price(unit) > fixed.unit_price);
        units.sort_by_key(|unit| -price(unit));
        units.truncate(fixed.max_units.unwrap_or(i64::MAX) as usize);
    }
    units.sort_unstable();
    Some(units)
}

fn stacks(case: &Case, coupon: &Plain, order: &Order) -> bool {
    let taken = || order.taken.iter().map(|(place, _)| &case.coupons[*place]);
    let conflict = |a: &TermsSpec, b: &TermsSpec| a.exclusive && !b.joint;
    let group = |terms: &TermsSpec| {
        let by_kind = match terms.kind {
            Kind::PercentOff | Kind::ThresholdOff => ("@percent_or_threshold", 1),
            Kind::NthItem | Kind::FixedPrice => ("@unit_price", 1),
            Kind::InstantOff => ("@instant_off", 2),
            Kind::FreeShipping => ("@free_shipping", 1),
        };
        let (name, limit) = match terms.exclusive_group.as_deref() {
            None => by_kind,
            Some("") => return None,
            Some(_) => ("g", 1),
        };
        Some((name, terms.shop_id.clone(), limit))
    };
    let own = group(&coupon.terms);
    let in_group = taken().filter(|other| group(&other.terms) == own).count();
    taken().all(|other| !conflict(&coupon.terms, &other.terms) && !conflict(&other.terms, &coupon.terms))
        && own.is_none_or(|(_, _, limit)| in_group < limit)
        && (order.taken.len() as i64) < case.count_limit
        && (taken().filter(|other| other.template_id == coupon.template_id).count() as i64) < coupon.terms.stack_limit
}

/// Largest remainder.
fn share(amount: i64, nets: &[i64]) -> Vec<i64> {
    let total: i64 = nets.iter().sum();
    if total == 0 {
        return vec![0; nets.len()];
    }
    let mut shares: Vec<i64> = nets.iter().map(|net| amount * net / total).collect();
    let mut waiting: Vec<usize> = (0..nets.len()).collect();
    waiting.sort_by_key(|&place| (-(amount * nets[place] % total), -nets[place], place));
    let spare = amount - shares.iter().sum::<i64>();
    for &place in waiting.iter().take(spare as usize) {
        shares[place] += 1;
    }
    shares
}
