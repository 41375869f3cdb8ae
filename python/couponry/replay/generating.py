"""Random carts for tests, benchmarks and a first look: the same for the same seed, on every machine.

Whole numbers only, so that prices are no floats on their way either.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

__all__ = ["generate"]

_SHOPS: Final = ("north", "south", "east", "west")
_CATEGORIES: Final = ("tea", "kitchen", "books", "toys", "garden", "clothes", "shoes", "audio")
_SKUS: Final = 400
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SECONDS: Final = 181 * 86_400
_LINES: Final = (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 9)
_QUANTITIES: Final = (1, 1, 1, 1, 1, 1, 2, 2, 3, 10)


def generate(count: int, seed: int = 0) -> Iterator[str]:
    """Lines of JSON, each with its newline. Currency CNY; four shops, eight categories, some sales, some gift cards."""
    random = Random(seed)  # noqa: S311 - no secret
    catalogue = [_article(random, number) for number in range(_SKUS)]
    dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    for number in range(count):
        yield dumps(_cart(random, catalogue, number)) + "\n"


def _article(random: Random, number: int) -> dict[str, Any]:
    price = random.choice((990, 1_990, 4_900, 9_900, 19_900, 49_900, 129_900)) + random.randrange(0, 3_000, 10)
    article: dict[str, Any] = {
        "sku_id": f"sku-{number}",
        "spu_id": f"spu-{number // 4}",
        "category_ids": ["all", _CATEGORIES[number % len(_CATEGORIES)]],
        "shop_id": _SHOPS[number * len(_SHOPS) // _SKUS],
        "unit_price": price,
    }
    if random.randrange(10) == 0:
        article["list_unit_price"] = price + price // 4
    if random.randrange(50) == 0:
        article["not_discountable"] = True
    return article


def _cart(random: Random, catalogue: list[dict[str, Any]], number: int) -> dict[str, Any]:
    chosen = random.sample(catalogue, random.choice(_LINES))
    lines = [
        {"line_id": str(place), **article, "quantity": random.choice(_QUANTITIES)}
        for place, article in enumerate(chosen, 1)
    ]
    shops = dict.fromkeys(article["shop_id"] for article in chosen)
    return {
        "order_id": f"G{number}",
        "at": (_FIRST + timedelta(seconds=random.randrange(_SECONDS))).isoformat(),
        "currency": "CNY",
        "lines": lines,
        "shipments": [
            {"shipment_id": f"parcel-{shop}", "shop_id": shop, "amount": random.choice((0, 600, 800, 1_200))}
            for shop in shops
        ],
    }
