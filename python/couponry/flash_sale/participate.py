"""Participate: one claim, its verdict as a result. Only failures of the service itself are errors.

A WON repeated with its request id gives the same coupon, for ever: from Redis while the activity lives, from MySQL once
it is settled. The native front end takes plain requests past this module, to the same claims.
"""

from couponry.errors import NotFound
from couponry.flash_sale.claims import Claims
from couponry.flash_sale.messages import MAX_ACTIVITY_ID
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["Participation"]


class Participation:
    """Checks requests; everything else is the claims'."""

    def __init__(self, *, claims: Claims) -> None:
        self._claims = claims

    async def participate(self, request: flash_sale_pb2.ParticipateRequest) -> flash_sale_pb2.ParticipateResponse:
        """The verdict on one claim. Raises Unavailable: whether it won is found by repeating it with its request id."""
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.shop_id("user_id", request.user_id)
        violations.request_id("request_id", request.request_id)
        violations.raise_if_any()
        if request.activity_id > MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        answer = await self._claims.participate(request.activity_id, request.user_id, request.request_id)
        return flash_sale_pb2.ParticipateResponse.FromString(answer)
