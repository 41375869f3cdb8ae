//! The calculator of `couponry-discount`, fed with the dataclasses of `couponry.discount`. Its answers stay here, and are
//! handed out in plain tuples when somebody asks for a part of them.
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use couponry_discount::{BestDecision, Decision, Rules, Violations, apply_given, best};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

mod outcome;
mod reading;

use outcome::{Outcome, RejectedRow};
use reading::{Call, Refused, read_call};

type Told = Vec<(String, String)>;

/// An answer, or what is wrong with the cart, else with coupons and rules.
#[derive(IntoPyObject)]
enum Answer {
    Outcome(Outcome),
    Refused((Told, Told)),
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::Refused((told(refused.cart), told(refused.coupons)))
    }
}

/// Applies the coupons. `now_ms` is None for a time without a zone.
#[pyfunction]
fn price_cart(
    cart: &Bound<'_, PyAny>,
    coupons: &Bound<'_, PyAny>,
    rules: &Bound<'_, PyAny>,
    now_ms: Option<i64>,
) -> PyResult<Answer> {
    let py = cart.py();
    let (call, rules, now_ms) = match (read_call(cart, coupons, rules, now_ms.is_some())?, now_ms) {
        (Ok((call, rules)), Some(now_ms)) => (call, rules, now_ms),
        (Ok(_), None) => return Ok(Answer::Refused((Told::new(), Told::new()))),
        (Err(refused), _) => return Ok(refused.into()),
    };
    let decision = py.detach(|| apply_given(&call.cart, &call.coupons, &rules, now_ms));
    Ok(answer(decision.map(|decision: Decision| Outcome::new(decision, None))))
}

/// Chooses among the coupons.
#[pyfunction]
fn best_cart(
    cart: &Bound<'_, PyAny>,
    coupons: &Bound<'_, PyAny>,
    rules: &Bound<'_, PyAny>,
    now_ms: Option<i64>,
) -> PyResult<Answer> {
    let py = cart.py();
    let (call, rules, now_ms) = match (read_call(cart, coupons, rules, now_ms.is_some())?, now_ms) {
        (Ok((call, rules)), Some(now_ms)) => (call, rules, now_ms),
        (Ok(_), None) => return Ok(Answer::Refused((Told::new(), Told::new()))),
        (Err(refused), _) => return Ok(refused.into()),
    };
    Ok(answer(py.detach(|| best(&call.cart, &call.coupons, &rules, now_ms)).map(outcome_of_best)))
}

/// `best_cart` for many carts with their coupons, on as many threads; where one is wrong, its place and
/// its answer alone.
#[pyfunction]
fn best_carts(
    calls: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    rules: &Bound<'_, PyAny>,
    now_ms: Option<i64>,
    threads: usize,
) -> PyResult<(Option<usize>, Vec<Answer>)> {
    let mut read: Vec<(Call, Rules)> = Vec::with_capacity(calls.len());
    for (place, (cart, coupons)) in calls.iter().enumerate() {
        match read_call(cart, coupons, rules, now_ms.is_some())? {
            Ok(call) => read.push(call),
            Err(refused) => return Ok((Some(place), vec![refused.into()])),
        }
    }
    let py = rules.py();
    let found = py.detach(|| best_of_each(&read, now_ms.unwrap_or_default(), threads));
    Ok((None, found.into_iter().map(|found| answer(found.map(outcome_of_best))).collect()))
}

type Found = Result<BestDecision, Violations>;

/// Threads take the next call that nobody has, so that one hard cart holds up no other.
fn best_of_each(calls: &[(Call, Rules)], now_ms: i64, threads: usize) -> Vec<Found> {
    let threads = match threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    let found: Vec<OnceLock<Found>> = calls.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((place, (call, rules))) = {
            let place = next.fetch_add(1, Ordering::Relaxed);
            calls.get(place).map(|call| (place, call))
        } {
            found[place].get_or_init(|| best(&call.cart, &call.coupons, rules, now_ms));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(calls.len()) {
            scope.spawn(work);
        }
        work();
    });
    found.into_iter().filter_map(OnceLock::into_inner).collect()
}

fn outcome_of_best(found: BestDecision) -> Outcome {
    Outcome::new(found.decision, Some(found.certificate))
}

fn answer(outcome: Result<Outcome, Violations>) -> Answer {
    match outcome {
        Ok(outcome) => Answer::Outcome(outcome),
        Err(violations) => Answer::Refused((Told::new(), told(violations))),
    }
}

/// What is wrong with the terms of a template.
#[pyfunction]
fn check_terms(terms: &Bound<'_, PyAny>) -> PyResult<Told> {
    reading::check_terms(terms).map(told)
}

fn told(violations: Violations) -> Told {
    violations.into_vec().into_iter().map(|violation| (violation.field, violation.text)).collect()
}

/// Rules as the library has them. ValueError for wrong ones.
pub(crate) fn rules_of(rules: &Bound<'_, PyAny>) -> PyResult<Rules> {
    reading::rules(rules)?.map_err(|violations| PyValueError::new_err(violations.to_string()))
}

/// Each coupon alone, in their order, however many: what it takes off the cart, or why nothing.
#[pyfunction]
fn price_each(
    cart: &Bound<'_, PyAny>,
    coupons: &Bound<'_, PyAny>,
    rules: &Bound<'_, PyAny>,
    now_ms: Option<i64>,
) -> PyResult<Standings> {
    let py = cart.py();
    let (call, rules, now_ms) = match (read_call(cart, coupons, rules, now_ms.is_some())?, now_ms) {
        (Ok((call, rules)), Some(now_ms)) => (call, rules, now_ms),
        (Ok(_), None) => return Ok(Standings::Refused((Told::new(), Told::new()))),
        (Err(refused), _) => return Ok(Standings::Refused((told(refused.cart), told(refused.coupons)))),
    };
    let found = py.detach(|| couponry_discount::price_each(&call.cart, &call.coupons, &rules, now_ms));
    let rows = found.into_iter().enumerate().map(|(place, found)| match found {
        Ok(discount) => (discount, None),
        Err(refusal) => (0, Some(outcome::row_of_refusal(place, &refusal))),
    });
    Ok(Standings::Rows(rows.collect()))
}

#[derive(IntoPyObject)]
enum Standings {
    Rows(Vec<(i64, Option<RejectedRow>)>),
    Refused((Told, Told)),
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Outcome>()?;
    module.add_function(wrap_pyfunction!(price_cart, module)?)?;
    module.add_function(wrap_pyfunction!(best_cart, module)?)?;
    module.add_function(wrap_pyfunction!(best_carts, module)?)?;
    module.add_function(wrap_pyfunction!(price_each, module)?)?;
    module.add_function(wrap_pyfunction!(check_terms, module)?)
}
