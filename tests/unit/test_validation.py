"""Checks at the door name the field, find everything at once, and hold exactly at their edges."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from couponry.errors import InvalidArgument
from couponry.v1 import coupon_pb2, discount_pb2, template_pb2
from couponry.validation import MAX_ID, Violations, fingerprint, refuse_unknown_enums


def found(violations: Violations) -> list[str]:
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize(
    ("value", "fits"), [("", False), ("a", True), ("a" * 64, True), ("a" * 65, False), ("é" * 33, False)]
)
def test_a_shop_id_has_1_to_64_bytes(value: str, fits: bool) -> None:
    violations = Violations()
    violations.shop_id("user_id", value)
    assert found(violations) == ([] if fits else ["user_id"])


@pytest.mark.parametrize(("value", "fits"), [("", True), ("a" * 64, True), ("a" * 65, False)])
def test_a_request_id_has_at_most_64_bytes(value: str, fits: bool) -> None:
    violations = Violations()
    violations.request_id("request_id", value)
    assert found(violations) == ([] if fits else ["request_id"])


@pytest.mark.parametrize(("value", "fits"), [(0, False), (1, True), (MAX_ID, True), (MAX_ID + 1, False), (-1, False)])
def test_an_own_id_is_above_0_and_below_2_to_the_53(value: int, fits: bool) -> None:
    violations = Violations()
    violations.own_id("template_id", value)
    assert found(violations) == ([] if fits else ["template_id"])


@pytest.mark.parametrize(
    ("value", "fits"), [("CNY", True), ("cny", False), ("CN", False), ("CNYX", False), ("CN1", False), ("CNY\n", False)]
)
def test_a_currency_is_three_capital_letters(value: str, fits: bool) -> None:
    violations = Violations()
    violations.currency("currency", value)
    assert found(violations) == ([] if fits else ["currency"])


@pytest.mark.parametrize(
    ("given_size", "size", "fits"), [(0, 50, True), (1, 1, True), (200, 200, True), (201, 201, False), (-1, -1, False)]
)
def test_a_page_has_1_to_200_entries_and_50_where_nothing_is_said(given_size: int, size: int, fits: bool) -> None:
    violations = Violations()
    assert violations.page_size("page_size", given_size) == size
    assert found(violations) == ([] if fits else ["page_size"])


def test_metadata_has_at_most_20_entries_with_keys_of_1_to_64_bytes() -> None:
    violations = Violations()
    violations.metadata("metadata", {str(index): "v" for index in range(20)})
    assert found(violations) == []
    violations.metadata("metadata", {str(index): "v" for index in range(21)})
    violations.metadata("metadata", {"": "v"})
    violations.metadata("metadata", {"k": "v" * 501})
    assert found(violations) == ["metadata", "metadata key", 'metadata["k"]']


@pytest.mark.parametrize(
    ("stamp", "fits"),
    [
        (Timestamp(seconds=0), True),
        (Timestamp(seconds=-1), False),
        (Timestamp(seconds=253_402_300_799), True),
        (Timestamp(seconds=253_402_300_800), False),
        (Timestamp(seconds=1, nanos=-1), False),
        (Timestamp(seconds=1, nanos=1_000_000_000), False),
    ],
)
def test_an_instant_is_a_valid_time_from_1970_to_9999(stamp: Timestamp, fits: bool) -> None:
    violations = Violations()
    spec = template_pb2.TemplateSpec(valid_from=stamp)
    violations.instant("spec.valid_from", spec, "valid_from")
    assert found(violations) == ([] if fits else ["spec.valid_from"])


def test_a_required_instant_must_be_there() -> None:
    violations = Violations()
    assert violations.instant("spec.valid_from", template_pb2.TemplateSpec(), "valid_from", required=True) is None
    assert found(violations) == ["spec.valid_from"]


@pytest.mark.parametrize(("ms", "fits"), [(999, False), (1000, True), (5000, True), (5001, False)])
def test_a_duration_lies_within_both_ends(ms: int, fits: bool) -> None:
    violations = Violations()
    value = Duration()
    value.FromMilliseconds(ms)
    violations.duration_ms("ttl", value, least_ms=1000, most_ms=5000)
    assert found(violations) == ([] if fits else ["ttl"])


def test_all_violations_are_told_at_once() -> None:
    violations = Violations()
    violations.shop_id("user_id", "")
    violations.own_id("template_id", 0)
    with pytest.raises(InvalidArgument, match=r"user_id: .* \(and 1 more\)"):
        violations.raise_if_any()


def test_an_unknown_enum_number_is_refused_with_its_path() -> None:
    request = template_pb2.CreateTemplateRequest()
    request.spec.terms.kind = 77  # type: ignore[assignment]
    with pytest.raises(InvalidArgument) as refused:
        refuse_unknown_enums(request)
    assert [violation.field for violation in refused.value.violations] == ["spec.terms.kind"]


def test_an_unknown_number_in_a_list_of_enums_is_refused_with_its_place() -> None:
    request = coupon_pb2.ListUserCouponsRequest(states=[1, 99, 2, -3])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument) as refused:
        refuse_unknown_enums(request)
    assert [violation.field for violation in refused.value.violations] == ["states[1]", "states[3]"]


def test_enums_inside_repeated_messages_are_checked() -> None:
    request = discount_pb2.CalculateDiscountRequest()
    request.inline_coupons.add().terms.kind = template_pb2.KIND_PERCENT_OFF
    request.inline_coupons.add().terms.overshoot = 9  # type: ignore[assignment]
    with pytest.raises(InvalidArgument) as refused:
        refuse_unknown_enums(request)
    assert [violation.field for violation in refused.value.violations] == ["inline_coupons[1].terms.overshoot"]


def test_a_fingerprint_does_not_see_the_request_id_and_sees_everything_else() -> None:
    one = coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=1, request_id="a")
    same = coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=1, request_id="b")
    other = coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=2, request_id="a")
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert len(fingerprint(one)) == 16


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=6))
def test_a_fingerprint_does_not_depend_on_the_order_of_a_map(entries: dict[str, str]) -> None:
    forwards, backwards = template_pb2.CreateTemplateRequest(), template_pb2.CreateTemplateRequest()
    for key, entry in entries.items():
        forwards.spec.metadata[key] = entry
    for key, entry in reversed(entries.items()):
        backwards.spec.metadata[key] = entry
    assert fingerprint(forwards) == fingerprint(backwards)
