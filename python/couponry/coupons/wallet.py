"""A user's coupons as reads see them: the cached live ones first, then SQL, then flash-sale wins not yet in SQL.

What is found here shows and prices; whatever moves a coupon reads its row in its own transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from couponry.clock import Clock, from_sql
from couponry.coupons.codes import Codes
from couponry.coupons.loaders import TEMPLATE_KIND, USER_KIND
from couponry.coupons.messages import coupon_as_of, coupon_message
from couponry.coupons.pricing import Candidate
from couponry.errors import Unavailable
from couponry.flash_sale.pending import PendingWins
from couponry.store.coupons import select_coupons
from couponry.store.ids import split_flash_sale_coupon_id
from couponry.store.layers import Layers
from couponry.store.mysql import MySQL
from couponry.store.templates import select_counters
from couponry.v1 import coupon_pb2, template_pb2

__all__ = ["Wallet"]


class Wallet:
    """Reads users' coupons with their templates and budgets. Another user's coupon is never found."""

    def __init__(self, *, mysql: MySQL, layers: Layers, codes: Codes, clock: Clock, pending_wins: PendingWins) -> None:
        self._mysql = mysql
        self._layers = layers
        self._codes = codes
        self._clock = clock
        self._pending_wins = pending_wins

    async def live(self, user_id: str, now: datetime) -> list[coupon_pb2.Coupon]:
        """The coupons that are UNUSED or LOCKED as written, in id order, as they read at `now`: maybe EXPIRED."""
        payload = await self._layers.get(USER_KIND, user_id)
        if payload is None:
            return []
        return [coupon_as_of(coupon, now) for coupon in coupon_pb2.ListUserCouponsResponse.FromString(payload).coupons]

    async def find(self, user_id: str, coupon_ids: Iterable[int]) -> dict[int, coupon_pb2.Coupon]:
        """Those of the ids that are the user's, whatever their state."""
        wanted = set(coupon_ids)
        if not wanted:
            return {}
        found = {
            coupon.coupon_id: coupon for coupon in await self.live(user_id, self._clock()) if coupon.coupon_id in wanted
        }
        found |= await self.find_stored(user_id, wanted - found.keys())
        return found

    async def find_stored(self, user_id: str, coupon_ids: Iterable[int]) -> dict[int, coupon_pb2.Coupon]:
        """The same past the caches: from SQL, and from the sale for wins that have no row yet."""
        wanted = sorted(set(coupon_ids))
        found: dict[int, coupon_pb2.Coupon] = {}
        for row in await select_coupons(self._mysql, user_id, wanted):
            found[row["id"]] = coupon_message(row, from_sql(row["now"]), self._codes)
        found |= await self.find_pending(user_id, [each for each in wanted if each not in found])
        return found

    async def find_pending(self, user_id: str, coupon_ids: Sequence[int]) -> dict[int, coupon_pb2.Coupon]:
        """Those of the ids that are the user's wins and have no row yet."""
        wins = [each for each in coupon_ids if split_flash_sale_coupon_id(each) is not None]
        return dict(await self._pending_wins.find(user_id, wins)) if wins else {}

    async def with_wins(self, user_id: str, live: Sequence[coupon_pb2.Coupon]) -> list[coupon_pb2.Coupon]:
        """`live` and the user's flash-sale wins that are not among them: PENDING, or a row that came meanwhile.

        Without Redis the wins that have no row yet are left out: the list is shown without them.
        """
        try:
            wins = await self._pending_wins.of_user(user_id)
        except Unavailable:
            return list(live)
        for coupon in live:
            wins.pop(coupon.coupon_id, None)
        for row in await select_coupons(self._mysql, user_id, wins):
            wins[row["id"]] = coupon_message(row, from_sql(row["now"]), self._codes)
        return [*live, *wins.values()]

    async def templates(self, coupons: Iterable[coupon_pb2.Coupon]) -> dict[int, template_pb2.Template]:
        """The templates of these coupons."""
        template_ids = sorted({coupon.template_id for coupon in coupons})
        payloads = await self._layers.get_many(TEMPLATE_KIND, [str(each) for each in template_ids])
        return {
            template_id: template_pb2.Template.FromString(payload)
            for template_id, payload in zip(template_ids, payloads, strict=True)
            if payload is not None
        }

    async def candidates(self, coupons: Sequence[coupon_pb2.Coupon]) -> dict[int, Candidate]:
        """These coupons ready to be priced: with their templates, and what SQL says is left of each budget."""
        templates = await self.templates(coupons)
        budgeted = sorted(each for each, template in templates.items() if template.spec.HasField("budget"))
        left = {
            row["template_id"]: templates[row["template_id"]].spec.budget - row["budget_reserved"] - row["budget_spent"]
            for row in await select_counters(self._mysql, budgeted)
        }
        return {
            coupon.coupon_id: Candidate(coupon, templates[coupon.template_id], left.get(coupon.template_id))
            for coupon in coupons
            if coupon.template_id in templates
        }
