"""ReceiveCoupon: concurrent calls for one template become one transaction.

The calls of one loop tick go together; those that come while a transaction of their template is under way wait for the
next. So the template's row is locked once a batch, and no two transactions of a process fight for it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from couponry.clock import from_sql
from couponry.coupons.codes import Codes
from couponry.coupons.issuing import Offer, limit_error, offer_of
from couponry.coupons.loaders import USER_KIND
from couponry.coupons.messages import coupon_message
from couponry.coupons.once import request_key
from couponry.errors import CouponryError, InvalidArgument
from couponry.store.answers import find_answers, insert_answers
from couponry.store.ids import COUPON, Ids
from couponry.store.layers import Change, Layers
from couponry.store.mysql import DuplicateKey, MySQL, Row, Tx
from couponry.store.requests import RequestKey
from couponry.v1 import coupon_pb2
from couponry.validation import Violations

__all__ = ["Receiving"]

_Outcome = bytes | CouponryError

_BATCH: Final = 256
# A request id that another transaction used between our look and our insert makes the batch look again.
_LOOKS: Final = 5


@dataclass(eq=False, slots=True)
class _Call:
    """One caller, waiting for the serialized answer."""

    user_id: str
    key: RequestKey
    answer: asyncio.Future[bytes]


class Receiving:
    """Gives coupons to users who ask for them."""

    def __init__(self, *, mysql: MySQL, layers: Layers, ids: Ids, codes: Codes) -> None:
        self._mysql = mysql
        self._layers = layers
        self._ids = ids
        self._codes = codes
        self._queues: dict[int, deque[_Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Ids taken for calls that were refused: the next batch uses them.
        self._spare_ids: list[int] = []

    async def receive(self, request: coupon_pb2.ReceiveCouponRequest) -> coupon_pb2.ReceiveCouponResponse:
        """One coupon of the template for the user.

        Raises NotFound, FailedPrecondition (TEMPLATE_PAUSED, NOT_STARTED, EXPIRED), Exhausted (TOTAL_LIMIT,
        USER_LIMIT). A call that is cancelled while it waits gets nothing; once its transaction runs, the coupon is
        given, and the same request id answers it.
        """
        violations = Violations()
        violations.shop_id("user_id", request.user_id)
        violations.own_id("template_id", request.template_id)
        violations.request_id("request_id", request.request_id)
        violations.raise_if_any()
        loop = asyncio.get_running_loop()
        key = request_key("ReceiveCoupon", request.user_id, request)
        call = _Call(request.user_id, key, loop.create_future())
        queue = self._queues.get(request.template_id)
        if queue is None:
            queue = self._queues[request.template_id] = deque()
            task = loop.create_task(self._serve(request.template_id, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(call)
        return coupon_pb2.ReceiveCouponResponse.FromString(await call.answer)

    async def close(self) -> None:
        """Waits for the transactions under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, template_id: int, queue: deque[_Call]) -> None:
        """Serves a template's queue until it is empty. It starts in the tick after the first call came."""
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
                waiting = [call for call in batch if not call.answer.done()]
                if waiting:
                    await self._answer(template_id, waiting)
        finally:
            del self._queues[template_id]
            for call in queue:
                call.answer.cancel()

    async def _answer(self, template_id: int, calls: list[_Call]) -> None:
        try:
            outcomes = await self._in_one_transaction(template_id, calls)
        except BaseException as error:
            for call in calls:
                if call.answer.done():
                    continue
                if isinstance(error, Exception):
                    call.answer.set_exception(error)
                else:
                    call.answer.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for call, outcome in zip(calls, outcomes, strict=True):
            if call.answer.done():
                continue
            if isinstance(outcome, bytes):
                call.answer.set_result(outcome)
            else:
                call.answer.set_exception(outcome)

    async def _in_one_transaction(self, template_id: int, calls: list[_Call]) -> list[_Outcome]:
        coupon_ids = await self._take_ids(len(calls))
        batch = _Batch(template_id, calls, coupon_ids, self._codes)
        for look in range(1, _LOOKS + 1):
            try:
                given, outcomes = await self._mysql.run(batch.run)
                break
            except DuplicateKey:
                if look == _LOOKS:
                    raise
        self._spare_ids += coupon_ids[len(given) :]
        self._layers.wrote(Change(USER_KIND, user_id, "written") for user_id in set(given))
        return outcomes

    async def _take_ids(self, count: int) -> list[int]:
        taken, self._spare_ids = self._spare_ids[:count], self._spare_ids[count:]
        if len(taken) < count:
            taken += await self._ids.take(COUPON, count - len(taken))
        return taken


