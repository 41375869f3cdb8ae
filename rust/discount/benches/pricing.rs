//! How long pricing takes; each result is asserted before it is timed. The random suite prints its own table: how long
//! the best of 30 candidates takes at the 50th and 99th percentile, and how often it is exact.
#![allow(clippy::unwrap_used)] // as in tests
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use couponry_discount::*;
use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};

const NOW: i64 = 1_000;

fn cart(lines: usize, quantity: i64) -> Cart {
    let lines = (0..lines).map(|place| Line {
        line_id: format!("line-{place}"),
        sku_id: format!("sku-{place}"),
        spu_id: None,
        category_ids: vec!["goods".to_owned()],
        shop_id: format!("shop-{}", place % 2),
        quantity,
        unit_price: 1_999 + place as i64,
        list_unit_price: None,
        not_discountable: false,
    });
    let shipments = (0..2).map(|place| Shipment {
        shipment_id: format!("parcel-{place}"),
        shop_id: format!("shop-{place}"),
        amount: 600,
    });
    let spec = CartSpec {
        currency: "CNY".to_owned(),
        lines: lines.collect(),
        shipments: shipments.collect(),
        order_total: None,
    };
    Cart::new(spec).unwrap()
}

fn coupon(coupon_id: i64, terms: TermsSpec) -> Coupon {
    Coupon::new(CouponSpec {
        coupon_id,
        template_id: coupon_id,
        terms: Arc::new(Terms::new(terms).unwrap()),
        valid_from: Some(0),
        valid_until: Some(2_000 + coupon_id % 7),
        state: State::Unused,
        template_paused: false,
        budget_left: None,
    })
    .unwrap()
}

fn terms(kind: Kind, class: Class) -> TermsSpec {
    TermsSpec::new(kind, class, "CNY")
}

fn five() -> Vec<Coupon> {
    let skus = ScopeSpec { include_skus: vec!["sku-1".to_owned(), "sku-2".to_owned()], ..ScopeSpec::default() };
    let tiers = vec![Tier { min_spend: 10_000, amount_off: 1_000 }, Tier { min_spend: 20_000, amount_off: 3_000 }];
    vec![
        coupon(1, TermsSpec { percent_off_bp: Some(1_000), scope: skus, ..terms(Kind::PercentOff, Class::Item) }),
        coupon(2, TermsSpec { tiers, shop_id: Some("shop-0".to_owned()), ..terms(Kind::ThresholdOff, Class::Shop) }),
        coupon(3, TermsSpec { amount_off: Some(500), ..terms(Kind::InstantOff, Class::Platform) }),
        coupon(4, TermsSpec { amount_off: Some(300), ..terms(Kind::InstantOff, Class::Platform) }),
        coupon(5, TermsSpec { max_discount: Some(800), ..terms(Kind::FreeShipping, Class::Shipping) }),
    ]
}

/// A multiply-and-shift generator: the suite is the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % below as u64) as i64
    }
}

/// What a wallet holds: all kinds and classes, some scopes, the default matrix.
fn wallet(dice: &mut Dice, size: i64) -> Vec<Coupon> {
    (1..=size)
        .map(|id| {
            let class = [Class::Item, Class::Shop, Class::Platform][dice.roll(3) as usize];
            let figures = match dice.roll(8) {
                0 | 1 => TermsSpec {
                    percent_off_bp: Some(100 + dice.roll(30) * 100),
                    max_discount: (dice.roll(2) == 0).then(|| 500 + dice.roll(5_000)),
                    min_spend: dice.roll(2) * 10_000,
                    ..terms(Kind::PercentOff, class)
                },
                2 | 3 => TermsSpec {
                    min_spend: dice.roll(60_000),
                    amount_off: Some(100 + dice.roll(5_000)),
                    ..terms(Kind::ThresholdOff, class)
                },
                4 | 5 => TermsSpec { amount_off: Some(50 + dice.roll(1_500)), ..terms(Kind::InstantOff, class) },
                6 => TermsSpec {
                    max_discount: Some(100 + dice.roll(1_200)),
                    ..terms(Kind::FreeShipping, Class::Shipping)
                },
                _ if dice.roll(2) == 0 => TermsSpec {
                    nth_item: Some(NthItem {
                        group_size: 2 + dice.roll(3),
                        discounted_units: 1,
                        percent_off_bp: 5_000,
                        max_groups: Some(2),
                    }),
                    ..terms(Kind::NthItem, class)
                },
                _ => TermsSpec {
                    fixed_price: Some(FixedPrice { unit_price: 1_000 + dice.roll(1_000), max_units: Some(3) }),
                    ..terms(Kind::FixedPrice, class)
                },
            };
            let scope = match dice.roll(3) {
                0 => ScopeSpec {
                    include_skus: (0..5).map(|_| format!("sku-{}", dice.roll(20))).collect(),
                    ..ScopeSpec::default()
                },
                _ => ScopeSpec::default(),
            };
            let shop_id = (figures.class == Class::Shop).then(|| format!("shop-{}", dice.roll(2)));
            coupon(id, TermsSpec { scope, shop_id, ..figures })
        })
        .collect()
}

