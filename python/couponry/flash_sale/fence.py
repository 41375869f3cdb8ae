"""Which Redis is this, and which history does it hold? A fence pass answers that, and opens the activity.

Scripts refuse to work until a pass has written the server's replication id into m; a restart or a promotion changes
that id. The steps and rules are those of the model: none may be left out or moved. All of a pass happens while it holds
the progress row, except the opening, which follows the commit and is guarded by token and replid.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from couponry.clock import from_sql, to_ms
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.sale import Closed, PassGone, Sale
from couponry.flash_sale.wins import keep_cancelled, take
from couponry.flash_sale.wire import CANCELLED, TRIED, WON, Place, State, Win, to_batch
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx
from couponry.v1 import template_pb2

__all__ = ["NUMBERS", "Fence", "configuration_fields", "needed"]

_log = structlog.get_logger(__name__)

# Win numbers of a bucket stay below this: a coupon's id holds no more.
NUMBERS: Final = 2**28
_PASSES: Final = 5
# A pass that has committed opens within a moment, unless its process died: so long others leave it to that.
_OPENS_WITHIN_S: Final = 0.1
_LOOK_AGAIN_S: Final = 0.01
_WINS_AT_ONCE: Final = 500
_WINNERS_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a committed pass has yet to write to Redis."""

    token: str
    replid: str
    rebuild: bool
    m: Mapping[str, str | int]


class _BeingOpened(Exception):
    """Another pass has committed and has yet to open."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over one bucket: what every step needs."""

    tx: Tx
    place: Place
    token: str
    closed: Closed
    progress: Row
    configuration: Row


