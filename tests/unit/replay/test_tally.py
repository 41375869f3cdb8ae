"""What is added up: exact, and the same in whatever order."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couponry.replay.tally import (
    AMOUNT_BOUNDS,
    RANKS,
    SHARE_BOUNDS_BP,
    Example,
    Top,
    amount_bucket,
    share_bucket,
)

amounts = st.integers(0, 2**63 - 1)
examples = st.builds(
    lambda line, original, off: Example(line, f"o{line}", "CNY", original, original * off // 7, ()),
    st.integers(1, 10_000),
    st.integers(0, 50),
    st.integers(0, 7),
)


@given(amounts)
def test_an_amount_is_in_the_bucket_between_two_bounds(amount: int) -> None:
    place = amount_bucket(amount)
    assert amount <= AMOUNT_BOUNDS[place]
    assert place == 0 or amount > AMOUNT_BOUNDS[place - 1]


@given(amounts, amounts)
def test_a_share_is_in_the_bucket_between_two_bounds(one: int, other: int) -> None:
    discount, original = sorted((one, other))
    place = share_bucket(discount, original)
    if not discount:
        assert place == 0
    elif discount == original:
        assert SHARE_BOUNDS_BP[place] == 10_000
    else:
        assert 0 < place < len(SHARE_BOUNDS_BP) - 1
        assert place == len(SHARE_BOUNDS_BP) - 2 or discount * 10_000 <= SHARE_BOUNDS_BP[place] * original
        assert discount * 10_000 > SHARE_BOUNDS_BP[place - 1] * original


def test_bounds_rise() -> None:
    for bounds in (AMOUNT_BOUNDS, SHARE_BOUNDS_BP):
        assert all(a < b for a, b in pairwise(bounds))


@pytest.mark.parametrize("by", sorted(RANKS))
@given(st.lists(examples, unique_by=lambda one: one.line), st.integers(0, 5), st.integers(1, 4), st.randoms())
def test_the_top_does_not_depend_on_how_it_was_found(
    by: str, entries: list[Example], size: int, parts: int, random: Random
) -> None:
    rank = RANKS[by]
    expected = sorted(entries, key=lambda one: (*(-part for part in rank(one)), one.line))[:size]
    random.shuffle(entries)
    tops = [Top(size, rank) for _ in range(parts)]
    for entry in entries:
        random.choice(tops).add(entry)
    whole = Top(size, rank)
    for top in tops:
        whole.merge(top)
    assert whole.entries() == expected


def test_ranks_order_by_share_by_discount_and_by_change() -> None:
    small = Example(1, "small", "CNY", 10, 10, (), against=9)
    large = Example(2, "large", "CNY", 1000, 100, (), against=0)
    assert RANKS["share"](small) > RANKS["share"](large)
    assert RANKS["discount"](small) < RANKS["discount"](large)
    assert RANKS["change"](small) < RANKS["change"](large)
