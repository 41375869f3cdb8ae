"""The audit of an activity: what must be equal, with its numbers, while the progress row is held.

Redis counts in one script; run it when the rush is over. A settled activity is judged by MySQL alone.
"""

from dataclasses import dataclass

from couponry.errors import NotFound
from couponry.flash_sale.fence import Fence, needed
from couponry.flash_sale.sale import Counts, Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Audit", "Equation"]


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


class Audit:
    """Compares an activity's sums."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence

    async def audit(self, activity_id: int) -> list[Equation]:
        """All equations. A bucket that needs a fence pass gets one first. Raises NotFound, Unavailable."""
        place = Place(activity_id)
        found = await self._mysql.run(lambda tx: self._work(tx, place))
        if found is None:
            await self._fence.ensure(place)
            found = await self._mysql.run(lambda tx: self._work(tx, place))
        return found or [Equation("Redis is the one that the fence opened", 0, 1, holds=False)]

    async def _work(self, tx: Tx, place: Place) -> list[Equation] | None:
        progress = await store.lock_progress(tx, place)
        configuration = await activities_store.select_configuration(tx, place.activity_id)
        if progress is None or configuration is None:
            raise NotFound("no such activity")
        equations: list[Equation] = []
        if configuration["state"] != activities_store.SETTLED:
            if await needed(tx, place, progress["epoch"], await self._sale.look(place)):
                return None
            cursor = max(progress["number"], progress["base"])
            counts = await self._sale.audit(place, epoch=progress["epoch"], after=cursor)
            pending = await store.pending_increases(tx, place)
            equations += _of_redis(progress, counts, cursor, pending)
        return equations + await self._of_mysql(tx, place, progress, configuration)

    async def _of_mysql(self, tx: Tx, place: Place, progress: Row, configuration: Row) -> list[Equation]:
        coupons = await store.count_coupons(tx, place.activity_id)
        records = await store.count_records(tx, place)
        template_id = configuration["template_id"]
        template = await activities_store.lock_template(tx, template_id)
        return [
            _at_most("sold <= total", progress["sold"], progress["total"]),
            _equal("sold = rows in MySQL", progress["sold"], int(coupons["held"]) + int(records["tried"])),
            _equal("failed = FAILED records", progress["failed"], int(records["failed"])),
            _at_most("wins of one user <= limit", int(coupons["most"]), progress["highest_limit"]),
            _equal("numbers missing within an epoch = 0", await store.count_gaps(tx, place), 0),
            _equal(
                "reserved of the template = unsold of its activities",
                template["reserved"] if template else 0,
                await store.sum_reserved(tx, template_id),
            ),
        ]


def _of_redis(progress: Row, counts: Counts, cursor: int, pending: int) -> list[Equation]:
    total, left, number = (int(counts.m[field]) for field in ("total", "left", "number"))
    return [
        _equal("total in Redis = left + wins", total, left + counts.live + counts.failed),
        _equal("total in Redis = total in MySQL without pending increases", total, progress["total"] - pending),
        _equal("wins = persisted + waiting", counts.live, progress["sold"] + number - cursor),
        _equal("waiting = wins in the outbox", number - cursor, counts.waiting),
        _at_most("wins of one user in Redis <= limit", counts.most, progress["highest_limit"]),
        _equal("numbers that occur twice = 0", counts.twice, 0),
    ]
