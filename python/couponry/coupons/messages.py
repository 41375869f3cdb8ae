"""Rows as messages of the wire. A coupon's state follows from time: what is stored is only what was written last.

Reads that show or price give the process's clock; whatever moves a coupon gives the database's.
"""

import json
from datetime import datetime
from typing import cast

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from couponry.clock import from_sql, from_timestamp, to_timestamp
from couponry.coupons.codes import Codes
from couponry.store.mysql import Row
from couponry.v1 import coupon_pb2, template_pb2

__all__ = ["counters_message", "coupon_as_of", "coupon_message", "state_at", "template_message", "terms_json"]

_UNUSED = coupon_pb2.COUPON_STATE_UNUSED
_LOCKED = coupon_pb2.COUPON_STATE_LOCKED
_USED = coupon_pb2.COUPON_STATE_USED
_EXPIRED = coupon_pb2.COUPON_STATE_EXPIRED


def state_at(
    status: int, valid_until: datetime, locked_until: datetime | None, now: datetime
) -> coupon_pb2.CouponState:
    """What a stored status reads as at `now`."""
    if status == _LOCKED and locked_until is not None and locked_until <= now:
        status = _UNUSED
    if status == _UNUSED and valid_until <= now:
        status = _EXPIRED
    return cast("coupon_pb2.CouponState", status)


def coupon_message(row: Row, now: datetime, codes: Codes) -> coupon_pb2.Coupon:
    """A row of user_coupons as it reads at `now`."""
    locked_until = None if row["locked_until"] is None else from_sql(row["locked_until"])
    valid_until = from_sql(row["valid_until"])
    state = state_at(row["status"], valid_until, locked_until, now)
    message = coupon_pb2.Coupon(
        coupon_id=row["id"],
        code=codes.encode(row["id"]),
        user_id=row["user_id"].decode(),
        template_id=row["template_id"],
        state=state,
        source=row["source"],
        valid_from=to_timestamp(from_sql(row["valid_from"])),
        valid_until=to_timestamp(valid_until),
        received_at=to_timestamp(from_sql(row["received_at"])),
        version=row["version"],
    )
    if row["activity_id"] is not None:
        message.activity_id = row["activity_id"]
    if state in {_LOCKED, _USED}:
        if row["order_id"] is not None:
            message.order_id = row["order_id"].decode()
            message.attempt = row["attempt"] or 0
        if state == _LOCKED and locked_until is not None:
            message.locked_until.CopyFrom(to_timestamp(locked_until))
        if state == _USED and row["used_at"] is not None:
            message.used_at.CopyFrom(to_timestamp(from_sql(row["used_at"])))
    return message


def coupon_as_of(coupon: coupon_pb2.Coupon, now: datetime) -> coupon_pb2.Coupon:
    """A message made earlier, as it reads at `now`; the same object where time changed nothing."""
    locked_until = from_timestamp(coupon.locked_until) if coupon.HasField("locked_until") else None
    state = state_at(coupon.state, from_timestamp(coupon.valid_until), locked_until, now)
    if state == coupon.state:
        return coupon
    changed = coupon_pb2.Coupon()
    changed.CopyFrom(coupon)
    changed.state = state
    for field in ("order_id", "attempt", "locked_until"):
        changed.ClearField(field)
    return changed


def terms_json(terms: template_pb2.Terms) -> str:
    """Terms as the JSON column holds them: the proto's JSON form, where int64 is text and so never a float."""
    return json.dumps(
        json_format.MessageToDict(terms, preserving_proto_field_name=True), ensure_ascii=False, separators=(",", ":")
    )


def template_message(row: Row) -> template_pb2.Template:
    """A row of templates."""
    spec = template_pb2.TemplateSpec(
        name=row["name"],
        description=row["description"],
        metadata=json.loads(row["metadata"]),
        total=row["total"],
        valid_from=to_timestamp(from_sql(row["valid_from"])),
        valid_until=to_timestamp(from_sql(row["valid_until"])),
        returns_on_full_refund=bool(row["returns_on_full_refund"]),
    )
    json_format.ParseDict(json.loads(row["terms"]), spec.terms)
    if row["template_key"] is not None:
        spec.key = row["template_key"].decode()
    if row["per_user_limit"] is not None:
        spec.per_user_limit = row["per_user_limit"]
    if row["valid_days"] is not None:
        spec.valid_days = row["valid_days"]
    if row["budget"] is not None:
        spec.budget = row["budget"]
    if row["receive_from"] is not None:
        spec.receive_from.CopyFrom(to_timestamp(from_sql(row["receive_from"])))
    if row["receive_until"] is not None:
        spec.receive_until.CopyFrom(to_timestamp(from_sql(row["receive_until"])))
    if row["return_grace_ms"]:
        seconds, ms = divmod(row["return_grace_ms"], 1000)
        spec.return_grace.CopyFrom(Duration(seconds=seconds, nanos=ms * 1_000_000))
    return template_pb2.Template(
        template_id=row["id"],
        spec=spec,
        state=row["state"],
        version=row["version"],
        created_at=to_timestamp(from_sql(row["created_at"])),
        updated_at=to_timestamp(from_sql(row["updated_at"])),
    )


def counters_message(row: Row) -> template_pb2.TemplateCounters:
    """A row of template_counters."""
    return template_pb2.TemplateCounters(
        issued=row["issued"],
        reserved=row["reserved"],
        budget_reserved=row["budget_reserved"],
        budget_spent=row["budget_spent"],
    )
