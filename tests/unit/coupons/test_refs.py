"""Refs by id and by code, and the limit on wrong codes."""

from datetime import UTC, datetime, timedelta

import pytest

from couponry.coupons.codes import Codes
from couponry.coupons.refs import RefResolver, ResolvedRef
from couponry.errors import Exhausted, InvalidArgument
from couponry.v1.discount_pb2 import CouponRef
from couponry.validation import Violations


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 6, 15, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def codes() -> Codes:
    return Codes(bytes(range(16)))


@pytest.fixture
def resolver(codes: Codes, clock: Clock) -> RefResolver:
    return RefResolver(codes=codes, clock=clock, wrong_codes=3, window_s=60, users=2)


def resolve(resolver: RefResolver, *refs: CouponRef, user: str = "u") -> list[ResolvedRef]:
    violations = Violations()
    found = resolver.resolve(user, refs, "coupons", violations)
    violations.raise_if_any()
    return found


WRONG = CouponRef(code="AAAA-AAAA-AAAA")


def test_a_ref_is_an_id_or_the_id_of_its_code(resolver: RefResolver, codes: Codes) -> None:
    typed = f" {codes.encode(7).lower()} "
    assert resolve(resolver, CouponRef(coupon_id=5), CouponRef(code=typed)) == [
        ResolvedRef(5, "", "coupons[0]"),
        ResolvedRef(7, typed, "coupons[1]"),
    ]


@pytest.mark.parametrize(
    ("ref", "field"),
    [
        (CouponRef(), "coupons[0]"),
        (CouponRef(coupon_id=0), "coupons[0].coupon_id"),
        (CouponRef(coupon_id=-1), "coupons[0].coupon_id"),
        (CouponRef(coupon_id=2**53), "coupons[0].coupon_id"),
        (CouponRef(code=""), "coupons[0].code"),
        (CouponRef(code="A" * 65), "coupons[0].code"),
    ],
)
def test_a_ref_that_names_nothing_is_a_violation(resolver: RefResolver, ref: CouponRef, field: str) -> None:
    violations = Violations()
    resolver.resolve("u", [ref], "coupons", violations)
    with pytest.raises(InvalidArgument) as refused:
        violations.raise_if_any()
    assert refused.value.violations[0].field == field


def test_past_the_limit_right_codes_are_refused_too(resolver: RefResolver, codes: Codes) -> None:
    assert resolve(resolver, WRONG, WRONG, WRONG)[0].coupon_id is None
    for ref in (WRONG, CouponRef(code=codes.encode(7))):
        with pytest.raises(Exhausted) as refused:
            resolve(resolver, ref)
        assert refused.value.reason == "RATE_LIMITED"
        assert refused.value.retry_after_s == 60


def test_ids_and_other_users_are_not_held_up(resolver: RefResolver) -> None:
    resolve(resolver, WRONG, WRONG, WRONG)
    assert resolve(resolver, CouponRef(coupon_id=5))
    assert resolve(resolver, WRONG, user="v")


def test_the_limit_ends_with_its_window(resolver: RefResolver, clock: Clock) -> None:
    resolve(resolver, WRONG, WRONG, WRONG)
    clock.now += timedelta(seconds=59, milliseconds=999)
    with pytest.raises(Exhausted):
        resolve(resolver, WRONG)
    clock.now += timedelta(milliseconds=1)
    assert resolve(resolver, WRONG, WRONG, WRONG)


def test_one_below_the_limit_is_served(resolver: RefResolver) -> None:
    resolve(resolver, WRONG, WRONG)
    assert resolve(resolver, WRONG)


def test_a_code_of_nobodys_coupon_counts_as_a_wrong_one(resolver: RefResolver, codes: Codes) -> None:
    refs = resolve(resolver, *[CouponRef(code=codes.encode(each)) for each in (1, 2, 3)], CouponRef(coupon_id=4))
    resolver.missed("u", refs[3:])
    assert resolve(resolver, CouponRef(code=codes.encode(1)))
    resolver.missed("u", refs)
    with pytest.raises(Exhausted):
        resolve(resolver, CouponRef(code=codes.encode(1)))


def test_only_so_many_users_are_remembered(resolver: RefResolver) -> None:
    for user in ("a", "b", "c"):
        resolve(resolver, WRONG, WRONG, WRONG, user=user)
    assert resolve(resolver, WRONG, user="a")
    with pytest.raises(Exhausted):
        resolve(resolver, WRONG, user="c")
