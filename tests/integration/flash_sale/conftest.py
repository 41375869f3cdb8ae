"""Flash sales over real stores. An instance is everything that one process has; tests open as many as they need.

Time is the servers' own: windows are moved, not clocks.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from couponry._core import L1
from couponry.clock import system_clock, to_timestamp
from couponry.config import FlashSaleSettings, Settings
from couponry.coupons.codes import Codes
from couponry.devstack import DevStack
from couponry.flash_sale.wire import Place
from couponry.jobs.persister import Persister
from couponry.store.layers import LayerLives, Layers
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.parts import FlashSale

STATUS = pb.ParticipateStatus
TEMPLATE_ID = 1


@dataclass(frozen=True, slots=True)
class Instance:
    """One process's parts, and calls on them in the words of the tests."""

    mysql: MySQL
    redis: Redis
    layers: Layers
    codes: Codes
    parts: FlashSale
    persister: Persister
    wins_told: list[Place] = field(default_factory=list)

    async def create(self, **changes: Any) -> pb.Activity:
        request = pb.CreateActivityRequest(spec=spec(**changes), request_id=changes.get("request_id", ""))
        return (await self.parts.activities.create(request, "admin")).activity

    async def claim(self, activity_id: int, user: str, request_id: str = "") -> pb.ParticipateResponse:
        return await self.parts.participation.participate(
            pb.ParticipateRequest(activity_id=activity_id, user_id=user, request_id=request_id)
        )

    async def win(self, activity_id: int, user: str, request_id: str = "") -> int:
        """A claim that must win; the coupon id."""
        response = await self.claim(activity_id, user, request_id)
        assert response.status == STATUS.PARTICIPATE_STATUS_WON
        return response.coupon_id

    async def adjust(self, activity_id: int, delta: int, adjustment_id: str) -> pb.AdjustStockResponse:
        return await self.parts.adjustments.adjust_stock(
            pb.AdjustStockRequest(activity_id=activity_id, delta=delta, adjustment_id=adjustment_id)
        )

    async def end(self, activity_id: int, request_id: str = "") -> pb.EndActivityResponse:
        request = pb.EndActivityRequest(activity_id=activity_id, request_id=request_id)
        return await self.parts.settlement.end_activity(request, "admin")

    async def update(self, activity_id: int, *paths: str, **fields: Any) -> pb.Activity:
        request = pb.UpdateActivityRequest(activity_id=activity_id, **fields)
        request.update_mask.paths.extend(paths)
        return (await self.parts.activities.update(request, "admin")).activity

    async def left(self, activity_id: int) -> int:
        """The stock as Redis has it now."""
        return (await self.parts.sale.look(Place(activity_id))).number("left")

    async def persist(self) -> int:
        """Everything that waits: a round may see nudged places only, the next all, a third those that a pass opened."""
        persisted = idle = 0
        while idle < 3:
            step = await self.persister.run_once()
            persisted += step
            idle = 0 if step else idle + 1
        return persisted

    async def coupons(self, activity_id: int) -> dict[int, str]:
        """User by coupon id, as MySQL has them."""
        rows = await self.mysql.fetch_all("SELECT id, user_id FROM user_coupons WHERE activity_id = %s", (activity_id,))
        return {row["id"]: row["user_id"].decode() for row in rows}

    async def records(self, user: str, activity_id: int, **fields: Any) -> pb.ListUserRecordsResponse:
        request = pb.ListUserRecordsRequest(user_id=user, activity_id=activity_id, **fields)
        return await self.parts.records.page(request)

    async def counters(self) -> tuple[int, int]:
        """issued and reserved of the template."""
        row = await self.mysql.fetch_one("SELECT issued, reserved FROM template_counters")
        assert row is not None
        return row["issued"], row["reserved"]

    async def progress(self, activity_id: int) -> dict[str, Any]:
        row = await self.mysql.fetch_one("SELECT * FROM activity_progress WHERE activity_id = %s", (activity_id,))
        assert row is not None
        return row

    async def assert_sound(self, activity_id: int) -> None:
        """Every equation of the audit holds."""
        wrong = [str(each) for each in await self.parts.audit.audit(activity_id) if not each.holds]
        assert wrong == []


