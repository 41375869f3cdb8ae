"""ListAvailableCoupons: each live coupon standing alone against a cart, the best first.

Every page computes the whole list again as of one instant, which the page token carries together with the place where
the last page ended; so coupons that came or went in between shift no page.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from couponry import discount
from couponry.clock import Clock, from_ms, from_timestamp, to_ms
from couponry.coupons.pricing import Candidate, cart_of, coupon_of, price_each, rejected_message
from couponry.coupons.wallet import Wallet
from couponry.errors import InvalidArgument
from couponry.paging import decode, encode, query_of
from couponry.v1 import coupon_pb2
from couponry.validation import Violations

__all__ = ["AvailableCoupons"]

_SHAPE: Final = (int, int, int, int, int)
# About two milliseconds.
_COUPONS_A_TURN: Final = 40
_TOKEN_LIFE: Final = timedelta(minutes=15)
_LISTED: Final = frozenset(
    {coupon_pb2.COUPON_STATE_UNUSED, coupon_pb2.COUPON_STATE_LOCKED, coupon_pb2.COUPON_STATE_PENDING}
)


class AvailableCoupons:
    """Shows which of a user's coupons can be used on a cart."""

    def __init__(self, *, wallet: Wallet, clock: Clock, rules: discount.Rules) -> None:
        self._wallet = wallet
        self._clock = clock
        self._rules = rules

    async def page(self, request: coupon_pb2.ListAvailableCouponsRequest) -> coupon_pb2.ListAvailableCouponsResponse:
        """A page: usable coupons by discount, then earlier end, then smaller id; then the others with their reasons."""
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.amount("minimum_payable", request.minimum_payable)
        size = violations.page_size("page_size", request.page_size)
        if not request.HasField("cart"):
            violations.add("cart", "is required")
        cart = cart_of(request.cart, "cart", violations)
        violations.raise_if_any()
        query = query_of(request)
        position = decode(request.page_token, query, _SHAPE)
        now, after = self._clock(), None
        if position is not None:
            now, after = self._resume(position, now)
        rules = replace(self._rules, minimum_payable=request.minimum_payable)
        # Without coupons too, so that a wrong cart is refused for everybody alike.
        price_each(cart, [], rules, now)
        ranked = await self._ranked(request.user_id, cart, rules, now)
        rest = [entry for entry in ranked if after is None or entry[0] > after]
        response = coupon_pb2.ListAvailableCouponsResponse(coupons=[entry for _, entry in rest[:size]])
        if len(rest) > size:
            response.next_page_token = encode(query, [to_ms(now), *rest[size - 1][0]])
        return response

    def _resume(self, position: Sequence[int | str], now: datetime) -> tuple[datetime, tuple[int, ...]]:
        at_ms, *after = (int(part) for part in position)
        if not to_ms(now - _TOKEN_LIFE) <= at_ms <= to_ms(now):
            raise InvalidArgument.of("page_token", "is too old: begin again at the first page")
        return from_ms(at_ms), tuple(after)

    async def _ranked(
        self, user_id: str, cart: discount.Cart, rules: discount.Rules, now: datetime
    ) -> list[tuple[tuple[int, ...], coupon_pb2.AvailableCoupon]]:
        coupons = await self._wallet.with_wins(user_id, await self._wallet.live(user_id, now))
        candidates = await self._wallet.candidates([coupon for coupon in coupons if coupon.state in _LISTED])
        ranked = [
            (_rank(candidate.coupon, standing), _entry(candidate.coupon, standing))
            for candidate, standing in await _standings(candidates, cart, rules, now)
        ]
        ranked.sort(key=lambda entry: entry[0])
        return ranked


async def _standings(
    candidates: Mapping[int, Candidate], cart: discount.Cart, rules: discount.Rules, now: datetime
) -> list[tuple[Candidate, discount.Standing]]:
    """Coupons of one template in one state and on one side of their window stand alike, so they are priced once, and
    all of them in a few calls: other calls of the service get their turns in between.
    """
    first: dict[tuple[int, ...], Candidate] = {}
    for candidate in candidates.values():
        first.setdefault(_alike(candidate.coupon, now), candidate)
    keys = list(first)
    known: dict[tuple[int, ...], discount.Standing] = {}
    for start in range(0, len(keys), _COUPONS_A_TURN):
        if start:
            await asyncio.sleep(0)
        part = keys[start : start + _COUPONS_A_TURN]
        standings = price_each(cart, [coupon_of(first[key]) for key in part], rules, now)
        known.update(zip(part, standings, strict=True))
    return [(candidate, known[_alike(candidate.coupon, now)]) for candidate in candidates.values()]


def _alike(coupon: coupon_pb2.Coupon, now: datetime) -> tuple[int, ...]:
    started, ended = (from_timestamp(edge) <= now for edge in (coupon.valid_from, coupon.valid_until))
    return (coupon.template_id, coupon.state, started, ended)


def _rank(coupon: coupon_pb2.Coupon, standing: discount.Standing) -> tuple[int, ...]:
    end_ms = to_ms(from_timestamp(coupon.valid_until))
    return (int(standing.rejected is not None), -standing.discount, end_ms, coupon.coupon_id)


def _entry(coupon: coupon_pb2.Coupon, standing: discount.Standing) -> coupon_pb2.AvailableCoupon:
    entry = coupon_pb2.AvailableCoupon(coupon=coupon, discount=standing.discount)
    if standing.rejected is not None:
        entry.rejected.CopyFrom(rejected_message(standing.rejected))
        entry.rejected.coupon_id = coupon.coupon_id
    return entry
