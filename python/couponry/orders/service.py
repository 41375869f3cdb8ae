"""OrderService's use case: each call is checked at the door, and is one transaction with its ledger rows.

All calls are idempotent by order, attempt and content, a return by its return id; with a request id the very same
answer comes again.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from couponry import discount
from couponry.coupons.codes import Codes
from couponry.coupons.loaders import USER_KIND
from couponry.coupons.once import answer_once, request_key
from couponry.coupons.pricing import RefResolver
from couponry.errors import NotFound
from couponry.flash_sale.pending import PendingWins
from couponry.orders import refusals
from couponry.orders.calls import LockRequest, OrderDoor, RequestWithId
from couponry.orders.locking import Locking
from couponry.orders.messages import ledger_message, order_message
from couponry.orders.moves import extend, release, use
from couponry.orders.returning import return_units
from couponry.store import ledger as ledger_store
from couponry.store import orders as store
from couponry.store.coupons import select_coupons
from couponry.store.ids import split_flash_sale_coupon_id
from couponry.store.layers import Change, Layers
from couponry.store.mysql import MySQL, Tx
from couponry.v1 import order_pb2

__all__ = ["Orders"]

Answer = TypeVar("Answer", bound=Message)

# A win may become a row between the look into MySQL and the look into Redis: then the call starts again.
_LOOKS: Final = 3


class Orders:
    """Locks, extends, uses, releases, returns and shows the coupons of orders."""

    def __init__(
        self,
        *,
        mysql: MySQL,
        layers: Layers,
        codes: Codes,
        refs: RefResolver,
        pending_wins: PendingWins,
        rules: discount.Rules,
        submitted_limit: int,
        lock_ttl_default_s: int,
        lock_ttl_max_s: int,
        return_grace_default_s: int,
    ) -> None:
        self._mysql = mysql
        self._layers = layers
        self._refs = refs
        self._pending_wins = pending_wins
        self._door = OrderDoor(
            refs=refs,
            rules=rules,
            submitted_limit=submitted_limit,
            lock_ttl_default_s=lock_ttl_default_s,
            lock_ttl_max_s=lock_ttl_max_s,
        )
        self._locking = Locking(codes=codes, rules=rules, return_grace_default_s=return_grace_default_s)

    async def lock(self, request: order_pb2.LockCouponsRequest) -> order_pb2.LockCouponsResponse:
        """Locks coupons to an order with the decision on its cart."""
        call = self._door.lock(request)

        async def effect(tx: Tx) -> order_pb2.LockCouponsResponse:
            attempt, now = await self._locking.lock(tx, call)
            return order_pb2.LockCouponsResponse(order=order_message(attempt, now))

        return await self._locked("LockCoupons", request, order_pb2.LockCouponsResponse, effect)

    async def extend(self, request: order_pb2.ExtendLockRequest) -> order_pb2.ExtendLockResponse:
        """Moves the end of a live lock."""
        call = self._door.extend(request)

        async def effect(tx: Tx) -> order_pb2.ExtendLockResponse:
            attempt, now = await extend(tx, call)
            return order_pb2.ExtendLockResponse(order=order_message(attempt, now))

        return await self._moved("ExtendLock", request, order_pb2.ExtendLockResponse, effect)

    async def use(self, request: order_pb2.UseCouponsRequest) -> order_pb2.UseCouponsResponse:
        """Confirms a lock's decision, or locks and uses at once."""
        call = self._door.use(request)

        async def effect(tx: Tx) -> order_pb2.UseCouponsResponse:
            attempt, now = await use(tx, call, self._locking)
            return order_pb2.UseCouponsResponse(order=order_message(attempt, now))

        return await self._locked("UseCoupons", request, order_pb2.UseCouponsResponse, effect)

    async def release(self, request: order_pb2.ReleaseCouponsRequest) -> order_pb2.ReleaseCouponsResponse:
        """Ends an attempt that was not used."""
        key = self._door.release(request)

        async def effect(tx: Tx) -> order_pb2.ReleaseCouponsResponse:
            attempt, now = await release(tx, key)
            return order_pb2.ReleaseCouponsResponse(order=order_message(attempt, now))

        return await self._moved("ReleaseCoupons", request, order_pb2.ReleaseCouponsResponse, effect)

    async def return_(self, request: order_pb2.ReturnCouponsRequest) -> order_pb2.ReturnCouponsResponse:
        """Takes units and shipments of a used order back."""
        call = self._door.return_(request)

        answer = await self._mysql.run(lambda tx: return_units(tx, call))
        self._layers.wrote([Change(USER_KIND, request.user_id, "written")])
        return answer

    async def get(self, request: order_pb2.GetOrderCouponsRequest) -> order_pb2.GetOrderCouponsResponse:
        """An attempt of an order, by default the latest, with its ledger."""
        self._door.get(request)

        async def read(tx: Tx) -> order_pb2.GetOrderCouponsResponse:
            order = await store.read_order(tx, request.order_id)
            if order is None or order.user_id != request.user_id:
                raise refusals.no_such_order()
            number = request.attempt if request.HasField("attempt") else order.latest_attempt
            now, attempt = await store.select_attempt(tx, order.order_id, number or 0)
            if attempt is None:
                raise NotFound("the order has no such attempt")
            rows = await ledger_store.select_ledger(tx, order.order_id, attempt.number)
            return order_pb2.GetOrderCouponsResponse(
                order=order_message(attempt, now), ledger=[ledger_message(row) for row in rows]
            )

        return await self._mysql.run(read)

    async def _locked(
        self,
        method: str,
        request: LockRequest,
        kind: type[Answer],
        effect: Callable[[Tx], Awaitable[Answer]],
    ) -> Answer:
        """A move that takes coupons: one that is a win on its way is PENDING, never NOT_FOUND."""
        for look in range(1, _LOOKS + 1):
            try:
                return await self._moved(method, request, kind, effect)
            except refusals.MissingCoupons as missing:
                if await self._appeared(request.user_id, missing) and look < _LOOKS:
                    continue
                self._refs.missed(request.user_id, missing.missed)
                raise missing.refusal from None
        raise AssertionError("the last look returns or raises")

    async def _appeared(self, user_id: str, missing: refusals.MissingCoupons) -> bool:
        """Whether a missing coupon is in MySQL by now. Raises Unavailable / PENDING for a win on its way."""
        ids = [ref.coupon_id for ref in missing.missed if ref.coupon_id is not None]
        wins = [coupon_id for coupon_id in ids if split_flash_sale_coupon_id(coupon_id) is not None]
        if not wins:
            return False
        won = await self._pending_wins.find(user_id, wins)
        # Asked after Redis: a win that Redis had and MySQL had not is on its way.
        arrived = {row["id"] for row in await select_coupons(self._mysql, user_id, wins)}
        for coupon_id in wins:
            if coupon_id in won and coupon_id not in arrived:
                raise refusals.pending(coupon_id)
        return bool(arrived)

    async def _moved(
        self,
        method: str,
        request: RequestWithId,
        kind: type[Answer],
        effect: Callable[[Tx], Awaitable[Answer]],
    ) -> Answer:
        key = request_key(method, request.user_id, request)
        answer = await answer_once(self._mysql, key, kind, effect)
        self._layers.wrote([Change(USER_KIND, request.user_id, "written")])
        return answer
