"""CalculateDiscount inside the extension and in Python: the same bytes to the same call, whatever cart and coupons."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from couponry.app import App, opened, served
from couponry.client import Client, refusal_of
from couponry.clock import to_timestamp
from couponry.config import Settings
from couponry.coupons.calculating import Calculator
from couponry.store.layers import Change
from couponry.v1 import cart_pb2, coupon_pb2, discount_pb2, template_pb2

CALCULATE = "/couponry.v1.DiscountService/CalculateDiscount"
NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHOPS = ("s1", "s2")
SKUS = tuple(f"k{number}" for number in range(8))
USER = "user"


class MovableClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Both:
    """One worker under both front ends, and how many calls came to its Python."""

    app: App
    clock: MovableClock
    native: Client
    reference: Client
    in_python: list[bytes]

    async def ask(self, request: discount_pb2.CalculateDiscountRequest) -> tuple[bytes | tuple[object, ...], bool]:
        """The answer that both give, and whether the native one came from the extension."""
        body = request.SerializeToString()
        expected = await _answer(self.reference, body)
        before = len(self.in_python)
        found = await _answer(self.native, body)
        assert found == expected, request
        # Refusals are always Python's, some of them before the calculator.
        return found, isinstance(found, bytes) and len(self.in_python) == before


async def _answer(client: Client, body: bytes) -> bytes | tuple[object, ...]:
    call: Any = client.channel.unary_unary(CALCULATE, request_serializer=None, response_deserializer=None)
    try:
        answer: bytes = await call(body, timeout=30)
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        metadata = {key: value for key, value in refusal.metadata.items() if key != "request_id"}
        return (refusal.code, refusal.reason, refusal.text, metadata, refusal.violations)
    return answer


@pytest.fixture
async def both(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Both]:
    clock = MovableClock()
    quiet = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"enabled": False})})
    plain = quiet.model_copy(update={"server": quiet.server.model_copy(update={"frontend": "reference"})})
    in_python: list[bytes] = []
    calculate = Calculator.calculate

    async def counted(self: Calculator, request: discount_pb2.CalculateDiscountRequest) -> Any:
        in_python.append(request.SerializeToString())
        return await calculate(self, request)

    monkeypatch.setattr(Calculator, "calculate", counted)
    async with (
        opened(quiet, clock=clock, session_clock=clock) as app,
        served(app) as native,
        served(replace(app, settings=plain)) as reference,
        Client(native, timeout_s=30) as one,
        Client(reference, timeout_s=30) as other,
    ):
        yield Both(app, clock, one, other, in_python)


class Dice(random.Random):
    """Random parts of requests, most of them good."""

    def terms(self) -> template_pb2.Terms:
        kind = cast("template_pb2.Kind", self.choice([each for each in template_pb2.Kind.values() if each]))
        coupon_class = self.choice(
            [template_pb2.COUPON_CLASS_ITEM, template_pb2.COUPON_CLASS_SHOP, template_pb2.COUPON_CLASS_PLATFORM]
        )
        terms = template_pb2.Terms(kind=kind, coupon_class=coupon_class, currency=self.choice(["CNY"] * 9 + ["USD"]))
        match kind:
            case template_pb2.KIND_PERCENT_OFF:
                terms.percent_off_bp = self.randint(1, 4000)
            case template_pb2.KIND_INSTANT_OFF:
                terms.amount_off = self.randint(1, 3000)
            case template_pb2.KIND_NTH_ITEM:
                terms.nth_item.CopyFrom(template_pb2.NthItem(group_size=2, discounted_units=1, percent_off_bp=5000))
            case template_pb2.KIND_FIXED_PRICE:
                terms.fixed_price.CopyFrom(template_pb2.FixedPrice(unit_price=self.randint(1, 500), max_units=2))
            case template_pb2.KIND_FREE_SHIPPING:
                terms.coupon_class = template_pb2.COUPON_CLASS_SHIPPING
            case _:
                self.steps(terms)
        if terms.coupon_class == template_pb2.COUPON_CLASS_SHOP:
            terms.shop_id = self.choice(SHOPS)
        if kind != template_pb2.KIND_INSTANT_OFF and not terms.tiers and self.random() < 0.3:
            terms.min_spend = self.randint(0, 20_000)
            terms.min_quantity = self.randint(1, 5)
        if self.random() < 0.4:
            terms.scope.include_skus.extend(self.sample(SKUS, 3))
            terms.scope.exclude_categories.append("c1")
        if self.random() < 0.5:
            terms.exclusive_group = self.choice(["", "g"])
        terms.stack_limit = self.randint(1, 3)
        terms.priority = self.randint(-2, 2)
        terms.exclusive, terms.joint = self.random() < 0.05, self.random() < 0.5
        terms.exclude_sale_items = self.random() < 0.1
        return terms

    def steps(self, terms: template_pb2.Terms) -> None:
        match self.randrange(3):
            case 0:
                terms.amount_off = self.randint(1, 10_000)
                terms.overshoot = template_pb2.OVERSHOOT_REJECT
            case 1:
                for spend in (1_000, 5_000, 30_000):
                    terms.tiers.add(min_spend=spend, amount_off=spend // self.randint(2, 9))
            case _:
                terms.repeat.CopyFrom(template_pb2.Repeat(every=1_000, amount_off=self.randint(1, 300)))
                terms.max_discount = 2_500

    def spec(self) -> template_pb2.TemplateSpec:
        start = NOW + self.choice([-HOUR, -HOUR, -HOUR, HOUR])
        spec = template_pb2.TemplateSpec(
            name="any",
            total=100,
            terms=self.terms(),
            valid_from=to_timestamp(start),
            valid_until=to_timestamp(start + self.choice([HOUR * 3, DAY, 30 * DAY])),
        )
        spec.receive_from.CopyFrom(to_timestamp(NOW - DAY))
        if self.random() < 0.1:
            spec.budget = self.randint(1, 3000)
        return spec

    def cart(self) -> cart_pb2.Cart:
        cart = cart_pb2.Cart(currency="CNY")
        for place in range(self.randint(0, 2)):
            cart.shipments.add(shipment_id=f"d{place}", shop_id=self.choice(SHOPS), amount=self.randint(0, 1200))
        if self.random() < 0.1:
            cart.order_total = self.randint(0, 50_000)
            return cart
        for place in range(self.randint(1, 12)):
            line = cart.lines.add(
                line_id=f"l{place}",
                sku_id=self.choice(SKUS),
                shop_id=self.choice(SHOPS),
                quantity=self.choice([1, 1, 2, 3, 7, 1_000_000]),
                unit_price=self.choice([0, 1, 99, 333, self.randint(0, 9_000)]),
                category_ids=self.sample(["c1", "c2", "Käse"], self.randint(0, 2)),
                not_discountable=self.random() < 0.1,
            )
            if self.random() < 0.3:
                line.spu_id = "p"
                line.list_unit_price = line.unit_price + self.randint(0, 1)
        return cart

    def call(self, coupon_ids: Sequence[int]) -> discount_pb2.CalculateDiscountRequest:
        request = discount_pb2.CalculateDiscountRequest(
            user_id=USER,
            cart=self.cart(),
            mode=self.choice([discount_pb2.CALCULATE_MODE_APPLY_GIVEN, discount_pb2.CALCULATE_MODE_BEST]),
            minimum_payable=self.choice([0, 0, 0, 1, 500, 10**9]),
        )
        chosen = self.choices(coupon_ids, k=self.randint(0, 20))
        request.coupons.extend(discount_pb2.CouponRef(coupon_id=coupon_id) for coupon_id in chosen)
        return request

    def spoiled(self, request: discount_pb2.CalculateDiscountRequest) -> str:  # noqa: C901 - one line a case
        """Makes a call one that only Python answers, or refuses; says how."""
        match self.randrange(11):
            case 0:
                request.coupons.add(code="0000-0000-0000")
                return "a code"
            case 1:
                request.coupons.add(coupon_id=4711)
                return "not the user's"
            case 2:
                terms = template_pb2.Terms(
                    kind=template_pb2.KIND_INSTANT_OFF,
                    coupon_class=template_pb2.COUPON_CLASS_ITEM,
                    currency="CNY",
                    amount_off=5,
                )
                request.inline_coupons.add(coupon_id=4712, template_id=4712, terms=terms)
                return "a what-if"
            case 3:
                request.mode = discount_pb2.CALCULATE_MODE_UNSPECIFIED
                return "no mode"
            case 4:
                request.mode = 9  # type: ignore[assignment]
                return "an unknown mode"
            case 5:
                request.minimum_payable = -1
                return "a negative minimum"
            case 6:
                request.ClearField("cart")
                return "no cart"
            case 7:
                request.cart.currency = "cny"
                return "no currency"
            case 8:
                request.cart.lines.add(line_id="x" * 65, sku_id="", shop_id="s1", quantity=0, unit_price=-1)
                return "a bad line"
            case 9:
                request.coupons.extend(discount_pb2.CouponRef(coupon_id=1) for _ in range(31))
                return "too many coupons"
            case _:
                request.coupons.add()
                return "an empty ref"


async def _wallet(both: Both, dice: Dice, size: int) -> tuple[list[int], list[int]]:
    """Coupons of the user with templates of all sorts: those without a budget, and those with one."""
    plain: list[int] = []
    budgeted: list[int] = []
    for number in range(size):
        spec = dice.spec()
        created = await both.native.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=spec))
        template_id = created.template.template_id
        grant = coupon_pb2.GrantCouponsRequest(template_id=template_id, user_ids=[USER] * dice.randint(1, 2))
        granted = await both.native.coupons.GrantCoupons(grant)
        ids = [each.coupon.coupon_id for each in granted.grants]
        (budgeted if spec.HasField("budget") else plain).extend(ids)
        if number % 7 == 6:
            await both.native.templates.PauseTemplate(template_pb2.PauseTemplateRequest(template_id=template_id))
    await both.app.mysql.execute(
        "UPDATE user_coupons SET status = 2, order_id = 'o', attempt = 0, locked_until = %s WHERE id IN (%s, %s)",
        ((NOW + HOUR).replace(tzinfo=None), plain[0], plain[5]),
    )
    both.app.layers.wrote([Change("user", USER, "written")])
    return plain, budgeted


async def test_any_call_has_one_answer_whichever_front_end_it_meets(both: Both) -> None:
    dice = Dice(5)
    plain, budgeted = await _wallet(both, dice, 30)
    inside = 0
    for number in range(200):
        # At first some are not yet valid and some are locked; then locks have lapsed and some coupons have ended.
        both.clock.now = NOW if number < 100 else NOW + 2 * HOUR + HOUR / 2
        _, answered_inside = await both.ask(dice.call(plain))
        inside += answered_inside
    assert inside >= 150
    for _ in range(30):
        request = dice.call([*plain[:3], *budgeted])
        request.coupons.add(coupon_id=budgeted[0])
        assert not (await both.ask(request))[1], "a budget is in the database"


async def test_what_only_python_answers_is_left_to_it_and_errors_are_alike(both: Both) -> None:
    dice = Dice(11)
    plain, _ = await _wallet(both, dice, 10)
    seen: set[str] = set()
    for _ in range(80):
        request = dice.call(plain[:6])
        seen.add(dice.spoiled(request))
        _, inside = await both.ask(request)
        assert not inside
    assert len(seen) == 11


async def test_a_call_without_coupons_needs_no_wallet(both: Both) -> None:
    request = Dice(1).call([1])
    request.ClearField("coupons")
    request.user_id = ""
    answer, inside = await both.ask(request)
    assert inside
    assert isinstance(answer, bytes)


async def test_a_hard_choice_is_made_in_python_and_is_the_same(both: Both) -> None:
    """Many coupons that overlap a little need more steps than the extension allows itself."""
    dice = Dice(3)
    coupon_ids = []
    for number in range(30):
        terms = template_pb2.Terms(
            kind=template_pb2.KIND_PERCENT_OFF,
            coupon_class=template_pb2.COUPON_CLASS_ITEM,
            currency="CNY",
            percent_off_bp=1500 + 7 * number,
            exclusive_group="",
            scope=template_pb2.Scope(include_skus=dice.sample(SKUS, 4)),
        )
        spec = template_pb2.TemplateSpec(
            name="hard",
            total=10,
            terms=terms,
            valid_from=to_timestamp(NOW),
            valid_until=to_timestamp(NOW + DAY),
        )
        created = await both.native.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=spec))
        received = await both.native.coupons.ReceiveCoupon(
            coupon_pb2.ReceiveCouponRequest(user_id=USER, template_id=created.template.template_id)
        )
        coupon_ids.append(received.coupon.coupon_id)
    request = discount_pb2.CalculateDiscountRequest(user_id=USER, mode=discount_pb2.CALCULATE_MODE_BEST)
    request.cart.currency = "CNY"
    for place, sku in enumerate(SKUS):
        request.cart.lines.add(line_id=sku, sku_id=sku, shop_id="s1", quantity=3, unit_price=1_999 + 37 * place)
    request.coupons.extend(discount_pb2.CouponRef(coupon_id=coupon_id) for coupon_id in coupon_ids)
    answer, inside = await both.ask(request)
    assert not inside
    assert isinstance(answer, bytes)
    del request.coupons[5:]
    assert (await both.ask(request))[1], "few of them are chosen among inside"
