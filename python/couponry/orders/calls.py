"""Requests of OrderService, checked at the door and made into calls that the moves take.

`Wanted.content` is what makes two locks the same: the cart, the coupons in any order, the least amount to pay. A time
to live, a figure expected and a request id do not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from couponry import discount
from couponry.clock import from_ms
from couponry.coupons.pricing import RefResolver, ResolvedRef, cart_of, decide
from couponry.errors import InvalidArgument
from couponry.v1 import cart_pb2, order_pb2
from couponry.validation import Violations, fingerprint

__all__ = [
    "AttemptKey",
    "ExtendCall",
    "LockCall",
    "LockRequest",
    "OrderDoor",
    "RequestWithId",
    "ReturnCall",
    "UseCall",
    "Wanted",
]

_MAX_NAMED: Final = 500
_MAX_UNITS: Final = 10**6

LockRequest = order_pb2.LockCouponsRequest | order_pb2.UseCouponsRequest
RequestWithId = LockRequest | order_pb2.ExtendLockRequest | order_pb2.ReleaseCouponsRequest


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Names an attempt of an order, and whose it must be."""

    order_id: str
    user_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cart and the coupons that its order wants to hold."""

    cart: discount.Cart
    cart_bytes: bytes
    refs: tuple[ResolvedRef, ...]
    minimum_payable: int
    content: bytes


@dataclass(frozen=True, slots=True)
class LockCall:
    """A checked LockCoupons."""

    key: AttemptKey
    wanted: Wanted
    ttl: timedelta
    expected_payable: int | None
    replace: bool


@dataclass(frozen=True, slots=True)
class ExtendCall:
    """A checked ExtendLock."""

    key: AttemptKey
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class UseCall:
    """A checked UseCoupons; `lock` where it brings a cart and coupons of its own."""

    key: AttemptKey
    expected_payable: int | None
    lock: LockCall | None


@dataclass(frozen=True, slots=True)
class ReturnCall:
    """A checked ReturnCoupons. `lines` are (line id, units or None for all that are left)."""

    key: AttemptKey
    return_id: str
    lines: tuple[tuple[str, int | None], ...]
    shipment_ids: tuple[str, ...]
    fingerprint: bytes

    @property
    def everything(self) -> bool:
        """Whether it names nothing: then it takes back all that is left, shipping too."""
        return not self.lines and not self.shipment_ids


class OrderDoor:
    """Checks requests. Raises InvalidArgument with all violations of one, and RATE_LIMITED for guessed codes."""

    def __init__(
        self,
        *,
        refs: RefResolver,
        rules: discount.Rules,
        submitted_limit: int,
        lock_ttl_default_s: int,
        lock_ttl_max_s: int,
    ) -> None:
        self._refs = refs
        self._rules = rules
        self._submitted_limit = submitted_limit
        self._ttl_default = timedelta(seconds=lock_ttl_default_s)
        self._ttl_max_ms = lock_ttl_max_s * 1000

    def lock(self, request: order_pb2.LockCouponsRequest) -> LockCall:
        """Of LockCoupons."""
        violations = Violations()
        key = _key_of(request, violations)
        ttl = self._ttl_of(request, violations)
        expected = _expected_of(request, violations)
        wanted = self._wanted_of(request, violations)
        violations.raise_if_any()
        return LockCall(key, wanted, ttl, expected, request.replace)

    def extend(self, request: order_pb2.ExtendLockRequest) -> ExtendCall:
        """Of ExtendLock."""
        violations = Violations()
        key = _key_of(request, violations)
        ttl = self._ttl_of(request, violations)
        violations.raise_if_any()
        return ExtendCall(key, ttl)

    def use(self, request: order_pb2.UseCouponsRequest) -> UseCall:
        """Of UseCoupons."""
        violations = Violations()
        key = _key_of(request, violations)
        expected = _expected_of(request, violations)
        if request.HasField("cart") or request.coupons:
            wanted = self._wanted_of(request, violations)
            violations.raise_if_any()
            return UseCall(key, expected, LockCall(key, wanted, self._ttl_default, expected, replace=False))
        if request.minimum_payable:
            violations.add("minimum_payable", "goes with a cart and coupons: a lock has its own")
        violations.raise_if_any()
        return UseCall(key, expected, None)

    def release(self, request: order_pb2.ReleaseCouponsRequest) -> AttemptKey:
        """Of ReleaseCoupons."""
        violations = Violations()
        key = _key_of(request, violations)
        violations.raise_if_any()
        return key

    def return_(self, request: order_pb2.ReturnCouponsRequest) -> ReturnCall:
        """Of ReturnCoupons."""
        violations = Violations()
        key = _key_of(request, violations)
        violations.shop_id("return_id", request.return_id)
        violations.count("lines", len(request.lines), least=0, most=_MAX_NAMED)
        violations.count("shipment_ids", len(request.shipment_ids), least=0, most=_MAX_NAMED)
        lines = []
        for index, line in enumerate(request.lines[:_MAX_NAMED]):
            units = None
            if line.HasField("units"):
                units = violations.between(f"lines[{index}].units", line.units, 1, _MAX_UNITS)
            lines.append((line.line_id, units))
        _once_each("lines[{}].line_id", [line_id for line_id, _ in lines], violations)
        _once_each("shipment_ids[{}]", request.shipment_ids[:_MAX_NAMED], violations)
        violations.raise_if_any()
        return ReturnCall(key, request.return_id, tuple(lines), tuple(request.shipment_ids), fingerprint(request))

    def get(self, request: order_pb2.GetOrderCouponsRequest) -> None:
        """Of GetOrderCoupons."""
        violations = Violations()
        violations.shop_id("order_id", request.order_id)
        violations.shop_id("user_id", request.user_id)
        violations.raise_if_any()

    def _ttl_of(
        self, request: order_pb2.LockCouponsRequest | order_pb2.ExtendLockRequest, violations: Violations
    ) -> timedelta:
        if not request.HasField("ttl"):
            return self._ttl_default
        return timedelta(
            milliseconds=violations.duration_ms("ttl", request.ttl, least_ms=1000, most_ms=self._ttl_max_ms)
        )

    def _wanted_of(self, request: LockRequest, violations: Violations) -> Wanted:
        violations.amount("minimum_payable", request.minimum_payable)
        violations.count("coupons", len(request.coupons), least=1, most=self._submitted_limit)
        refs = self._refs.resolve(request.user_id, request.coupons[: self._submitted_limit], "coupons", violations)
        cart = self._cart_of(request.cart, violations) if request.HasField("cart") else None
        if cart is None:
            violations.add("cart", "is required")
            cart = discount.Cart("")
        cart_bytes = request.cart.SerializeToString(deterministic=True)
        return Wanted(
            cart=cart,
            cart_bytes=cart_bytes,
            refs=tuple(refs),
            minimum_payable=request.minimum_payable,
            content=_content(cart_bytes, refs, request.minimum_payable),
        )

    def _cart_of(self, message: cart_pb2.Cart, violations: Violations) -> discount.Cart:
        found = Violations()
        cart = cart_of(message, "cart", found)
        try:
            found.raise_if_any()
            # Without coupons no instant matters: this only checks the cart, before any lock is taken.
            decide(cart, (), {}, replace(self._rules, minimum_payable=0), from_ms(0))
        except InvalidArgument as error:
            for violation in error.violations:
                violations.add(violation.field, violation.text)
        return cart


def _key_of(request: RequestWithId | order_pb2.ReturnCouponsRequest, violations: Violations) -> AttemptKey:
    violations.shop_id("order_id", request.order_id)
    violations.shop_id("user_id", request.user_id)
    if not isinstance(request, order_pb2.ReturnCouponsRequest):
        violations.request_id("request_id", request.request_id)
    return AttemptKey(request.order_id, request.user_id, request.attempt)


def _expected_of(request: LockRequest, violations: Violations) -> int | None:
    if not request.HasField("expected_payable"):
        return None
    return violations.amount("expected_payable", request.expected_payable)


def _once_each(field: str, ids: Sequence[str], violations: Violations) -> None:
    seen = set()
    for index, value in enumerate(ids):
        if len(value.encode()) > 64:
            violations.add(field.format(index), "must be at most 64 bytes")
        elif value in seen:
            violations.add(field.format(index), "is named twice")
        seen.add(value)


def _content(cart_bytes: bytes, refs: Sequence[ResolvedRef], minimum_payable: int) -> bytes:
    coupon_ids = sorted(ref.coupon_id or 0 for ref in refs)
    head = ",".join(map(str, [minimum_payable, *coupon_ids]))
    return hashlib.blake2b(head.encode() + b"\0" + cart_bytes, digest_size=16).digest()
