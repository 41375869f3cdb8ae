"""A whole replay: its sums are those of pricing cart by cart, in one process or several, and its findings are true."""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couponry.discount import Cart, Coupon, CouponClass, Kind, Line, Rules, Scope, Shipment, Terms, price
from couponry.replay.campaign import Campaign, Template
from couponry.replay.carts import Block
from couponry.replay.errors import BadLines, WorkerDied
from couponry.replay.findings import Code, Finding, findings
from couponry.replay.generating import generate
from couponry.replay.pool import Pool
from couponry.replay.pricing import Mode
from couponry.replay.report import Report, as_json, report_of
from couponry.replay.running import Outcome, replay
from tests.unit.replay.shop import NOW, campaign, cart, instant, ladder, percent, plan, run, text, threshold

DRAFT = Campaign(
    (
        Template("ladder", ladder((20_000, 2_000), (60_000, 9_000))),
        Template("tea", replace(percent(2_000, max_discount=8_000), scope=Scope(include_categories=("tea",)))),
        Template("north", Terms(Kind.INSTANT_OFF, CouponClass.SHOP, "CNY", amount_off=1_000, shop_id="north")),
        Template("ship", Terms(Kind.FREE_SHIPPING, CouponClass.SHIPPING, "CNY", min_spend=9_900)),
        Template("spring", instant(300), valid_from=NOW - timedelta(days=60), valid_until=NOW - timedelta(days=30)),
    )
)
CURRENT = campaign(ladder=threshold(20_000, 2_500))


def model(of: Campaign, lines: Sequence[str]) -> list[tuple[int, int]]:
    """(original, discount) of each cart, priced one by one."""
    found = []
    for line in lines:
        data = json.loads(line)
        priced = price(
            Cart(
                data["currency"],
                tuple(Line(**{**entry, "category_ids": tuple(entry["category_ids"])}) for entry in data["lines"]),
                tuple(Shipment(**entry) for entry in data["shipments"]),
            ),
            of.coupons(),
            of.rules,
            now=NOW.fromisoformat(data["at"]),
        )
        found.append((priced.original, priced.discount))
    return found


def without_time(report: Report) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(as_json(report))
    for name in ("processes", "milliseconds", "carts_a_second", "peak_memory_bytes"):
        del told["run"][name]
    return told


