"""CalculateDiscount: the user's stored coupons, and what-if ones that exist only in the request, against a cart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from couponry import discount
from couponry.clock import Clock
from couponry.coupons.pricing import Candidate, Decided, cart_of, certificate_message, decided
from couponry.coupons.refs import RefResolver, ResolvedRef
from couponry.coupons.specs import check_terms
from couponry.coupons.wallet import Wallet
from couponry.errors import FieldViolation, InvalidArgument
from couponry.v1 import coupon_pb2, discount_pb2, reason_pb2, template_pb2
from couponry.validation import Violations

__all__ = ["Calculator"]

_INLINE: Final = "inline_coupons"


class Calculator:
    """Prices carts; changes nothing. `submitted_limit` is how many coupons a call may name."""

    def __init__(
        self, *, wallet: Wallet, refs: RefResolver, clock: Clock, rules: discount.Rules, submitted_limit: int
    ) -> None:
        self._wallet = wallet
        self._refs = refs
        self._clock = clock
        self._rules = rules
        self._submitted_limit = submitted_limit

    async def calculate(self, request: discount_pb2.CalculateDiscountRequest) -> discount_pb2.CalculateDiscountResponse:
        """What the named coupons take off, or the best of them: each is applied, or rejected with a reason."""
        decided = await self._decided(request)
        return discount_pb2.CalculateDiscountResponse(decision=decided.message(), certificate=_certificate(decided))

    async def explain(self, request: discount_pb2.ExplainRequest) -> discount_pb2.ExplainResponse:
        """The same in words too."""
        violations = Violations()
        language = request.language or discount.LANGUAGES[0]
        if language not in discount.LANGUAGES:
            violations.add("language", f"must be one of {', '.join(discount.LANGUAGES)}, or empty")
        if not request.HasField("calculation"):
            violations.add("calculation", "is required")
        violations.raise_if_any()
        try:
            decided = await self._decided(request.calculation)
        except InvalidArgument as error:
            raise InvalidArgument(
                FieldViolation(f"calculation.{violation.field}", violation.text) for violation in error.violations
            ) from None
        return discount_pb2.ExplainResponse(
            paragraphs=[*discount.explain(decided.decision, language), *_refused_texts(decided, language)],
            decision=decided.message(),
            certificate=_certificate(decided),
        )

    async def _decided(self, request: discount_pb2.CalculateDiscountRequest) -> Decided:
        violations = Violations()
        self._check_counts(request, violations)
        violations.raise_if_any()
        if request.user_id or request.coupons:
            violations.shop_id("user_id", request.user_id)
        violations.enum("mode", request.mode)
        violations.amount("minimum_payable", request.minimum_payable)
        if not request.HasField("cart"):
            violations.add("cart", "is required")
        cart = cart_of(request.cart, "cart", violations)
        refs = self._refs.resolve(request.user_id, request.coupons, "coupons", violations)
        inline = _inline_candidates(request.inline_coupons, refs, violations)
        violations.raise_if_any()
        candidates = await self._stored_candidates(request.user_id, refs)
        inline_refs = [ResolvedRef(coupon_id, "", f"{_INLINE}[{index}]") for index, coupon_id in enumerate(inline)]
        return decided(
            cart,
            [*refs, *inline_refs],
            candidates | inline,
            replace(self._rules, minimum_payable=request.minimum_payable),
            self._clock(),
            best=request.mode == discount_pb2.CALCULATE_MODE_BEST,
        )

    def _check_counts(self, request: discount_pb2.CalculateDiscountRequest, violations: Violations) -> None:
        submitted = len(request.coupons) + len(request.inline_coupons)
        if submitted > self._submitted_limit:
            field = "coupons" if request.coupons else _INLINE
            violations.add(field, f"a call names at most {self._submitted_limit} coupons, this one {submitted}")

    async def _stored_candidates(self, user_id: str, refs: Sequence[ResolvedRef]) -> dict[int, Candidate]:
        found = await self._wallet.find(user_id, [ref.coupon_id for ref in refs if ref.coupon_id is not None])
        self._refs.missed(user_id, [ref for ref in refs if ref.coupon_id not in found])
        return await self._wallet.candidates(list(found.values()))


def _certificate(decided: Decided) -> discount_pb2.Certificate | None:
    decision = decided.decision
    return certificate_message(decision.certificate) if isinstance(decision, discount.BestDecision) else None


def _refused_texts(decided: Decided, language: str) -> list[str]:
    """On the coupons that were refused before the calculation; one that was typed is called by its code."""
    return [
        discount.explain_rejected(
            discount.Rejected(
                refused.coupon_id,
                refused.template_id,
                discount.Reason[reason_pb2.Reason.Name(refused.reason).removeprefix("REASON_")],
            ),
            decided.decision.currency,
            language,
            name=refused.code or None,
        )
        for refused in decided.refused
    ]


def _inline_candidates(
    coupons: Sequence[discount_pb2.InlineCoupon], refs: Sequence[ResolvedRef], violations: Violations
) -> dict[int, Candidate]:
    taken = {ref.coupon_id for ref in refs}
    found: dict[int, Candidate] = {}
    for index, inline in enumerate(coupons):
        field = f"{_INLINE}[{index}]"
        violations.own_id(f"{field}.coupon_id", inline.coupon_id)
        violations.own_id(f"{field}.template_id", inline.template_id)
        if inline.coupon_id in taken:
            violations.add(f"{field}.coupon_id", "must be distinct from every other coupon of the call")
        taken.add(inline.coupon_id)
        start = violations.instant(f"{field}.valid_from", inline, "valid_from")
        end = violations.instant(f"{field}.valid_until", inline, "valid_until")
        violations.window(f"{field}.valid_until", start, end)
        if inline.HasField("terms"):
            check_terms(inline.terms, f"{field}.terms", violations)
        else:
            violations.add(f"{field}.terms", "is required")
        found[inline.coupon_id] = _inline_candidate(inline)
    return found


def _inline_candidate(inline: discount_pb2.InlineCoupon) -> Candidate:
    coupon = coupon_pb2.Coupon(
        coupon_id=inline.coupon_id, template_id=inline.template_id, state=coupon_pb2.COUPON_STATE_UNUSED
    )
    for end in ("valid_from", "valid_until"):
        if inline.HasField(end):
            getattr(coupon, end).CopyFrom(getattr(inline, end))
    template = template_pb2.Template(
        template_id=inline.template_id,
        spec=template_pb2.TemplateSpec(terms=inline.terms),
        state=template_pb2.TEMPLATE_STATE_ACTIVE,
    )
    return Candidate(coupon, template, None)