@dataclass(frozen=True, slots=True)
class _Batch:
    """The calls of one transaction, and ids enough for all of them."""

    template_id: int
    calls: list[_Call]
    coupon_ids: list[int]
    codes: Codes

    async def run(self, tx: Tx) -> tuple[list[str], list[_Outcome]]:
        """The users who were given a coupon, and the outcome of each call, in order."""
        offer = await offer_of(tx, self.template_id)
        outcomes: dict[_Call, _Outcome] = {}
        asking, repeats = self._sort_out(await find_answers(tx, [call.key for call in self.calls]), outcomes)
        lucky = await self._pick(tx, offer, asking, outcomes)
        users = [call.user_id for call in lucky]
        coupon_ids = self.coupon_ids[: len(lucky)]
        issue = await offer.give(tx, users, coupon_ids, coupon_pb2.COUPON_SOURCE_RECEIVED)
        answers: list[tuple[RequestKey, bytes]] = []
        response = coupon_pb2.ReceiveCouponResponse()
        for call, coupon_id in zip(lucky, coupon_ids, strict=True):
            if not answers:
                now = from_sql(offer.template["now"])
                response.coupon.CopyFrom(coupon_message(issue.row(call.user_id, coupon_id), now, self.codes))
            # The coupons of a batch differ in nothing else.
            coupon = response.coupon
            coupon.user_id, coupon.coupon_id, coupon.code = call.user_id, coupon_id, self.codes.encode(coupon_id)
            answer = response.SerializeToString()
            outcomes[call] = answer
            answers.append((call.key, answer))
        await insert_answers(tx, answers)
        for call, first in repeats:
            outcomes[call] = outcomes[first] if call.key == first.key else _mismatch()
        return users, [outcomes[call] for call in self.calls]

    def _sort_out(
        self, known: Mapping[tuple[str, str], Row], outcomes: dict[_Call, _Outcome]
    ) -> tuple[list[_Call], list[tuple[_Call, _Call]]]:
        """Settles the calls that have an answer; the calls that ask for a coupon, and repeats beside their first."""
        asking: list[_Call] = []
        repeats: list[tuple[_Call, _Call]] = []
        firsts: dict[tuple[str, str], _Call] = {}
        for call in self.calls:
            place = (call.key.scope, call.key.request_id)
            if place in known:
                row = known[place]
                outcomes[call] = row["answer"] if row["fingerprint"] == call.key.fingerprint else _mismatch()
            elif place in firsts:
                repeats.append((call, firsts[place]))
            else:
                if call.key.given:
                    firsts[place] = call
                asking.append(call)
        return asking, repeats

    async def _pick(self, tx: Tx, offer: Offer, asking: list[_Call], outcomes: dict[_Call, _Outcome]) -> list[_Call]:
        """The calls that get a coupon; the others' outcomes say why not."""
        refusals = [offer.refusal(coupon_pb2.COUPON_SOURCE_RECEIVED) for _ in asking]
        open_to = [call for call, refusal in zip(asking, refusals, strict=True) if refusal is None]
        outcomes.update((call, refusal) for call, refusal in zip(asking, refusals, strict=True) if refusal is not None)
        limits = await offer.limits(tx, [call.user_id for call in open_to])
        outcomes.update(
            (call, limit_error(limit)) for call, limit in zip(open_to, limits, strict=True) if limit is not None
        )
        return [call for call, limit in zip(open_to, limits, strict=True) if limit is None]


def _mismatch() -> InvalidArgument:
    return InvalidArgument.of("request_id", "was used before with another body", reason="IDEMPOTENCY_MISMATCH")