class Fence:
    """Opens activities. One pass of an activity at a time in this process; among processes the row decides."""

    def __init__(self, *, mysql: MySQL, sale: Sale, outbox: Outbox) -> None:
        self._mysql = mysql
        self._sale = sale
        self._outbox = outbox
        self._running: dict[Place, asyncio.Task[bool]] = {}

    async def ensure(self, place: Place, *, gap_in: int | None = None) -> bool:
        """Returns when the bucket is open; False: the activity is settled, MySQL answers for it.

        `gap_in`: numbers are missing from the outbox of this epoch, so a pass is needed while it lasts. A caller that
        is cancelled does not stop the pass. Raises Unavailable where a store is down or servers change too fast.
        """
        running = self._running.get(place)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._ensure(place, gap_in))
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place, None))
            running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Waits for the passes under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _ensure(self, place: Place, gap_in: int | None) -> bool:
        # A backlog goes to MySQL in small transactions first: the pass then holds the row for a moment only.
        await self._outbox.drain(place)
        loop = asyncio.get_running_loop()
        leave_until = loop.time() + _OPENS_WITHIN_S
        passes = 0
        while passes < _PASSES:
            leave = loop.time() < leave_until
            try:
                opening = await self._mysql.run(partial(self._work, place=place, gap_in=gap_in, leave=leave))
            except _BeingOpened:
                await asyncio.sleep(_LOOK_AGAIN_S)
                continue
            except PassGone:
                passes += 1
                continue
            passes += 1
            if isinstance(opening, bool):
                return opening
            opened = await self._sale.open(place, opening.token, opening.replid, rebuild=opening.rebuild, m=opening.m)
            if opened:
                _log.info(
                    "activity opened",
                    activity=place.activity_id,
                    epoch=opening.m["epoch"],
                    rebuilt=opening.rebuild,
                    left=opening.m["left"],
                )
                return True
        raise Unavailable("the activity is being opened", reason="NOT_READY")

    async def _work(self, tx: Tx, *, place: Place, gap_in: int | None, leave: bool) -> _Opening | bool:
        progress = await store.lock_progress(tx, place)
        configuration = await activities_store.select_configuration(tx, place.activity_id)
        if progress is None or configuration is None:
            raise NotFound("no such activity")
        if configuration["state"] == activities_store.SETTLED:
            return False
        state = await self._sale.look(place)
        if not await needed(tx, place, progress["epoch"], state) and gap_in != progress["epoch"]:
            return True
        # A token in m while nobody else holds the row is of a pass that died, or one that has committed: then the
        # row's epoch is ahead.
        if leave and state.m.get("token") and (state.absent or state.number("epoch") < progress["epoch"]):
            raise _BeingOpened
        token = secrets.token_hex(16)
        closed = await self._sale.close(place, token)
        return await self._pass(_Pass(tx, place, token, closed, progress, configuration))

    async def _pass(self, run: _Pass) -> _Opening:
        progress, closed = run.progress, run.closed
        left_before = max(0, progress["total"] - progress["sold"])
        adopt = (
            closed.m is not None
            and closed.number("epoch") == progress["epoch"]
            and closed.number("number") >= progress["number"]
            and await _knows(run.tx, run.place, closed.number("adj_place"), closed.m.get("adj_id", ""))
        )
        if adopt:
            await self._adopt(run)
        else:
            await self._offer(run)
        left_after = max(0, progress["total"] - progress["sold"])
        base = max(progress["number"], progress["base"], closed.number("number")) + max(
            left_before, left_after, closed.number("left")
        )
        if base + left_after >= NUMBERS:
            _log.critical("no win numbers are left", activity=run.place.activity_id, base=base)
            raise OverflowError("the activity has no win numbers left")
        epoch = 1 + max(progress["epoch"], closed.number("epoch"), closed.now_ms, to_ms(from_sql(progress["now"])))
        await store.new_epoch(run.tx, run.place, epoch=epoch, base=base)
        if not adopt:
            await self._fill(run)
        m = await self._fields(run, epoch=epoch, base=base)
        if run.configuration["buckets"] > 1 and int(m["left"]) > 0:
            await self._tell_others(run)
        return _Opening(run.token, closed.replid, rebuild=not adopt, m=m)

    async def _tell_others(self, run: _Pass) -> None:
        """Other buckets may have been told that nothing is left anywhere. One that does not answer now sells nothing
        either; the upkeep job tells it later.
        """
        for bucket in range(run.configuration["buckets"]):
            if bucket != run.place.bucket:
                try:
                    await self._sale.share(Place(run.place.activity_id, bucket), elsewhere=True)
                except Unavailable:
                    _log.warning("a bucket learns of stock later", activity=run.place.activity_id, bucket=bucket)

    async def _adopt(self, run: _Pass) -> None:
        """Persists what Redis told in the row's epoch; what the stream no longer has comes from the winners hash."""
        cursor = max(run.progress["number"], run.progress["base"])
        last = run.closed.number("number")
        wins = {win.number: win async for win in self._read_outbox(run, run.progress["epoch"], cursor)}
        missing = last - cursor - len(wins)
        if missing > 0:
            _log.error("the outbox lacks wins", activity=run.place.activity_id, missing=missing)
            async for win in self._read_winners(run):
                if cursor < win.number <= last:
                    wins.setdefault(win.number, win)
        await self._take(run, sorted(wins.values(), key=lambda win: win.number), cursor=last)

    async def _offer(self, run: _Pass) -> None:
        """Offers MySQL the wins that it does not have, in number order, before Redis is rebuilt from it.

        A win that was cancelled and that MySQL does not have is no win, and stays cancelled.
        """
        missing: dict[tuple[int, bytes, bytes], Win] = {}
        for read in (self._read_outbox(run, 0, 0), self._read_winners(run)):
            chunk: list[Win] = []
            async for win in read:
                if win.kind in {WON, TRIED, CANCELLED}:
                    chunk.append(win)
                if len(chunk) >= _WINNERS_AT_ONCE:
                    await self._keep_unknown(run, chunk, missing)
                    chunk = []
            await self._keep_unknown(run, chunk, missing)
        cancelled = [key for key, win in missing.items() if win.kind == CANCELLED]
        await keep_cancelled(run.tx, run.place, run.configuration, [missing.pop(key) for key in cancelled])
        if missing:
            _log.warning("wins of another history are offered", activity=run.place.activity_id, wins=len(missing))
        wins = sorted(missing.values(), key=lambda win: (win.number, win.user, win.request_hash))
        await self._take(run, wins, cursor=run.progress["number"])

    async def _keep_unknown(
        self, run: _Pass, wins: Sequence[Win], missing: dict[tuple[int, bytes, bytes], Win]
    ) -> None:
        known = {
            (row["id"], row["user_id"], row["request_hash"])
            for row in await store.select_known(run.tx, [run.place.coupon_id(win.number) for win in wins])
        }
        for win in wins:
            key = (win.number, win.user, win.request_hash)
            if (run.place.coupon_id(win.number), win.user, win.request_hash) not in known:
                # The outbox tells what was won, the winners hash what became of it.
                if win.kind == CANCELLED:
                    missing[key] = replace(win, epoch=missing[key].epoch if key in missing else win.epoch)
                else:
                    missing.setdefault(key, win)

    async def _take(self, run: _Pass, wins: Sequence[Win], *, cursor: int) -> None:
        for at in range(0, len(wins), _WINS_AT_ONCE):
            taken = await take(
                run.tx,
                run.place,
                run.progress,
                run.configuration,
                to_batch(wins[at : at + _WINS_AT_ONCE]),
                cursor=run.progress["number"],
                offered=True,
            )
            if taken.failed:
                _log.error("wins could not become coupons", activity=run.place.activity_id, failed=len(taken.failed))
        await store.move_cursor(run.tx, run.place, number=cursor, sold=0, failed=0)
        run.progress["number"] = max(run.progress["number"], cursor)

    async def _read_outbox(self, run: _Pass, epoch: int, after: int) -> AsyncIterator[Win]:
        while wins := await self._sale.read_outbox(run.place, run.token, run.closed.replid, epoch, after):
            for win in wins:
                if (win.epoch, win.number) > (epoch, after):
                    yield win
            epoch, after = wins[-1].epoch, wins[-1].number

    async def _read_winners(self, run: _Pass) -> AsyncIterator[Win]:
        epoch_of = {"base": run.closed.number("base"), "epoch": run.closed.number("epoch")}
        cursor = b"0"
        while True:
            cursor, wins = await self._sale.read_winners(run.place, run.token, run.closed.replid, cursor, epoch_of)
            for win in wins:
                yield win
            if cursor == b"0":
                return

    async def _fill(self, run: _Pass) -> None:
        """The winners hash of a rebuild, beside the old one, from rows read in this transaction."""
        kept: dict[bytes, list[Win]] = {}
        for row in await store.select_kept(run.tx, run.place):
            kind = TRIED if row["state"] == store.TRIED else CANCELLED
            kept.setdefault(row["user_id"], []).append(_winner(row, kind))
        after = b""
        while True:
            rows = await store.select_winners(run.tx, run.place, after=after, limit=_WINNERS_AT_ONCE)
            if not rows:
                break
            users: dict[bytes, list[Win]] = {}
            for row in rows:
                users.setdefault(row["user_id"], []).append(_winner(row, WON))
            # The last user of a full page may have more rows; a limit of 100 keeps a user within one page.
            if len(rows) == _WINNERS_AT_ONCE and len(users) > 1:
                users.popitem()
            after = next(reversed(users))
            await self._sale.fill(
                run.place,
                run.token,
                run.closed.replid,
                [(user, wins + kept.pop(user, [])) for user, wins in users.items()],
            )
        await self._sale.fill(run.place, run.token, run.closed.replid, list(kept.items()))

    async def _fields(self, run: _Pass, *, epoch: int, base: int) -> dict[str, str | int]:
        """m from MySQL, whatever the pass found in Redis."""
        coming, cancelled = await store.pending_increases(run.tx, run.place)
        last = await store.last_finished(run.tx, run.place)
        ended = await store.end_state(run.tx, run.place) == store.APPLIED
        total = run.progress["total"] - coming
        return {
            "epoch": epoch,
            "number": base,
            "base": base,
            "left": total - run.progress["sold"] - cancelled,
            "total": total,
            # Of several buckets: an empty one says SOLD_OUT only when somebody has looked at all.
            "elsewhere": int(run.configuration["buckets"] > 1),
            "ended": int(ended),
            "token": "",
            "adj_place": last["place"] if last else 0,
            "adj_id": last["nonce"].hex() if last else "",
            "adj_result": 1 if last is None or last["state"] == store.APPLIED else 2,
            "adj_delta": last["applied"] if last else 0,
            "adj_left": last["left_after"] if last else 0,
            "adj_total": last["total_after"] if last else 0,
            **configuration_fields(run.configuration),
        }


