"""A decision in words, English or Chinese, made from its codes and figures alone."""

from typing import Final

from couponry.discount.decision import BestDecision, Decision, Hint, Rejected
from couponry.discount.money import amount_text
from couponry.discount.names import Optimality

__all__ = ["LANGUAGES", "explain", "explain_rejected"]

LANGUAGES: Final = ("en", "zh")

_REASONS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "NOT_FOUND": "there is no such coupon",
        "NOT_STARTED": "it cannot be used yet",
        "EXPIRED": "it has expired",
        "TEMPLATE_PAUSED": "its campaign is paused",
        "USED": "it has been used",
        "LOCKED": "another order holds it",
        "REVOKED": "it has been revoked",
        "DUPLICATE": "it was named twice",
        "BUDGET_EXHAUSTED": "the budget of its campaign has only {left} left",
        "CURRENCY_MISMATCH": "it is for another currency",
        "SCOPE_MISMATCH": "nothing in the cart is eligible",
        "MIN_SPEND_NOT_MET": "{short_by} more of eligible goods are needed",
        "MIN_QUANTITY_NOT_MET": "eligible units are missing: {units}",
        "OVERSHOOT": "it is worth more than the eligible goods still cost",
        "NO_EFFECT": "there is nothing left that it could take off, so it is kept",
        "EXCLUSIVE": "it cannot stand beside coupon {with_coupon_id}",
        "GROUP_LIMIT": "no more coupons of the group {group} are allowed",
        "STACK_LIMIT": "no more coupons of its campaign are allowed in one order",
        "NOT_IN_BEST": "the best set with it takes {less_by} less",
        "NOT_IN_BEST/0": "a set with it takes just as much, with more coupons or ones that expire later",
        "NOT_IN_BEST/bounded": "as far as was searched, a set with it takes at least {less_by} less",
    },
    "zh": {
        "NOT_FOUND": "没有这张券",
        "NOT_STARTED": "尚未到可用时间",
        "EXPIRED": "已过期",
        "TEMPLATE_PAUSED": "所属活动已暂停",
        "USED": "已使用",
        "LOCKED": "已被另一订单占用",
        "REVOKED": "已作废",
        "DUPLICATE": "重复提交",
        "BUDGET_EXHAUSTED": "所属活动的预算只剩 {left}",
        "CURRENCY_MISMATCH": "币种不同",
        "SCOPE_MISMATCH": "购物车中没有适用的商品",
        "MIN_SPEND_NOT_MET": "适用商品还差 {short_by}",
        "MIN_QUANTITY_NOT_MET": "适用商品还差 {units} 件",
        "OVERSHOOT": "面额超过适用商品的当前金额",
        "NO_EFFECT": "已没有可减的金额, 予以保留",
        "EXCLUSIVE": "不能与券 {with_coupon_id} 同时使用",
        "GROUP_LIMIT": "同组 {group} 的券已达上限",
        "STACK_LIMIT": "同一活动的券在一单中已达上限",
        "NOT_IN_BEST": "含此券的最优组合少减 {less_by}",
        "NOT_IN_BEST/0": "含此券的组合优惠相同, 但用券更多或到期更晚",
        "NOT_IN_BEST/bounded": "在已搜索的范围内, 含此券的组合至少少减 {less_by}",
    },
}
_TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "total": "{original} before coupons, {discount} off, {payable} to pay.",
        "applied": "Coupon {coupon} takes {amount} off.",
        "pending": "Coupon {coupon} takes {amount} off; it is still being delivered.",
        "rejected": "Coupon {coupon} is left out: {why}.",
        "next_tier": "With {short_by} more of eligible goods, coupon {coupon} would take {amount} off.",
        "unused": "{amount} of coupon {coupon} go unused.",
        "unlock": "Add {short_by} of eligible goods and coupon {coupon} could be used.",
        "exact": "No other set of these coupons takes more off.",
        "bounded": "The search ended early: no set of these coupons takes more than {gap} above this off.",
        "runner_up": "The next best set (coupons {coupons}) takes {amount} less.",
        "runner_up/0": "Another set (coupons {coupons}) takes just as much.",
    },
    "zh": {
        "total": "原价 {original}, 优惠 {discount}, 应付 {payable}。",
        "applied": "券 {coupon} 减 {amount}。",
        "pending": "券 {coupon} 减 {amount}, 该券仍在发放中。",
        "rejected": "券 {coupon} 未使用: {why}。",
        "next_tier": "再买 {short_by} 适用商品, 券 {coupon} 可减 {amount}。",
        "unused": "券 {coupon} 有 {amount} 未用完。",
        "unlock": "再加 {short_by} 适用商品, 即可使用券 {coupon}。",
        "exact": "这些券没有优惠更多的组合。",
        "bounded": "搜索提前结束: 任何组合至多再多减 {gap}。",
        "runner_up": "次优组合 (券 {coupons}) 少减 {amount}。",
        "runner_up/0": "另一组合 (券 {coupons}) 优惠相同。",
    },
}


