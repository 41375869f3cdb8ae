"""GrantCoupons: an admin gives coupons of one template to up to 1,000 users in one transaction.

A grant is given also outside the window for receiving, since somebody decided it; the pause, the total, the per-user
limit and the coupon's own end bind it as they bind receiving.
"""

from typing import Final, cast

from couponry.clock import from_sql
from couponry.coupons.codes import Codes
from couponry.coupons.issuing import give, offer_of
from couponry.coupons.loaders import USER_KIND
from couponry.coupons.messages import coupon_message
from couponry.coupons.once import answer_once, request_key
from couponry.store.coupons import count_receipts
from couponry.store.ids import COUPON, Ids
from couponry.store.layers import Change, Layers
from couponry.store.mysql import MySQL, Tx
from couponry.v1 import coupon_pb2, reason_pb2
from couponry.validation import Violations

__all__ = ["Granting"]

_MOST: Final = 1000


class Granting:
    """Gives coupons to users whom an admin names."""

    def __init__(self, *, mysql: MySQL, layers: Layers, ids: Ids, codes: Codes) -> None:
        self._mysql = mysql
        self._layers = layers
        self._ids = ids
        self._codes = codes

    async def grant(self, request: coupon_pb2.GrantCouponsRequest, caller: str) -> coupon_pb2.GrantCouponsResponse:
        """A coupon, or the limit that refuses it, for each user id in turn.

        Raises NotFound, or FailedPrecondition (TEMPLATE_PAUSED, EXPIRED) for the whole call.
        """
        violations = Violations()
        violations.own_id("template_id", request.template_id)
        violations.request_id("request_id", request.request_id)
        violations.count("user_ids", len(request.user_ids), least=1, most=_MOST)
        for index, user_id in enumerate(request.user_ids[:_MOST]):
            violations.shop_id(f"user_ids[{index}]", user_id)
        violations.raise_if_any()
        coupon_ids = await self._ids.take(COUPON, len(request.user_ids))

        async def effect(tx: Tx) -> coupon_pb2.GrantCouponsResponse:
            return await self._granted(tx, request, coupon_ids)

        key = request_key("GrantCoupons", caller, request)
        response = await answer_once(self._mysql, key, coupon_pb2.GrantCouponsResponse, effect)
        self._layers.wrote(Change(USER_KIND, user_id, "written") for user_id in set(request.user_ids))
        return response

    async def _granted(
        self, tx: Tx, request: coupon_pb2.GrantCouponsRequest, coupon_ids: list[int]
    ) -> coupon_pb2.GrantCouponsResponse:
        source = coupon_pb2.COUPON_SOURCE_GRANTED
        offer = await offer_of(tx, request.template_id)
        refusal = offer.refusal(source)
        if refusal is not None:
            raise refusal
        receipts = {}
        if offer.counts_receipts:
            receipts = await count_receipts(tx, ((request.template_id, user_id) for user_id in request.user_ids))
        limits = offer.limits(list(request.user_ids), receipts)
        users = [user_id for user_id, limit in zip(request.user_ids, limits, strict=True) if limit is None]
        issue = offer.issue(source)
        await give(tx, [(issue, list(zip(users, coupon_ids, strict=False)))])
        given = iter(coupon_ids)
        now = from_sql(offer.template["now"])
        response = coupon_pb2.GrantCouponsResponse()
        for user_id, limit in zip(request.user_ids, limits, strict=True):
            grant = response.grants.add(user_id=user_id)
            if limit is None:
                grant.coupon.CopyFrom(coupon_message(issue.row(user_id, next(given)), now, self._codes))
            else:
                grant.refused = cast("reason_pb2.Reason", reason_pb2.Reason.Value(f"REASON_{limit}"))
        return response
