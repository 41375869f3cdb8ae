"""The methods that the native front end answers inside the extension while L1 has the answer: one table.

Everything else about a method (its checks, its misses) stays with its servicer; one that is not here costs nothing.
"""

from dataclasses import dataclass
from typing import Final

from couponry._core import L1
from couponry.frontend.native import NativeServer

__all__ = ["HOT_METHODS", "HotMethod", "answer_hot_methods"]


@dataclass(frozen=True, slots=True)
class HotMethod:
    """A method by its path, and where its answers are: the kind in L1, and `item_field` of the response (0: all of it).

    All of them are asked by field 1, an id or with `many` a list of ids.
    """

    path: str
    kind: str
    item_field: int = 1
    many: bool = False


HOT_METHODS: Final = (
    HotMethod("/couponry.v1.TemplateService/GetTemplate", "template"),
    HotMethod("/couponry.v1.TemplateService/BatchGetTemplates", "template", many=True),
    HotMethod("/couponry.v1.FlashSaleService/GetActivity", "activity"),
    HotMethod("/couponry.v1.FlashSaleService/GetStock", "stock", item_field=0),
)


def answer_hot_methods(server: NativeServer, l1: L1) -> None:
    """Teaches a server that has not started to answer them."""
    for method in HOT_METHODS:
        server.answer_from_l1(method.path, l1, method.kind, item_field=method.item_field, many=method.many)