def spec(**changes: Any) -> pb.ActivitySpec:
    """An activity that runs now."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "name": "noon",
        "template_id": TEMPLATE_ID,
        "stock": 10,
        "per_user_limit": 1,
        "start_at": now - timedelta(minutes=1),
        "end_at": now + timedelta(hours=1),
        **changes,
    }
    for name in ("start_at", "end_at"):
        if isinstance(fields[name], datetime):
            fields[name] = to_timestamp(fields[name])
    fields.pop("request_id", None)
    return pb.ActivitySpec(**fields)


def statuses(responses: list[pb.ParticipateResponse]) -> Counter[str]:
    """How often each status, without its prefix."""
    return Counter(STATUS.Name(each.status).removeprefix("PARTICIPATE_STATUS_") for each in responses)


@pytest.fixture
async def template(settings: Settings) -> int:
    """A template of 100,000 coupons, none given."""
    mysql = await MySQL.connect(settings.mysql)
    try:
        await mysql.execute(
            "INSERT INTO templates (id, spec_fingerprint, name, description, metadata, kind, currency, terms, total,"
            " valid_from, valid_until, valid_days, returns_on_full_refund, return_grace_ms, state, version, created_at,"
            " updated_at) VALUES (%s, '0123456789abcdef', 'n', '', '{}', 3, 'CNY', '{}', 100000, UTC_TIMESTAMP(3),"
            " UTC_TIMESTAMP(3) + INTERVAL 30 DAY, 7, 0, 0, 1, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
            (TEMPLATE_ID,),
        )
        await mysql.execute("INSERT INTO template_counters (template_id) VALUES (%s)", (TEMPLATE_ID,))
    finally:
        await mysql.close()
    return TEMPLATE_ID


OpenInstance = Callable[..., Awaitable[Instance]]


@pytest.fixture
async def open_instance(settings: Settings, template: int) -> AsyncIterator[OpenInstance]:
    """Opens instances that share the stores and nothing else; `redis_url` names another Redis for one of them."""
    async with AsyncExitStack() as stack:

        async def opened(redis_url: str | None = None, **sale_settings: Any) -> Instance:
            mysql = await MySQL.connect(settings.mysql)
            stack.push_async_callback(mysql.close)
            url = redis_url or settings.redis.sale.get_secret_value()
            redis = Redis(url, settings.redis)
            stack.push_async_callback(redis.close)
            kinds = ("template", "template_key", "user", "activity", "activity_key")
            l1 = L1(dict.fromkeys(kinds, 1 << 20))
            layers = Layers(l1=l1, redis=redis, clock=system_clock, lives=LayerLives())
            stack.push_async_callback(layers.close)
            codes = await Codes.load(mysql)
            told: list[Place] = []
            parts = FlashSale.build(
                mysql=mysql,
                redis=redis,
                layers=layers,
                l1=l1,
                codes=codes,
                clock=system_clock,
                settings=FlashSaleSettings(**sale_settings),
                on_win=told.append,
            )
            stack.push_async_callback(parts.close)
            persister = Persister(mysql=mysql, outbox=parts.outbox, fence=parts.fence)
            return Instance(mysql, redis, layers, codes, parts, persister, told)

        yield opened


@pytest.fixture
async def shop(open_instance: OpenInstance) -> Instance:
    return await open_instance()


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[DevStack]:
    """Stores that a test may kill."""
    template = repository / ".couponry" / "template"
    with DevStack(tmp_path_factory.mktemp("own"), template_dir=template) as stores:
        yield stores


@pytest.fixture
async def mortal_redis(own_stack: DevStack, settings: Settings) -> AsyncIterator[DevStack]:
    """A Redis that the test may kill, empty; it runs again afterwards."""
    own_stack.start_redis()
    redis = Redis(own_stack.redis_url, settings.redis)
    await redis.client.flushall()
    await redis.close()
    yield own_stack
    own_stack.start_redis()
