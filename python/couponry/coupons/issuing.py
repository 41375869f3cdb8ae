"""Who gets a coupon of a template: state, window and limits, decided while the template's counters are held.

Receiving and granting both go through here, so the totals and the per-user limits are exact over both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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

__all__ = ["Offer", "free_offers_of", "give", "limit_error", "offer_of"]

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

    @property
    def counts_receipts(self) -> bool:
        """Whether `limits` needs the receipts of users."""
        return self.template["per_user_limit"] is not None and self.left > 0

    def limits(self, user_ids: Sequence[str], receipts: Mapping[tuple[int, str], int]) -> list[str | None]:
        """For each of these users in turn: None for a coupon, or the limit that refuses it.

        `receipts`: how many coupons of (template, user) there are.
        """
        template_id, per_user = self.template["id"], self.template["per_user_limit"]
        left = self.left
        given: defaultdict[str, int] = defaultdict(int)
        verdicts: list[str | None] = []
        for user_id in user_ids:
            if left <= 0:
                verdicts.append(TOTAL_LIMIT)
            elif per_user is not None and receipts.get((template_id, user_id), 0) + given[user_id] >= per_user:
                verdicts.append(USER_LIMIT)
            else:
                left -= 1
                given[user_id] += 1
                verdicts.append(None)
        return verdicts

    def issue(self, source: int) -> Issue:
        """What the coupons that are given now have in common."""
        valid_from, valid_until = self.window
        return Issue(
            template_id=self.template["id"],
            source=source,
            valid_from=valid_from,
            valid_until=valid_until,
            received_at=self.template["now"],
        )


async def offer_of(tx: Tx, template_id: int) -> Offer:
    """Locks the template's counters, then reads the template and the clock: both as they are under the lock.

    One statement that joins the two would lock the template's row too, and read the clock before it waited.
    Raises NotFound.
    """
    counters = await template_store.lock_counters(tx, template_id)
    offers = await _offers(tx, [counters] if counters else [])
    if template_id not in offers:
        raise NotFound("no such template")
    return offers[template_id]


async def free_offers_of(tx: Tx, template_ids: Sequence[int]) -> dict[int, Offer]:
    """The same for those templates among these whose counters nobody else holds: this waits for nothing."""
    return await _offers(tx, await template_store.try_lock_counters(tx, template_ids))


async def give(tx: Tx, given: Sequence[tuple[Issue, Sequence[tuple[str, int]]]]) -> None:
    """Writes coupons for (user, coupon id) of each issue, and counts them."""
    given = [(issue, owners) for issue, owners in given if owners]
    if given:
        await coupon_store.insert_coupons(tx, given)
        await template_store.add_issued(tx, [(issue.template_id, len(owners)) for issue, owners in given])


async def _offers(tx: Tx, counters: Sequence[Row]) -> dict[int, Offer]:
    left = {row["template_id"]: -row["issued"] - row["reserved"] for row in counters}
    rows = await template_store.select_offers(tx, left) if left else []
    return {row["id"]: Offer(row, row["total"] + left[row["id"]]) for row in rows}
