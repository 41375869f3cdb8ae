"""CalculateDiscount: stored coupons, what-if ones, and every one of them answered."""

from datetime import timedelta
from typing import Any

import pytest

from couponry.clock import to_timestamp
from couponry.errors import InvalidArgument
from couponry.servicers.status import grpc_status
from couponry.v1 import cart_pb2, coupon_pb2, reason_pb2, template_pb2
from couponry.v1 import discount_pb2 as pb
from tests.integration.coupons.conftest import OpenShop, Shop
from tests.unit.coupons.builders import NOW, by_code, by_id, cart, instant_off, spec

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def reasons(decision: pb.Decision) -> list[str]:
    return [reason_pb2.Reason.Name(each.reason).removeprefix("REASON_") for each in decision.rejected]


def inline(coupon_id: int, terms: template_pb2.Terms | None = None, **changes: Any) -> pb.InlineCoupon:
    fields: dict[str, Any] = {"template_id": coupon_id, "terms": terms or spec().terms} | changes
    return pb.InlineCoupon(coupon_id=coupon_id, **fields)


async def test_a_stored_coupon_is_priced_to_the_unit(shop: Shop) -> None:
    template = await shop.template()
    coupon = await shop.receive(template)
    line = cart_pb2.CartLine(line_id="A", sku_id="1", shop_id="s", quantity=3, unit_price=3333)
    decision = await shop.calculate(by_id(coupon), cart=cart(lines=[line]))
    run, last = pb.UnitRun(count=2, amount=667), pb.UnitRun(count=1, amount=666)
    setattr(last, "from", 2)
    assert decision == pb.Decision(
        applied=[
            pb.AppliedCoupon(
                coupon_id=coupon.coupon_id,
                template_id=template.template_id,
                discount=2000,
                lines=[pb.LineAllocation(line_id="A", discount=2000, units=[run, last])],
            )
        ],
        lines=[
            pb.LineReceipt(
                line_id="A",
                list=9999,
                discount=2000,
                net=7999,
                units=[pb.UnitNet(count=2, net=2666), pb.UnitNet(count=1, net=2667)],
            )
        ],
        original=9999,
        discount=2000,
        payable=7999,
        currency="CNY",
    )


