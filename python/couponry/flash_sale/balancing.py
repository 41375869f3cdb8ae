"""Stock that moves between the buckets of an activity when one runs dry, and who says that nothing is left anywhere.

A move takes up to half of what the fullest bucket has, as an adjustment of that bucket; the commit that finishes it
writes an arrival in the order of the dry one. Steps and rules are those of the model (rust/models/flash_sale, moves).
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence

import structlog

from couponry.errors import FailedPrecondition, Unavailable
from couponry.flash_sale.adjuster import Adjuster
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.spreading import Closed, check_numbers, look_at_all
from couponry.flash_sale.wire import Place, State
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Balance"]

_log = structlog.get_logger(__name__)


class Balance:
    """Fills buckets that ran dry. One bucket of an activity at a time in this process; among processes rows decide."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._adjuster = Adjuster(mysql=mysql, sale=sale, fence=fence)
        self._running: dict[Place, asyncio.Task[None]] = {}
        self._turns: dict[int, asyncio.Lock] = {}

    async def fill(self, place: Place) -> None:
        """Returns when the bucket has stock again, or when it says SOLD_OUT because no bucket has any, or when neither
        could be brought about: then a claim still finds it EMPTY.

        A caller that is cancelled does not stop it. Raises Unavailable where a store does not answer.
        """
        running = self._running.get(place)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._in_turn(place))
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place, None))
            running.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(running)

    async def close(self) -> None:
        """Waits for the moves under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def heal(self, states: Mapping[Place, State]) -> None:
        """A bucket says that nothing is left, and another one has stock: it could not be told when that came about."""
        lies = [place for place, state in states.items() if state.open and state.m.get("elsewhere") == "0"]
        if lies and any(state.open and state.number("left") > 0 for state in states.values()):
            await asyncio.gather(*(self._sale.share(place, elsewhere=True) for place in lies))

    async def _in_turn(self, place: Place) -> None:
        turn = self._turns.setdefault(place.activity_id, asyncio.Lock())
        try:
            async with turn:
                await self._fill(place)
        finally:
            if not any(each.activity_id == place.activity_id and each != place for each in self._running):
                self._turns.pop(place.activity_id, None)

    async def _fill(self, place: Place) -> None:
        rows = await store.select_all_progress(self._mysql, place.activity_id)
        places = [Place(place.activity_id, row["bucket"]) for row in rows]
        # What somebody left half way comes first: it may be what this bucket waits for.
        for each in places:
            await self._adjuster.apply(each)
        states = await self._look(places)
        own = states.get(place)
        if own is None or own.number("left") > 0 or own.m.get("elsewhere") != "1":
            return
        lefts = {each: state.number("left") for each, state in states.items()}
        donor = max(lefts, key=lambda each: (lefts[each], -each.bucket))
        if lefts[donor] > 0:
            if await self._mysql.run(lambda tx: self._write(tx, donor, place, (lefts[donor] + 1) // 2)):
                await self._adjuster.apply(donor)
                await self._adjuster.apply(place)
        elif len(states) == len(places):
            await self._judge(place.activity_id)

    async def _look(self, places: Sequence[Place]) -> dict[Place, State]:
        """m of the buckets that are open or could be opened."""
        states: dict[Place, State] = {}
        for place in places:
            try:
                state = await self._sale.look(place)
                if (state.absent or not state.open) and await self._fence.ensure(place):
                    state = await self._sale.look(place)
            except Unavailable:
                _log.warning("a bucket cannot be asked", activity=place.activity_id, bucket=place.bucket)
                continue
            if not state.absent and state.open:
                states[place] = state
        return states

    async def _write(self, tx: Tx, donor: Place, place: Place, units: int) -> bool:
        """Writes the move, unless the activity is over."""
        rows = {each: await store.lock_progress(tx, each) for each in sorted((donor, place))}
        activity = await activities_store.lock_activity(tx, place.activity_id)
        target = rows[place]
        if target is None or activity is None or activity["state"] != activities_store.OPEN:
            return False
        try:
            check_numbers(target, units)
        except FailedPrecondition:
            _log.error("a bucket has too few win numbers left", activity=place.activity_id, bucket=place.bucket)
            return False
        await store.insert_adjustment(
            tx, donor, nonce=secrets.token_bytes(16), kind=store.MOVE, delta=-units, target=place.bucket
        )
        return True

    async def _judge(self, activity_id: int) -> None:
        """Says that nothing is left, where that is so: while all rows are held, only claims change the stock."""

        async def work(tx: Tx) -> None:
            rows: list[Row] = await store.lock_all_progress(tx, activity_id)
            if await store.any_pending(tx, activity_id) or await store.any_pending_change(tx, activity_id):
                return
            states = await look_at_all(tx, self._sale, activity_id, rows)
            if any(state.number("left") > 0 for state in states.values()):
                return
            for row in rows:
                await self._sale.share(Place(activity_id, row["bucket"]), elsewhere=False, epoch=row["epoch"])

        try:
            await self._mysql.run(work)
        except Closed as closed:
            await self._fence.ensure(closed.place)
