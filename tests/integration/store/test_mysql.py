"""Transactions commit whole or not at all, victims are tried again, ids and answers are given once."""

import asyncio

import pytest
from pydantic import SecretStr

from couponry.config import MySqlSettings, Settings
from couponry.errors import InvalidArgument, Unavailable
from couponry.store import ids, requests
from couponry.store.mysql import DuplicateKey, MySQL, Tx

SECRET = "INSERT INTO secrets (name, value) VALUES (%s, %s)"
COUNT = "SELECT COUNT(*) AS n FROM secrets WHERE name LIKE 'test%'"


async def count(mysql: MySQL) -> int:
    row = await mysql.fetch_one(COUNT)
    assert row is not None
    return int(row["n"])


async def test_a_transaction_that_fails_leaves_nothing(mysql: MySQL) -> None:
    async def insert_and_fail(tx: Tx) -> None:
        await tx.execute(SECRET, ("test", b"x"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mysql.run(insert_and_fail)
    assert await count(mysql) == 0


async def test_a_transaction_that_is_cancelled_leaves_nothing_and_the_pool_goes_on(mysql: MySQL) -> None:
    inserted = asyncio.Event()

    async def work() -> None:
        async with mysql.transaction() as tx:
            await tx.execute(SECRET, ("test", b"x"))
            inserted.set()
            await tx.fetch_one("SELECT SLEEP(60)")

    task = asyncio.create_task(work())
    await inserted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(mysql) == 0


async def test_deadlocked_transactions_both_get_through(mysql: MySQL) -> None:
    async with mysql.transaction() as tx:
        await tx.insert_rows("INSERT INTO secrets (name, value) VALUES", "(%s, %s)", [("test1", b"0"), ("test2", b"0")])
    both_hold_one = asyncio.Barrier(2)
    first_try = {"a": True, "b": True}

    async def work(name: str, one: str, other: str) -> None:
        async def move(tx: Tx) -> None:
            await tx.execute("UPDATE secrets SET value = CONCAT(value, 'x') WHERE name = %s", (one,))
            if first_try[name]:
                first_try[name] = False
                await both_hold_one.wait()
            await tx.execute("UPDATE secrets SET value = CONCAT(value, 'x') WHERE name = %s", (other,))

        await mysql.run(move)

    await asyncio.gather(work("a", "test1", "test2"), work("b", "test2", "test1"))
    rows = await mysql.fetch_all("SELECT value FROM secrets WHERE name LIKE 'test%'")
    assert [row["value"] for row in rows] == [b"0xx", b"0xx"]


async def test_sessions_are_read_committed_in_utc_with_short_lock_waits(mysql: MySQL) -> None:
    row = await mysql.fetch_one("SELECT @@tx_isolation, @@time_zone, @@innodb_lock_wait_timeout, @@wait_timeout")
    assert row is not None
    assert list(row.values()) == ["READ-COMMITTED", "+00:00", 3, 15]


async def test_a_taken_unique_key_is_named(mysql: MySQL) -> None:
    await mysql.execute(SECRET, ("test", b"x"))
    with pytest.raises(DuplicateKey) as taken:
        await mysql.execute(SECRET, ("test", b"y"))
    assert taken.value.key == "PRIMARY"


async def test_quotes_percent_signs_and_zero_bytes_are_stored_as_they_are(mysql: MySQL) -> None:
    wild = bytes(range(64))
    async with mysql.transaction() as tx:
        assert await tx.insert_rows("INSERT INTO secrets (name, value) VALUES", "(%s, %s)", [("test", wild)]) == 1
        row = await tx.fetch_one("SELECT value FROM secrets WHERE name = %s", ("test",))
    assert row == {"value": wild}


async def test_a_server_that_is_not_there_is_unavailable(settings: Settings) -> None:
    nowhere = MySqlSettings(dsn=SecretStr("mysql://root@127.0.0.1:1/none"))
    with pytest.raises(Unavailable) as refused:
        await MySQL.connect(nowhere)
    assert refused.value.reason == "STORE_UNAVAILABLE"


async def test_ids_are_ascending_and_never_given_twice(mysql: MySQL) -> None:
    one, other = ids.Ids(mysql), ids.Ids(mysql)
    groups = await asyncio.gather(
        *(source.take(ids.COUPON, size) for size in (1, 700, 1500, 3) for source in (one, other))
    )
    for group in groups:
        assert group == sorted(group)
    everything = [number for group in groups for number in group]
    assert len(set(everything)) == len(everything)
    assert all(0 < number < 2**52 for number in everything)


async def test_ids_run_out_loudly(mysql: MySQL) -> None:
    await mysql.execute("UPDATE id_blocks SET next_id = %s WHERE name = 'template'", (2**52 - 5,))
    with pytest.raises(OverflowError):
        await ids.Ids(mysql).take(ids.TEMPLATE)


@pytest.mark.parametrize("place", [(1, 0, 1), (2**20 - 1, 15, 2**28 - 1), (7, 3, 12345)])
def test_a_flash_sale_coupon_id_holds_its_activity_bucket_and_number(place: tuple[int, int, int]) -> None:
    coupon_id = ids.flash_sale_coupon_id(*place)
    assert 2**52 <= coupon_id < 2**53
    assert ids.split_flash_sale_coupon_id(coupon_id) == place
    assert ids.split_flash_sale_coupon_id(2**52 - 1) is None


def key(request_id: str = "r", body: bytes = b"x" * 16) -> requests.RequestKey:
    return requests.RequestKey("Method", "user", request_id, body)


async def test_one_of_ten_calls_with_one_request_id_works_and_the_others_get_its_answer(mysql: MySQL) -> None:
    worked = 0

    async def call(tx: Tx) -> bytes:
        nonlocal worked
        answer = await requests.claim(tx, key())
        if answer is None:
            worked += 1
            answer = str(worked).encode()
            await requests.remember(tx, key(), answer)
        return answer

    assert set(await asyncio.gather(*(mysql.run(call) for _ in range(10)))) == {b"1"}


async def test_a_request_id_with_another_body_is_refused(mysql: MySQL) -> None:
    await mysql.run(lambda tx: requests.claim(tx, key()))
    with pytest.raises(InvalidArgument) as refused:
        await mysql.run(lambda tx: requests.claim(tx, key(body=b"y" * 16)))
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"


async def test_a_call_that_failed_leaves_its_request_id_free(mysql: MySQL) -> None:
    async def fail(tx: Tx) -> None:
        await requests.claim(tx, key())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mysql.run(fail)
    assert await mysql.run(lambda tx: requests.claim(tx, key())) is None


async def test_only_old_answers_are_forgotten(mysql: MySQL) -> None:
    await mysql.run(lambda tx: requests.claim(tx, key("old")))
    await mysql.run(lambda tx: requests.claim(tx, key("new")))
    await mysql.execute("UPDATE request_log SET created_at = created_at - INTERVAL 2 DAY WHERE request_id = 'old'")
    assert await mysql.run(lambda tx: requests.forget_older_than(tx, 86_400)) == 1
    rows = await mysql.fetch_all("SELECT request_id FROM request_log")
    assert rows == [{"request_id": b"new"}]
