"""The story, told through gRPC: what happened, as figures for the checks and the report."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import grpc

from couponry.client import Client
from couponry.clock import system_clock
from couponry.demo import shop
from couponry.v1 import coupon_pb2, discount_pb2, flash_sale_pb2, order_pb2, template_pb2

__all__ = ["Order", "Progress", "Story", "tell"]

T = TypeVar("T")
Item = TypeVar("Item")

_CHANNELS: Final = 8
_IN_FLIGHT: Final = 256
_SHOPPERS: Final = 300
_ASKED_AGAIN: Final = 200
_PERSISTED_WITHIN_S: Final = 60.0

WON: Final = flash_sale_pb2.PARTICIPATE_STATUS_WON


class Progress(Protocol):
    """Where the story shows how far it is."""

    def step(self, text: str, total: int) -> Callable[[], None]:
        """Begins a step of `total` parts; the answer is called once a part."""


@dataclass(slots=True)
class Order:
    """One shopper's order from cart to the end."""

    order_id: str
    user_id: str
    priced: discount_pb2.Decision
    locked: order_pb2.OrderCoupons
    end: order_pb2.OrderCoupons | None = None
    ledger: list[order_pb2.LedgerEntry] = field(default_factory=list)
    coupons_after: list[coupon_pb2.Coupon] = field(default_factory=list)


