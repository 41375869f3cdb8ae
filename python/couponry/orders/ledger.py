"""The ledger's arithmetic: the runs of a decision, and the part of them that a return takes back.

Nothing here prices anything. Units of a line are numbered from 0 in allocation order, the same for every coupon.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from couponry.store.ledger import LedgerRow
from couponry.v1 import discount_pb2, order_pb2

__all__ = ["Part", "returned_rows", "sum_of", "used_rows"]

LOCK = order_pb2.LEDGER_KIND_LOCK
USE = order_pb2.LEDGER_KIND_USE
RELEASE = order_pb2.LEDGER_KIND_RELEASE
RETURN = order_pb2.LEDGER_KIND_RETURN
GOODS = order_pb2.LEDGER_LINE_KIND_GOODS
SHIPMENT = order_pb2.LEDGER_LINE_KIND_SHIPMENT


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a line or a shipment that come back: `unit_count` from `unit_from` on, each listed at `list_each`."""

    line_kind: int
    line_id: str
    unit_from: int
    unit_count: int
    list_each: int

    @property
    def list_total(self) -> int:
        """At list price."""
        return self.unit_count * self.list_each


def used_rows(decision: discount_pb2.Decision) -> list[LedgerRow]:
    """The USE rows of a decision: a run of units with the same amount is one; units without a discount have none."""
    rows: list[LedgerRow] = []
    for applied in decision.applied:
        for line in applied.lines:
            rows += [
                LedgerRow(
                    kind=USE,
                    coupon_id=applied.coupon_id,
                    line_kind=GOODS,
                    line_id=line.line_id,
                    # `from` is a keyword.
                    unit_from=getattr(run, "from"),
                    unit_count=run.count,
                    amount_each=run.amount,
                )
                for run in line.units
                if run.amount
            ]
        rows += [
            LedgerRow(
                kind=USE,
                coupon_id=applied.coupon_id,
                line_kind=SHIPMENT,
                line_id=shipment.shipment_id,
                unit_count=1,
                amount_each=shipment.discount,
            )
            for shipment in applied.shipments
            if shipment.discount
        ]
    return rows


def returned_rows(used: Iterable[LedgerRow], parts: Sequence[Part], return_id: str) -> list[LedgerRow]:
    """The RETURN rows that take back `parts`: where a USE run and a part meet, the run's amount, negative."""
    by_line = {(part.line_kind, part.line_id): part for part in parts}
    rows = []
    for run in used:
        part = by_line.get((run.line_kind, run.line_id))
        if part is None:
            continue
        first = max(run.unit_from, part.unit_from)
        end = min(run.unit_from + run.unit_count, part.unit_from + part.unit_count)
        if first < end:
            rows.append(
                replace(
                    run,
                    kind=RETURN,
                    unit_from=first,
                    unit_count=end - first,
                    amount_each=-run.amount_each,
                    return_id=return_id,
                    at=None,
                )
            )
    return rows


def sum_of(rows: Iterable[LedgerRow], line_kind: int) -> int:
    """What rows of one line kind add up to, in minor units."""
    return sum(row.unit_count * row.amount_each for row in rows if row.line_kind == line_kind)