async def test_a_coupon_is_named_by_its_code_too_and_the_answer_repeats_the_code(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    assert (await shop.calculate(by_code(coupon.code))).discount == 2000
    decision = await shop.calculate(by_code(coupon.code), cart=cart(currency="EUR"))
    [rejected] = decision.rejected
    assert (rejected.code, rejected.coupon_id, reasons(decision)) == (
        coupon.code,
        coupon.coupon_id,
        ["CURRENCY_MISMATCH"],
    )


async def test_every_coupon_is_applied_or_rejected_with_its_reason(shop: Shop) -> None:
    template = await shop.template(valid_until=to_timestamp(NOW + DAY))
    later = await shop.template(valid_from=to_timestamp(NOW + 2 * DAY))
    good, locked, used, revoked = [await shop.receive(await shop.template(terms=instant_off(1))) for _ in range(4)]
    early, ended, theirs = await shop.receive(later), await shop.receive(template), await shop.receive(template, "v")
    await shop.lock(locked, until=NOW + 3 * DAY)
    await shop.mysql.execute("UPDATE user_coupons SET status = 3 WHERE id = %s", (used.coupon_id,))
    await shop.revoke(revoked)
    shop.clock.now = NOW + DAY
    refs = [by_id(each) for each in (good, locked, used, revoked, early, ended, theirs, good)]
    decision = await shop.calculate(*refs, by_code("AAAA-AAAA-AAAA"), pb.CouponRef(coupon_id=404))
    assert [each.coupon_id for each in decision.applied] == [good.coupon_id]
    found = {(each.coupon_id, reason) for each, reason in zip(decision.rejected, reasons(decision), strict=True)}
    assert found == {
        (locked.coupon_id, "LOCKED"),
        (used.coupon_id, "USED"),
        (revoked.coupon_id, "REVOKED"),
        (early.coupon_id, "NOT_STARTED"),
        (ended.coupon_id, "EXPIRED"),
        (theirs.coupon_id, "NOT_FOUND"),
        (good.coupon_id, "DUPLICATE"),
        (0, "NOT_FOUND"),
        (404, "NOT_FOUND"),
    }
    assert len(decision.applied) + len(decision.rejected) == len(refs) + 2


async def test_the_id_behind_a_code_of_somebody_elses_is_not_told(shop: Shop) -> None:
    theirs = await shop.receive(await shop.template(), "v")
    [rejected] = (await shop.calculate(by_code(theirs.code))).rejected
    assert rejected == pb.RejectedCoupon(reason=reason_pb2.REASON_NOT_FOUND, code=theirs.code)


async def test_a_budget_is_all_or_nothing(shop: Shop) -> None:
    template = await shop.template(budget=5000)
    coupon = await shop.receive(template)
    await shop.mysql.execute("UPDATE template_counters SET budget_reserved = 1000, budget_spent = 2000")
    assert (await shop.calculate(by_id(coupon))).discount == 2000
    await shop.mysql.execute("UPDATE template_counters SET budget_spent = 2001")
    decision = await shop.calculate(by_id(coupon))
    assert (reasons(decision), decision.rejected[0].left) == (["BUDGET_EXHAUSTED"], 1999)


async def test_a_lock_of_another_instance_is_seen_when_it_lapses(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    await shop.lock(coupon, until=NOW + MINUTE)
    assert reasons(await shop.calculate(by_id(coupon))) == ["LOCKED"]
    shop.clock.now = NOW + MINUTE
    assert (await shop.calculate(by_id(coupon))).discount == 2000


async def test_the_minimum_payable_holds(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    assert (await shop.calculate(by_id(coupon), minimum_payable=9000)).payable == 9000


async def test_a_what_if_needs_no_user_and_no_template(shop: Shop) -> None:
    decision = await shop.calculate(
        user="", inline_coupons=[inline(1), inline(2, instant_off(500)), inline(3, instant_off(500), template_id=2)]
    )
    assert [(each.coupon_id, each.template_id, each.discount) for each in decision.applied] == [
        (1, 1, 2000),
        (2, 2, 500),
    ]
    assert reasons(decision) == ["STACK_LIMIT"]


async def test_stored_and_what_if_coupons_stand_together(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    decision = await shop.calculate(by_id(coupon), inline_coupons=[inline(2**53 - 1, instant_off(500))])
    assert decision.discount == 2500


async def test_a_what_if_has_the_window_it_is_given(shop: Shop) -> None:
    windows = [
        inline(1, instant_off(1), valid_from=to_timestamp(NOW + MINUTE)),
        inline(2, instant_off(1), valid_until=to_timestamp(NOW)),
        inline(3, instant_off(1), valid_from=to_timestamp(NOW), valid_until=to_timestamp(NOW + MINUTE)),
    ]
    decision = await shop.calculate(inline_coupons=windows)
    assert [each.coupon_id for each in decision.applied] == [3]
    assert sorted(reasons(decision)) == ["EXPIRED", "NOT_STARTED"]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("cart", {"cart": None}),
    ("cart.lines", {"cart": cart(lines=[])}),
    ("cart.lines", {"cart": cart(lines=[cart().lines[0]] * 501)}),
    ("cart.lines[0].quantity", {"cart": cart(lines=[cart_pb2.CartLine(line_id="A", sku_id="1", shop_id="s")])}),
    ("cart.currency", {"cart": cart(currency="cny")}),
    ("mode", {"mode": pb.CALCULATE_MODE_UNSPECIFIED}),
    ("minimum_payable", {"minimum_payable": -1}),
    ("user_id", {"user_id": ""}),
    ("coupons[0]", {"coupons": [pb.CouponRef()]}),
    ("coupons", {"coupons": [pb.CouponRef(coupon_id=n + 1) for n in range(31)]}),
    ("inline_coupons", {"coupons": [], "inline_coupons": [inline(n + 1) for n in range(31)]}),
    ("inline_coupons[0].coupon_id", {"inline_coupons": [inline(0)]}),
    ("inline_coupons[0].coupon_id", {"inline_coupons": [inline(7)]}),
    ("inline_coupons[1].coupon_id", {"inline_coupons": [inline(1), inline(1)]}),
    ("inline_coupons[0].template_id", {"inline_coupons": [inline(1, template_id=0)]}),
    ("inline_coupons[0].terms", {"inline_coupons": [pb.InlineCoupon(coupon_id=1, template_id=1)]}),
    ("inline_coupons[0].terms.amount_off", {"inline_coupons": [inline(1, instant_off(0))]}),
    (
        "inline_coupons[0].valid_until",
        {"inline_coupons": [inline(1, valid_from=to_timestamp(NOW), valid_until=to_timestamp(NOW))]},
    ),
]


async def test_bad_input_names_its_field(shop: Shop) -> None:
    good: dict[str, Any] = {
        "user_id": "u",
        "cart": cart(),
        "mode": pb.CALCULATE_MODE_APPLY_GIVEN,
        "coupons": [pb.CouponRef(coupon_id=7)],
    }
    for field, changes in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await shop.calculator.calculate(pb.CalculateDiscountRequest(**(good | changes)))
        assert field in {violation.field for violation in refused.value.violations}


async def test_30_coupons_are_taken(shop: Shop) -> None:
    decision = await shop.calculate(inline_coupons=[inline(n + 1, instant_off(1)) for n in range(30)])
    assert len(decision.applied) == 5
    assert set(reasons(decision)) == {"GROUP_LIMIT"}


async def test_a_sum_past_64_bits_is_an_error_and_never_wraps(shop: Shop) -> None:
    line = cart_pb2.CartLine(line_id="A", sku_id="1", shop_id="s", quantity=2, unit_price=2**62)
    with pytest.raises(InvalidArgument) as refused:
        await shop.calculate(cart=cart(lines=[line]))
    assert refused.value.violations[0].field.startswith("cart")


async def test_500_wrong_lines_make_a_small_error(shop: Shop) -> None:
    wrong = cart_pb2.CartLine(line_id="x" * 65, sku_id="", shop_id="s" * 500, quantity=0, unit_price=-1)
    with pytest.raises(InvalidArgument) as refused:
        await shop.calculate(cart=cart(lines=[wrong] * 500))
    assert len(refused.value.violations) >= 500
    status = grpc_status(refused.value, "0" * 16)
    assert sum(len(key) + len(value) for key, value in status.trailing_metadata) < 8192


async def test_best_chooses_and_certifies(shop: Shop) -> None:
    request = pb.CalculateDiscountRequest(
        cart=cart(), mode=pb.CALCULATE_MODE_BEST, inline_coupons=[inline(n, instant_off(n)) for n in range(1, 7)]
    )
    response = await shop.calculator.calculate(request)
    assert [applied.coupon_id for applied in response.decision.applied] == [2, 3, 4, 5, 6]
    [rejected] = response.decision.rejected
    assert (rejected.coupon_id, rejected.reason, rejected.less_by) == (1, reason_pb2.REASON_NOT_IN_BEST, 1)
    certificate = response.certificate
    assert (certificate.optimality, certificate.gap) == (pb.OPTIMALITY_EXACT, 0)
    assert list(certificate.chosen) == [2, 3, 4, 5, 6]
    assert (list(certificate.runner_up.coupon_ids), certificate.runner_up.less_by) == ([1, 3, 4, 5, 6], 1)


@pytest.mark.parametrize(("language", "last"), [("", "no such coupon"), ("en", "no such coupon"), ("zh", "没有这张券")])
async def test_explain_says_it_in_words(shop: Shop, language: str, last: str) -> None:
    calculation = pb.CalculateDiscountRequest(
        user_id="u",
        cart=cart(),
        mode=pb.CALCULATE_MODE_BEST,
        coupons=[pb.CouponRef(coupon_id=7)],
        inline_coupons=[inline(1, instant_off(150))],
    )
    response = await shop.calculator.explain(pb.ExplainRequest(calculation=calculation, language=language))
    assert "1.50 CNY" in response.paragraphs[1]
    assert last in response.paragraphs[-1]
    assert response.decision.discount == 150
    assert response.certificate.optimality == pb.OPTIMALITY_EXACT


async def test_explain_names_the_wrong_field(shop: Shop) -> None:
    for field, request in {
        "language": pb.ExplainRequest(calculation=pb.CalculateDiscountRequest(cart=cart()), language="fr"),
        "calculation": pb.ExplainRequest(),
        "calculation.mode": pb.ExplainRequest(calculation=pb.CalculateDiscountRequest(cart=cart())),
    }.items():
        with pytest.raises(InvalidArgument) as refused:
            await shop.calculator.explain(request)
        assert field in {violation.field for violation in refused.value.violations}


async def test_a_coupon_given_by_another_instance_is_found(open_shop: OpenShop) -> None:
    one, two = await open_shop(), await open_shop()
    await two.calculate()
    await two.user_coupons.page(coupon_pb2.ListUserCouponsRequest(user_id="u"))
    coupon = await one.receive(await one.template())
    assert (await two.calculate(by_id(coupon))).discount == 2000
