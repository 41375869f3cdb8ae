"""What must hold at the end of the story: each check compares what the clients were told with what the stores hold."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from couponry.demo import shop
from couponry.demo.story import WON, Order, Story
from couponry.store.mysql import MySQL
from couponry.v1 import coupon_pb2, order_pb2

__all__ = ["Check", "count_coupons", "run_checks"]

_COUNT_COUPONS: Final = "SELECT COUNT(*) AS n FROM user_coupons WHERE activity_id = %s"
_SELECT_COUPONS: Final = "SELECT user_id, id FROM user_coupons WHERE activity_id = %s"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    expected: str
    found: str
    holds: bool


async def count_coupons(mysql: MySQL, activity_id: int) -> int:
    """Coupons of an activity that are in MySQL."""
    row = await mysql.fetch_one(_COUNT_COUPONS, (activity_id,))
    return 0 if row is None else int(row["n"])


async def run_checks(story: Story, mysql: MySQL) -> list[Check]:
    """All checks of the report, in its order."""
    rows = await mysql.fetch_all(_SELECT_COUPONS, (story.activity.activity_id,))
    in_mysql = Counter((row["user_id"].decode(), row["id"]) for row in rows)
    per_user = Counter(user_id for user_id, _ in in_mysql.elements())
    winners = story.winners()
    told = Counter(winners.items())
    answered = sum(len(answers) for answers in story.answers.values())
    inconsistent = [
        user_id
        for user_id, answers in story.answers.items()
        if any(status == WON for status, _ in answers) and len(set(answers)) != 1
    ]
    changed = [user_id for user_id, answer in story.asked_again.items() if answer != (WON, winners[user_id])]
    return [
        _equal("templates listed", len(story.templates), story.listed),
        _equal("claims answered", shop.CLAIMS, answered),
        _equal("sold", shop.STOCK, len(winners)),
        _equal("coupon rows in MySQL", shop.STOCK, sum(in_mysql.values())),
        _equal("winners without exactly the coupon that they were told", 0, len((told - in_mysql) + (in_mysql - told))),
        _equal("coupons of the user with most", 1, max(per_user.values(), default=0)),
        _equal("winners whose repeated requests were answered differently", 0, len(inconsistent)),
        _equal("winners answered differently when they asked again", 0, len(changed)),
        _equal(
            "orders whose lock differs from the price shown", 0, sum(not _locked_as_priced(o) for o in story.orders)
        ),
        _equal("orders whose receipt does not add up", 0, sum(not _adds_up(order) for order in story.orders)),
        _equal("ledger, in minor units", _receipts(story), sum(_ledger_sum(order) for order in story.orders)),
        _equal("coupons of the cancelled order that are not back", 0, _not_back(story.cancelled)),
        _returned(story),
    ]


def _equal(name: str, expected: int, found: int) -> Check:
    return Check(name, f"{expected:,}", f"{found:,}", expected == found)


def _locked_as_priced(order: Order) -> bool:
    return order.locked.decision == order.priced


def _adds_up(order: Order) -> bool:
    decision = order.priced
    lines = [(line.list, line.discount, line.net) for line in decision.lines]
    parcels = [(parcel.list, parcel.discount, parcel.net) for parcel in decision.shipments]
    rows = lines + parcels
    return (
        all(whole - off == net for whole, off, net in rows)
        and all(sum(unit.count * unit.net for unit in line.units) == line.net for line in decision.lines)
        and sum(off for _, off, _ in rows) == decision.discount == sum(one.discount for one in decision.applied)
        and sum(net for _, _, net in rows) == decision.payable == decision.original - decision.discount
        and decision.discount > 0
    )


def _receipts(story: Story) -> int:
    """Discounts on the receipts of what was paid, less what was returned."""
    paid = sum(order.priced.discount for order in story.orders if order is not story.cancelled)
    return paid - story.refund.discount_returned - story.refund.shipping_discount_returned


def _ledger_sum(order: Order) -> int:
    amounts = (order_pb2.LEDGER_KIND_USE, order_pb2.LEDGER_KIND_RETURN)
    return sum(entry.unit_count * entry.amount_each for entry in order.ledger if entry.kind in amounts)


def _not_back(order: Order | None) -> int:
    if order is None:
        return -1
    return sum(coupon.state != coupon_pb2.COUPON_STATE_UNUSED for coupon in order.coupons_after)


def _returned(story: Story) -> Check:
    """The refund of one unit is its list price less its discount, and the order's ledger knows."""
    order, refund = story.returned, story.refund
    if order is None or order.end is None:
        return Check("partly returned order", "returned", "nothing", holds=False)
    left = order.priced.discount - refund.discount_returned
    return _equal("discount left on the partly returned order, in minor units", left, order.end.ledger_left)
