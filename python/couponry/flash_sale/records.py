"""ListUserRecords: what a user has won.

The winners hash is read first, then MySQL, so a winner is always in one of them.
"""

from couponry.clock import from_ms, from_sql, to_timestamp
from couponry.coupons.codes import Codes
from couponry.errors import NotFound
from couponry.flash_sale.messages import MAX_ACTIVITY_ID
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import CANCELLED, FAILED, TRIED, Place, Win
from couponry.paging import decode, encode, query_of
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.ids import flash_sale_coupon_id
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2
from couponry.validation import MAX_ID, Violations

__all__ = ["Records"]

_STATES = {
    TRIED: flash_sale_pb2.RECORD_STATE_TRIED,
    CANCELLED: flash_sale_pb2.RECORD_STATE_CANCELLED,
    FAILED: flash_sale_pb2.RECORD_STATE_FAILED,
}


class Records:
    """A user's wins."""

    def __init__(self, *, mysql: MySQL, sale: Sale, codes: Codes) -> None:
        self._mysql = mysql
        self._sale = sale
        self._codes = codes

    async def page(self, request: flash_sale_pb2.ListUserRecordsRequest) -> flash_sale_pb2.ListUserRecordsResponse:
        """A page of wins, the newest coupon id first. Without an activity: what is in MySQL, no PENDING ones."""
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.between("activity_id", request.activity_id, 0, MAX_ID)
        size = violations.page_size("page_size", request.page_size)
        violations.raise_if_any()
        query = query_of(request)
        position = decode(request.page_token, query)
        least, below = flash_sale_coupon_id(0, 0, 0), MAX_ID + 1
        if request.activity_id:
            if request.activity_id > MAX_ACTIVITY_ID:
                raise NotFound("no such activity")
            least = flash_sale_coupon_id(request.activity_id, 0, 0)
            below = flash_sale_coupon_id(request.activity_id + 1, 0, 0)
        if position is not None:
            below = min(below, int(position[0]))
        user = request.user_id.encode()
        waiting = await self._in_redis(request.activity_id, user) if request.activity_id else {}
        rows = await store.list_records(self._mysql, user, least_id=least, below_id=below, limit=size + 1)
        found = {coupon_id: record for coupon_id, record in waiting.items() if least <= coupon_id < below}
        for row in rows:
            found[row["coupon_id"]] = flash_sale_pb2.FlashSaleRecord(
                activity_id=row["activity_id"],
                coupon_id=row["coupon_id"],
                code=self._codes.encode(row["coupon_id"]),
                state=row["state"],
                claimed_at=to_timestamp(from_sql(row["claimed_at"])),
            )
        ids = sorted(found, reverse=True)
        response = flash_sale_pb2.ListUserRecordsResponse(records=[found[coupon_id] for coupon_id in ids[:size]])
        if len(ids) > size:
            response.next_page_token = encode(query, [ids[size - 1]])
        return response

    async def _in_redis(self, activity_id: int, user: bytes) -> dict[int, flash_sale_pb2.FlashSaleRecord]:
        rows = await activities_store.select_activities(self._mysql, [activity_id])
        if not rows:
            raise NotFound("no such activity")
        if rows[0]["state"] == activities_store.SETTLED:
            return {}
        place = Place.of(activity_id, rows[0]["buckets"], user)
        return {place.coupon_id(win.number): self._record(place, win) for win in await self._sale.records(place, user)}

    def _record(self, place: Place, win: Win) -> flash_sale_pb2.FlashSaleRecord:
        coupon_id = place.coupon_id(win.number)
        return flash_sale_pb2.FlashSaleRecord(
            activity_id=place.activity_id,
            coupon_id=coupon_id,
            code=self._codes.encode(coupon_id),
            state=_STATES.get(win.kind, flash_sale_pb2.RECORD_STATE_PENDING),
            claimed_at=to_timestamp(from_ms(win.claimed_ms)),
        )
