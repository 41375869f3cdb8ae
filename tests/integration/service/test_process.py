"""The service as a process: it drains on SIGTERM, survives its stores, and loses nothing to kill -9."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from pydantic import SecretStr

from couponry.client import Client, refusal_of
from couponry.clock import to_timestamp
from couponry.config import MySqlSettings
from couponry.demo.service import Service
from couponry.devstack import DevStack
from couponry.store import migrations
from couponry.store.mysql import MySQL
from couponry.v1 import coupon_pb2, flash_sale_pb2, template_pb2
from tests.integration.service.conftest import create_template

WON = flash_sale_pb2.PARTICIPATE_STATUS_WON
SOLD_OUT = flash_sale_pb2.PARTICIPATE_STATUS_SOLD_OUT
# The acceptance run has 30,000 claims on 1,000 coupons: COUPONRY_TEST_CLAIMS=30000.
CLAIMS = int(os.environ.get("COUPONRY_TEST_CLAIMS", "6000"))


@pytest.fixture
def private(tmp_path: Path, repository: Path) -> Iterator[DevStack]:
    """Stores of this test alone, to be killed."""
    with DevStack(tmp_path, template_dir=repository / ".couponry" / "template") as stack:
        migrations.upgrade(stack.mysql_dsn())
        yield stack


@pytest.fixture
def service(private: DevStack, tmp_path: Path, frontend: str) -> Iterator[Service]:
    with Service(private, tmp_path, frontend=frontend) as service:
        yield service


async def open_activity(client: Client, stock: int) -> int:
    template = await create_template(client, total=stock)
    now = datetime.now(UTC)
    created = await client.flash_sales.CreateActivity(
        flash_sale_pb2.CreateActivityRequest(
            spec=flash_sale_pb2.ActivitySpec(
                name="sale",
                template_id=template.template_id,
                stock=stock,
                per_user_limit=1,
                start_at=to_timestamp(now - timedelta(seconds=1)),
                end_at=to_timestamp(now + timedelta(hours=1)),
            )
        )
    )
    return created.activity.activity_id


async def test_nothing_is_lost_or_sold_twice_when_the_service_is_killed_in_mid_sale(
    service: Service, private: DevStack
) -> None:
    stock = CLAIMS // 30
    users = [f"user-{number}" for number in range(CLAIMS * 2 // 3)]
    claims = users + random.Random(1).choices(users, k=CLAIMS // 3)
    random.Random(2).shuffle(claims)
    answers: dict[str, set[tuple[int, int]]] = {}

    async def run(begin: int, end: int, *, kill_at: int | None) -> None:
        waiting = iter(claims[begin:end])
        answered = 0

        async def worker(client: Client) -> None:
            nonlocal answered
            for user in waiting:
                try:
                    answer = await client.flash_sales.Participate(
                        flash_sale_pb2.ParticipateRequest(activity_id=activity_id, user_id=user, request_id=f"r-{user}")
                    )
                except grpc.aio.AioRpcError as error:
                    # Killed under the call: the client does not know, and asks again later.
                    if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                        raise
                    continue
                answers.setdefault(user, set()).add((answer.status, answer.coupon_id))
                answered += 1
                if answered == kill_at:
                    service.kill()

        async with Client(service.address, timeout_s=5) as client, asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(worker(client))

    async with Client(service.address, timeout_s=30) as client:
        activity_id = await open_activity(client, stock)
    # Of the first part about a third wins before the kill.
    await run(0, stock, kill_at=stock // 2)
    service.start()
    await run(0, len(claims), kill_at=None)

    winners = {user: given for user, given in answers.items() if any(status == WON for status, _ in given)}
    assert len(winners) == stock
    assert all(len(given) == 1 for given in winners.values()), "a repeated request was answered differently"
    assert {status for given in answers.values() for status, _ in given} == {WON, SOLD_OUT}

    mysql = await MySQL.connect(MySqlSettings(dsn=SecretStr(private.mysql_dsn())))
    async with asyncio.timeout(60):
        while True:
            rows = await mysql.fetch_all("SELECT user_id, id FROM user_coupons WHERE activity_id = %s", (activity_id,))
            if len(rows) >= stock:
                break
    await mysql.close()
    told = Counter((user, coupon_id) for user, given in winners.items() for _, coupon_id in given)
    assert Counter((row["user_id"].decode(), row["id"]) for row in rows) == told


async def test_a_call_under_way_at_sigterm_is_answered(service: Service, private: DevStack) -> None:
    mysql = await MySQL.connect(MySqlSettings(dsn=SecretStr(private.mysql_dsn())))
    async with Client(service.address, timeout_s=30) as client:
        template = await create_template(client)
        async with mysql.transaction() as tx:
            await tx.fetch_all(
                "SELECT * FROM template_counters WHERE template_id = %s FOR UPDATE", (template.template_id,)
            )
            received = asyncio.ensure_future(
                client.coupons.ReceiveCoupon(
                    coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=template.template_id)
                )
            )
            async with asyncio.timeout(10):
                while not await waits_for_a_lock(mysql):  # noqa: ASYNC110 - only the database knows
                    # InnoDB renews what it shows of transactions only when it was not asked for 100 ms.
                    await asyncio.sleep(0.15)
            stopping = asyncio.create_task(asyncio.to_thread(service.stop))
        assert (await received).coupon.coupon_id > 0
        await stopping
    await mysql.close()


async def waits_for_a_lock(mysql: MySQL) -> bool:
    row = await mysql.fetch_one("SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    return row is not None and row["n"] > 0


async def test_without_mysql_calls_are_unavailable_with_a_time_to_ask_again_and_work_once_it_is_back(
    service: Service, private: DevStack
) -> None:
    async with Client(service.address, timeout_s=30) as client:
        template = await create_template(client)
        private.kill_mariadb()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.coupons.ReceiveCoupon(
                coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=template.template_id)
            )
        refusal = refusal_of(refused.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert refusal.retry_after_s is not None
        await asyncio.to_thread(private.start_mariadb)
        received = await client.coupons.ReceiveCoupon(
            coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=template.template_id)
        )
        assert received.coupon.user_id == "u"


async def test_without_redis_reads_go_on_and_claims_are_unavailable_until_it_is_back(
    service: Service, private: DevStack
) -> None:
    async with Client(service.address, timeout_s=30) as client:
        activity_id = await open_activity(client, 5)
        claim = flash_sale_pb2.ParticipateRequest(activity_id=activity_id, user_id="u", request_id="r")
        won = await client.flash_sales.Participate(claim)
        private.kill_redis()
        listed = await client.templates.ListTemplates(template_pb2.ListTemplatesRequest())
        template_id = listed.templates[0].template_id
        await client.templates.GetTemplate(template_pb2.GetTemplateRequest(template_id=template_id))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.flash_sales.Participate(claim)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.to_thread(private.start_redis)
        again = await client.flash_sales.Participate(claim)
        assert (again.status, again.coupon_id) == (WON, won.coupon_id)


async def test_two_instances_on_one_pair_of_stores_sell_exactly_the_stock(
    service: Service, private: DevStack, tmp_path: Path
) -> None:
    (tmp_path / "second" / "log").mkdir(parents=True)
    (tmp_path / "second" / "run").mkdir(parents=True)
    with Service(private, tmp_path / "second") as second:
        async with Client(service.address, timeout_s=30) as one, Client(second.address, timeout_s=30) as other:
            activity_id = await open_activity(one, 50)
            answers = await asyncio.gather(
                *(
                    client.flash_sales.Participate(
                        flash_sale_pb2.ParticipateRequest(
                            activity_id=activity_id, user_id=f"user-{number}", request_id="r"
                        )
                    )
                    for number in range(200)
                    for client in (one, other)
                )
            )
    coupons = Counter(answer.coupon_id for answer in answers if answer.status == WON)
    # Each winner asked both with one request id, and got one coupon.
    assert len(coupons) == 50
    assert set(coupons.values()) == {2}


def test_the_service_ends_by_itself_on_sigterm(service: Service) -> None:
    pid = service._pid_file.running()
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    service.stop()
    assert service._pid_file.running() is None
