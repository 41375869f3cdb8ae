"""Wins that were answered and are not in MySQL yet, as coupons: their owner is never told NOT_FOUND."""

import asyncio
from collections.abc import Sequence

from couponry.clock import from_ms, from_sql, to_sql, to_timestamp
from couponry.coupons.codes import Codes
from couponry.coupons.windows import coupon_window
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import WON, Place, Win
from couponry.store import activities as activities_store
from couponry.store.ids import split_flash_sale_coupon_id
from couponry.store.mysql import MySQL, Row
from couponry.v1 import coupon_pb2

__all__ = ["PendingWins"]


class PendingWins:
    """Looks into the winners hashes."""

    def __init__(self, *, mysql: MySQL, sale: Sale, codes: Codes) -> None:
        self._mysql = mysql
        self._sale = sale
        self._codes = codes

    async def find(self, user_id: str, coupon_ids: Sequence[int]) -> dict[int, coupon_pb2.Coupon]:
        """Of these coupons, that user's wins that Redis holds, in state PENDING.

        Ask MySQL first, and again where a coupon may have arrived meanwhile: what is a row is shown here too. Raises
        Unavailable where Redis does not answer: then nobody knows.
        """
        numbers: dict[Place, set[int]] = {}
        for coupon_id in coupon_ids:
            parts = split_flash_sale_coupon_id(coupon_id)
            if parts is not None:
                numbers.setdefault(Place(parts[0], parts[1]), set()).add(parts[2])
        found: dict[int, coupon_pb2.Coupon] = {}
        user = user_id.encode()
        for place, wanted in numbers.items():
            wins = [win for win in await self._sale.records(place, user) if win.kind == WON and win.number in wanted]
            row = await activities_store.select_configuration(self._mysql, place.activity_id) if wins else None
            if row is not None:
                for win in wins:
                    found[place.coupon_id(win.number)] = self._coupon(user_id, place, win, row)
        return found

    async def of_user(self, user_id: str) -> dict[int, coupon_pb2.Coupon]:
        """The user's wins in every activity that is not settled, in state PENDING, whether they are rows yet or not.

        Raises Unavailable where Redis does not answer.
        """
        user = user_id.encode()
        # Of several buckets only the user's own can have wins.
        places = {
            Place.of(row["activity_id"], row["buckets"], user): None
            for row in await activities_store.select_unsettled(self._mysql)
        }
        records = await asyncio.gather(*(self._sale.records(place, user) for place in places))
        found: dict[int, coupon_pb2.Coupon] = {}
        for place, wins in zip(places, records, strict=True):
            won = [win for win in wins if win.kind == WON]
            row = await activities_store.select_configuration(self._mysql, place.activity_id) if won else None
            if row is not None:
                for win in won:
                    found[place.coupon_id(win.number)] = self._coupon(user_id, place, win, row)
        return found

    def _coupon(self, user_id: str, place: Place, win: Win, row: Row) -> coupon_pb2.Coupon:
        claimed = from_ms(win.claimed_ms)
        begins, ends = coupon_window(row["valid_from"], row["valid_until"], row["valid_days"], to_sql(claimed))
        coupon_id = place.coupon_id(win.number)
        return coupon_pb2.Coupon(
            coupon_id=coupon_id,
            code=self._codes.encode(coupon_id),
            user_id=user_id,
            template_id=row["template_id"],
            state=coupon_pb2.COUPON_STATE_PENDING,
            source=coupon_pb2.COUPON_SOURCE_FLASH_SALE,
            valid_from=to_timestamp(from_sql(begins)),
            valid_until=to_timestamp(from_sql(ends)),
            received_at=to_timestamp(claimed),
            activity_id=place.activity_id,
        )
