"""The audit of an activity: what must be equal, with its numbers, while the progress rows are held.

Redis counts each bucket in one script; run it when the rush is over. A settled activity is judged by MySQL alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.fence import Fence, needed
from couponry.flash_sale.messages import MAX_ACTIVITY_ID, split_stock
from couponry.flash_sale.sale import Counts, Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store import ledger as ledger_store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Audit", "Equation"]

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Equation:
    """`left` and `right` are the two sides; where `holds` is false something is wrong."""

    name: str
    left: int
    right: int
    holds: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.left} and {self.right}{'' if self.holds else '  <- does not hold'}"


def _equal(name: str, left: int, right: int) -> Equation:
    return Equation(name, left, right, left == right)


def _at_most(name: str, left: int, right: int) -> Equation:
    return Equation(name, left, right, left <= right)


class _NotYet(Exception):
    """A bucket needs a fence pass or has an adjustment to apply before its sums can be compared."""

    def __init__(self, place: Place, *, fenced: bool) -> None:
        super().__init__(place)
        self.place = place
        self.fenced = fenced


class Audit:
    """Compares an activity's sums, and those of orders' ledgers."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence, adjustments: Adjustments) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._adjustments = adjustments

    async def activities(self, *, settled: bool) -> list[int]:
        """The ids of the activities that are not settled, or of all."""
        return await activities_store.select_ids(self._mysql, settled=settled)

    async def audit(self, activity_id: int) -> list[Equation]:
        """All equations of an activity. A bucket that needs a fence pass or has adjustments to apply gets that first.

        Raises NotFound, and Unavailable where a store does not answer or servers change too fast.
        """
        if not 0 < activity_id <= MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        for _ in range(_ATTEMPTS):
            try:
                return await self._mysql.run(lambda tx: self._work(tx, activity_id))
            except _NotYet as first:
                if not first.fenced:
                    await self._fence.ensure(first.place)
                await self._adjustments.apply_all(activity_id)
        raise Unavailable("the activity changes too fast to be audited", reason="NOT_READY")

    async def ledgers(self) -> list[Equation]:
        """The sums of every order's ledger. Reads all of it."""
        return _of_ledgers(await ledger_store.sum_ledgers(self._mysql))

    async def _work(self, tx: Tx, activity_id: int) -> list[Equation]:
        rows = await store.lock_all_progress(tx, activity_id)
        configuration = await activities_store.select_configuration(tx, activity_id)
        if not rows or configuration is None:
            raise NotFound("no such activity")
        if await store.any_pending_change(tx, activity_id):
            raise _NotYet(Place(activity_id), fenced=True)
        equations: list[Equation] = []
        shares = split_stock(configuration["stock"], len(rows))
        for row, share in zip(rows, shares, strict=True):
            place = Place(activity_id, row["bucket"])
            found = await self._of_bucket(tx, place, row, configuration, share)
            if len(rows) > 1:
                found = [replace(each, name=f"{each.name} [bucket {place.bucket}]") for each in found]
            equations += found
        template_id = configuration["template_id"]
        template = await activities_store.lock_template(tx, template_id)
        reserved = await store.sum_reserved(tx, template_id)
        equations += [
            _equal(
                "reserved of the template = unsold of its activities", template["reserved"] if template else 0, reserved
            ),
            *_of_ledgers(await ledger_store.sum_ledgers_of_activity(tx, activity_id)),
        ]
        return equations

    async def _of_bucket(
        self, tx: Tx, place: Place, progress: Row, configuration: Row, share: int
    ) -> Sequence[Equation]:
        redis: Sequence[Equation] = ()
        if configuration["state"] != activities_store.SETTLED:
            state = await self._sale.look(place)
            fenced = not await needed(tx, place, progress["epoch"], state)
            if not fenced or await store.first_pending(tx, place) is not None:
                raise _NotYet(place, fenced=fenced)
            cursor = max(progress["number"], progress["base"])
            counts = await self._sale.audit(place, epoch=progress["epoch"], after=cursor)
            redis = _of_redis(progress, counts, cursor)
        return [*redis, *await _of_mysql(tx, place, progress, share)]


def _of_redis(progress: Row, counts: Counts, cursor: int) -> Sequence[Equation]:
    total, left, number = (int(counts.m[field]) for field in ("total", "left", "number"))
    # A win that failed in this epoch keeps its unit until the next fence pass counts from MySQL.
    wins = counts.live + counts.failed + counts.cancelled
    return [
        _equal("total in Redis = left + wins - cancelled", total, left + wins - counts.cancelled),
        _equal("total in Redis = total in MySQL", total, progress["total"]),
        _equal("wins that live = persisted + waiting", counts.live, progress["sold"] + number - cursor),
        _equal("waiting = wins in the outbox", number - cursor, counts.waiting),
        _at_most("wins of one user in Redis <= limit", counts.most, progress["highest_limit"]),
        _equal("numbers that occur twice in Redis = 0", counts.twice, 0),
    ]


async def _of_mysql(tx: Tx, place: Place, progress: Row, share: int) -> Sequence[Equation]:
    coupons = await store.count_coupons(tx, place)
    records = await store.count_records(tx, place)
    adjusted = await store.sum_adjusted(tx, place)
    rows = int(coupons["held"]) + int(records["tried"])
    return [
        _at_most("sold <= total", progress["sold"], progress["total"]),
        _equal("sold = rows in MySQL", progress["sold"], rows),
        _equal("failed = FAILED records", progress["failed"], int(records["failed"])),
        _at_most("wins of one user <= limit", await store.most_wins(tx, place), progress["highest_limit"]),
        _equal("numbers missing within an epoch = 0", await store.count_gaps(tx, place), 0),
        _equal("numbers that two wins have = 0", await store.count_twice(tx, place), 0),
        _equal("total = stock + adjustments - returned", progress["total"], share + adjusted - progress["returned"]),
    ]


def _of_ledgers(sums: Mapping[str, int]) -> list[Equation]:
    return [
        _equal("ledgers of orders = their discount - returned", sums["ledger"], sums["declared"]),
        _equal("orders whose ledger differs = 0", sums["wrong"], 0),
    ]
