"""Whole instances that hear of changes made by hand, with SQL; what they do without a reader; what the gauges say."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from pydantic import SecretStr

from couponry.app import App, opened, served
from couponry.client import Client
from couponry.clock import to_timestamp
from couponry.config import Settings, parse_mysql_dsn
from couponry.invalidation import BinlogCollector
from couponry.store.layers import traced
from couponry.v1 import flash_sale_pb2, template_pb2
from tests.integration.invalidation.conftest import connected, insert_template
from tests.integration.service.conftest import create_template

_SOON_S = 20.0
STATUS = flash_sale_pb2.ParticipateStatus


async def eventually(condition: Callable[[], Any]) -> None:
    """`condition` may be asynchronous."""
    end = time.monotonic() + _SOON_S
    while True:
        held = condition()
        if await held if asyncio.iscoroutine(held) else held:
            return
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.01)


@pytest.fixture
def quiet(settings: Settings) -> Settings:
    """Without background jobs, so that nobody else brings a change."""
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"enabled": False})})


@pytest.fixture
async def pair(quiet: Settings) -> AsyncIterator[tuple[App, App]]:
    """Two instances on the same stores, the first of which tells."""
    async with opened(quiet) as one:
        await eventually(lambda: one.following.teller is not None and one.following.teller.stats.tells > 0)
        async with opened(quiet) as other:
            yield one, other


def by_hand(settings: Settings, statement: str) -> None:
    """Changes rows as a person would."""
    with connected(settings.mysql.dsn.get_secret_value()) as cursor:
        cursor.execute(statement)


async def template_name(app: App, template: int) -> tuple[str, int]:
    """The name as a caller is told, and the layer that it is from."""
    with traced() as trace:
        payload = await app.layers.get("template", str(template))
    assert payload is not None
    return template_pb2.Template.FromString(payload).spec.name, trace.layer


def metrics(app: App) -> dict[str, Metric]:
    return {family.name: family for family in BinlogCollector(app.following).collect()}


async def test_a_row_changed_by_hand_is_answered_as_it_is_by_every_instance_and_every_layer(
    pair: tuple[App, App],
) -> None:
    settings = pair[0].settings
    by_hand(settings, insert_template(7, "key"))

    async def from_l1() -> bool:
        return [await template_name(app, 7) for app in pair] == [("n", 1), ("n", 1)]

    await eventually(from_l1)
    by_hand(settings, "UPDATE templates SET name = 'by hand' WHERE id = 7")

    async def changed() -> bool:
        return [(await template_name(app, 7))[0] for app in pair] == ["by hand", "by hand"]

    await eventually(changed)
    for app in pair:
        held = app.l1.get("template", "7")
        assert isinstance(held, bytes)
        assert template_pb2.Template.FromString(held).spec.name == "by hand"
    found, _ = await pair[0].layers.l2.get([("template", "7")], 2000)
    for entry in found.values():
        assert entry.rows == ((7, 2),)


async def test_the_second_instance_is_answered_by_redis_once_its_floors_have_lived(
    quiet: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A trail that is old enough lets an instance do without the start-up rule.
    monkeypatch.setattr(sys.modules["couponry.invalidation.following"], "_START_MS", 0)
    async with opened(quiet) as one:
        await eventually(lambda: one.following.teller is not None and one.following.teller.stats.tells > 0)

        async def has_trail() -> bool:
            return await one.layers.l2.trail(0, 0) is not None

        await eventually(has_trail)
        by_hand(quiet, insert_template(7, "key"))
        async with opened(quiet) as other, opened(quiet) as third:
            assert not other.l1.starting
            assert await template_name(other, 7) == ("n", 3)

            async def filled() -> bool:
                other.l1.clear("template")
                return await template_name(other, 7) == ("n", 2)

            await eventually(filled)
            assert await template_name(third, 7) == ("n", 2)


async def test_an_entry_outlives_the_time_that_it_has_without_a_reader(pair: tuple[App, App]) -> None:
    app = pair[1]
    by_hand(app.settings, insert_template(7, "key"))

    async def from_l1() -> bool:
        return await template_name(app, 7) == ("n", 1)

    # What was loaded before the insert was heard of is dropped once more.
    await eventually(lambda: app.l1.stats()["template"]["events"] == 1)
    await eventually(from_l1)
    stored = app.l1.stats()["template"]["stores"]
    sql = app.layers.stats()["template"].l3
    began = app.l1.now_ms
    await eventually(lambda: app.l1.now_ms > began + 2 * app.settings.cache.short_ttl_ms)
    assert await template_name(app, 7) == ("n", 1)
    assert (app.l1.stats()["template"]["stores"], app.layers.stats()["template"].l3) == (stored, sql)


async def test_a_sale_follows_an_activity_and_a_template_that_are_paused_by_hand(quiet: Settings) -> None:
    async with opened(quiet) as app, served(app) as address, Client(address, timeout_s=30) as client:
        template = await create_template(client)
        now = datetime.now(UTC)
        created = await client.flash_sales.CreateActivity(
            flash_sale_pb2.CreateActivityRequest(
                spec=flash_sale_pb2.ActivitySpec(
                    name="noon",
                    template_id=template.template_id,
                    stock=50,
                    per_user_limit=10,
                    start_at=to_timestamp(now - timedelta(seconds=1)),
                    end_at=to_timestamp(now + timedelta(hours=1)),
                )
            )
        )
        activity = created.activity.activity_id

        async def claims_are(status: int) -> None:
            async def are() -> bool:
                request = flash_sale_pb2.ParticipateRequest(activity_id=activity, user_id=f"u{time.monotonic_ns()}")
                return bool((await client.flash_sales.Participate(request)).status == status)

            await eventually(are)

        won, paused = STATUS.PARTICIPATE_STATUS_WON, STATUS.PARTICIPATE_STATUS_PAUSED
        await claims_are(won)
        by_hand(quiet, f"UPDATE activities SET paused = 1 WHERE id = {activity}")
        await claims_are(paused)
        by_hand(quiet, f"UPDATE activities SET paused = 0 WHERE id = {activity}")
        await claims_are(won)
        state = int(template_pb2.TEMPLATE_STATE_PAUSED)
        by_hand(quiet, f"UPDATE templates SET state = {state} WHERE id = {template.template_id}")
        await claims_are(paused)


async def test_without_the_privilege_entries_are_short_lived_and_redis_holds_none(quiet: Settings) -> None:
    dsn = parse_mysql_dsn(quiet.mysql.dsn.get_secret_value())
    by_hand(quiet, "CREATE OR REPLACE USER plain@localhost IDENTIFIED BY 'p'")
    by_hand(quiet, f"GRANT SELECT ON `{dsn.database}`.* TO plain@localhost")
    own = f"mysql://plain:p@localhost/{dsn.database}?unix_socket={dsn.unix_socket}"
    binlog = quiet.cache.binlog.model_copy(update={"dsn": SecretStr(own)})
    settings = quiet.model_copy(update={"cache": quiet.cache.model_copy(update={"binlog": binlog})})
    async with opened(settings) as app:
        assert app.following.binlog is None
        assert "REPLICATION SLAVE" in app.following.without
        assert not app.l1.measured
        by_hand(settings, insert_template(7, "key"))
        assert await template_name(app, 7) == ("n", 3)
        by_hand(settings, "UPDATE templates SET name = 'by hand' WHERE id = 7")

        async def changed() -> bool:
            return (await template_name(app, 7))[0] == "by hand"

        await eventually(changed)
        assert app.layers.l2_stats().round_trips == 0
        assert metrics(app)["couponry_binlog_followed"].samples[0].value == 0


async def test_without_a_server_that_may_be_asked_an_instance_waits_for_one(quiet: Settings, tmp_path: Any) -> None:
    dsn = parse_mysql_dsn(quiet.mysql.dsn.get_secret_value())
    where = tmp_path / "later.sock"
    own = f"mysql://root@localhost/{dsn.database}?unix_socket={where}"
    binlog = quiet.cache.binlog.model_copy(update={"dsn": SecretStr(own)})
    settings = quiet.model_copy(update={"cache": quiet.cache.model_copy(update={"binlog": binlog})})
    async with opened(settings) as app:
        assert app.l1.measured
        assert not app.l1.fresh
        by_hand(settings, insert_template(7, "key"))
        for _ in range(3):
            assert await template_name(app, 7) == ("n", 3), "L1 steps aside"
        assert app.following.binlog is not None
        assert app.following.binlog.trouble() is not None
        assert metrics(app)["couponry_binlog_trouble"].samples[0].value == 1
        where.symlink_to(dsn.unix_socket or "")
        await eventually(lambda: app.l1.fresh)

        async def from_l1() -> bool:
            return await template_name(app, 7) == ("n", 1)

        await eventually(from_l1)
        assert metrics(app)["couponry_binlog_trouble"].samples[0].value == 0


async def test_a_trail_that_is_no_place_does_not_keep_an_instance_from_starting(
    quiet: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["couponry.invalidation.following"], "_START_MS", 0)
    async with opened(quiet) as one:
        l2 = one.layers.l2
        await eventually(lambda: one.following.teller is not None and one.following.teller.stats.tells > 0)
        epochs = {told.epoch for told in (await l2.told()).values()}
    with contextlib.closing(_redis(quiet)) as client:
        client.delete(l2.trail_key(0))
        client.zadd(l2.trail_key(0), {b"an older version's place": 1})
        for bucket in range(16):
            client.hset(l2.told_key(bucket), "place", "7")
    async with opened(quiet) as app:

        async def anew() -> bool:
            tolds = (await app.layers.l2.told()).values()
            return bool(tolds) and all(told.epoch not in epochs and len(told.at.place) == 40 for told in tolds)

        await eventually(anew)
        await eventually(lambda: app.l1.fresh)


def _redis(settings: Settings) -> Any:
    import redis  # noqa: PLC0415

    return redis.Redis.from_url(settings.redis.cache.get_secret_value())


async def test_the_gauges_tell_of_the_reader_and_of_the_teller(pair: tuple[App, App]) -> None:
    one, other = pair
    for app in pair:
        assert metrics(app)["couponry_binlog_followed"].samples[0].value == 1
    assert metrics(one)["couponry_telling"].samples[0].value == 1
    assert metrics(other)["couponry_telling"].samples[0].value == 0
    rows = metrics(other)["couponry_binlog_rows"].samples[0].value
    by_hand(one.settings, insert_template(7, "key"))
    await eventually(lambda: metrics(other)["couponry_binlog_rows"].samples[0].value == rows + 1)
    await eventually(lambda: metrics(one)["couponry_teller_changes"].samples[0].value >= 2)
    epochs = {told.epoch for told in (await one.layers.l2.told()).values()}
    by_hand(one.settings, "ALTER TABLE templates ADD COLUMN note INT NULL")

    def lost(app: App) -> bool:
        losses = {sample.labels["cause"]: sample.value for sample in metrics(app)["couponry_binlog_losses"].samples}
        return losses["ddl"] == 1

    for app in pair:
        await eventually(partial(lost, app))

    async def anew() -> bool:
        tolds = (await one.layers.l2.told()).values()
        return bool(tolds) and all(told.epoch not in epochs for told in tolds)

    await eventually(anew)
    await eventually(lambda: metrics(one)["couponry_teller_epochs"].samples[0].value >= 2)
