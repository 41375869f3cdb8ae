"""Batches of wins, against the same in plain Python: which become coupons, and how they read as SQL."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import converters

from couponry._core import Wins

Values = tuple[int, bytes, bytes, bytes, int, int]

users = st.sampled_from([b"ann", b"bob", b"o'neil", b'\x00\n\r\x1a\\"', "用户🎫".encode()])
hashes = st.sampled_from([bytes([n]) * 16 for n in range(4)])
batches = st.lists(
    st.tuples(users, hashes, st.sampled_from([b"W", b"T"]), st.sampled_from([1_700_000_000_000, 1_700_000_000_001])),
    max_size=30,
).map(lambda drawn: [(100 + n, *win, 7) for n, win in enumerate(drawn)])


def sorted_plainly(
    wins: list[Values], held: list[tuple[bytes, bytes]], stock: int, limit: int, taken: set[int]
) -> list[list[Values]]:
    own: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for user, request_hash in held:
        own[user].add(request_hash)
    coupons: list[Values] = []
    tried: list[Values] = []
    failed: list[Values] = []
    for win in wins:
        number, user, request_hash, kind = win[:4]
        if stock <= 0 or len(own[user]) >= limit or request_hash in own[user] or number in taken:
            failed.append(win)
            continue
        stock -= 1
        own[user].add(request_hash)
        (tried if kind == b"T" else coupons).append(win)
    return [coupons, tried, failed]


@given(
    batches,
    st.lists(st.tuples(users, hashes), unique=True, max_size=6),
    st.integers(0, 30),
    st.integers(1, 4),
    st.sets(st.integers(100, 130), max_size=4),
)
def test_stock_limits_repeats_and_numbers_decide_in_number_order(
    wins: list[Values], held: list[tuple[bytes, bytes]], stock: int, limit: int, taken: set[int]
) -> None:
    found = Wins(wins).sort(held, stock=stock, limit=limit, taken=taken)
    assert [each.values() for each in found] == sorted_plainly(wins, held, stock, limit, taken)


def escaped(user: bytes) -> str:
    return "_binary" + str(converters.escape_item(user, "utf8mb4"))


def joined(texts: list[bytes], rows: list[str], most: int) -> str:
    """The texts as one, if they are cut where they must be."""
    longest = max((len(row.encode("ascii", "surrogateescape")) for row in rows), default=0)
    assert all(len(text) <= max(most, longest) for text in texts)
    return b",".join(texts).decode("ascii", "surrogateescape")


@given(batches, st.sampled_from(["", "ROW"]), st.integers(1, 200))
def test_users_read_as_the_driver_would_write_them(wins: list[Values], lead: str, most: int) -> None:
    rows = [f"{lead}({escaped(user)})" for user in dict.fromkeys(win[1] for win in wins)]
    assert joined(Wins(wins).users(lead.encode(), most=most), rows, most) == ",".join(rows)


@given(batches, st.sampled_from(["", "ROW"]), st.integers(1, 2000))
def test_every_win_is_one_row(wins: list[Values], lead: str, most: int) -> None:
    by_time = {ms: b"'%d'" % ms for ms in {win[4] for win in wins}}
    rows = [
        f"{lead}({escaped(user)},{2**52 + number},{number},{epoch},x'{request_hash.hex()}','{ms}')"
        for number, user, request_hash, _, ms, epoch in wins
    ]
    assert joined(Wins(wins).rows(lead.encode(), 2**52, by_time, most=most), rows, most) == ",".join(rows)
    if wins:
        with pytest.raises(ValueError, match="outbox"):
            Wins(wins).rows(b"", 2**52, {}, most=most)


def test_what_is_no_entry_is_an_error() -> None:
    whole = [b"first", b"1", b"ms", b"5", b"wins", b"\x01a" + bytes(16) + b"W"]
    assert Wins.from_outbox([(b"9-1", whole)], after=0).values() == [(1, b"a", bytes(16), b"W", 5, 9)]
    for entry_id, fields in (
        (b"9-1", whole[2:]),
        (b"9-1", whole[:-1]),
        (b"x-1", whole),
        (b"9-1", [*whole[:5], whole[5][:-1]]),
        (b"9-1", [b"first", b"-1", *whole[2:]]),
    ):
        with pytest.raises(ValueError, match="outbox"):
            Wins.from_outbox([(entry_id, fields)], after=0)