@dataclass(slots=True)
class Story:
    """What the clients saw."""

    templates: list[template_pb2.Template] = field(default_factory=list)
    listed: int = 0
    activity: flash_sale_pb2.Activity = field(default_factory=flash_sale_pb2.Activity)
    # Every answer of Participate by user: (status, coupon id).
    answers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    claim_seconds: float = 0.0
    persist_seconds: float = 0.0
    asked_again: dict[str, tuple[int, int]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    cancelled: Order | None = None
    returned: Order | None = None
    refund: order_pb2.ReturnCouponsResponse = field(default_factory=order_pb2.ReturnCouponsResponse)
    # Seconds from call to answer by RPC.
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def winners(self) -> dict[str, int]:
        """The coupon that each winner was told, computed from all answers."""
        return {
            user_id: coupon_id
            for user_id, answers in self.answers.items()
            for status, coupon_id in answers
            if status == WON
        }


async def tell(address: str, persisted: Callable[[int], Awaitable[int]], progress: Progress) -> Story:
    """Runs the story against the service; `persisted(activity_id)` counts the activity's coupons in MySQL."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address, timeout_s=60)) for _ in range(_CHANNELS)]
        await asyncio.gather(*(client.ready() for client in clients))
        return await _Teller(clients, persisted, progress).tell()


class _Teller:
    def __init__(
        self, clients: Sequence[Client], persisted: Callable[[int], Awaitable[int]], progress: Progress
    ) -> None:
        self._clients = clients
        self._client = clients[0]
        self._persisted = persisted
        self._progress = progress
        self._story = Story()

    async def tell(self) -> Story:
        await self._create()
        await self._look()
        await self._sell()
        await self._wait_for_coupons()
        await self._ask_again()
        await self._shop()
        await self._end_orders()
        return self._story

    async def _timed(self, name: str, call: Awaitable[T]) -> T:
        begin = time.perf_counter()
        answer = await call
        self._story.latencies.setdefault(name, []).append(time.perf_counter() - begin)
        return answer

    async def _create(self) -> None:
        done = self._progress.step("three templates and an activity", 5)
        now = system_clock()
        for spec in shop.template_specs(now):
            created = await self._timed(
                "CreateTemplate",
                self._client.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=spec)),
            )
            self._story.templates.append(created.template)
            done()
        listed = await self._client.templates.ListTemplates(template_pb2.ListTemplatesRequest())
        self._story.listed = len(listed.templates)
        done()
        sale = shop.activity_spec(self._story.templates[0].template_id, now)
        opened = await self._timed(
            "CreateActivity",
            self._client.flash_sales.CreateActivity(flash_sale_pb2.CreateActivityRequest(spec=sale)),
        )
        self._story.activity = opened.activity
        done()

    async def _look(self) -> None:
        """Users open the sale's page: the activity, and what its templates say."""
        done = self._progress.step(f"{shop.LOOKS:,} users look at the sale's page", shop.LOOKS)
        activity = flash_sale_pb2.GetActivityRequest(activity_id=self._story.activity.activity_id)
        ids = [template.template_id for template in self._story.templates]
        templates = template_pb2.BatchGetTemplatesRequest(template_ids=ids)

        async def look(client: Client, _: int) -> None:
            await self._timed("GetActivity", client.flash_sales.GetActivity(activity))
            await self._timed("BatchGetTemplates", client.templates.BatchGetTemplates(templates))
            done()

        await self._spread(range(shop.LOOKS), look)

    async def _sell(self) -> None:
        claims = shop.claims()
        done = self._progress.step(
            f"{len(claims):,} claims of {shop.USERS:,} users on {shop.STOCK:,} coupons", len(claims)
        )

        async def claim(client: Client, one: shop.Claim) -> None:
            request = flash_sale_pb2.ParticipateRequest(
                activity_id=self._story.activity.activity_id, user_id=one.user_id, request_id=one.request_id
            )
            answer = await self._timed("Participate", client.flash_sales.Participate(request))
            self._story.answers.setdefault(one.user_id, []).append((answer.status, answer.coupon_id))
            done()

        begin = time.perf_counter()
        await self._spread(claims, claim)
        self._story.claim_seconds = time.perf_counter() - begin

    async def _wait_for_coupons(self) -> None:
        total = len(self._story.winners())
        done = self._progress.step("wins become coupons in MySQL", total)
        begin = time.perf_counter()
        seen = 0
        while seen < total and time.perf_counter() - begin < _PERSISTED_WITHIN_S:
            count = await self._persisted(self._story.activity.activity_id)
            for _ in range(count - seen):
                done()
            seen = count
            await asyncio.sleep(0.02)
        self._story.persist_seconds = time.perf_counter() - begin

    async def _ask_again(self) -> None:
        winners = self._story.winners()
        again = [one for one in shop.claims() if one.user_id in winners][:_ASKED_AGAIN]
        done = self._progress.step("winners ask again with the same request", len(again))

        async def ask(client: Client, one: shop.Claim) -> None:
            request = flash_sale_pb2.ParticipateRequest(
                activity_id=self._story.activity.activity_id, user_id=one.user_id, request_id=one.request_id
            )
            answer = await client.flash_sales.Participate(request)
            self._story.asked_again[one.user_id] = (answer.status, answer.coupon_id)
            done()

        await self._spread(again, ask)

    async def _shop(self) -> None:
        shoppers = sorted(self._story.winners().items())[:_SHOPPERS]
        done = self._progress.step("winners receive two more coupons, price their carts and lock", len(shoppers))

        async def buy(client: Client, shopper: tuple[str, int]) -> None:
            user_id, won = shopper
            received = await asyncio.gather(
                *(
                    self._timed(
                        "ReceiveCoupon",
                        client.coupons.ReceiveCoupon(
                            coupon_pb2.ReceiveCouponRequest(user_id=user_id, template_id=template.template_id)
                        ),
                    )
                    for template in self._story.templates[1:]
                )
            )
            coupons = [won, *(answer.coupon.coupon_id for answer in received)]
            refs = [discount_pb2.CouponRef(coupon_id=coupon_id) for coupon_id in coupons]
            cart = shop.cart_of(user_id)
            # A customer looks at the cart more than once before paying.
            for _ in range(5):
                priced = await self._timed(
                    "CalculateDiscount",
                    client.discounts.CalculateDiscount(
                        discount_pb2.CalculateDiscountRequest(
                            user_id=user_id, cart=cart, coupons=refs, mode=discount_pb2.CALCULATE_MODE_APPLY_GIVEN
                        )
                    ),
                )
                await self._timed(
                    "GetTemplate",
                    client.templates.GetTemplate(
                        template_pb2.GetTemplateRequest(template_id=self._story.templates[0].template_id)
                    ),
                )
            locked = await self._timed(
                "LockCoupons",
                client.orders.LockCoupons(
                    order_pb2.LockCouponsRequest(
                        order_id=f"order-{user_id}",
                        user_id=user_id,
                        cart=cart,
                        coupons=refs,
                        expected_payable=priced.decision.payable,
                    )
                ),
            )
            self._story.orders.append(Order(f"order-{user_id}", user_id, priced.decision, locked.order))
            done()

        await self._spread(shoppers, buy)
        self._story.orders.sort(key=lambda order: order.order_id)

    async def _end_orders(self) -> None:
        orders = self._story.orders
        done = self._progress.step("orders paid, one cancelled, one partly returned", len(orders))
        self._story.cancelled, self._story.returned = orders[0], orders[1]

        async def end(client: Client, order: Order) -> None:
            if order is self._story.cancelled:
                await client.orders.ReleaseCoupons(
                    order_pb2.ReleaseCouponsRequest(order_id=order.order_id, user_id=order.user_id)
                )
            else:
                await self._timed(
                    "UseCoupons",
                    client.orders.UseCoupons(
                        order_pb2.UseCouponsRequest(order_id=order.order_id, user_id=order.user_id)
                    ),
                )
            if order is self._story.returned:
                line = max(order.priced.lines, key=lambda line: sum(run.count for run in line.units))
                self._story.refund = await client.orders.ReturnCoupons(
                    order_pb2.ReturnCouponsRequest(
                        order_id=order.order_id,
                        user_id=order.user_id,
                        return_id="return-1",
                        lines=[order_pb2.ReturnLine(line_id=line.line_id, units=1)],
                    )
                )
            found = await client.orders.GetOrderCoupons(
                order_pb2.GetOrderCouponsRequest(order_id=order.order_id, user_id=order.user_id)
            )
            order.end = found.order
            order.ledger = list(found.ledger)
            order.coupons_after = [
                (
                    await client.coupons.GetCoupon(
                        coupon_pb2.GetCouponRequest(
                            user_id=order.user_id, coupon=discount_pb2.CouponRef(coupon_id=applied.coupon_id)
                        )
                    )
                ).coupon
                for applied in order.priced.applied
            ]
            done()

        await self._spread(orders, end)

    async def _spread(self, items: Iterable[Item], work: Callable[[Client, Item], Awaitable[None]]) -> None:
        """Works on all items, a fixed number at once, over all channels."""
        waiting = iter(items)

        async def worker(client: Client) -> None:
            for item in waiting:
                await work(client, item)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(_IN_FLIGHT):
                    group.create_task(worker(self._clients[number % len(self._clients)]))
        except* grpc.aio.AioRpcError as failed:
            raise failed.exceptions[0] from None
