"""Specs of templates: every limit at its edge, the mask, and what may change once coupons are out."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from couponry.clock import to_timestamp
from couponry.coupons.messages import template_message
from couponry.coupons.specs import check_mask, check_spec, frozen_changes, merged, normal, spec_columns
from couponry.errors import InvalidArgument
from couponry.v1 import template_pb2 as pb
from couponry.validation import Violations
from tests.unit.coupons.builders import NOW, instant_off, spec

DAY = timedelta(days=1)


def at(days: float) -> Any:
    return to_timestamp(NOW + days * DAY)


def fields_of(violations: Violations) -> list[str]:
    try:
        violations.raise_if_any()
    except InvalidArgument as refused:
        return [violation.field for violation in refused.violations]
    return []


def wrong_fields(given: pb.TemplateSpec) -> list[str]:
    violations = Violations()
    check_spec(given, "spec", violations)
    return fields_of(violations)


GOOD: dict[str, Any] = {
    "name": "n" * 64,
    "description": "d" * 1000,
    "metadata": {f"{n:064}": "v" * 500 for n in range(20)},
    "key": "k" * 64,
    "total": 1,
    "per_user_limit": 1,
    "valid_days": 1,
    "budget": 1,
    "return_grace": Duration(seconds=366 * 86_400),
}


def test_each_limit_holds_at_its_inner_edge() -> None:
    assert wrong_fields(spec(**GOOD)) == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("spec.name", {"name": ""}),
        ("spec.name", {"name": "n" * 65}),
        ("spec.name", {"name": "a\x00b"}),
        ("spec.description", {"description": "d" * 1001}),
        ("spec.metadata", {"metadata": {str(n): "v" for n in range(21)}}),
        ("spec.metadata key", {"metadata": {"k" * 65: "v"}}),
        ('spec.metadata["k"]', {"metadata": {"k": "v" * 501}}),
        ("spec.key", {"key": ""}),
        ("spec.key", {"key": "键" * 22}),
        ("spec.total", {"total": 0}),
        ("spec.total", {"total": -1}),
        ("spec.total", {"total": 10**9 + 1}),
        ("spec.per_user_limit", {"per_user_limit": 0}),
        ("spec.per_user_limit", {"per_user_limit": 101}),
        ("spec.valid_days", {"valid_days": 0}),
        ("spec.valid_days", {"valid_days": 3661}),
        ("spec.budget", {"budget": 0}),
        ("spec.budget", {"budget": -1}),
        ("spec.return_grace", {"return_grace": Duration(seconds=-1)}),
        ("spec.return_grace", {"return_grace": Duration(seconds=366 * 86_400, nanos=1_000_000)}),
        ("spec.valid_from", {"valid_from": None}),
        ("spec.valid_until", {"valid_until": None}),
        ("spec.valid_until", {"valid_until": at(0)}),
        ("spec.receive_until", {"receive_from": at(2), "receive_until": at(2)}),
        ("spec.receive_from", {"receive_from": at(30)}),
        ("spec.terms.kind", {"terms": pb.Terms(coupon_class=pb.COUPON_CLASS_ITEM, currency="CNY")}),
        ("spec.terms.coupon_class", {"terms": {"coupon_class": 0}}),
        ("spec.terms.percent_off_bp", {"terms": {"percent_off_bp": 10_001}}),
        ("spec.terms.percent_off_bp", {"terms": {"percent_off_bp": 0}}),
        ("spec.terms.amount_off", {"terms": instant_off(0)}),
        ("spec.terms.amount_off", {"terms": instant_off(-5000)}),
        ("spec.terms.currency", {"terms": {"currency": "cny"}}),
        ("spec.terms.nth_item", {"terms": {"nth_item": pb.NthItem(group_size=2)}}),
        ("spec.terms.exclusive_group", {"terms": {"exclusive_group": "@count"}}),
        ("spec.terms.scope.include_skus", {"terms": {"scope": pb.Scope(include_skus=["1"] * 1001)}}),
    ],
)
def test_each_limit_refuses_what_is_past_it_and_names_the_field(field: str, changes: dict[str, Any]) -> None:
    assert field in wrong_fields(spec(**changes))


def test_an_empty_spec_lacks_all_that_is_required() -> None:
    required = {"spec.name", "spec.terms", "spec.total", "spec.valid_from", "spec.valid_until"}
    assert set(wrong_fields(pb.TemplateSpec())) == required


def test_fixed_price_and_nth_item_have_fields_of_their_own() -> None:
    fixed = {"kind": pb.KIND_FIXED_PRICE, "fixed_price": pb.FixedPrice(unit_price=0)}
    assert "spec.terms.fixed_price.unit_price" in wrong_fields(spec(terms=fixed))
    nth = {"kind": pb.KIND_NTH_ITEM, "nth_item": pb.NthItem(group_size=2, discounted_units=2, percent_off_bp=5000)}
    assert "spec.terms.nth_item.discounted_units" in wrong_fields(spec(terms=nth))
    assert "spec.terms.nth_item" in wrong_fields(spec(terms={"kind": pb.KIND_NTH_ITEM}))


@pytest.mark.parametrize(
    "paths", [[], ["key"], ["nothing"], ["terms.nothing"], ["name.x"], ["metadata.a"], ["*"], [""]]
)
def test_a_mask_names_fields_that_can_change(paths: list[str]) -> None:
    violations = Violations()
    check_mask(paths, "update_mask", violations)
    [field] = fields_of(violations)
    assert field.startswith("update_mask")


def test_a_mask_may_name_fields_of_the_terms() -> None:
    violations = Violations()
    check_mask(["name", "terms.priority", "terms.scope.include_skus", "terms.repeat.every"], "update_mask", violations)
    assert not violations


def test_merging_takes_the_masked_fields_and_absence_with_them() -> None:
    current = spec(metadata={"a": "1"}, valid_days=3, budget=5, receive_from=at(1))
    given = pb.TemplateSpec(
        name="ignored",
        metadata={"b": "2"},
        budget=7,
        terms=pb.Terms(priority=9, scope=pb.Scope(include_skus=["x"])),
    )
    paths = ["metadata", "valid_days", "budget", "receive_from", "terms.priority", "terms.scope.include_skus"]
    terms = {"priority": 9, "scope": pb.Scope(include_skus=["x"])}
    assert merged(current, given, paths) == spec(metadata={"b": "2"}, budget=7, terms=terms)
    assert current == spec(metadata={"a": "1"}, valid_days=3, budget=5, receive_from=at(1))


def test_merging_no_terms_leaves_none() -> None:
    assert "spec.terms" in wrong_fields(merged(spec(), pb.TemplateSpec(), ["terms"]))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("terms", {"terms": instant_off(1)}),
        ("terms", {"terms": {"priority": 1}}),
        ("per_user_limit", {"per_user_limit": 3}),
        ("receive_from", {"receive_from": at(-1)}),
        ("receive_until", {"receive_until": at(29)}),
        ("valid_from", {"valid_from": at(-1)}),
        ("valid_until", {"valid_until": at(29.999)}),
        ("valid_days", {"valid_days": 1}),
        ("budget", {"budget": 1}),
        ("returns_on_full_refund", {"returns_on_full_refund": True}),
        ("return_grace", {"return_grace": Duration(seconds=1)}),
    ],
)
def test_a_promise_is_frozen(field: str, changes: dict[str, Any]) -> None:
    assert list(frozen_changes(spec(), spec(**changes))) == [field]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "new"},
        {"description": "new"},
        {"metadata": {"a": "b"}},
        {"total": 5},
        {"valid_until": at(31)},
        {"receive_until": at(30)},
        {"receive_until": at(31), "valid_until": at(31)},
    ],
)
def test_what_hurts_no_holder_is_not_frozen(changes: dict[str, Any]) -> None:
    assert list(frozen_changes(spec(), spec(**changes))) == []


def test_an_end_for_receiving_may_be_lifted_but_not_moved_forward() -> None:
    ended = spec(receive_until=at(10))
    assert list(frozen_changes(ended, spec())) == []
    assert list(frozen_changes(ended, spec(receive_until=at(11)))) == []
    assert list(frozen_changes(ended, spec(receive_until=at(9.999)))) == ["receive_until"]


@given(
    seconds=st.integers(1, 253_402_300_798),
    nanos=st.integers(0, 999_999_999),
    grace_s=st.integers(0, 366 * 86_400 - 1),
    per_user=st.none() | st.integers(1, 100),
    amount=st.integers(1, 2**63 - 1),
)
def test_a_spec_comes_back_from_its_columns_as_its_normal_form(
    seconds: int, nanos: int, grace_s: int, per_user: int | None, amount: int
) -> None:
    given_spec = spec(
        terms=instant_off(amount),
        per_user_limit=per_user,
        valid_from=Timestamp(),
        valid_until=Timestamp(seconds=seconds, nanos=nanos),
        return_grace=Duration(seconds=grace_s, nanos=nanos),
    )
    expected = normal(given_spec)
    assert normal(expected) == expected
    assert template_message(row_of(given_spec)).spec == expected


COLUMNS = (
    "name description metadata kind currency terms total per_user_limit receive_from receive_until valid_from"
    " valid_until valid_days budget returns_on_full_refund return_grace_ms"
)


def row_of(given_spec: pb.TemplateSpec) -> dict[str, Any]:
    naive = NOW.replace(tzinfo=None)
    columns = dict(zip(COLUMNS.split(), spec_columns(given_spec), strict=True))
    rest = {"id": 1, "template_key": None, "state": 1, "version": 1, "created_at": naive, "updated_at": naive}
    return columns | rest
