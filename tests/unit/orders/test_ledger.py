"""The ledger's arithmetic: what was used comes back exactly once, unit by unit."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from couponry.orders.ledger import GOODS, RETURN, SHIPMENT, USE, Part, returned_rows, sum_of, used_rows
from couponry.store.ledger import LedgerRow
from couponry.v1 import discount_pb2


def run(first: int, count: int, amount: int) -> discount_pb2.UnitRun:
    """`from` is a keyword."""
    return discount_pb2.UnitRun(**{"from": first, "count": count, "amount": amount})


def decision(runs: Sequence[discount_pb2.UnitRun], shipping: int = 0) -> discount_pb2.Decision:
    applied = discount_pb2.AppliedCoupon(
        coupon_id=7,
        lines=[discount_pb2.LineAllocation(line_id="A", discount=sum(r.count * r.amount for r in runs), units=runs)],
    )
    if shipping:
        applied.shipments.add(shipment_id="S", discount=shipping)
    return discount_pb2.Decision(applied=[applied])


def test_units_without_a_discount_have_no_row() -> None:
    rows = used_rows(decision([run(0, 1, 1), run(1, 9, 0)], shipping=3))
    assert rows == [
        LedgerRow(USE, 7, GOODS, "A", 0, 1, 1),
        LedgerRow(USE, 7, SHIPMENT, "S", 0, 1, 3),
    ]


def test_a_return_cuts_a_run_where_its_units_end() -> None:
    used = used_rows(decision([run(0, 1, 334), run(1, 2, 333)]))
    assert returned_rows(used, [Part(GOODS, "A", 0, 2, 1000)], "R") == [
        LedgerRow(RETURN, 7, GOODS, "A", 0, 1, -334, "R"),
        LedgerRow(RETURN, 7, GOODS, "A", 1, 1, -333, "R"),
    ]


def test_a_return_of_one_line_leaves_the_others() -> None:
    used = used_rows(decision([run(0, 2, 5)], shipping=9))
    rows = returned_rows(used, [Part(SHIPMENT, "S", 0, 1, 20)], "R")
    assert (sum_of(rows, GOODS), sum_of(rows, SHIPMENT)) == (0, -9)


@given(
    runs=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100)), min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 60), max_size=12),
)
def test_any_parcels_give_back_what_was_used_unit_by_unit(runs: list[tuple[int, int]], cuts: list[int]) -> None:
    units = [amount for count, amount in runs for _ in range(count)]
    firsts = [sum(count for count, _ in runs[:index]) for index in range(len(runs))]
    used = used_rows(decision([run(first, count, amount) for first, (count, amount) in zip(firsts, runs, strict=True)]))
    assert sum_of(used, GOODS) == sum(units)
    done = 0
    for cut in [*cuts, len(units)]:
        count = min(cut, len(units) - done)
        if count:
            rows = returned_rows(used, [Part(GOODS, "A", done, count, 1)], "R")
            assert -sum_of(rows, GOODS) == sum(units[done : done + count])
        done += count
    assert done == len(units)
