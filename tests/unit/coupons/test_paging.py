"""Page tokens come back unchanged or are refused; none of them reaches SQL in another shape."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couponry import paging
from couponry.errors import InvalidArgument
from couponry.v1 import template_pb2

INT64 = st.integers(-(2**63), 2**63 - 1)
POSITIONS = st.lists(st.one_of(INT64, st.text(max_size=64)), min_size=1, max_size=5)


def shape_of(position: list[int | str]) -> list[type[int] | type[str]]:
    return [type(part) for part in position]


@given(query=st.text(max_size=200), position=POSITIONS)
def test_a_token_gives_back_the_position_it_was_made_of(query: str, position: list[int | str]) -> None:
    token = paging.encode(query, position)
    assert paging.decode(token, query, shape_of(position)) == position
    assert token.isascii()
    assert not set(token) & set("+/=")


@given(query=st.text(), other=st.text(), position=POSITIONS)
def test_a_token_of_another_query_is_refused(query: str, other: str, position: list[int | str]) -> None:
    if query == other:
        return
    with pytest.raises(InvalidArgument) as refused:
        paging.decode(paging.encode(query, position), other, shape_of(position))
    assert refused.value.violations[0].field == "page_token"


@given(st.text(min_size=1, max_size=200))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        paging.decode(text, "query")


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_a_forged_position_passes_only_as_one_int64(position: object) -> None:
    honest = base64.urlsafe_b64decode(paging.encode("query", [1]) + "==")
    body = json.loads(honest) | {"p": position}
    token = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    try:
        decoded = paging.decode(token, "query")
    except InvalidArgument:
        return
    assert decoded == position
    assert decoded is not None
    assert type(decoded[0]) is int
    assert -(2**63) <= decoded[0] < 2**63


def test_the_empty_token_begins_at_the_first_page() -> None:
    assert paging.decode("", "query") is None


@pytest.mark.parametrize("token", ["A" * 1025, "[" * 900, "bnVsbA", "MQ"])
def test_a_hostile_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        paging.decode(token, "query")


def test_pages_of_another_size_continue_the_same_query() -> None:
    first = template_pb2.ListTemplatesRequest(page_size=10, kind=template_pb2.KIND_PERCENT_OFF)
    second = template_pb2.ListTemplatesRequest(page_size=20, page_token="x", kind=template_pb2.KIND_PERCENT_OFF)
    third = template_pb2.ListTemplatesRequest(page_size=10)
    assert paging.query_of(first) == paging.query_of(second)
    assert paging.query_of(first) != paging.query_of(third)