def test_sums_are_those_of_pricing_cart_by_cart() -> None:
    lines = list(generate(400, seed=1))
    source = BytesIO("".join(lines).encode())
    outcome = replay(plan(DRAFT, against=CURRENT), source, name="carts", processes=1, block_size=10_000)
    report = report_of(outcome)
    drafts, currents = model(DRAFT, lines), model(CURRENT, lines)
    totals = report.draft.currencies[0]
    assert totals.orders == 400
    assert totals.affected == sum(discount > 0 for _, discount in drafts)
    assert totals.original == sum(original for original, _ in drafts)
    assert totals.discount == sum(discount for _, discount in drafts)
    assert totals.payable == totals.original - totals.discount
    assert totals.mean_discount == (2 * totals.discount + 400) // 800
    assert sum(bucket.orders for bucket in totals.shares_bp) == sum(bucket.orders for bucket in totals.amounts) == 400
    assert totals.shares_bp[0].orders == 400 - totals.affected
    assert sum(template.discount for template in report.draft.templates) == totals.discount
    assert report.against is not None
    assert report.against.currencies[0].discount == sum(discount for _, discount in currents)
    [change] = report.changes
    assert change.discount == totals.discount - report.against.currencies[0].discount
    assert change.more == sum(new > old for (_, new), (_, old) in zip(drafts, currents, strict=True))
    assert change.less == sum(new < old for (_, new), (_, old) in zip(drafts, currents, strict=True))
    worst = sorted(((discount * 10**18 // original, discount) for original, discount in drafts), reverse=True)[:20]
    assert [(entry.discount * 10**18 // entry.original, entry.discount) for entry in report.worst] == worst


def test_a_report_does_not_depend_on_the_processes_and_the_blocks() -> None:
    source = "".join(generate(300, seed=2)).encode()
    of = plan(DRAFT, against=CURRENT, worst_by="change", share_bp=1_000)
    options: list[dict[str, Any]] = [
        {"processes": 1},
        {"processes": 1, "block_size": 700},
        {"processes": 2, "block_size": 5_000},
    ]
    reports = [report_of(replay(of, BytesIO(source), name="carts", **given)) for given in options]
    assert [report.run.processes for report in reports] == [1, 1, 2]
    assert without_time(reports[0]) == without_time(reports[1]) == without_time(reports[2])
    assert len(reports[0].findings) > 2


def test_a_template_applies_when_the_cart_was_made() -> None:
    at = {name: (NOW - timedelta(days=days)).isoformat() for name, days in (("early", 61), ("in", 40), ("late", 30))}
    outcome = run(plan(DRAFT), [cart(5_000, shop="west", order_id=name, at=instant_) for name, instant_ in at.items()])
    assert [example.order_id for example in outcome.tally.worst.entries()] == ["in"]
    assert outcome.tally.draft.templates[4].reasons == {"NOT_STARTED": 1, "EXPIRED": 1}
    assert run(plan(DRAFT, now=NOW - timedelta(days=40)), [cart(5_000)]).tally.draft.templates[4].orders == 1


def test_the_best_set_is_priced_where_the_order_of_application_would_take_less() -> None:
    draft = campaign(first=threshold(0, 10, priority=1), better=threshold(0, 30))
    given, chosen = (run(plan(draft, mode=mode), [cart(100)]).tally for mode in (Mode.APPLY, Mode.BEST))
    assert [tally.draft.currencies["CNY"].discount for tally in (given, chosen)] == [10, 30]
    assert chosen.draft.templates[0].reasons == {"NOT_IN_BEST": 1}
    assert chosen.draft.bounded == 0


def test_a_best_set_that_is_not_proven_is_counted() -> None:
    random = Random(1)
    skus = [f"sku-{number}" for number in range(40)]
    templates = (
        percent(
            random.randrange(1_000, 6_000),
            scope=Scope(include_skus=tuple(random.sample(skus, 12))),
            exclusive_group="",
            priority=random.randrange(9),
        )
        for _ in range(30)
    )
    hard = Campaign(tuple(Template(f"t{n}", terms) for n, terms in enumerate(templates)), Rules(count_limit=12))
    carts = [cart(*(random.randrange(500, 9_000) for _ in skus)), cart(5_000)]
    outcome = run(plan(hard, mode=Mode.BEST), carts)
    assert outcome.tally.draft.bounded == 1
    assert report_of(outcome).draft.bounded == 1


def test_currencies_are_never_added_up() -> None:
    outcome = run(plan(campaign(a=instant(10))), [cart(100), cart(200, currency="JPY")])
    totals = {entry.currency: (entry.original, entry.discount) for entry in report_of(outcome).draft.currencies}
    assert totals == {"CNY": (100, 10), "JPY": (200, 0)}
    assert outcome.tally.draft.templates[0].seen == 1


def test_wrong_lines_end_a_replay_by_name_line_and_field() -> None:
    wrong = [cart(100), cart(1.5), {**cart(5), "currency": "yuan"}]  # type: ignore[arg-type]
    with pytest.raises(BadLines) as caught:
        run(plan(DRAFT), wrong)
    assert str(caught.value).splitlines() == [
        "carts.jsonl:2: lines[0].unit_price: must be a whole number",
        "carts.jsonl:3: currency: must be an ISO 4217 code of three capital letters",
        "--skip-bad leaves wrong lines out and counts them",
    ]
    outcome = run(plan(DRAFT), wrong, skip_bad=True)
    assert (outcome.tally.carts, outcome.tally.bad, outcome.tally.draft.currencies["CNY"].orders) == (3, 2, 1)


def test_more_coupons_than_may_be_submitted_are_told() -> None:
    many = Campaign((Template("a", instant(1), held=16), Template("b", instant(1), held=15)))
    with pytest.raises(BadLines, match=r"carts\.jsonl:1: coupons: must have at most 30 entries, has 31"):
        run(plan(many), [cart(100)])


def of_code(outcome: Outcome, code: Code) -> list[Finding]:
    return [finding for finding in findings(outcome) if finding.code is code]


@pytest.mark.parametrize(
    ("terms", "largest"),
    [
        (instant(500), 500),
        (percent(10_000), 10_000),
        (percent(10_000, max_discount=900), 900),
        (percent(9_999), None),
        (threshold(500, 500), 500),
        (threshold(500, 499), None),
        (ladder((100, 50), (300, 300), (900, 800)), 300),
        (threshold(0, 700, scope=Scope(include_categories=("tea",), exclude_categories=("tea",))), None),
        (threshold(0, 700, scope=Scope(include_skus=("a",), exclude_skus=("b",))), 700),
        (threshold(0, 700, scope=Scope(exclude_shops=("b",))), 700),
        (Terms(Kind.INSTANT_OFF, CouponClass.SHOP, "CNY", amount_off=7, shop_id="n"), 7),
        (Terms(Kind.FREE_SHIPPING, CouponClass.SHIPPING, "CNY"), None),
    ],
)
def test_a_coupon_that_alone_makes_an_order_free_is_found_without_any_cart(terms: Terms, largest: int | None) -> None:
    found = of_code(run(plan(campaign(a=terms)), []), Code.FREE_ORDER)
    expected = [] if largest is None else [f"alone makes an order of {largest:,} CNY free"]
    assert [finding.text for finding in found] == expected


def test_no_order_is_free_above_a_minimum_payable() -> None:
    floor = Campaign((Template("a", instant(500)),), Rules(minimum_payable=1))
    assert findings(run(plan(floor), [cart(300)])) == ()


def test_coupons_that_only_together_make_an_order_free_are_found_in_the_history() -> None:
    two = campaign(a=threshold(600, 500, exclusive_group=""), b=threshold(600, 200, exclusive_group=""))
    outcome = run(plan(two), [cart(1_000), cart(650, order_id="free"), cart(620)])
    assert of_code(outcome, Code.FREE_ORDER) == [
        Finding(
            Code.FREE_ORDER, key, f"is in 2 orders for free, the largest of 650 (free: {'a + b'})", 2, "free", 2, (by,)
        )
        for key, by in (("a", "b"), ("b", "a"))
    ]


def test_stacks_beyond_the_share_are_found_with_the_steepest() -> None:
    two = campaign(a=threshold(100, 40, exclusive_group=""), b=threshold(100, 20, exclusive_group=""))
    carts = [cart(120, order_id="half"), cart(119, order_id="more"), cart(100, order_id="most"), cart(90)]
    outcome = run(plan(two), carts)
    assert [
        (finding.key, finding.orders, finding.order_id, finding.by) for finding in of_code(outcome, Code.STEEP_STACK)
    ] == [
        ("a", 2, "most", ("b",)),
        ("b", 2, "most", ("a",)),
    ]
    one = campaign(a=threshold(100, 90))
    assert of_code(run(plan(one), carts), Code.STEEP_STACK) == []


def test_a_coupon_that_never_applies_is_found_with_the_reasons() -> None:
    dead = campaign(
        high=threshold(10_000, 1),
        yen=Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "JPY", amount_off=1),
        used=threshold(100, 1),
    )
    found = of_code(run(plan(dead), [cart(100), cart(200)]), Code.NEVER_APPLIES)
    assert [(finding.key, finding.text) for finding in found] == [
        ("high", "MIN_SPEND_NOT_MET 2 times"),
        ("yen", "no cart is of its currency, or of its shop"),
    ]


def test_a_dominated_coupon_is_found_with_what_dominates_it() -> None:
    draft = campaign(
        better=threshold(100, 30),
        worse=threshold(200, 20),
        apart=threshold(200, 10, exclusive_group=""),
        sometimes=threshold(1_000, 40),
        twin=threshold(100, 30),
    )
    found = of_code(run(plan(draft), [cart(150), cart(250), cart(5_000), cart(50)]), Code.DOMINATED)
    assert [(finding.key, finding.by, finding.orders) for finding in found] == [
        ("worse", ("better", "twin"), 2),
        ("twin", ("better",), 3),
    ]


scopes = st.sampled_from([Scope(), Scope(include_skus=("sku-0",)), Scope(exclude_skus=("sku-1",))])
groups = st.sampled_from([None, None, "", "g"])
some_terms = st.one_of(
    st.builds(threshold, st.integers(0, 30), st.integers(1, 9), scope=scopes, exclusive_group=groups),
    st.builds(percent, st.integers(1, 5_000), scope=scopes, exclusive_group=groups),
    st.builds(instant, st.integers(1, 9), scope=scopes, exclusive=st.booleans()),
)
some_carts = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=3), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(some_terms, min_size=2, max_size=4), some_carts, st.integers(1, 4), st.randoms())
def test_dominance_is_what_trying_every_pair_on_every_cart_finds(
    terms: list[Terms], prices: list[list[int]], parts: int, random: Random
) -> None:
    draft = Campaign(tuple(Template(f"t{place}", some) for place, some in enumerate(terms)))
    coupons = draft.coupons()
    shop = [Cart("CNY", tuple(Line(**line) for line in cart(*some)["lines"])) for some in prices]

    def off(of: Cart, *some: Coupon) -> int:
        return price(of, some, now=NOW).discount

    expected = {}
    for a in coupons:
        supporting = [of for of in shop if off(of, a)]
        if supporting:
            expected[a.template_id] = frozenset(
                b.template_id
                for b in coupons
                if b is not a
                and all(
                    off(of, b) >= off(of, a)
                    and len(price(of, (a, b), now=NOW).applied) < 2
                    and not {a.template_id, b.template_id}
                    <= {entry.template_id for entry in price(of, coupons, now=NOW).applied}
                    for of in supporting
                )
            )
    # Blocks of random sizes stand for what several processes see.
    outcome = run(plan(draft), [cart(*some) for some in prices], block_size=random.randrange(50, 400))
    assert outcome.candidates == expected
    for place, tally in enumerate(outcome.tally.draft.templates):
        if expected.get(place + 1):
            assert tally.alone == sum(off(of, coupons[place]) > 0 for of in shop)


def test_a_process_that_is_killed_ends_the_replay() -> None:
    pool = Pool(plan(DRAFT), 2)
    answers = pool.price(Block(number, text([cart(100)])) for number in range(1, 1_000))
    next(answers)
    victim = next(iter(pool._workers.values()))
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        list(answers)
    assert all(process.exitcode is not None for process in pool._workers.values())


def test_generated_carts_are_the_same_for_the_same_seed_and_hold_no_float() -> None:
    def refuse(number: str) -> float:
        raise AssertionError(number)

    lines = list(generate(200, seed=5))
    assert lines == list(generate(200, seed=5)) != list(generate(200, seed=6))
    for line in lines:
        json.loads(line, parse_float=refuse)
    assert run(plan(DRAFT), map(json.loads, lines)).tally.bad == 0
