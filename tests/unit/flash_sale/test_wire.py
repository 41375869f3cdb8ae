"""What Redis holds, read and written."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from couponry.flash_sale.wire import Place, Win, from_outbox, from_records, request_hash, to_records

wins = st.builds(
    Win,
    number=st.integers(1, 2**28 - 1),
    user=st.just(b"ann"),
    request_hash=st.binary(min_size=16, max_size=16),
    kind=st.sampled_from([b"W", b"T", b"C", b"F"]),
    claimed_ms=st.integers(0, 2**48 - 1),
)


@given(st.lists(wins, max_size=100))
def test_records_come_back_as_they_were(given_wins: list[Win]) -> None:
    assert from_records(b"ann", to_records(given_wins)) == given_wins


def test_only_numbers_beyond_the_base_are_of_the_epoch() -> None:
    records = to_records([Win(10, b"a", bytes(16), b"W", 5), Win(11, b"a", bytes(16), b"W", 5)])
    found = from_records(b"a", records, {"base": 10, "epoch": 77})
    assert [(win.number, win.epoch) for win in found] == [(10, 0), (11, 77)]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=64), st.binary(min_size=16, max_size=16)), min_size=1))
def test_an_entry_tells_its_wins_in_number_order(claims: list[tuple[bytes, bytes]]) -> None:
    blob = b"".join(bytes([len(user)]) + user + each + b"W" for user, each in claims)
    entry = (b"99-%d" % (6 + len(claims)), [b"first", b"7", b"ms", b"1234", b"wins", blob])
    found = list(from_outbox([entry]))
    assert [win.number for win in found] == list(range(7, 7 + len(claims)))
    assert [(win.user, win.request_hash) for win in found] == claims
    assert {(win.epoch, win.claimed_ms, win.kind) for win in found} == {(99, 1234, b"W")}


def test_all_keys_of_a_bucket_have_one_hash_tag() -> None:
    place = Place(12, 3)
    names = [*place.names(), *place.beside("token")]
    assert len(set(names)) == 6
    assert all(name.startswith("fs:{12.3}:") for name in names)


def test_the_bucket_of_a_user_is_fixed_for_ever() -> None:
    # Values of CRC-32 that are written down elsewhere too: another hash would split a user's wins over two buckets.
    assert Place.of(7, 16, b"123456789") == (7, 0xCBF43926 % 16)
    assert Place.of(7, 1, b"123456789") == (7, 0)
    spread = Counter(Place.of(7, 16, b"user-%d" % n).bucket for n in range(16_000))
    assert set(spread) == set(range(16))
    assert max(spread.values()) < 1200


def test_request_ids_of_any_length_become_sixteen_bytes() -> None:
    assert len({request_hash(name) for name in ("", "a", "b", "a" * 64)}) == 4
    assert len(request_hash("r" * 64)) == 16
