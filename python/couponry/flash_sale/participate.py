"""Participate: one claim, its verdict as a result. Only failures of the service itself are errors.

A WON repeated with its request id gives the same coupon, for ever: from Redis while the activity lives, from MySQL once
it is settled.
"""

import secrets
from collections.abc import Callable
from typing import Final

from google.protobuf.duration_pb2 import Duration

from couponry.coupons.codes import Codes
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.activities import ACTIVITY_KIND
from couponry.flash_sale.claims import (
    VERDICT_CANCELLED,
    VERDICT_EMPTY,
    VERDICT_ENDED,
    VERDICT_FAILED,
    VERDICT_LIMIT_REACHED,
    VERDICT_NOT_STARTED,
    VERDICT_PAUSED,
    VERDICT_SOLD_OUT,
    Claims,
    Settled,
    Verdict,
)
from couponry.flash_sale.messages import MAX_ACTIVITY_ID
from couponry.flash_sale.replicas import Replicas, Told
from couponry.flash_sale.rows import Rows
from couponry.flash_sale.wire import Place, request_hash
from couponry.store import flash_sale as store
from couponry.store.layers import Layers
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["Participation"]

_STATUS: Final = {
    VERDICT_NOT_STARTED: flash_sale_pb2.PARTICIPATE_STATUS_NOT_STARTED,
    VERDICT_ENDED: flash_sale_pb2.PARTICIPATE_STATUS_ENDED,
    VERDICT_SOLD_OUT: flash_sale_pb2.PARTICIPATE_STATUS_SOLD_OUT,
    VERDICT_LIMIT_REACHED: flash_sale_pb2.PARTICIPATE_STATUS_LIMIT_REACHED,
    VERDICT_PAUSED: flash_sale_pb2.PARTICIPATE_STATUS_PAUSED,
    VERDICT_CANCELLED: flash_sale_pb2.PARTICIPATE_STATUS_CANCELLED,
    VERDICT_FAILED: flash_sale_pb2.PARTICIPATE_STATUS_FAILED,
}
_RECORD_STATUS: Final = {
    0: flash_sale_pb2.PARTICIPATE_STATUS_WON,
    store.TRIED: flash_sale_pb2.PARTICIPATE_STATUS_WON,
    store.CANCELLED: flash_sale_pb2.PARTICIPATE_STATUS_CANCELLED,
    store.FAILED: flash_sale_pb2.PARTICIPATE_STATUS_FAILED,
}


class Participation:
    """`on_win` is told of each activity that has a win to persist."""

    def __init__(
        self,
        *,
        mysql: MySQL,
        layers: Layers,
        codes: Codes,
        claims: Claims,
        rows: Rows,
        replicas: Replicas,
        on_win: Callable[[Place], None],
    ) -> None:
        self._mysql = mysql
        self._layers = layers
        self._codes = codes
        self._claims = claims
        self._rows = rows
        self._replicas = replicas
        self._on_win = on_win

    async def participate(self, request: flash_sale_pb2.ParticipateRequest) -> flash_sale_pb2.ParticipateResponse:
        """The verdict on one claim. Raises Unavailable: whether it won is found by repeating it with its request id."""
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.shop_id("user_id", request.user_id)
        violations.request_id("request_id", request.request_id)
        violations.raise_if_any()
        payload = None
        if request.activity_id <= MAX_ACTIVITY_ID:
            payload = await self._layers.get(ACTIVITY_KIND, str(request.activity_id))
        if payload is None:
            raise NotFound("no such activity")
        activity = flash_sale_pb2.Activity.FromString(payload)
        user = request.user_id.encode()
        place = Place.of(request.activity_id, activity.spec.buckets, user)
        # Without a request id a repeat is a new claim.
        claim = request_hash(request.request_id) if request.request_id else secrets.token_bytes(16)
        if activity.state == flash_sale_pb2.ACTIVITY_STATE_SETTLED:
            return await self._settled(place, user, claim)
        try:
            verdict = await self._claims.claim(place, user, claim)
        except Settled:
            return await self._settled(place, user, claim)
        if verdict.number == VERDICT_EMPTY:
            raise Unavailable("stock is being moved to this user's bucket", reason="NOT_READY")
        if verdict.number < 0:
            return _refusal(verdict)
        self._on_win(place)
        if not await self._kept(activity.spec.ack, place, Told(user, claim, verdict.number)):
            return flash_sale_pb2.ParticipateResponse(
                status=flash_sale_pb2.PARTICIPATE_STATUS_FAILED, left=max(0, verdict.left)
            )
        return self._won(place.coupon_id(verdict.number), max(0, verdict.left))

    async def _kept(self, ack: flash_sale_pb2.Ack, place: Place, win: Told) -> bool:
        """Returns when the win is where its activity wants it before it is told; False: it failed."""
        match ack:
            case flash_sale_pb2.ACK_MYSQL:
                return await self._rows.persisted(place, win.number, win.user)
            case flash_sale_pb2.ACK_REPLICA:
                return await self._replicas.reached(place, win)
            case _:
                return True

    def _won(self, coupon_id: int, left: int) -> flash_sale_pb2.ParticipateResponse:
        return flash_sale_pb2.ParticipateResponse(
            status=flash_sale_pb2.PARTICIPATE_STATUS_WON,
            coupon_id=coupon_id,
            code=self._codes.encode(coupon_id),
            left=left,
        )

    async def _settled(self, place: Place, user: bytes, claim: bytes) -> flash_sale_pb2.ParticipateResponse:
        row = await store.select_win(self._mysql, place.activity_id, user, claim)
        status = _RECORD_STATUS[row["record"]] if row else flash_sale_pb2.PARTICIPATE_STATUS_ENDED
        if row is not None and status == flash_sale_pb2.PARTICIPATE_STATUS_WON:
            return self._won(row["coupon_id"], 0)
        return flash_sale_pb2.ParticipateResponse(status=status)


def _refusal(verdict: Verdict) -> flash_sale_pb2.ParticipateResponse:
    response = flash_sale_pb2.ParticipateResponse(status=_STATUS[verdict.number], left=max(0, verdict.left))
    if verdict.number == VERDICT_NOT_STARTED:
        wait_ms = max(1, verdict.start_ms - verdict.now_ms)
        response.retry_after.CopyFrom(Duration(seconds=wait_ms // 1000, nanos=wait_ms % 1000 * 1_000_000))
    return response
