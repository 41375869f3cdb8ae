"""What a shop says of a template: checked at the door, merged by field mask, and as columns of its row.

From the first coupon on a spec may only change in ways that make nobody's coupon worse: `frozen_changes` says which
fields of a change do not.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import Message

from couponry import discount
from couponry.clock import from_timestamp, to_sql, to_timestamp
from couponry.coupons.messages import terms_json
from couponry.coupons.pricing import terms_of
from couponry.v1 import template_pb2
from couponry.validation import Violations

__all__ = ["check_mask", "check_spec", "check_terms", "frozen_changes", "merged", "normal", "spec_columns"]

MAX_TOTAL: Final = 10**9
_WINDOW_ENDS: Final = ("receive_from", "receive_until", "valid_from", "valid_until")
_FREE: Final = frozenset({"name", "description", "metadata", "total"})
_DAY_MS: Final = 86_400_000


def check_spec(spec: template_pb2.TemplateSpec, field: str, violations: Violations) -> None:
    """Notes everything wrong with a spec."""
    if spec.HasField("key"):
        violations.shop_id(f"{field}.key", spec.key)
    violations.text(f"{field}.name", spec.name, least=1, most=64)
    violations.text(f"{field}.description", spec.description, most=1000)
    violations.metadata(f"{field}.metadata", spec.metadata)
    if spec.HasField("terms"):
        check_terms(spec.terms, f"{field}.terms", violations)
    else:
        violations.add(f"{field}.terms", "is required")
    violations.between(f"{field}.total", spec.total, 1, MAX_TOTAL)
    if spec.HasField("per_user_limit"):
        violations.between(f"{field}.per_user_limit", spec.per_user_limit, 1, 100)
    if spec.HasField("valid_days"):
        violations.between(f"{field}.valid_days", spec.valid_days, 1, 3660)
    if spec.HasField("budget"):
        violations.amount(f"{field}.budget", spec.budget, least=1)
    if spec.HasField("return_grace"):
        violations.duration_ms(f"{field}.return_grace", spec.return_grace, least_ms=0, most_ms=366 * _DAY_MS)
    _check_windows(spec, field, violations)


def _check_windows(spec: template_pb2.TemplateSpec, field: str, violations: Violations) -> None:
    receive_from = violations.instant(f"{field}.receive_from", spec, "receive_from")
    receive_until = violations.instant(f"{field}.receive_until", spec, "receive_until")
    valid_from = violations.instant(f"{field}.valid_from", spec, "valid_from", required=True)
    valid_until = violations.instant(f"{field}.valid_until", spec, "valid_until", required=True)
    violations.window(f"{field}.valid_until", valid_from, valid_until)
    violations.window(f"{field}.receive_until", receive_from, receive_until)
    if receive_from is not None and valid_until is not None and receive_from >= valid_until:
        violations.add(f"{field}.receive_from", "must be earlier than valid_until")


def check_terms(terms: template_pb2.Terms, field: str, violations: Violations) -> None:
    """Notes everything wrong with terms."""
    specified = violations.enum(f"{field}.kind", terms.kind) and violations.enum(
        f"{field}.coupon_class", terms.coupon_class
    )
    if specified:
        try:
            discount.validate_terms(terms_of(terms))
        except discount.InvalidTerms as error:
            violations.extend(field, error.violations)


def normal(spec: template_pb2.TemplateSpec) -> template_pb2.TemplateSpec:
    """A copy of a checked spec as its row gives it back: instants cut to milliseconds, no empty grace."""
    copy = template_pb2.TemplateSpec()
    copy.CopyFrom(spec)
    for name in _WINDOW_ENDS:
        if copy.HasField(name):
            end = getattr(copy, name)
            end.CopyFrom(to_timestamp(from_timestamp(end)))
    if copy.HasField("return_grace"):
        copy.return_grace.nanos -= copy.return_grace.nanos % 1_000_000
        if not _grace_ms(copy):
            copy.ClearField("return_grace")
    return copy


def spec_columns(spec: template_pb2.TemplateSpec) -> tuple[Any, ...]:
    """The columns of a spec, in the order of the store's statements."""
    given = spec.HasField
    return (
        spec.name,
        spec.description,
        json.dumps(dict(spec.metadata), ensure_ascii=False, separators=(",", ":")),
        spec.terms.kind,
        spec.terms.currency,
        terms_json(spec.terms),
        spec.total,
        spec.per_user_limit if given("per_user_limit") else None,
        *(to_sql(from_timestamp(getattr(spec, name))) if given(name) else None for name in _WINDOW_ENDS),
        spec.valid_days if given("valid_days") else None,
        spec.budget if given("budget") else None,
        spec.returns_on_full_refund,
        _grace_ms(spec),
    )


def _grace_ms(spec: template_pb2.TemplateSpec) -> int:
    return spec.return_grace.seconds * 1000 + spec.return_grace.nanos // 1_000_000


def check_mask(paths: Sequence[str], field: str, violations: Violations) -> None:
    """Notes paths that name no field of a spec, or one that never changes."""
    violations.count(field, len(paths), least=1, most=64)
    for index, path in enumerate(paths[:64]):
        if path == "key":
            violations.add(f"{field}.paths[{index}]", "the key of a template never changes")
        elif not _is_path(template_pb2.TemplateSpec.DESCRIPTOR, path.split(".")):
            violations.add(f"{field}.paths[{index}]", "names no field of a template's spec")


def _is_path(descriptor: Any, parts: Sequence[str]) -> bool:
    field = descriptor.fields_by_name.get(parts[0])
    if field is None or len(parts) == 1:
        return field is not None
    inner = field.message_type
    return inner is not None and not field.is_repeated and _is_path(inner, parts[1:])


def merged(
    current: template_pb2.TemplateSpec, given: template_pb2.TemplateSpec, paths: Sequence[str]
) -> template_pb2.TemplateSpec:
    """`current` with the fields at `paths` as they are in `given`; a field absent there becomes absent."""
    result = template_pb2.TemplateSpec()
    result.CopyFrom(current)
    for path in paths:
        *outer, leaf = path.split(".")
        source: Message = given
        target: Message = result
        for part in outer:
            source, target = getattr(source, part), getattr(target, part)
        _copy_field(source, target, leaf)
    return result


def _copy_field(source: Message, target: Message, name: str) -> None:
    target.ClearField(name)
    field = target.DESCRIPTOR.fields_by_name[name]
    value = getattr(source, name)
    if field.is_repeated:
        getattr(target, name).MergeFrom(value)
    elif field.has_presence and not source.HasField(name):
        return
    elif field.message_type is not None:
        getattr(target, name).CopyFrom(value)
    else:
        setattr(target, name, value)


def frozen_changes(before: template_pb2.TemplateSpec, after: template_pb2.TemplateSpec) -> Iterator[str]:
    """The fields whose change would break what holders of coupons were promised."""
    for field in template_pb2.TemplateSpec.DESCRIPTOR.fields:
        name = field.name
        if name in _FREE or _value(before, name) == _value(after, name):
            continue
        if name == "valid_until" and from_timestamp(after.valid_until) > from_timestamp(before.valid_until):
            continue
        if name == "receive_until" and _receive_end(after) >= _receive_end(before):
            continue
        yield name


def _value(spec: template_pb2.TemplateSpec, name: str) -> Any:
    present = not spec.DESCRIPTOR.fields_by_name[name].has_presence or spec.HasField(name)
    return getattr(spec, name) if present else None


def _receive_end(spec: template_pb2.TemplateSpec) -> datetime:
    return from_timestamp(spec.receive_until if spec.HasField("receive_until") else spec.valid_until)