async def needed(source: Tx | MySQL, place: Place, epoch: int, state: State) -> bool:
    """Whether a pass is needed: another server, another epoch in either direction, or an unknown adjustment."""
    if state.absent or not state.open or state.number("epoch") != epoch:
        return True
    return not await _knows(source, place, state.number("adj_place"), state.m["adj_id"])


async def _knows(source: Tx | MySQL, place: Place, number: int, nonce: str) -> bool:
    """Whether MySQL has the adjustment that m names as its last one."""
    if number == 0:
        return True
    last = await store.select_adjustment(source, place, number)
    return last is not None and last["nonce"].hex() == nonce


def configuration_fields(row: Row) -> dict[str, str | int]:
    """The fields of m that an activity's row and its template's row decide."""
    return {
        "version": row["version"],
        "start": to_ms(from_sql(row["start_at"])),
        "end": to_ms(from_sql(row["end_at"])),
        "limit": row["per_user_limit"],
        "paused": row["paused"],
        "template_version": row["template_version"],
        "template_paused": int(row["template_state"] == template_pb2.TEMPLATE_STATE_PAUSED),
    }


def _winner(row: Row, kind: bytes) -> Win:
    return Win(
        number=row["number"],
        user=row["user_id"],
        request_hash=row["request_hash"],
        kind=kind,
        claimed_ms=to_ms(from_sql(row["claimed_at"])),
    )
