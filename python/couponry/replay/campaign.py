"""A campaign to replay: templates, the rules of stacking and the coupons that every customer is taken to hold.

Written in TOML (docs/replay.md). A cart sees the coupons of its currency that are of no shop or of one of its shops;
the others could only be refused.
"""

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from couponry.discount import Cart, Coupon, CouponClass, InvalidInput, Rules, Terms, price, validate_terms
from couponry.replay.errors import BadFiles
from couponry.replay.plain import Problems, read

__all__ = ["Campaign", "Shelf", "Template", "load_campaign"]

_MOST_HELD: Final = 30
_MOST_TEMPLATES: Final = 1_000
_MOST_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Template:
    """A template of the file. Every customer holds `held` coupons of it, which may be used in the window it has."""

    key: str
    terms: Terms
    name: str = ""
    held: int = 1
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """The templates of one file, which number from 1 on as template ids, and its rules."""

    templates: tuple[Template, ...]
    rules: Rules = field(default_factory=Rules)

    def coupons(self) -> tuple[Coupon, ...]:
        """One user's coupons: ids in the order of the file."""
        found: list[Coupon] = []
        for template_id, template in enumerate(self.templates, 1):
            for _ in range(template.held):
                ends = template.valid_from, template.valid_until
                found.append(Coupon(len(found) + 1, template_id, template.terms, *ends))
        return tuple(found)


def load_campaign(path: Path) -> Campaign:
    """Raises BadFiles with everything that is wrong, by field."""
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadFiles(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFiles(f"{path}: not TOML: {error}") from None
    problems = Problems()
    campaign = read(Campaign, tree, "", problems)
    if campaign is not None:
        problems.extend(_wrong(campaign))
    if problems or campaign is None:
        told = [f"{path}: {name}: {text}" for name, text in problems[:_MOST_TOLD]]
        if len(problems) > _MOST_TOLD:
            told.append(f"{path}: and {len(problems) - _MOST_TOLD} more")
        raise BadFiles("\n".join(told))
    return campaign


def _wrong(campaign: Campaign) -> Problems:
    problems = Problems()
    if not 1 <= len(campaign.templates) <= _MOST_TEMPLATES:
        problems.append(("templates", f"must be 1 to {_MOST_TEMPLATES:,}, are {len(campaign.templates):,}"))
    keys: dict[str, int] = {}
    for place, template in enumerate(campaign.templates):
        path = f"templates[{place}]"
        if not 1 <= len(template.key.encode()) <= 64:
            problems.append((f"{path}.key", "must be 1 to 64 bytes"))
        if keys.setdefault(template.key, place) != place:
            problems.append((f"{path}.key", f"is that of templates[{keys[template.key]}] too"))
        if not 1 <= template.held <= _MOST_HELD:
            problems.append((f"{path}.held", f"must be 1 to {_MOST_HELD}"))
        if template.valid_from and template.valid_until and template.valid_from >= template.valid_until:
            problems.append((f"{path}.valid_until", "must be later than valid_from"))
        try:
            validate_terms(template.terms)
        except InvalidInput as error:
            problems.extend((f"{path}.terms.{name}", text) for name, text in error.violations)
    try:
        price(Cart("XXX", order_total=0), (), campaign.rules, now=datetime.fromisoformat("2000-01-01T00:00:00Z"))
    except InvalidInput as error:
        problems.extend(error.violations)
    return problems


class Shelf:
    """The coupons of a campaign by the carts that they could apply to."""

    def __init__(self, coupons: Sequence[Coupon]) -> None:
        everywhere: defaultdict[str, list[Coupon]] = defaultdict(list)
        of_shops: defaultdict[str, defaultdict[str, list[Coupon]]] = defaultdict(lambda: defaultdict(list))
        for coupon in coupons:
            terms = coupon.terms
            if terms.coupon_class is CouponClass.SHOP and terms.shop_id is not None:
                of_shops[terms.currency][terms.shop_id].append(coupon)
            else:
                everywhere[terms.currency].append(coupon)
        self._everywhere: Mapping[str, tuple[Coupon, ...]] = {name: tuple(some) for name, some in everywhere.items()}
        self._of_shops: Mapping[str, Mapping[str, list[Coupon]]] = of_shops

    def coupons_for(self, cart: Cart) -> tuple[Coupon, ...]:
        """Of no shop first, then shop by shop."""
        found = self._everywhere.get(cart.currency, ())
        shops = self._of_shops.get(cart.currency)
        if shops is None:
            return found
        own = [coupon for shop in sorted({line.shop_id for line in cart.lines}) for coupon in shops.get(shop, ())]
        return (*found, *own)
