"""Wins become rows: a coupon where stock and limit allow it, else a FAILED record. Nothing else writes either.

The caller holds the progress row. What was told by this Redis in this epoch always fits; the checks are for wins of
other histories, and are the last guard against overselling in any case.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from couponry.clock import from_ms, to_sql
from couponry.coupons.windows import coupon_window
from couponry.flash_sale.wire import TRIED, Place, Win
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import Row, Tx

__all__ = ["Taken", "take"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of wins: how many are coupons (or reserved by a transaction) now, and which failed."""

    sold: int
    failed: Sequence[Win]


@dataclass(frozen=True, slots=True)
class _Sorted:
    coupons: Sequence[Win]
    tried: Sequence[Win]
    failed: Sequence[Win]


async def take(
    tx: Tx, place: Place, progress: Row, configuration: Row, wins: Sequence[Win], *, cursor: int, offered: bool
) -> Taken:
    """Writes wins in number order, counts them, moves the cursor to `cursor`.

    `offered`: the wins may be in MySQL already, and then stay as they are. `progress` is brought up to date.
    """
    ids_taken: set[int] = set()
    if offered:
        known = await _known(tx, place, wins)
        ids_taken = set(known)
        wins = [win for win in wins if (win.user, win.request_hash) not in known.get(place.coupon_id(win.number), ())]
    found = await _sort(tx, place, progress, wins, ids_taken)
    if found.coupons:
        await store.insert_coupons(tx, [_coupon(place, win, configuration) for win in found.coupons])
    records = [(win, store.TRIED) for win in found.tried] + [(win, store.FAILED) for win in found.failed]
    if records:
        await store.insert_records(tx, [_record(place, win, state, configuration) for win, state in records])
    sold = len(found.coupons) + len(found.tried)
    await store.move_cursor(tx, place, number=cursor, sold=sold, failed=len(found.failed))
    await activities_store.move_reserved(
        tx, configuration["template_id"], issued=len(found.coupons), reserved=-len(found.coupons)
    )
    progress["number"] = max(progress["number"], cursor)
    progress["sold"] += sold
    progress["failed"] += len(found.failed)
    return Taken(sold=sold, failed=found.failed)


async def _known(tx: Tx, place: Place, wins: Sequence[Win]) -> dict[int, set[tuple[bytes, bytes]]]:
    """Who has these numbers in MySQL: (user, request hash) by coupon id."""
    known: dict[int, set[tuple[bytes, bytes]]] = defaultdict(set)
    for row in await store.select_known(tx, [place.coupon_id(win.number) for win in wins]):
        known[row["id"]].add((row["user_id"], row["request_hash"]))
    return dict(known)


async def _sort(tx: Tx, place: Place, progress: Row, wins: Sequence[Win], ids_taken: set[int]) -> _Sorted:
    held: dict[bytes, set[bytes]] = defaultdict(set)
    for row in await store.select_held(tx, place.activity_id, list({win.user for win in wins})):
        held[row["user_id"]].add(row["request_hash"])
    room = progress["total"] - progress["sold"]
    coupons: list[Win] = []
    tried: list[Win] = []
    failed: list[Win] = []
    for win in wins:
        own = held[win.user]
        fits = (
            room > 0
            and len(own) < progress["highest_limit"]
            and win.request_hash not in own
            and place.coupon_id(win.number) not in ids_taken
        )
        if not fits:
            failed.append(win)
            continue
        room -= 1
        own.add(win.request_hash)
        (tried if win.kind == TRIED else coupons).append(win)
    return _Sorted(coupons=coupons, tried=tried, failed=failed)


def _coupon(place: Place, win: Win, configuration: Row) -> tuple[object, ...]:
    claimed = _claimed(win, configuration)
    window = coupon_window(
        configuration["valid_from"], configuration["valid_until"], configuration["valid_days"], claimed
    )
    return (
        win.user,
        place.coupon_id(win.number),
        configuration["template_id"],
        *window,
        claimed,
        place.activity_id,
        place.bucket,
        win.epoch,
        win.number,
        win.request_hash,
    )


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
        _claimed(win, configuration),
    )


def _claimed(win: Win, configuration: Row) -> datetime:
    now: datetime = configuration["now"]
    return to_sql(from_ms(win.claimed_ms)) if win.claimed_ms else now
