"""The model of the claim script, worked by hand: what it says is what the documents promise."""

import pytest

from tests.unit.flash_sale import claim_model as model
from tests.unit.flash_sale.claim_model import Bucket, Win

ANN, BOB = b"ann", b"bob"


def bucket(**changes: object) -> Bucket:
    opened = Bucket(epoch=7, base=100, left=3, total=3, limit=1, start=1000, end=2000)
    for field, value in changes.items():
        setattr(opened, field, value)
    return opened


def test_numbers_follow_the_base_in_the_order_of_the_claims() -> None:
    assert bucket().claim(b"W", 1500, [(ANN, b"1"), (BOB, b"1"), (b"cat", b"1"), (b"dan", b"1")]) == [
        101,
        102,
        103,
        model.SOLD_OUT,
    ]


def test_a_repeat_gets_its_number_within_the_batch_and_after_the_end() -> None:
    sale = bucket()
    assert sale.claim(b"W", 1500, [(ANN, b"1"), (ANN, b"1")]) == [101, 101]
    assert sale.claim(b"W", 2000, [(ANN, b"1"), (BOB, b"1")]) == [101, model.ENDED]
    assert sale.left == 2


@pytest.mark.parametrize(("now", "verdict"), [(999, model.NOT_STARTED), (1000, 101), (1999, 101), (2000, model.ENDED)])
def test_the_window_begins_with_its_start_and_ends_before_its_end(now: int, verdict: int) -> None:
    assert bucket().claim(b"W", now, [(ANN, b"1")]) == [verdict]


def test_the_limit_counts_live_wins_only() -> None:
    sale = bucket()
    sale.claim(b"W", 1500, [(ANN, b"1")])
    assert sale.claim(b"W", 1500, [(ANN, b"2")]) == [model.LIMIT_REACHED]
    sale.mark(0, b"C")
    assert sale.claim(b"W", 1500, [(ANN, b"1"), (ANN, b"2")]) == [model.CANCELLED, 102]


def test_the_window_is_judged_before_the_pause_and_the_pause_before_limit_and_stock() -> None:
    sale = bucket(left=0, paused=True)
    assert sale.claim(b"W", 999, [(ANN, b"1")]) == [model.NOT_STARTED]
    assert sale.claim(b"W", 1500, [(ANN, b"1")]) == [model.PAUSED]


def test_an_adjustment_has_one_effect_and_one_answer() -> None:
    sale = bucket()
    first = sale.adjust(epoch=7, place=1, before="", own="a", delta=2)
    assert first is not None
    assert (first.applied, first.left, first.total) == (True, 5, 5)
    assert sale.adjust(epoch=7, place=1, before="", own="a", delta=2) == first
    assert sale.left == 5


def test_a_decrease_below_what_is_sold_is_refused_and_keeps_its_place() -> None:
    sale = bucket()
    refused = sale.adjust(epoch=7, place=1, before="", own="a", delta=-4)
    assert refused is not None
    assert (refused.applied, refused.delta, refused.left) == (False, 0, 3)
    assert sale.adjust(epoch=7, place=2, before="a", own="b", delta=-3) is not None
    assert sale.left == 0


def test_an_increase_is_never_refused() -> None:
    sale = bucket(left=-5)
    raised = sale.adjust(epoch=7, place=1, before="", own="a", delta=3)
    assert raised is not None
    assert (raised.applied, raised.left, raised.total) == (True, -2, 6)


def test_an_adjustment_that_does_not_follow_closes_the_bucket() -> None:
    sale = bucket()
    assert sale.adjust(epoch=7, place=2, before="a", own="b", delta=1) is None
    assert sale.claim(b"W", 1500, [(ANN, b"1")]) is None


def test_the_end_takes_what_is_left() -> None:
    sale = bucket()
    ended = sale.adjust(epoch=7, place=1, before="", own="a", kind="end")
    assert ended is not None
    assert (ended.delta, sale.left, sale.total) == (-3, 0, 0)
    assert sale.claim(b"W", 1500, [(ANN, b"1")]) == [model.ENDED]


def test_what_a_move_takes_is_what_is_left_and_no_more() -> None:
    sale = bucket()
    taken = sale.adjust(epoch=7, place=1, before="", own="a", kind="take", delta=-5)
    assert taken is not None
    assert (taken.applied, taken.delta, taken.left, taken.total) == (True, -3, 0, 0)


def test_a_cancelled_win_gives_its_unit_and_its_place_back_once() -> None:
    sale = bucket(left=1)
    assert sale.claim(b"T", 1500, [(ANN, b"1")]) == [101]
    for _ in range(2):
        sale.adjust(epoch=7, place=1, before="", own="a", kind="cancel", win=sale.wins[0])
    assert (sale.left, sale.total) == (1, 3)
    assert sale.claim(b"W", 1500, [(ANN, b"1"), (ANN, b"2"), (BOB, b"1")]) == [model.CANCELLED, 102, model.SOLD_OUT]


def test_a_cancelled_win_that_was_not_known_is_answered_so() -> None:
    sale = bucket()
    sale.adjust(epoch=7, place=1, before="", own="a", kind="cancel", win=Win(ANN, b"1", 99, 1400, b"T"))
    assert sale.claim(b"W", 1500, [(ANN, b"1"), (ANN, b"2")]) == [model.CANCELLED, 101]


def test_a_bucket_without_stock_is_sold_out_only_when_the_others_are() -> None:
    sale = bucket(left=1)
    assert not sale.share(epoch=7, elsewhere=False)
    assert sale.share(epoch=None, elsewhere=True)
    assert sale.claim(b"W", 1500, [(ANN, b"1"), (BOB, b"1")]) == [101, model.EMPTY]
    assert not sale.share(epoch=6, elsewhere=False)
    assert sale.share(epoch=7, elsewhere=False)
    assert sale.claim(b"W", 1500, [(BOB, b"1")]) == [model.SOLD_OUT]
