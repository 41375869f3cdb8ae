"""A campaign's file: what it says reaches the calculator, and everything wrong in it is told at once."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from couponry.discount import Cart, CouponClass, Kind, Line, Repeat, Rules, Scope, Terms, Tier
from couponry.replay.campaign import Campaign, Shelf, Template, load_campaign
from couponry.replay.errors import BadFiles
from tests.unit.replay.shop import instant


def load(folder: Path, text: str) -> Campaign:
    file = folder / "draft.toml"
    file.write_text(text)
    return load_campaign(file)


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadFiles) as caught:
        load(folder, text)
    return [line.removeprefix(f"{folder}/draft.toml: ") for line in str(caught.value).splitlines()]


TEMPLATE = """
[[templates]]
key = "a"
[templates.terms]
kind = "INSTANT_OFF"
coupon_class = "PLATFORM"
currency = "CNY"
"""


def test_every_field_of_terms_and_rules_is_read(tmp_path: Path) -> None:
    campaign = load(
        tmp_path,
        """
        [[templates]]
        key = "a"
        name = "A"
        held = 3
        valid_from = 2026-06-01T00:00:00Z
        valid_until = 2026-07-01T00:00:00+08:00
        [templates.terms]
        kind = "THRESHOLD_OFF"
        coupon_class = "SHOP"
        currency = "CNY"
        min_quantity = 2
        max_discount = 50
        repeat = { every = 100, amount_off = 10 }
        scope = { include_skus = ["x"], exclude_shops = ["y"] }
        shop_id = "north"
        priority = -3
        exclusive_group = ""
        stack_limit = 3
        joint = true
        overshoot = "REJECT"
        exclude_sale_items = true
        [[templates]]
        key = "b"
        [templates.terms]
        kind = "THRESHOLD_OFF"
        coupon_class = "PLATFORM"
        currency = "CNY"
        tiers = [{ min_spend = 1, amount_off = 1 }]
        [rules]
        minimum_payable = 1
        count_limit = 9
        """,
    )
    terms = Terms(
        Kind.THRESHOLD_OFF,
        CouponClass.SHOP,
        "CNY",
        min_quantity=2,
        max_discount=50,
        repeat=Repeat(100, 10),
        scope=Scope(include_skus=("x",), exclude_shops=("y",)),
        shop_id="north",
        priority=-3,
        exclusive_group="",
        stack_limit=3,
        joint=True,
        overshoot=campaign.templates[0].terms.overshoot,
        exclude_sale_items=True,
    )
    window = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 30, 16, tzinfo=UTC)
    ladder = Terms(Kind.THRESHOLD_OFF, CouponClass.PLATFORM, "CNY", tiers=(Tier(1, 1),))
    assert campaign.templates == (Template("a", terms, "A", 3, *window), Template("b", ladder))
    assert campaign.templates[0].terms.overshoot.name == "REJECT"
    assert campaign.rules == Rules(minimum_payable=1, count_limit=9)
    assert [coupon.template_id for coupon in campaign.coupons()] == [1, 1, 1, 2]
    assert (campaign.coupons()[0].valid_from, campaign.coupons()[0].valid_until) == window


def test_no_field_of_terms_is_forgotten(tmp_path: Path) -> None:
    wrong = "\n".join(f"{field.name} = nan" for field in fields(Terms))
    problems = told(tmp_path, f'[[templates]]\nkey = "a"\n[templates.terms]\n{wrong}')
    assert {problem.split(":")[0] for problem in problems if not problem.startswith("and ")} <= {
        f"templates[0].terms.{field.name}" for field in fields(Terms)
    }
    assert len(problems) == min(len(fields(Terms)), 20) + (len(fields(Terms)) > 20)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["templates: is required"]),
        ("templates = []", ["templates: must be 1 to 1,000, are 0"]),
        ("templates = 5", ["templates: must be a list"]),
        ("templates = [5]", ["templates[0]: must be a table of fields"]),
        (TEMPLATE + "amount_off = 10.0", ["templates[0].terms.amount_off: must be a whole number"]),
        (TEMPLATE + "amount_off = true", ["templates[0].terms.amount_off: must be a whole number"]),
        (TEMPLATE + 'amount_off = "10"', ["templates[0].terms.amount_off: must be a whole number"]),
        (TEMPLATE + "amount_off = 10\nexclusive = 1", ["templates[0].terms.exclusive: must be true or false"]),
        (
            TEMPLATE + 'amount_off = 10\noverrshoot = "CLAMP"',
            ["templates[0].terms.overrshoot: unknown field; did you mean overshoot?"],
        ),
        (
            TEMPLATE + 'amount_off = 10\novershoot = "clamp"',
            ["templates[0].terms.overshoot: must be one of CLAMP, REJECT"],
        ),
        (
            TEMPLATE + "amount_off = 0\n[rules]\ncount_limit = 0",
            [
                "templates[0].terms.amount_off: must be at least 1, is 0",
                "rules.count_limit: must be 1 to 30, is 0",
            ],
        ),
        (2 * (TEMPLATE + "amount_off = 1\n"), ["templates[1].key: is that of templates[0] too"]),
    ],
)
def test_a_wrong_file_is_told_by_field(tmp_path: Path, text: str, problems: list[str]) -> None:
    assert told(tmp_path, text) == problems


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("held = 0", "templates[0].held: must be 1 to 30"),
        (
            'valid_from = "2026-01-01"',
            "templates[0].valid_from: must be a time with its offset, as 2026-06-01T00:00:00Z",
        ),
        (
            "valid_from = 2026-01-01T00:00:00",
            "templates[0].valid_from: must be a time with its offset, as 2026-06-01T00:00:00Z",
        ),
        (
            "valid_from = 2026-01-02T00:00:00Z\nvalid_until = 2026-01-02T00:00:00Z",
            "templates[0].valid_until: must be later than valid_from",
        ),
    ],
)
def test_a_wrong_template_is_told_by_field(tmp_path: Path, line: str, problem: str) -> None:
    text = TEMPLATE.replace('key = "a"', f'key = "a"\n{line}') + "amount_off = 1"
    assert told(tmp_path, text) == [problem]


def test_a_file_that_is_no_toml_or_not_there_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, "key =")[0].startswith("not TOML: Invalid value")
    with pytest.raises(BadFiles, match="No such file"):
        load_campaign(tmp_path / "other.toml")


def test_a_cart_sees_the_coupons_of_its_currency_and_its_shops() -> None:
    campaign = Campaign(
        (
            Template("any", instant(1)),
            Template("north", Terms(Kind.INSTANT_OFF, CouponClass.SHOP, "CNY", amount_off=1, shop_id="north")),
            Template("south", Terms(Kind.INSTANT_OFF, CouponClass.SHOP, "CNY", amount_off=1, shop_id="south"), held=2),
            Template("yen", Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "JPY", amount_off=1)),
        )
    )
    shelf = Shelf(campaign.coupons())

    def seen(cart: Cart) -> list[int]:
        return [coupon.coupon_id for coupon in shelf.coupons_for(cart)]

    line = Line("1", "s", "south", 1, 5)
    assert seen(Cart("CNY", (line,))) == [1, 3, 4]
    assert seen(Cart("CNY", (line, Line("2", "s", "north", 1, 5)))) == [1, 2, 3, 4]
    assert seen(Cart("CNY", order_total=5)) == [1]
    assert seen(Cart("JPY", (line,))) == [5]
    assert seen(Cart("EUR", (line,))) == []