def explain(decision: Decision, language: str = "en") -> tuple[str, ...]:
    """Paragraphs: the totals, each applied and each rejected coupon, hints, and of a `BestDecision` why it is the best.

    ValueError for a language other than "en" and "zh".
    """
    text = _texts(language)
    money = _Money(decision.currency)
    paragraphs = [
        text["total"].format(
            original=money.of(decision.original),
            discount=money.of(decision.discount),
            payable=money.of(decision.payable),
        )
    ]
    paragraphs += [
        text["pending" if applied.pending else "applied"].format(
            coupon=applied.coupon_id, amount=money.of(applied.discount)
        )
        for applied in decision.applied
    ]
    exact = not isinstance(decision, BestDecision) or decision.certificate.optimality is Optimality.EXACT
    paragraphs += [
        explain_rejected(rejected, decision.currency, language, exact=exact) for rejected in decision.rejected
    ]
    paragraphs += [_hint(hint, money, text) for hint in decision.hints]
    if isinstance(decision, BestDecision):
        paragraphs += _certificate(decision, money, text)
    return tuple(paragraphs)


def explain_rejected(
    rejected: Rejected, currency: str, language: str = "en", *, name: str | None = None, exact: bool = True
) -> str:
    """One sentence on a coupon that was left out; `name` is what the caller calls it, where it has no known id.

    `exact`: its `less_by` is the very difference, not a bound of it.
    """
    text = _texts(language)
    money = _Money(currency)
    reason = rejected.reason.value
    if rejected.less_by is not None:
        reason += "/bounded" if not exact else "" if rejected.less_by else "/0"
    why = _REASONS[language][reason].format(
        left=money.of(rejected.left),
        short_by=money.of(rejected.short_by),
        units=rejected.short_by,
        with_coupon_id=rejected.with_coupon_id,
        group=rejected.group,
        less_by=money.of(rejected.less_by),
    )
    return text["rejected"].format(coupon=name or rejected.coupon_id, why=why)


def _texts(language: str) -> dict[str, str]:
    try:
        return _TEXTS[language]
    except KeyError:
        raise ValueError(f'language: must be one of "en" and "zh", is {language!r}') from None


def _hint(hint: Hint, money: "_Money", text: dict[str, str]) -> str:
    if hint.next_tier is not None:
        return text["next_tier"].format(
            coupon=hint.coupon_id,
            short_by=money.of(hint.next_tier.short_by),
            amount=money.of(hint.next_tier.amount_off),
        )
    if hint.unlock is not None:
        return text["unlock"].format(coupon=hint.coupon_id, short_by=money.of(hint.unlock))
    return text["unused"].format(coupon=hint.coupon_id, amount=money.of(hint.unused))


def _certificate(decision: BestDecision, money: "_Money", text: dict[str, str]) -> list[str]:
    certificate = decision.certificate
    exact = certificate.optimality is Optimality.EXACT
    paragraphs = [text["exact" if exact else "bounded"].format(gap=money.of(certificate.gap))]
    if certificate.runner_up is not None:
        coupons = ", ".join(map(str, certificate.runner_up.coupon_ids))
        less_by = certificate.runner_up.less_by
        paragraphs.append(
            text["runner_up" if less_by else "runner_up/0"].format(coupons=coupons, amount=money.of(less_by))
        )
    return paragraphs


class _Money:
    """Amounts of one currency as text."""

    __slots__ = ("_currency",)

    def __init__(self, currency: str) -> None:
        self._currency = currency

    def of(self, amount: int | None) -> str:
        return "" if amount is None else amount_text(amount, self._currency)
