"""GetCoupon, ListUserCoupons and RevokeCoupon."""

from couponry.clock import from_sql
from couponry.coupons.codes import Codes
from couponry.coupons.loaders import USER_KIND
from couponry.coupons.messages import coupon_message
from couponry.coupons.once import answer_once, request_key
from couponry.coupons.refs import RefResolver, ResolvedRef
from couponry.coupons.wallet import Wallet
from couponry.errors import FailedPrecondition, NotFound, Unavailable
from couponry.paging import decode, encode, query_of
from couponry.store import coupons as store
from couponry.store.layers import Change, Layers
from couponry.store.mysql import MySQL, Tx
from couponry.v1 import coupon_pb2
from couponry.validation import MAX_ID, Violations

__all__ = ["UserCoupons"]

_KEPT_BY = {
    coupon_pb2.COUPON_STATE_LOCKED: ("LOCKED", "the coupon is locked by an order"),
    coupon_pb2.COUPON_STATE_USED: ("USED", "the coupon is used"),
}


class UserCoupons:
    """One user's coupons: looked up, listed, revoked."""

    def __init__(self, *, mysql: MySQL, layers: Layers, codes: Codes, wallet: Wallet, refs: RefResolver) -> None:
        self._mysql = mysql
        self._layers = layers
        self._codes = codes
        self._wallet = wallet
        self._refs = refs

    async def get(self, request: coupon_pb2.GetCouponRequest) -> coupon_pb2.GetCouponResponse:
        """One coupon of the user with its template, never of an older version than asked for."""
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.between("min_version", request.min_version, 0, MAX_ID)
        ref = self._refs.resolve_one(request.user_id, request.coupon, "coupon", violations)
        violations.raise_if_any()
        coupon = await self._find(request.user_id, ref, request.min_version)
        if coupon.version < request.min_version:
            raise FailedPrecondition(
                "the coupon has not reached this version",
                reason="VERSION_NOT_REACHED",
                metadata={"version": coupon.version},
            )
        templates = await self._wallet.templates([coupon])
        return coupon_pb2.GetCouponResponse(coupon=coupon, template=templates.get(coupon.template_id))

    async def _find(self, user_id: str, ref: ResolvedRef, min_version: int) -> coupon_pb2.Coupon:
        if ref.coupon_id is None:
            raise NotFound("no such coupon")
        coupon = (await self._wallet.find(user_id, [ref.coupon_id])).get(ref.coupon_id)
        if coupon is None:
            self._refs.missed(user_id, [ref])
            raise NotFound("no such coupon")
        if coupon.version < min_version:
            coupon = (await self._wallet.find_stored(user_id, [ref.coupon_id])).get(ref.coupon_id, coupon)
        return coupon

    async def page(self, request: coupon_pb2.ListUserCouponsRequest) -> coupon_pb2.ListUserCouponsResponse:
        """A page of the user's coupons, the highest id first, with their templates."""
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.count("states", len(request.states), least=0, most=16)
        for index, state in enumerate(request.states[:16]):
            violations.enum(f"states[{index}]", state)
            if state == coupon_pb2.COUPON_STATE_PENDING:
                violations.add(f"states[{index}]", "wins that have no coupon yet are listed by ListUserRecords")
        size = violations.page_size("page_size", request.page_size)
        violations.raise_if_any()
        query = query_of(request)
        position = decode(request.page_token, query)
        rows = await store.list_coupons(
            self._mysql,
            request.user_id,
            below_id=MAX_ID + 1 if position is None else int(position[0]),
            states=request.states,
            limit=size + 1,
        )
        coupons = [coupon_message(row, from_sql(row["now"]), self._codes) for row in rows[:size]]
        templates = await self._wallet.templates(coupons)
        response = coupon_pb2.ListUserCouponsResponse(
            coupons=coupons, templates=[templates[each] for each in sorted(templates)]
        )
        if len(rows) > size:
            response.next_page_token = encode(query, [rows[size - 1]["id"]])
        return response

    async def revoke(self, request: coupon_pb2.RevokeCouponRequest, caller: str) -> coupon_pb2.RevokeCouponResponse:
        """Revokes a coupon; one that is revoked stays so.

        Raises NotFound, FailedPrecondition (LOCKED, USED), Unavailable / PENDING for a win that has no row yet.
        """
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.request_id("request_id", request.request_id)
        ref = self._refs.resolve_one(request.user_id, request.coupon, "coupon", violations)
        violations.raise_if_any()
        if ref.coupon_id is None:
            raise NotFound("no such coupon")
        coupon_id = ref.coupon_id

        async def effect(tx: Tx) -> coupon_pb2.RevokeCouponResponse:
            return coupon_pb2.RevokeCouponResponse(coupon=await self._revoked(tx, request.user_id, coupon_id))

        try:
            response = await answer_once(
                self._mysql,
                request_key("RevokeCoupon", caller, request),
                coupon_pb2.RevokeCouponResponse,
                effect,
            )
        except NotFound:
            if await self._wallet.find_pending(request.user_id, [coupon_id]):
                raise Unavailable("the win is not a coupon yet", reason="PENDING") from None
            self._refs.missed(request.user_id, [ref])
            raise
        self._layers.wrote([Change(USER_KIND, request.user_id, "written")])
        return response

    async def _revoked(self, tx: Tx, user_id: str, coupon_id: int) -> coupon_pb2.Coupon:
        rows = await store.select_coupons(tx, user_id, [coupon_id], for_update=True)
        if not rows:
            raise NotFound("no such coupon")
        coupon = coupon_message(rows[0], from_sql(rows[0]["now"]), self._codes)
        if coupon.state == coupon_pb2.COUPON_STATE_REVOKED:
            return coupon
        if coupon.state in _KEPT_BY:
            reason, text = _KEPT_BY[coupon.state]
            raise FailedPrecondition(text, reason=reason)
        # The row is ours since the SELECT, and time only ever makes a coupon freer to be revoked.
        await store.revoke(tx, user_id, coupon_id)
        [row] = await store.select_coupons(tx, user_id, [coupon_id])
        return coupon_message(row, from_sql(row["now"]), self._codes)
