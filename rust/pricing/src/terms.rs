//! The message Terms as the calculator's terms.
use couponry_discount::{Class, FixedPrice, Kind, NthItem, Overshoot, Repeat, ScopeSpec, TermsSpec, Tier};

use crate::fields::{each, once};

const OVERSHOOT_REJECT: i64 = 2;

pub(crate) fn read_terms(message: &[u8]) -> Option<TermsSpec> {
    let mut terms = TermsSpec::new(Kind::PercentOff, Class::Item, "");
    let (mut kind, mut class) = (None, None);
    let (mut repeat, mut scope, mut nth_item, mut fixed_price) = (None, None, None, None);
    each(message, |field, value| {
        match field {
            1 => kind = kind_of(value.number()?),
            2 => class = class_of(value.number()?),
            3 => terms.currency = value.string()?,
            4 => terms.min_spend = value.number()?,
            5 => terms.min_quantity = Some(value.number()?),
            6 => terms.amount_off = Some(value.number()?),
            7 => terms.percent_off_bp = Some(value.number()?),
            8 => terms.max_discount = Some(value.number()?),
            9 => terms.tiers.push(read_tier(value.bytes()?)?),
            10 => once(&mut repeat, read_repeat(value.bytes()?)?)?,
            11 => once(&mut scope, read_scope(value.bytes()?)?)?,
            12 => terms.shop_id = Some(value.string()?),
            13 => terms.priority = value.number()?,
            14 => terms.exclusive_group = Some(value.string()?),
            15 => terms.stack_limit = value.number()?,
            16 => terms.exclusive = value.flag()?,
            17 => terms.joint = value.flag()?,
            18 => {
                let reject = value.number()? == OVERSHOOT_REJECT;
                terms.overshoot = if reject { Overshoot::Reject } else { Overshoot::Clamp };
            }
            19 => terms.exclude_sale_items = value.flag()?,
            20 => once(&mut nth_item, read_nth_item(value.bytes()?)?)?,
            21 => once(&mut fixed_price, read_fixed_price(value.bytes()?)?)?,
            _ => {}
        }
        Some(())
    })?;
    Some(TermsSpec {
        kind: kind?,
        class: class?,
        repeat,
        scope: scope.unwrap_or_default(),
        nth_item,
        fixed_price,
        ..terms
    })
}

fn kind_of(number: i64) -> Option<Kind> {
    Some(match number {
        1 => Kind::ThresholdOff,
        2 => Kind::PercentOff,
        3 => Kind::InstantOff,
        4 => Kind::FreeShipping,
        5 => Kind::FixedPrice,
        6 => Kind::NthItem,
        _ => return None,
    })
}

fn class_of(number: i64) -> Option<Class> {
    Some(match number {
        1 => Class::Item,
        2 => Class::Shop,
        3 => Class::Platform,
        4 => Class::Shipping,
        _ => return None,
    })
}

/// The numbers of fields 1 to `N`, absent where they are not given.
fn numbers<const N: usize>(message: &[u8]) -> Option<[Option<i64>; N]> {
    let mut found = [None; N];
    each(message, |field, value| {
        if let Some(place) = found.get_mut(field as usize - 1) {
            *place = Some(value.number()?);
        }
        Some(())
    })?;
    Some(found)
}

fn read_tier(message: &[u8]) -> Option<Tier> {
    let [min_spend, amount_off] = numbers(message)?;
    Some(Tier { min_spend: min_spend.unwrap_or(0), amount_off: amount_off.unwrap_or(0) })
}

fn read_repeat(message: &[u8]) -> Option<Repeat> {
    let [every, amount_off] = numbers(message)?;
    Some(Repeat { every: every.unwrap_or(0), amount_off: amount_off.unwrap_or(0) })
}

fn read_nth_item(message: &[u8]) -> Option<NthItem> {
    let [group_size, discounted_units, percent_off_bp, max_groups] = numbers(message)?;
    Some(NthItem {
        group_size: group_size.unwrap_or(0),
        discounted_units: discounted_units.unwrap_or(0),
        percent_off_bp: percent_off_bp.unwrap_or(0),
        max_groups,
    })
}

fn read_fixed_price(message: &[u8]) -> Option<FixedPrice> {
    let [unit_price, max_units] = numbers(message)?;
    Some(FixedPrice { unit_price: unit_price.unwrap_or(0), max_units })
}

fn read_scope(message: &[u8]) -> Option<ScopeSpec> {
    let mut scope = ScopeSpec::default();
    each(message, |field, value| {
        let list = match field {
            1 => &mut scope.include_skus,
            2 => &mut scope.include_spus,
            3 => &mut scope.include_categories,
            4 => &mut scope.include_shops,
            5 => &mut scope.exclude_skus,
            6 => &mut scope.exclude_spus,
            7 => &mut scope.exclude_categories,
            8 => &mut scope.exclude_shops,
            _ => return Some(()),
        };
        list.push(value.string()?);
        Some(())
    })?;
    Some(scope)
}
