"""What the layers hold of coupons: a template, a template's id by the shop's key, and a user's live coupons.

An entry holds only columns of its rows: a live coupon is UNUSED or LOCKED as it was written, whatever the time, and
`messages.coupon_as_of` says what it reads as.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from couponry.clock import Clock, from_ms, from_timestamp
from couponry.coupons.codes import Codes
from couponry.coupons.messages import coupon_message, template_message
from couponry.store.coupons import select_live
from couponry.store.layers import Layers, Loaded, versions
from couponry.store.mysql import MySQL, Row
from couponry.store.templates import select_ids_by_key, select_templates
from couponry.v1 import coupon_pb2

__all__ = ["TEMPLATE_KEY_KIND", "TEMPLATE_KIND", "USER_KIND", "register_loaders"]

TEMPLATE_KIND: Final = "template"
TEMPLATE_KEY_KIND: Final = "template_key"
USER_KIND: Final = "user"
# Before every lock and every end, so that time changes no state.
_AS_WRITTEN: Final = from_ms(0)


def register_loaders(*, layers: Layers, mysql: MySQL, codes: Codes, clock: Clock) -> None:
    """Teaches the layers to read templates and live coupons from MySQL."""

    async def load_templates(keys: Sequence[str]) -> Mapping[str, Loaded]:
        rows = await select_templates(mysql, [int(key) for key in keys])
        return {str(row["id"]): Loaded(template_message(row).SerializeToString(), versions(row)) for row in rows}

    async def load_keys(keys: Sequence[str]) -> Mapping[str, Loaded]:
        rows = await select_ids_by_key(mysql, keys)
        return {row["template_key"].decode(): Loaded(str(row["id"]).encode(), versions(row)) for row in rows}

    async def load_users(keys: Sequence[str]) -> Mapping[str, Loaded]:
        entries = {key: coupon_pb2.ListUserCouponsResponse() for key in keys}
        rows: dict[str, list[Row]] = {key: [] for key in keys}
        for row in await select_live(mysql, keys):
            user_id = row["user_id"].decode()
            entries[user_id].coupons.append(coupon_message(row, _AS_WRITTEN, codes))
            rows[user_id].append(row)
        now = clock()
        return {
            key: Loaded(entry.SerializeToString(), versions(*rows[key]), _next_boundary(entry, now))
            for key, entry in entries.items()
        }

    layers.register(TEMPLATE_KIND, load_templates)
    layers.register(TEMPLATE_KEY_KIND, load_keys)
    layers.register(USER_KIND, load_users)


def _next_boundary(entry: coupon_pb2.ListUserCouponsResponse, now: datetime) -> datetime | None:
    """When the first of these coupons begins, ends, or is unlocked by time."""
    ends = [
        from_timestamp(end)
        for coupon in entry.coupons
        for end in (coupon.valid_from, coupon.valid_until, coupon.locked_until)
        if end.seconds
    ]
    return min((end for end in ends if end > now), default=None)
