"""Who gets a coupon of a template: state, window and limits, decided while the template's counters are held.

Receiving and granting both go through here, so the totals and the per-user limits are exact over both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from couponry.coupons.windows import coupon_window
from couponry.errors import CouponryError, Exhausted, FailedPrecondition, NotFound
from couponry.store import coupons as coupon_store
from couponry.store import templates as template_store
from couponry.store.coupons import Issue
from couponry.store.mysql import Row, Tx
from couponry.v1 import coupon_pb2, template_pb2

__all__ = ["Offer", "limit_error", "offer_of"]

TOTAL_LIMIT: Final = "TOTAL_LIMIT"
USER_LIMIT: Final = "USER_LIMIT"
_LIMIT_TEXTS: Final = {
    TOTAL_LIMIT: "all coupons of this template are given",
    USER_LIMIT: "the user has received as many coupons of this template as one user may",
}


def limit_error(reason: str) -> Exhausted:
    """The error of a limit that is reached."""
    return Exhausted(_LIMIT_TEXTS[reason], reason=reason)


@dataclass(frozen=True, slots=True)
class Offer:
    """A template whose counters this transaction holds, as of the database's clock."""

    template: Row
    left: int

    def refusal(self, source: int) -> CouponryError | None:
        """Why nobody gets a coupon now, or None. The window for receiving does not bind granting."""
        template, now = self.template, self.template["now"]
        if template["state"] == template_pb2.TEMPLATE_STATE_PAUSED:
            return FailedPrecondition("the template is paused", reason="TEMPLATE_PAUSED")
        if source == coupon_pb2.COUPON_SOURCE_RECEIVED:
            if template["receive_from"] is not None and now < template["receive_from"]:
                return FailedPrecondition("coupons cannot be received yet", reason="NOT_STARTED")
            if template["receive_until"] is not None and now >= template["receive_until"]:
                return FailedPrecondition("coupons can no longer be received", reason="EXPIRED")
        if self.window[1] <= now:
            return FailedPrecondition("the coupon would be expired from the start", reason="EXPIRED")
        return None

    @property
    def window(self) -> tuple[datetime, datetime]:
        """When a coupon given now can be used."""
        template = self.template
        return coupon_window(template["valid_from"], template["valid_until"], template["valid_days"], template["now"])

    async def limits(self, tx: Tx, user_ids: Sequence[str]) -> list[str | None]:
        """For each of these users in turn: None for a coupon, or the limit that refuses it."""
        per_user = self.template["per_user_limit"]
        receipts: dict[str, int] = {}
        if per_user is not None and self.left > 0:
            receipts = await coupon_store.count_receipts(tx, self.template["id"], user_ids)
        left = self.left
        verdicts: list[str | None] = []
        for user_id in user_ids:
            if left <= 0:
                verdicts.append(TOTAL_LIMIT)
            elif per_user is not None and receipts.get(user_id, 0) >= per_user:
                verdicts.append(USER_LIMIT)
            else:
                left -= 1
                receipts[user_id] = receipts.get(user_id, 0) + 1
                verdicts.append(None)
        return verdicts

    async def give(self, tx: Tx, user_ids: Sequence[str], coupon_ids: Sequence[int], source: int) -> Issue:
        """Writes one coupon for each user id, and counts them; what they have in common."""
        valid_from, valid_until = self.window
        issue = Issue(
            template_id=self.template["id"],
            source=source,
            valid_from=valid_from,
            valid_until=valid_until,
            received_at=self.template["now"],
        )
        if user_ids:
            await coupon_store.insert_coupons(tx, issue, zip(user_ids, coupon_ids, strict=True))
            await template_store.add_issued(tx, issue.template_id, len(user_ids))
        return issue


async def offer_of(tx: Tx, template_id: int) -> Offer:
    """Locks the template's counters, then reads the template and the clock: both as they are under the lock.

    One statement that joins the two would lock the template's row too, and read the clock before it waited.
    Raises NotFound.
    """
    counters = await template_store.lock_counters(tx, template_id)
    template = await template_store.select_template_at(tx, template_id) if counters else None
    if counters is None or template is None:
        raise NotFound("no such template")
    return Offer(template, template["total"] - counters["issued"] - counters["reserved"])
