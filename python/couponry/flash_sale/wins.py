"""Wins become rows: a coupon where stock and limit allow it, else a FAILED record. Nothing else writes either.

The caller holds the progress row. What was told by this Redis in this epoch always fits; the checks are for wins of
other histories, and are the last guard against overselling in any case.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from couponry._core import Wins
from couponry.clock import from_ms, to_sql
from couponry.coupons.windows import coupon_window
from couponry.flash_sale.wire import Place, Win, from_batch
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import Row, Tx

__all__ = ["Taken", "keep_cancelled", "take"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of wins: how many are coupons (or reserved by a transaction) now, and which failed."""

    sold: int
    failed: Sequence[Win]


async def take(
    tx: Tx, place: Place, progress: Row, configuration: Row, wins: Wins, *, cursor: int, offered: bool
) -> Taken:
    """Writes wins in number order, counts them, moves the cursor to `cursor`.

    `offered`: the wins may be in MySQL already, and then stay as they are. `progress` is brought up to date.
    """
    taken: set[int] = set()
    if offered:
        known = await _known(tx, place, wins)
        taken = set(known)
        wins = Wins([win for win in wins.values() if (win[1], win[2]) not in known.get(win[0], ())])
    held = await store.select_held(tx, place.activity_id, wins)
    coupons, tried, failed = wins.sort(
        held, stock=max(0, progress["total"] - progress["sold"]), limit=progress["highest_limit"], taken=taken
    )
    if len(coupons):
        await _insert(tx, place, configuration, coupons)
    records = [(win, store.TRIED) for win in from_batch(tried)]
    lost = from_batch(failed)
    records += [(win, store.FAILED) for win in lost]
    if records:
        await store.insert_records(tx, [_record(place, win, state, configuration) for win, state in records])
    sold = len(coupons) + len(tried)
    await store.move_cursor(tx, place, number=cursor, sold=sold, failed=len(lost))
    await activities_store.move_reserved(tx, configuration["template_id"], issued=len(coupons), reserved=-len(coupons))
    progress["number"] = max(progress["number"], cursor)
    progress["sold"] += sold
    progress["failed"] += len(lost)
    return Taken(sold=sold, failed=lost)


async def keep_cancelled(tx: Tx, place: Place, configuration: Row, wins: Sequence[Win]) -> None:
    """Writes records of cancelled wins that MySQL does not have: their request ids are to answer CANCELLED."""
    if wins:
        await store.insert_records(tx, [_record(place, win, store.CANCELLED, configuration) for win in wins])


async def _known(tx: Tx, place: Place, wins: Wins) -> dict[int, set[tuple[bytes, bytes]]]:
    """Who has these numbers in MySQL: (user, request hash) by number."""
    known: dict[int, set[tuple[bytes, bytes]]] = defaultdict(set)
    least = place.coupon_id(0)
    for row in await store.select_known(tx, [least + number for number in wins.numbers()]):
        known[row["id"] - least].add((row["user_id"], row["request_hash"]))
    return dict(known)


async def _insert(tx: Tx, place: Place, configuration: Row, coupons: Wins) -> None:
    common = {"template_id": configuration["template_id"], "activity_id": place.activity_id, "bucket": place.bucket}
    by_time: dict[int, Row] = {}
    for ms in coupons.times():
        claimed = _claimed(ms, configuration)
        valid_from, valid_until = coupon_window(
            configuration["valid_from"], configuration["valid_until"], configuration["valid_days"], claimed
        )
        by_time[ms] = {"received_at": claimed}
        common["valid_from"] = valid_from
        # Only then an end follows from the time of the claim.
        (common if configuration["valid_days"] is None else by_time[ms])["valid_until"] = valid_until
    await store.insert_coupons(tx, coupons, place.coupon_id(0), by_time, common)


def _record(place: Place, win: Win, state: int, configuration: Row) -> tuple[object, ...]:
    return (
        place.activity_id,
        place.bucket,
        win.epoch,
        win.number,
        win.user,
        place.coupon_id(win.number),
        win.request_hash,
        state,
        _claimed(win.claimed_ms, configuration),
    )


def _claimed(claimed_ms: int, configuration: Row) -> datetime:
    now: datetime = configuration["now"]
    return to_sql(from_ms(claimed_ms)) if claimed_ms else now
