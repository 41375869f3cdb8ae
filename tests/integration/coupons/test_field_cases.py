"""Cases that shops met in the field; each test is named after its case."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from couponry.clock import to_timestamp
from couponry.errors import CouponryError, Exhausted, FailedPrecondition, InvalidArgument, NotFound
from couponry.v1 import coupon_pb2, discount_pb2, reason_pb2, template_pb2
from tests.integration.coupons.conftest import OpenShop, Shop
from tests.unit.coupons.builders import NOW, by_code, by_id, cart, instant_off, spec

DAY = timedelta(days=1)


def reasons(decision: discount_pb2.Decision) -> dict[int, reason_pb2.Reason]:
    return {each.coupon_id: each.reason for each in decision.rejected}


async def update(shop: Shop, template: template_pb2.Template, path: str, **changes: Any) -> template_pb2.Template:
    request = template_pb2.UpdateTemplateRequest(
        template_id=template.template_id,
        spec=template_pb2.TemplateSpec(**changes),
        update_mask=FieldMask(paths=[path]),
    )
    return (await shop.templates.update(request, "admin")).template


async def test_same_request_id_other_body(open_shop: OpenShop) -> None:
    shop, other = await open_shop(), await open_shop()
    one, two = await shop.template(), await shop.template()
    assert (await shop.receive(one, "1", "r")).template_id == one.template_id
    with pytest.raises(InvalidArgument) as refused:
        await shop.receive(two, "1", "r")
    assert (refused.value.reason, refused.value.violations[0].field) == ("IDEMPOTENCY_MISMATCH", "request_id")
    assert (await shop.receive(one, "2", "r")).user_id == "2"
    answers = await asyncio.gather(*((shop, other)[n % 2].receive(one, "3", "s") for n in range(10)))
    assert len({coupon.coupon_id for coupon in answers}) == 1
    assert (await shop.counters(one)).issued == 3


async def test_terms_after_issue(shop: Shop) -> None:
    terms = {"min_spend": 10_000}
    template = await shop.template(terms=terms)
    granted = coupon_pb2.GrantCouponsRequest(template_id=template.template_id, user_ids=[f"u{n}" for n in range(500)])
    await shop.granting.grant(granted, "admin")
    with pytest.raises(FailedPrecondition) as worse:
        await update(shop, template, "terms.percent_off_bp", terms=template_pb2.Terms(percent_off_bp=1000))
    assert worse.value.reason == "TERMS_FROZEN"
    later = to_timestamp(NOW + 31 * DAY)
    await update(shop, template, "name", name="new name")
    assert (await update(shop, template, "valid_until", valid_until=later)).spec == spec(
        terms=terms, name="new name", valid_until=later
    )
    with pytest.raises(FailedPrecondition) as earlier:
        await update(shop, template, "valid_until", valid_until=to_timestamp(NOW + 29 * DAY))
    assert earlier.value.reason == "TERMS_FROZEN"
    # A coupon's own end was stored when it was received.
    held = (await shop.user_coupons.page(coupon_pb2.ListUserCouponsRequest(user_id="u0"))).coupons[0]
    assert held.valid_until == to_timestamp(NOW + 30 * DAY)


async def test_pause_and_revoke_while_locked(shop: Shop) -> None:
    template = await shop.template(terms=instant_off(100, stack_limit=9))
    c, d, e = [await shop.receive(template) for _ in range(3)]
    await shop.lock(c, until=NOW + DAY, order="O")
    await shop.lock(e, until=NOW + DAY, order="P")
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")
    assert reasons(await shop.calculate(by_id(d))) == {d.coupon_id: reason_pb2.REASON_TEMPLATE_PAUSED}
    # The lock that was given stays.
    get = coupon_pb2.GetCouponRequest(user_id="u", coupon=by_id(c))
    assert (await shop.user_coupons.get(get)).coupon.order_id == "O"
    await shop.revoke(d)
    assert reasons(await shop.calculate(by_id(d))) == {d.coupon_id: reason_pb2.REASON_REVOKED}
    with pytest.raises(FailedPrecondition) as refused:
        await shop.revoke(e)
    assert refused.value.reason == "LOCKED"


async def test_total_below_issued(shop: Shop) -> None:
    template = await shop.template(total=100)
    users = [f"u{n}" for n in range(60)]
    await asyncio.gather(*(shop.receive(template, user) for user in users))
    request = template_pb2.AdjustTotalRequest(template_id=template.template_id, total=59)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.templates.adjust_total(request, "admin")
    assert (refused.value.reason, refused.value.metadata) == ("BELOW_ISSUED", {"least": "60"})
    request.total = 60
    response = await shop.templates.adjust_total(request, "admin")
    assert (response.template.spec.total, response.counters.issued) == (60, 60)
    with pytest.raises(Exhausted):
        await shop.receive(template, "one more")


async def test_limits_count_receipts(shop: Shop) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("spec.per_user_limit", {"per_user_limit": 0}),
        ("spec.terms.amount_off", {"terms": instant_off(-5000)}),
        ("spec.terms.percent_off_bp", {"terms": {"percent_off_bp": 10_001}}),
        ("spec.terms.amount_off", {"terms": instant_off(0)}),
    ]
    for field, changes in wrong:
        with pytest.raises(InvalidArgument) as invalid:
            await shop.template(**changes)
        assert [violation.field for violation in invalid.value.violations] == [field]
    template = await shop.template(per_user_limit=1)
    coupon = await shop.receive(template, "1")
    await shop.revoke(coupon)
    with pytest.raises(Exhausted) as refused:
        await shop.receive(template, "1")
    assert refused.value.reason == "USER_LIMIT"
    assert (await shop.counters(template)).issued == 1


async def test_valid_days_and_a_later_start(shop: Shop) -> None:
    template = await shop.template(
        valid_from=to_timestamp(datetime(2026, 6, 20, tzinfo=UTC)),
        valid_until=to_timestamp(datetime(2026, 7, 1, tzinfo=UTC)),
        valid_days=3,
    )
    ends = {
        datetime(2026, 6, 15, 10, 30, tzinfo=UTC): datetime(2026, 6, 23, tzinfo=UTC),
        datetime(2026, 6, 22, 10, 30, tzinfo=UTC): datetime(2026, 6, 25, 10, 30, tzinfo=UTC),
        datetime(2026, 6, 29, 10, 30, tzinfo=UTC): datetime(2026, 7, 1, tzinfo=UTC),
    }
    for received_at, end in ends.items():
        shop.clock.now = received_at
        coupon = await shop.receive(template)
        assert coupon.valid_from == template.spec.valid_from
        assert coupon.valid_until == to_timestamp(end)
    shop.clock.now = datetime(2026, 7, 1, tzinfo=UTC)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.receive(template)
    assert refused.value.reason == "EXPIRED"


async def test_code_as_typed(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    code = coupon.code
    look_alikes = code.replace("0", "o").replace("1", "l")

    async def get(typed: str) -> coupon_pb2.Coupon:
        request = coupon_pb2.GetCouponRequest(user_id="u", coupon=by_code(typed))
        return (await shop.user_coupons.get(request)).coupon

    for typed in (f" {code.lower().replace('-', ' ')} ", code.replace("-", ""), look_alikes):
        assert await get(typed) == coupon
    decision = await shop.calculate(by_code(code), by_code(code.replace("-", "").lower()))
    assert [each.coupon_id for each in decision.applied] == [coupon.coupon_id]
    assert reasons(decision) == {coupon.coupon_id: reason_pb2.REASON_DUPLICATE}
    other = "A" if code[-1] != "A" else "B"
    before = await questions(shop)
    with pytest.raises(NotFound):
        await get(code[:-1] + other)
    assert await questions(shop) == before
    answers: list[str] = []
    for _ in range(1000):
        try:
            await get(code[:-1] + other)
        except CouponryError as error:
            answers.append(error.reason)
            last = error
    assert 12 <= answers.count("NOT_FOUND") <= 60
    assert answers.count("NOT_FOUND") + answers.count("RATE_LIMITED") == 1000
    assert isinstance(last, Exhausted)
    assert last.retry_after_s is not None


async def questions(shop: Shop) -> int:
    """SELECT statements that the server has seen."""
    [row] = await shop.mysql.fetch_all("SHOW GLOBAL STATUS LIKE 'Com_select'")
    return int(row["Value"])


async def test_hundreds_of_coupons_in_the_wallet(shop: Shop) -> None:
    usable = [await shop.template(terms=instant_off(n * 10)) for n in range(1, 14)]
    unusable = await shop.template(terms={"currency": "EUR"})
    for template in usable:
        await grant(shop, template, "u", 30)
    await grant(shop, unusable, "u", 10)
    await grant(shop, usable[0], "somebody else", 5)
    found: list[coupon_pb2.AvailableCoupon] = []
    token = ""
    while True:
        request = coupon_pb2.ListAvailableCouponsRequest(user_id="u", cart=cart(), page_size=150, page_token=token)
        response = await shop.available.page(request)
        found += response.coupons
        token = response.next_page_token
        if not token:
            break
    assert len(found) == len({each.coupon.coupon_id for each in found}) == 400
    assert {each.coupon.user_id for each in found} == {"u"}
    discounts = [each.discount for each in found]
    assert discounts == sorted(discounts, reverse=True)
    assert [each.HasField("rejected") for each in found] == [False] * 390 + [True] * 10
    assert {each.rejected.reason for each in found[390:]} == {reason_pb2.REASON_CURRENCY_MISMATCH}
    picked = [by_id(each.coupon) for each in found[:31]]
    assert len((await shop.calculate(*picked[:30])).applied) == 1
    best = await shop.calculator.calculate(
        discount_pb2.CalculateDiscountRequest(
            user_id="u", cart=cart(), mode=discount_pb2.CALCULATE_MODE_BEST, coupons=picked[:30]
        )
    )
    # All of one template: as good as each other, and so they count once.
    assert len(best.decision.applied) == 1
    assert {rejected.less_by for rejected in best.decision.rejected} == {0}
    assert best.certificate.nodes_visited < 5
    with pytest.raises(InvalidArgument) as refused:
        await shop.calculate(*picked)
    assert refused.value.violations[0].field == "coupons"


async def grant(shop: Shop, template: template_pb2.Template, user: str, count: int) -> None:
    request = coupon_pb2.GrantCouponsRequest(template_id=template.template_id, user_ids=[user] * count)
    await shop.granting.grant(request, "admin")
