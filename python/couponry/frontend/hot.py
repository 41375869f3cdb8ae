"""The methods that the native front end answers inside the extension: one table.

What L1 lacks is fetched through the layers, for all misses of a turn at once. Everything else about a method (its
checks, what does not exist, a store that is down) stays with its servicer; one that is not here costs nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from couponry._core import L1
from couponry.discount import Rules
from couponry.errors import Unavailable
from couponry.flash_sale.claims import Claims, Refusal
from couponry.frontend.native import Fetch, NativeServer
from couponry.servicers.base import status_and_log
from couponry.store.layers import Layers

__all__ = ["HOT_METHODS", "PARTICIPATE", "HotMethod", "answer_claims", "answer_hot_methods"]

PARTICIPATE: Final = "/couponry.v1.FlashSaleService/Participate"


@dataclass(frozen=True, slots=True)
class HotMethod:
    """A method by its path, and where its answers are: the kind in L1, and `item_field` of the response (0: all of it).

    All of them are asked by field 1, an id or with `many` a list of ids. The layers can fetch those that are `layered`.
    """

    path: str
    kind: str
    item_field: int = 1
    many: bool = False
    layered: bool = True


HOT_METHODS: Final = (
    HotMethod("/couponry.v1.TemplateService/GetTemplate", "template"),
    HotMethod("/couponry.v1.TemplateService/BatchGetTemplates", "template", many=True),
    HotMethod("/couponry.v1.FlashSaleService/GetActivity", "activity"),
    HotMethod("/couponry.v1.FlashSaleService/GetStock", "stock", item_field=0, layered=False),
)


_CALCULATE: Final = "/couponry.v1.DiscountService/CalculateDiscount"


def answer_hot_methods(server: NativeServer, l1: L1, layers: Layers, rules: Rules) -> None:
    """Teaches a server that has not started to answer them, and CalculateDiscount under these rules."""
    server.answer_calculations(
        _CALCULATE, l1, rules, user_kind="user", template_kind="template", fetch=_fetching_any(layers)
    )
    for method in HOT_METHODS:
        server.answer_from_l1(
            method.path,
            l1,
            method.kind,
            item_field=method.item_field,
            many=method.many,
            fetch=_fetching(layers, method.kind) if method.layered else None,
        )


def answer_claims(server: NativeServer, claims: Claims) -> None:
    """Lets a server that has not started take claims without a task each."""
    claims.tell_calls(_told)
    server.answer_claims(PARTICIPATE, claims.batcher)


def _told(error: Exception) -> Refusal:
    status: Any = status_and_log("Participate", error)
    return status.code.value[0], status.details, tuple(status.trailing_metadata)


def _fetching(layers: Layers, kind: str) -> Fetch:
    async def fetch(keys: Sequence[str]) -> dict[str, bytes]:
        try:
            found = await layers.get_many(kind, keys)
        except Unavailable:
            return {}
        return {key: payload for key, payload in zip(keys, found, strict=True) if payload is not None}

    return fetch


def _fetching_any(layers: Layers) -> Fetch:
    """By keys that begin with their kind; what is there is in L1 afterwards."""

    async def fetch(keys: Sequence[str]) -> dict[str, bytes]:
        try:
            found = await asyncio.gather(*(layers.get(*key.split(":", 1)) for key in keys))
        except Unavailable:
            return {}
        return {key: payload for key, payload in zip(keys, found, strict=True) if payload is not None}

    return fetch
