"""What orders promise, as plain Python: no SQL, no locks, time passes by `advance`.

A lapsed lock frees its coupons at its end. Its reserved budget stays until somebody tidies: the order itself, an order
that takes the coupon, or the expirer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta


class Refused(Exception):
    """With the reason."""


@dataclass(slots=True)
class Template:
    amount_off: int
    budget: int | None
    grace: timedelta
    returns: bool
    reserved: int = 0
    spent: int = 0


@dataclass(slots=True)
class Coupon:
    template: Template
    end: datetime
    state: str = "UNUSED"
    holder: "Attempt | None" = None


@dataclass(slots=True)
class Attempt:
    number: int
    state: str
    content: tuple[object, ...] = ()
    coupons: list[int] = field(default_factory=list)
    until: datetime | None = None
    reserved: dict[int, int] = field(default_factory=dict)
    units: int = 0
    units_back: int = 0
    discount: int = 0


@dataclass(slots=True)
class Order:
    attempts: dict[int, Attempt] = field(default_factory=dict)
    holder: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How an order locks."""

    units: int
    ttl_s: int
    replace: bool


def _content(ids: Sequence[int], terms: Terms) -> tuple[object, ...]:
    return terms.units, tuple(sorted(ids))


class Model:
    """One user's coupons and orders. Every cart is one line, dear enough for every discount."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.coupons: dict[int, Coupon] = {}
        self.orders: dict[str, Order] = {}

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for order in self.orders.values():
            attempt = order.holder
            if attempt is not None and attempt.state == "LOCKED" and self._over(attempt):
                attempt.state = "LAPSED"
                for coupon_id in attempt.coupons:
                    coupon = self.coupons[coupon_id]
                    assert attempt.until is not None
                    if coupon.end <= attempt.until and coupon.template.grace:
                        coupon.end = attempt.until + coupon.template.grace
                    coupon.state, coupon.holder = "UNUSED", None
        for coupon in self.coupons.values():
            if coupon.state == "UNUSED" and coupon.end <= self.now:
                coupon.state = "EXPIRED"

    def _over(self, attempt: Attempt) -> bool:
        return attempt.until is not None and attempt.until <= self.now

    def lock(self, order_id: str, number: int, ids: Sequence[int], terms: Terms) -> Attempt:
        order = self.orders.get(order_id, Order())
        attempt = order.attempts.get(number)
        if attempt is not None:
            if attempt.state == "RELEASED":
                raise Refused("ATTEMPT_RELEASED")
            if attempt.state == "LOCKED" and attempt.content == _content(ids, terms):
                return attempt
            if attempt.state not in {"LOCKED", "LAPSED"}:
                raise Refused("ALREADY_USED")
        if number < max(order.attempts, default=0):
            raise Refused("ATTEMPT_RELEASED")
        self._check_holder(order.holder, terms)
        self._check(ids, order.holder)
        if order.holder is not None:
            if order.holder.state == "LOCKED" and order.holder.number != number:
                order.holder.state = "RELEASED"
            self._end(order)
        for coupon_id in ids:
            self._take_reservation(coupon_id)
        self.orders[order_id] = order
        order.holder = order.attempts[number] = self._locked(number, ids, terms)
        return order.holder

    def _check_holder(self, holder: Attempt | None, terms: Terms) -> None:
        if holder is None or holder.state == "LAPSED":
            return
        if holder.state != "LOCKED":
            raise Refused("ALREADY_USED")
        if not terms.replace:
            raise Refused("LOCK_HELD")

    def _check(self, ids: Iterable[int], holder: Attempt | None) -> None:
        """Raises what the coupons are refused with."""
        reasons = set()
        left = {}
        for coupon_id in sorted(ids):
            coupon = self.coupons[coupon_id]
            state = coupon.state
            if holder is not None and coupon.holder is holder and state == "LOCKED":
                # Given back by the replacing call: then its end is what counts.
                state = "UNUSED" if coupon.end > self.now or coupon.template.grace else "EXPIRED"
            if state != "UNUSED":
                reasons.add(state)
                continue
            template = coupon.template
            if template.budget is None:
                continue
            if id(template) not in left:
                freed = sum(self._reservations(template, ids, holder))
                left[id(template)] = template.budget - template.reserved - template.spent + freed
            if left[id(template)] < template.amount_off:
                reasons.add("BUDGET_EXHAUSTED")
            else:
                left[id(template)] -= template.amount_off
        if reasons:
            raise Refused(reasons.pop() if len(reasons) == 1 else "COUPON_REFUSED")

    def _reservations(self, template: Template, ids: Iterable[int], holder: Attempt | None) -> Iterable[int]:
        """What the call frees of a budget before it reserves: the holder's, and lapsed locks' on the wanted coupons."""
        for order in self.orders.values():
            for attempt in order.attempts.values():
                for coupon_id, amount in attempt.reserved.items():
                    if self.coupons[coupon_id].template is not template:
                        continue
                    if attempt is holder or (coupon_id in ids and attempt.state in {"LAPSED", "RELEASED"}):
                        yield amount

    def _take_reservation(self, coupon_id: int) -> None:
        for order in self.orders.values():
            for attempt in order.attempts.values():
                if attempt.state == "LAPSED" and coupon_id in attempt.reserved:
                    self.coupons[coupon_id].template.reserved -= attempt.reserved.pop(coupon_id)

    def _locked(self, number: int, ids: Sequence[int], terms: Terms) -> Attempt:
        until = self.now + timedelta(seconds=terms.ttl_s)
        attempt = Attempt(number, "LOCKED", _content(ids, terms), sorted(ids), until, units=terms.units)
        for coupon_id in ids:
            coupon = self.coupons[coupon_id]
            coupon.state, coupon.holder = "LOCKED", attempt
            attempt.discount += coupon.template.amount_off
            if coupon.template.budget is not None:
                attempt.reserved[coupon_id] = coupon.template.amount_off
                coupon.template.reserved += coupon.template.amount_off
        return attempt

    def _end(self, order: Order) -> None:
        """Gives up what the holder of an order has: coupons while the lock is live, reservations in any case."""
        attempt = order.holder
        assert attempt is not None
        for coupon_id in attempt.coupons:
            coupon = self.coupons[coupon_id]
            if coupon.holder is attempt and coupon.state == "LOCKED":
                if coupon.end <= self.now and coupon.template.grace:
                    coupon.end = self.now + coupon.template.grace
                coupon.state = "UNUSED" if coupon.end > self.now else "EXPIRED"
                coupon.holder = None
        for coupon_id, amount in attempt.reserved.items():
            self.coupons[coupon_id].template.reserved -= amount
        attempt.reserved = {}
        order.holder = None

    def _live(self, order_id: str, number: int) -> tuple[Order, Attempt]:
        order = self.orders.get(order_id)
        if order is None:
            raise Refused("NOT_FOUND")
        attempt = order.attempts.get(number)
        if attempt is None:
            raise Refused("NOT_LOCKED")
        if attempt.state == "RELEASED":
            raise Refused("ATTEMPT_RELEASED")
        if attempt.state == "LAPSED":
            raise Refused("LOCK_EXPIRED")
        return order, attempt

    def extend(self, order_id: str, number: int, ttl_s: int) -> Attempt:
        _, attempt = self._live(order_id, number)
        if attempt.state != "LOCKED":
            raise Refused("ALREADY_USED")
        assert attempt.until is not None
        attempt.until = max(attempt.until, self.now + timedelta(seconds=ttl_s))
        return attempt

    def use(self, order_id: str, number: int) -> Attempt:
        _, attempt = self._live(order_id, number)
        if attempt.state == "LOCKED":
            attempt.state = "USED"
            for coupon_id in attempt.coupons:
                self.coupons[coupon_id].state = "USED"
            for coupon_id, amount in attempt.reserved.items():
                self.coupons[coupon_id].template.reserved -= amount
                self.coupons[coupon_id].template.spent += amount
            attempt.reserved = {}
        return attempt

    def release(self, order_id: str, number: int) -> Attempt:
        order = self.orders.setdefault(order_id, Order())
        attempt = order.attempts.get(number)
        if attempt is None:
            attempt = order.attempts[number] = Attempt(number, "RELEASED")
        elif attempt.state in {"USED", "PARTLY_RETURNED"}:
            raise Refused("ALREADY_USED")
        elif attempt.state in {"LOCKED", "LAPSED"}:
            if order.holder is attempt:
                self._end(order)
            attempt.state = "RELEASED"
        return attempt

    def give_back(self, order_id: str, number: int, units: int | None) -> Attempt:
        order = self.orders.get(order_id)
        if order is None:
            raise Refused("NOT_FOUND")
        attempt = order.attempts.get(number)
        if attempt is None or attempt.state in {"LOCKED", "LAPSED", "RELEASED"}:
            raise Refused("NOT_USED")
        left = attempt.units - attempt.units_back
        if left == 0 or (units is not None and units > left):
            raise Refused("RETURN_EXCEEDS_LEFT")
        attempt.units_back += left if units is None else units
        attempt.state = "PARTLY_RETURNED"
        if attempt.units_back == attempt.units:
            attempt.state = "RETURNED"
            order.holder = None
            for coupon_id in attempt.coupons:
                coupon = self.coupons[coupon_id]
                if coupon.template.returns and coupon.holder is attempt:
                    coupon.end = (
                        max(coupon.end, self.now + coupon.template.grace) if coupon.template.grace else coupon.end
                    )
                    coupon.state = "UNUSED" if coupon.end > self.now else "EXPIRED"
                    coupon.holder = None
        return attempt

    def expire(self) -> None:
        for order in self.orders.values():
            if order.holder is not None and order.holder.state == "LAPSED":
                self._end(order)
