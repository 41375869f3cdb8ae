"""Activities as rows, messages and specs: what is stored, what is shown, and what a caller may ask for.

The state of an activity that nobody has ended follows from time.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from couponry.clock import from_sql, from_timestamp, to_sql, to_timestamp
from couponry.store.activities import ENDING, SETTLED
from couponry.store.mysql import Row
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = [
    "MAX_ACTIVITY_ID",
    "MAX_STOCK",
    "activity_columns",
    "activity_message",
    "check_field",
    "check_spec",
    "metadata_json",
    "next_boundary",
    "normal",
    "split_stock",
]

MAX_STOCK: Final = 10_000_000
MAX_ACTIVITY_ID: Final = 2**20 - 1


def activity_message(row: Row, now: datetime) -> flash_sale_pb2.Activity:
    """A row of activities as it reads at `now` (aware)."""
    spec = flash_sale_pb2.ActivitySpec(
        name=row["name"],
        metadata=json.loads(row["metadata"]),
        template_id=row["template_id"],
        stock=row["stock"],
        per_user_limit=row["per_user_limit"],
        start_at=to_timestamp(from_sql(row["start_at"])),
        end_at=to_timestamp(from_sql(row["end_at"])),
        ack=row["ack"],
        buckets=row["buckets"],
    )
    if row["activity_key"] is not None:
        spec.key = row["activity_key"].decode()
    return flash_sale_pb2.Activity(
        activity_id=row["id"],
        spec=spec,
        state=_state(row, now),
        paused=bool(row["paused"]),
        version=row["version"],
        created_at=to_timestamp(from_sql(row["created_at"])),
        updated_at=to_timestamp(from_sql(row["updated_at"])),
    )


def next_boundary(row: Row, now: datetime) -> datetime | None:
    """When the activity next starts or ends by itself."""
    return min((end for end in (from_sql(row["start_at"]), from_sql(row["end_at"])) if end > now), default=None)


def check_spec(spec: flash_sale_pb2.ActivitySpec, field: str, violations: Violations) -> None:
    """Notes everything that is wrong with a new activity."""
    if spec.HasField("key"):
        violations.shop_id(f"{field}.key", spec.key)
    violations.own_id(f"{field}.template_id", spec.template_id)
    violations.between(f"{field}.stock", spec.stock, 1, MAX_STOCK)
    violations.between(f"{field}.buckets", spec.buckets if spec.HasField("buckets") else 1, 1, 16)
    for name in ("name", "metadata", "per_user_limit", "start_at", "end_at"):
        check_field(spec, name, field, violations)
    start, end = _instant(spec, "start_at"), _instant(spec, "end_at")
    violations.window(f"{field}.end_at", start, end)


def check_field(spec: flash_sale_pb2.ActivitySpec, name: str, field: str, violations: Violations) -> None:
    """Notes what is wrong with one of the fields that may change later."""
    path = f"{field}.{name}"
    match name:
        case "name":
            violations.text(path, spec.name, least=1, most=64)
        case "metadata":
            violations.metadata(path, spec.metadata)
        case "per_user_limit":
            violations.between(path, spec.per_user_limit, 1, 100)
        case _:
            violations.instant(path, spec, name, required=True)


def normal(spec: flash_sale_pb2.ActivitySpec) -> flash_sale_pb2.ActivitySpec:
    """The spec with its defaults written out, so that equal activities have equal fingerprints."""
    full = flash_sale_pb2.ActivitySpec()
    full.CopyFrom(spec)
    full.ack = spec.ack or flash_sale_pb2.ACK_REDIS
    full.buckets = spec.buckets if spec.HasField("buckets") else 1
    for name in ("start_at", "end_at"):
        getattr(full, name).CopyFrom(to_timestamp(from_timestamp(getattr(spec, name))))
    return full


def activity_columns(activity_id: int, spec: flash_sale_pb2.ActivitySpec, spec_fingerprint: bytes) -> Sequence[Any]:
    """The columns id to buckets of a normal spec."""
    return (
        activity_id,
        spec.key.encode() if spec.HasField("key") else None,
        spec_fingerprint,
        spec.template_id,
        spec.name,
        metadata_json(spec),
        spec.stock,
        spec.per_user_limit,
        to_sql(from_timestamp(spec.start_at)),
        to_sql(from_timestamp(spec.end_at)),
        spec.ack,
        spec.buckets,
    )


def split_stock(stock: int, buckets: int) -> list[int]:
    """The stock of each bucket when the activity is created: as equal as can be, the first ones have one more."""
    each, more = divmod(stock, buckets)
    return [each + (bucket < more) for bucket in range(buckets)]


def metadata_json(spec: flash_sale_pb2.ActivitySpec) -> str:
    """As the JSON column holds it."""
    return json.dumps(dict(spec.metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _instant(spec: flash_sale_pb2.ActivitySpec, name: str) -> datetime | None:
    return Violations().instant(name, spec, name)


def _state(row: Row, now: datetime) -> flash_sale_pb2.ActivityState:
    if row["state"] in {ENDING, SETTLED}:
        return cast("flash_sale_pb2.ActivityState", row["state"])
    if now >= from_sql(row["end_at"]):
        return flash_sale_pb2.ACTIVITY_STATE_ENDING
    if row["paused"]:
        return flash_sale_pb2.ACTIVITY_STATE_PAUSED
    if now < from_sql(row["start_at"]):
        return flash_sale_pb2.ACTIVITY_STATE_SCHEDULED
    return flash_sale_pb2.ACTIVITY_STATE_RUNNING
