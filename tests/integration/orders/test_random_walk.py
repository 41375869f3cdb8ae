"""Seeded random walks over all moves of orders, step by step against the model: states, ends, budgets, ledgers."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from couponry.clock import from_sql, to_timestamp
from couponry.coupons.messages import state_at
from couponry.errors import CouponryError
from couponry.v1 import coupon_pb2, order_pb2, template_pb2
from tests.integration.orders.desk import NOW, Desk, goods, instant_off
from tests.integration.orders.model import Attempt, Coupon, Model, Order, Refused, Template, Terms

STEPS = 160
# amount off, budget, grace in seconds, returns, end in seconds
TEMPLATES = (
    (500, None, 0, False, 100_000),
    (1000, 2500, 0, True, 100_000),
    (7, 14, 0, True, 150),
    (300, None, 50, True, 60),
    (40, 90, 20, True, 120),
    (3, None, 100, False, 240),
)


class Walk:
    """One desk and one model that live through the same."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)
        self.model = Model(NOW)
        self.steps = 0
        self.templates: list[tuple[template_pb2.Template, Template]] = []

    async def prepare(self) -> None:
        for amount_off, budget, grace_s, returns, end_s in TEMPLATES:
            template = await self.desk.template(
                instant_off(amount_off, stack_limit=5),
                budget=budget,
                return_grace=Duration(seconds=grace_s) if grace_s else None,
                returns_on_full_refund=returns,
                valid_until=to_timestamp(NOW + timedelta(seconds=end_s)),
            )
            twin = Template(amount_off, budget, timedelta(seconds=grace_s), returns)
            self.templates.append((template, twin))
            for _ in range(2):
                coupon_id = await self.desk.receive(template)
                self.model.coupons[coupon_id] = Coupon(twin, NOW + timedelta(seconds=end_s))

    async def step(self) -> str:
        """One move of both; what it was, for the report of a failure."""
        self.steps += 1
        kind = self.random.random()
        if kind < 0.2:
            return self.time()
        if kind < 0.25:
            return await self.tidy()
        moves = (self.lock, self.lock, self.lock, self.lock, self.extend, self.use, self.release, self.give_back)
        order = f"O{self.steps // 15 + self.random.randrange(3)}"
        attempt = self.attempt_of(order)
        return f"{order}/{attempt}: {await self.random.choice(moves)(order, attempt)}"

    def attempt_of(self, order: str) -> int:
        """Mostly the latest or the next one, so that a walk does not end among dead attempts."""
        latest = max(self.model.orders.get(order, Order()).attempts, default=0)
        return self.random.choice((latest, latest, latest, latest + 1, self.random.randint(0, latest + 1)))

    async def lock(self, order: str, attempt: int) -> str:
        ids = self.random.sample(sorted(self.model.coupons), self.random.randint(1, 3))
        units, ttl_s = self.random.randint(1, 2), self.random.choice((1, 10, 10, 20, 30))
        replace = self.random.random() < 0.3
        cart = goods((10_000, units))
        await self.both(
            lambda: self.model.lock(order, attempt, ids, Terms(units, ttl_s, replace)),
            self.desk.lock(order, *ids, cart=cart, attempt=attempt, ttl_s=ttl_s, replace=replace),
        )
        return f"lock {ids} units={units} ttl={ttl_s} replace={replace}"

    async def extend(self, order: str, attempt: int) -> str:
        ttl_s = self.random.choice((1, 10, 30))
        await self.both(
            lambda: self.model.extend(order, attempt, ttl_s), self.desk.extend(order, attempt=attempt, ttl_s=ttl_s)
        )
        return f"extend {ttl_s}"

    async def use(self, order: str, attempt: int) -> str:
        await self.both(lambda: self.model.use(order, attempt), self.desk.use(order, attempt=attempt))
        return "use"

    async def release(self, order: str, attempt: int) -> str:
        await self.both(lambda: self.model.release(order, attempt), self.desk.release(order, attempt=attempt))
        return "release"

    async def give_back(self, order: str, attempt: int) -> str:
        back, return_id = self.random.choice((None, None, 1, 2)), f"R{self.steps}"
        await self.both(
            lambda: self.model.give_back(order, attempt, back), self.returned(order, attempt, return_id, back)
        )
        await self.spend_less(order, attempt, return_id)
        return f"give back {back}"

    def time(self) -> str:
        seconds = self.random.choice((0.001, 0.999, 9, 10, 10, 20))
        self.model.advance(seconds)
        self.desk.clock.pass_s(seconds)
        return f"time {seconds}"

    async def tidy(self) -> str:
        self.model.expire()
        await self.desk.expirer.run_once()
        return "tidy"

    async def returned(self, order: str, attempt: int, return_id: str, back: int | None) -> order_pb2.OrderCoupons:
        lines = None if back is None else {"A": back}
        return (await self.desk.give_back(return_id, lines, order=order, attempt=attempt)).order

    async def spend_less(self, order: str, attempt: int, return_id: str) -> None:
        """The model does not split discounts over units: what a return gives back to budgets is what its rows say."""
        if attempt not in self.model.orders.get(order, Order()).attempts:
            return
        for entry in (await self.desk.get(order, attempt=attempt)).ledger:
            if entry.return_id == return_id:
                template = self.model.coupons[entry.coupon_id].template
                if template.budget is not None:
                    template.spent += entry.unit_count * entry.amount_each

    async def both(self, promised: Callable[[], Attempt], done: Awaitable[order_pb2.OrderCoupons]) -> None:
        try:
            expected = promised().state
        except Refused as refused:
            expected = str(refused)
        try:
            outcome = order_pb2.OrderState.Name((await done).state).removeprefix("ORDER_STATE_")
        except CouponryError as error:
            outcome = error.reason
        assert outcome == expected

    async def compare(self) -> None:
        for coupon_id, coupon in self.model.coupons.items():
            row = await self.desk.row(coupon_id)
            locked_until = None if row["locked_until"] is None else from_sql(row["locked_until"])
            state = state_at(row["status"], from_sql(row["valid_until"]), locked_until, self.model.now)
            assert coupon_pb2.CouponState.Name(state) == f"COUPON_STATE_{coupon.state}", coupon_id
            if coupon.state != "LOCKED":
                assert from_sql(row["valid_until"]) == coupon.end, coupon_id
        for template, twin in self.templates:
            assert await self.desk.budget(template) == (twin.reserved, twin.spent)
            assert twin.budget is None or twin.reserved + twin.spent <= twin.budget
        for order_id, order in self.model.orders.items():
            for number, attempt in order.attempts.items():
                found = await self.desk.get(order_id, attempt=number)
                assert order_pb2.OrderState.Name(found.order.state) == f"ORDER_STATE_{attempt.state}"
                total = sum(entry.unit_count * entry.amount_each for entry in found.ledger)
                assert total == found.order.ledger_left
                used = attempt.state in {"USED", "PARTLY_RETURNED", "RETURNED"}
                assert total == (attempt.discount - found.order.discount_returned if used else 0)
                if attempt.state == "RETURNED":
                    assert total == 0


@pytest.mark.parametrize("seed", range(4))
async def test_a_random_walk_agrees_with_the_model(desk: Desk, seed: int) -> None:
    walk = Walk(desk, seed)
    await walk.prepare()
    trace: list[str] = []
    for number in range(STEPS):
        try:
            trace.append(await walk.step())
            if number % 3 == 0:
                await walk.compare()
        except AssertionError as error:
            error.add_note("\n".join(trace[-12:]))
            raise
    await walk.compare()