/// This thread's own time: what the machine does besides is not the calculator's.
struct OwnTime;

impl Measurement for OwnTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn given(criterion: &mut Criterion<OwnTime>) {
    let (ten, coupons, rules) = (cart(10, 3), five(), Rules::default());
    let decision = apply_given(&ten, &coupons, &rules, NOW).unwrap();
    let discounts: Vec<i64> = decision.applied.iter().map(|applied| applied.discount).collect();
    assert_eq!(discounts, [1_200, 3_000, 500, 300, 800]);
    criterion.bench_function("10 lines, 5 coupons, given", |bencher| {
        bencher.iter(|| apply_given(black_box(&ten), black_box(&coupons), &rules, NOW));
    });
}

fn best_of(criterion: &mut Criterion<OwnTime>) {
    let (twenty, rules) = (cart(20, 3), Rules::default());
    for size in [10, 30] {
        let coupons = wallet(&mut Dice(7), size);
        let found = best(&twenty, &coupons, &rules, NOW).unwrap();
        assert!(found.certificate.exact);
        let given = apply_given(&twenty, &coupons, &rules, NOW).unwrap();
        assert!(found.decision.discount >= given.discount);
        criterion.bench_function(&format!("20 lines, best of {size}"), |bencher| {
            bencher.iter(|| best(black_box(&twenty), black_box(&coupons), &rules, NOW));
        });
    }
}

fn random_suite(_: &mut Criterion<OwnTime>) {
    let (twenty, rules) = (cart(20, 3), Rules::default());
    for size in [10, 30] {
        let mut dice = Dice(11);
        let (mut micros, mut nodes, mut exact) = (Vec::new(), Vec::new(), 0);
        let wallets = if std::env::var_os("QUICK").is_some() { 300 } else { 2_000 };
        for _ in 0..wallets {
            let coupons = wallet(&mut dice, size);
            let found = best(&twenty, &coupons, &rules, NOW).unwrap();
            // The least of three.
            let times = (0..3).map(|_| {
                let start = ThreadTime::now();
                let again = best(black_box(&twenty), black_box(&coupons), &rules, NOW).unwrap();
                assert_eq!(again.decision.discount, found.decision.discount);
                start.elapsed().as_nanos() as f64 / 1_000.0
            });
            micros.push(times.fold(f64::INFINITY, f64::min));
            nodes.push(found.certificate.nodes);
            exact += u32::from(found.certificate.exact);
        }
        micros.sort_unstable_by(f64::total_cmp);
        nodes.sort_unstable();
        println!(
            "random suite, best of {size} on 20 lines: median {:.0} us, p99 {:.0} us, max {:.0} us; nodes median {}, \
             p99 {}; exact {:.2} %",
            micros[wallets / 2],
            micros[wallets * 99 / 100],
            micros[wallets - 1],
            nodes[wallets / 2],
            nodes[wallets * 99 / 100],
            100.0 * f64::from(exact) / wallets as f64
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(OwnTime);
    targets = given, best_of, random_suite
}
criterion_main!(benches);
