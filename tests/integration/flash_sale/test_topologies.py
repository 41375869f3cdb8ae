"""A sale on Redis behind Sentinels and in a Cluster, through failovers and moved slots, under load.

Whatever the servers do: nothing is oversold, a user has one coupon, a repeat gets the same answer, and it goes on
by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from couponry.errors import Unavailable
from couponry.flash_sale.wire import Place
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance
from tests.integration.topologies import Clustered, Node, Watched

STOCK = 400
CLIENTS = 12
BUCKETS = 8


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("watched"), replicas=1, sentinels=3, quorum=2) as servers:
        yield servers


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    with Clustered(tmp_path_factory.mktemp("clustered")) as servers:
        yield servers


class Load:
    """Clients that claim and repeat until they know; every answer is written down."""

    def __init__(self, instances: list[Instance], activity_id: int) -> None:
        self._instances = instances
        self._activity_id = activity_id
        self.told: dict[str, set[int]] = {}
        self.sold_out = 0
        self.unavailable = 0
        self.under_way = asyncio.Event()
        self.over = asyncio.Event()
        self._next = iter(range(10**9))

    async def client(self, number: int) -> None:
        shop = self._instances[number % len(self._instances)]
        while not self.over.is_set():
            user = f"u{next(self._next)}"
            if not await self.claim(shop, user):
                return
            # A repeat, now and then from another instance.
            await self.claim(self._instances[(number + 1) % len(self._instances)], user)

    async def claim(self, shop: Instance, user: str) -> bool:
        """Asks until there is an answer; whether it won."""
        while True:
            try:
                response = await shop.claim(self._activity_id, user, "r")
            except Unavailable as error:
                self.unavailable += 1
                await asyncio.sleep(error.retry_after_s or 0.05)
                continue
            if response.status == STATUS.PARTICIPATE_STATUS_WON:
                self.told.setdefault(user, set()).add(response.coupon_id)
                if len(self.told) >= STOCK // 4:
                    self.under_way.set()
                return True
            assert response.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
            self.sold_out += 1
            return False


async def persist_meanwhile(shop: Instance, over: asyncio.Event) -> None:
    while not over.is_set():
        try:
            await shop.persister.run_once()
            await shop.parts.upkeep.run_once()
        except Unavailable:
            pass
        await asyncio.sleep(0.02)


async def sell_through(instances: list[Instance], activity_id: int, fault: Callable[[], Awaitable[None]]) -> Load:
    """Sells while `fault` happens in the midst of it, until everything is sold."""
    load = Load(instances, activity_id)
    persisting = asyncio.create_task(persist_meanwhile(instances[0], load.over))
    clients = [asyncio.create_task(load.client(n)) for n in range(CLIENTS)]
    await load.under_way.wait()
    await fault()
    await asyncio.gather(*clients)
    load.over.set()
    await persisting
    return load


async def judge(instances: list[Instance], activity_id: int, load: Load, *, lost: bool) -> None:
    """`lost`: a replica was promoted that may not have had the last told wins; their stock was sold again."""
    shop = instances[0]
    while await shop.persist():
        pass
    coupons = await shop.coupons(activity_id)
    assert len(coupons) == len(set(coupons.values())) == STOCK
    await shop.assert_sound(activity_id)
    # No number was told to two users.
    numbers = [coupon_id for ids in load.told.values() for coupon_id in ids]
    assert len(numbers) == len(set(numbers))
    owner = {user: coupon_id for coupon_id, user in coupons.items()}
    missing = {user: ids for user, ids in load.told.items() if owner.get(user) not in ids}
    changed = {user for user, ids in load.told.items() if len(ids) > 1}
    if not lost:
        assert missing == {}
        assert changed == set()
    # Asynchronous replication lost a moment's worth at most, not a history.
    assert len(missing) <= CLIENTS * 4
    for user, ids in list(load.told.items())[:50]:
        if user not in missing and user not in changed:
            assert {await shop.win(activity_id, user, "r")} == ids


async def killed(node: Node) -> None:
    await asyncio.to_thread(node.kill)


@pytest.mark.parametrize("ack", [pb.ACK_REDIS, pb.ACK_REPLICA])
async def test_a_master_that_dies_is_replaced_by_sentinels_while_it_sells(
    open_instance: OpenInstance, watched: Watched, ack: pb.Ack
) -> None:
    instances = [await open_instance(watched.url, replica_timeout_ms=200) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK, ack=ack)).activity_id
    before = await asyncio.to_thread(watched.current)
    restarted: list[Node] = []

    async def fault() -> None:
        await killed(before)
        after = await asyncio.to_thread(watched.until_failed_over, before)
        assert after is not before
        # It comes back as a replica of the new one; with ack = REPLICA nothing is told before.
        await asyncio.to_thread(before.start)
        restarted.append(before)

    load = await sell_through(instances, activity_id, fault)
    assert restarted
    assert load.unavailable > 0
    await judge(instances, activity_id, load, lost=ack == pb.ACK_REDIS)
    await asyncio.to_thread(watched.until_healthy)


async def test_a_master_that_hangs_is_replaced_and_comes_back_as_a_replica(
    open_instance: OpenInstance, watched: Watched
) -> None:
    instances = [await open_instance(watched.url) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK)).activity_id
    before = await asyncio.to_thread(watched.current)

    async def fault() -> None:
        before.pause()
        await asyncio.to_thread(watched.until_failed_over, before)
        before.resume()

    load = await sell_through(instances, activity_id, fault)
    await judge(instances, activity_id, load, lost=True)
    await asyncio.to_thread(watched.until_healthy)


@pytest.mark.parametrize("ack", [pb.ACK_REDIS, pb.ACK_REPLICA])
async def test_a_primary_of_a_cluster_that_dies_is_replaced_while_it_sells(
    open_instance: OpenInstance, clustered: Clustered, ack: pb.Ack
) -> None:
    instances = [await open_instance(clustered.url, replica_timeout_ms=200) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK, ack=ack)).activity_id
    key = instances[0].redis.key(Place(activity_id).names()[0])
    before = await asyncio.to_thread(clustered.owner, key)

    async def fault() -> None:
        await killed(before)
        await asyncio.to_thread(clustered.until_failed_over, key, before)
        await asyncio.to_thread(before.start)

    load = await sell_through(instances, activity_id, fault)
    assert load.unavailable > 0
    await judge(instances, activity_id, load, lost=ack == pb.ACK_REDIS)
    await asyncio.to_thread(clustered.until_healthy)


async def test_a_slot_that_moves_while_it_sells_takes_the_sale_with_it(
    open_instance: OpenInstance, clustered: Clustered
) -> None:
    instances = [await open_instance(clustered.url) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK)).activity_id
    key = instances[0].redis.key(Place(activity_id).names()[0])
    source = await asyncio.to_thread(clustered.owner, key)
    primaries = [node for node in clustered.nodes if node.info("replication")["role"] == "master"]
    target = next(node for node in primaries if node is not source)
    steps: list[int] = []

    async def fault() -> None:
        # There and back: m carries the replid of the server that it came from, so each move needs a fence pass.
        for to in (target, source):
            await asyncio.to_thread(clustered.move_slot, key, to, between=steps.append)
            await until_decided(instances[0], activity_id)

    load = await sell_through(instances, activity_id, fault)
    # m, u and o went one by one, twice.
    assert len(steps) >= 6
    await judge(instances, activity_id, load, lost=False)


@pytest.mark.parametrize("ack", [pb.ACK_REDIS, pb.ACK_REPLICA])
async def test_an_activity_spread_over_a_cluster_outlives_one_of_its_primaries(
    open_instance: OpenInstance, clustered: Clustered, ack: pb.Ack
) -> None:
    instances = [await open_instance(clustered.url, replica_timeout_ms=200) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK, ack=ack, buckets=BUCKETS)).activity_id
    keys = [instances[0].redis.key(Place(activity_id, bucket).names()[0]) for bucket in range(BUCKETS)]
    owners = [await asyncio.to_thread(clustered.owner, key) for key in keys]
    assert len({owner.port for owner in owners}) == 3

    async def fault() -> None:
        await killed(owners[0])
        await asyncio.to_thread(clustered.until_failed_over, keys[0], owners[0])
        await asyncio.to_thread(owners[0].start)

    load = await sell_through(instances, activity_id, fault)
    assert load.unavailable > 0
    await judge(instances, activity_id, load, lost=ack == pb.ACK_REDIS)
    await asyncio.to_thread(clustered.until_healthy)


async def test_slots_that_move_while_stock_moves_between_them_take_their_buckets_with_them(
    open_instance: OpenInstance, clustered: Clustered
) -> None:
    instances = [await open_instance(clustered.url) for _ in range(2)]
    activity_id = (await instances[0].create(stock=STOCK, buckets=BUCKETS)).activity_id
    places = [Place(activity_id, bucket) for bucket in range(BUCKETS)]

    async def fault() -> None:
        for place in places[:3]:
            key = instances[0].redis.key(place.names()[0])
            source = await asyncio.to_thread(clustered.owner, key)
            primaries = [node for node in clustered.nodes if node.info("replication")["role"] == "master"]
            target = next(node for node in primaries if node is not source)
            await asyncio.to_thread(clustered.move_slot, key, target)
            await asyncio.to_thread(clustered.move_slot, key, source)

    load = await sell_through(instances, activity_id, fault)
    await judge(instances, activity_id, load, lost=False)
    rows = await instances[0].mysql.fetch_all("SELECT total FROM activity_progress")
    assert sum(row["total"] for row in rows) == STOCK


async def until_decided(shop: Instance, activity_id: int) -> None:
    """Returns when a repeat of a win is answered."""
    while True:
        try:
            response = await shop.claim(activity_id, "u0", "r")
        except Unavailable:
            await asyncio.sleep(0.02)
            continue
        assert response.status == STATUS.PARTICIPATE_STATUS_WON
        return


async def test_a_command_whose_connection_is_closed_while_it_is_made_is_unavailable(
    open_instance: OpenInstance, clustered: Clustered
) -> None:
    shop = await open_instance(clustered.url)
    keys = [shop.redis.key(name) for name in Place(1).names()]
    replies: list[int] = []
    refused: list[Unavailable] = []

    async def look() -> None:
        try:
            replies.append((await shop.redis.run_script("look", keys))[0])
        except Unavailable as error:
            refused.append(error)

    # The client of a Cluster closes every connection when it loses one, whoever uses them.
    for ticks in range(60):
        looks = [asyncio.create_task(look()) for _ in range(4)]
        for _ in range(ticks):
            await asyncio.sleep(0)
        await shop.redis.client.aclose()
        await asyncio.gather(*looks)
    assert replies
    assert refused


async def test_a_cluster_without_one_of_its_shards_serves_the_others(
    open_instance: OpenInstance, clustered: Clustered
) -> None:
    shop = await open_instance(clustered.url)
    ids: dict[int, int] = {}
    while len(ids) < 3:
        activity_id = (await shop.create(stock=5)).activity_id
        node = await asyncio.to_thread(clustered.owner, shop.redis.key(Place(activity_id).names()[0]))
        ids.setdefault(node.port, activity_id)
        await shop.win(activity_id, "ann", "r")
    down, *up = ids.items()
    victim = next(node for node in clustered.nodes if node.port == down[0])
    victim.pause()
    try:
        for _, activity_id in up:
            await shop.win(activity_id, "bob", "r")
    finally:
        victim.resume()
    await asyncio.to_thread(clustered.until_healthy)
