"""What the shop's people do meanwhile: restocks, decreases, early ends, new activities; each call until its answer."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio

from couponry.client import Client
from couponry.clock import to_timestamp
from couponry.v1 import flash_sale_pb2, template_pb2
from tests.chaos.flash.evidence import Activity, AdjustmentTold, EndTold
from tests.chaos.flash.stage import SERVERS, Stage

__all__ = ["KINDS", "Shop"]

# ack, limit and buckets of the activities that run at once.
KINDS = (("REDIS", 1, 1), ("REDIS", 2, 1), ("MYSQL", 1, 1), ("MYSQL", 2, 1), ("REDIS", 1, 3))
_ACKS = {"REDIS": flash_sale_pb2.ACK_REDIS, "MYSQL": flash_sale_pb2.ACK_MYSQL}


class Shop:
    """Calls of the admin's side. A call without an answer is made again with the same ids."""

    def __init__(self, stage: Stage, *, stock: int, users: int) -> None:
        self._stage = stage
        self._stock = stock
        self._users = users
        self._template = 0
        self.closing = False
        self._made = 0

    async def prepare(self) -> None:
        """A template and the first activities."""
        async with Client(self._stage.addresses[SERVERS[0]], timeout_s=60) as client:
            await asyncio.wait_for(client.ready(), 60)
            now = datetime.now(UTC)
            created = await client.templates.CreateTemplate(
                template_pb2.CreateTemplateRequest(
                    spec=template_pb2.TemplateSpec(
                        name="满300减50",
                        total=100_000_000,
                        valid_from=to_timestamp(now - timedelta(hours=1)),
                        valid_until=to_timestamp(now + timedelta(days=30)),
                        terms=template_pb2.Terms(
                            kind=template_pb2.KIND_THRESHOLD_OFF,
                            coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
                            currency="CNY",
                            min_spend=300_00,
                            amount_off=50_00,
                        ),
                    ),
                    request_id="template",
                )
            )
            self._template = created.template.template_id
        for ack, limit, buckets in KINDS:
            await self.create(ack, limit, buckets)

    async def create(self, ack: str, limit: int, buckets: int) -> int:
        """A new activity that runs now."""
        self._made += 1
        now = datetime.now(UTC)
        request = flash_sale_pb2.CreateActivityRequest(
            request_id=f"activity-{self._made}",
            spec=flash_sale_pb2.ActivitySpec(
                name=f"sale {self._made}",
                template_id=self._template,
                stock=self._stock,
                per_user_limit=limit,
                start_at=to_timestamp(now - timedelta(minutes=1)),
                end_at=to_timestamp(now + timedelta(hours=6)),
                ack=_ACKS[ack],
                buckets=buckets,
            ),
        )
        created = await self._asked(lambda stub: stub.CreateActivity(request, timeout=5))
        activity = int(created.activity.activity_id)
        self._stage.evidence.activities[activity] = Activity(activity, ack, limit, self._stock, buckets)
        self._stage.running[activity] = self._users
        return activity

    async def adjust_all_the_time(self) -> None:
        """Restocks, and now and then a decrease."""
        rng, number = self._stage.rng, 0
        while not self.closing:
            await asyncio.sleep(rng.expovariate(1 / 0.2))
            number += 1
            activity = rng.choice(list(self._stage.running))
            delta = rng.randint(5, 60) if rng.random() < 0.75 else -rng.randint(1, 40)
            await self.adjust(activity, delta, f"adjustment-{number}")

    async def adjust(self, activity: int, delta: int, name: str) -> None:
        """One adjustment, to its answer."""
        request = flash_sale_pb2.AdjustStockRequest(activity_id=activity, delta=delta, adjustment_id=name)
        try:
            await self._asked(lambda stub: stub.AdjustStock(request, timeout=5))
            applied = True
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            applied = False
            if activity not in self._stage.running:
                return
        told = AdjustmentTold(time.monotonic(), activity, name, delta, applied)
        self._stage.evidence.adjustments_told.append(told)

    async def end(self, activity: int) -> None:
        """Ends an activity and waits until it is settled."""
        self._stage.running.pop(activity, None)
        request = flash_sale_pb2.EndActivityRequest(activity_id=activity, request_id=f"end-{activity}")
        deadline = time.monotonic() + self._stage.options.patience_s
        while time.monotonic() < deadline:
            answer = await self._asked(lambda stub: stub.EndActivity(request, timeout=5))
            if answer.activity.state == flash_sale_pb2.ACTIVITY_STATE_SETTLED:
                self._stage.evidence.ends_told.append(EndTold(time.monotonic(), activity, answer.sold))
                return
            await asyncio.sleep(0.1)
        self._stage.trouble(f"activity {activity} was not settled within {self._stage.options.patience_s:.0f} s")

    async def replace_now_and_then(self) -> None:
        """Early ends, one after the other."""
        while not self.closing:
            await asyncio.sleep(self._stage.rng.uniform(4, 20))
            if not self.closing:
                await self.replace()

    async def replace(self) -> None:
        """Ends the oldest activity and makes another one like it."""
        async with self._stage.no_loss:
            oldest = min(self._stage.running)
            kind = self._stage.evidence.activities[oldest]
            self._stage.note(f"the shop ends activity {oldest}")
            successor = await self.create(kind.ack, kind.limit, kind.buckets)
            await self.end(oldest)
            self._stage.note(f"activity {oldest} is settled, {successor} runs")
        await self._stage.announce()

    async def _asked(self, call: Callable[[Any], Any]) -> Any:
        """Asks until there is an answer. Raises AioRpcError for a refusal, and after a long time."""
        deadline = time.monotonic() + self._stage.options.patience_s
        while True:
            target = self._stage.rng.choice(self._stage.targets)
            try:
                return await call(target.stub)
            except grpc.aio.AioRpcError as error:
                again = error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
                if not again or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)
