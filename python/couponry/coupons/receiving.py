"""ReceiveCoupon: calls that come together become one transaction, whatever their templates.

A few transactions run at once, and a template is in one of them at most: its row is locked once a batch, and no two
transactions of a process fight for it. Calls that come meanwhile wait for the next. A rush on one template has a
transaction of its own; templates of few calls share one, which waits for no lock.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from couponry.clock import from_sql
from couponry.coupons.codes import Codes
from couponry.coupons.issuing import Offer, free_offers_of, give, limit_error, offer_of
from couponry.coupons.loaders import USER_KIND
from couponry.coupons.messages import coupon_message
from couponry.coupons.once import request_key
from couponry.errors import CouponryError, InvalidArgument, NotFound, Unavailable
from couponry.store.answers import find_answers, insert_answers
from couponry.store.coupons import count_receipts
from couponry.store.ids import COUPON, Ids
from couponry.store.layers import Change, Layers
from couponry.store.mysql import DuplicateKey, MySQL, Row, Tx
from couponry.store.requests import RequestKey
from couponry.store.templates import select_offers
from couponry.v1 import coupon_pb2
from couponry.validation import Violations

__all__ = ["Receiving"]

_Outcome = bytes | CouponryError

_BATCH: Final = 512
_TRANSACTIONS: Final = 4
# A template with so many calls is a rush.
_RUSH: Final = 32
# A request id that another transaction used between our look and our insert makes the batch look again.
_LOOKS: Final = 5
_SOURCE: Final = coupon_pb2.COUPON_SOURCE_RECEIVED


@dataclass(eq=False, slots=True)
class _Call:
    """One caller, waiting for the serialized answer."""

    template_id: int
    user_id: str
    key: RequestKey
    answer: asyncio.Future[bytes]

    @property
    def place(self) -> tuple[str, str]:
        """What a request id is unique in."""
        return self.key.scope, self.key.request_id


class Receiving:
    """Gives coupons to users who ask for them."""

    def __init__(self, *, mysql: MySQL, layers: Layers, ids: Ids, codes: Codes) -> None:
        self._mysql = mysql
        self._layers = layers
        self._ids = ids
        self._codes = codes
        # By template, in the order in which they are to be served.
        self._waiting: dict[int, deque[_Call]] = {}
        self._under_way: set[int] = set()
        # Templates that get a transaction of their own: somebody else held the row, or a shared one failed.
        self._alone: set[int] = set()
        self._departing = False
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
        call = _Call(request.template_id, request.user_id, key, loop.create_future())
        self._waiting.setdefault(request.template_id, deque()).append(call)
        if not self._departing:
            # In the next tick, with all calls of this one.
            self._departing = True
            loop.call_soon(self._depart)
        return coupon_pb2.ReceiveCouponResponse.FromString(await call.answer)

    async def close(self) -> None:
        """Waits for the transactions under way."""
        while self._tasks or self._departing:
            await asyncio.gather(*self._tasks, asyncio.sleep(0), return_exceptions=True)

    def _depart(self) -> None:
        self._departing = False
        while len(self._tasks) < _TRANSACTIONS and (calls := self._next_batch()):
            templates = {call.template_id for call in calls}
            self._under_way |= templates
            task = asyncio.get_running_loop().create_task(self._serve(templates, calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> list[_Call]:
        """The calls of one transaction: of one template in a rush, or of several that have few."""
        batch: list[_Call] = []
        keys: dict[tuple[str, str], RequestKey] = {}
        for template_id in [each for each in self._waiting if each not in self._under_way]:
            queue = deque(call for call in self._waiting.pop(template_id) if not call.answer.done())
            alone = len(queue) >= _RUSH or template_id in self._alone
            # A request id that comes with two bodies: the second one waits until the first one has its answer.
            clash = any(call.key.given and keys.get(call.place, call.key) != call.key for call in queue)
            if batch and (alone or clash or len(batch) + len(queue) > _BATCH):
                self._waiting[template_id] = queue
                continue
            taken = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
            batch += taken
            keys.update((call.place, call.key) for call in taken)
            if queue:
                self._waiting[template_id] = queue
            if taken and alone:
                break
        return batch

    async def _serve(self, templates: set[int], calls: list[_Call]) -> None:
        left: list[_Call] = []
        try:
            left = await self._answer(templates, calls)
        finally:
            self._under_way -= templates
            self._alone -= templates
            for call in reversed(left):
                self._alone.add(call.template_id)
                self._waiting.setdefault(call.template_id, deque()).appendleft(call)
            if not self._departing:
                self._departing = True
                asyncio.get_running_loop().call_soon(self._depart)

    async def _answer(self, templates: set[int], calls: list[_Call]) -> list[_Call]:
        """Answers all calls but those whose templates need transactions of their own, which are returned."""
        try:
            outcomes = await self._in_one_transaction(templates, calls)
        except BaseException as error:
            if len(templates) > 1 and isinstance(error, Exception) and not isinstance(error, Unavailable):
                # Whichever it was, it shall fail alone.
                return calls
            for call in calls:
                if call.answer.done():
                    continue
                if isinstance(error, Exception):
                    call.answer.set_exception(error)
                else:
                    call.answer.cancel()
            if not isinstance(error, Exception):
                raise
            return []
        for call, outcome in outcomes.items():
            if call.answer.done():
                continue
            if isinstance(outcome, bytes):
                call.answer.set_result(outcome)
            else:
                call.answer.set_exception(outcome)
        return [call for call in calls if call not in outcomes]

    async def _in_one_transaction(self, templates: set[int], calls: list[_Call]) -> dict[_Call, _Outcome]:
        coupon_ids = await self._take_ids(len(calls))
        batch = _Batch(sorted(templates), calls, coupon_ids, self._codes)
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

    templates: list[int]
    calls: list[_Call]
    coupon_ids: list[int]
    codes: Codes

    async def run(self, tx: Tx) -> tuple[list[str], dict[_Call, _Outcome]]:
        """The users who were given a coupon, and the outcome of each call whose template nobody else holds."""
        offers = await self._offers(tx)
        outcomes: dict[_Call, _Outcome] = {}
        calls = [call for call in self.calls if call.template_id in offers]
        known = await find_answers(tx, [call.key for call in calls])
        asking, repeats = _sort_out(calls, known, outcomes)
        by_template: defaultdict[int, list[_Call]] = defaultdict(list)
        for call in asking:
            by_template[call.template_id].append(call)
        lucky = await self._pick(tx, offers, by_template, outcomes)
        ids = iter(self.coupon_ids)
        given = [
            (offers[template_id].issue(_SOURCE), [(call, next(ids)) for call in chosen])
            for template_id, chosen in lucky.items()
        ]
        await give(tx, [(issue, [(call.user_id, coupon_id) for call, coupon_id in owners]) for issue, owners in given])
        answers: list[tuple[RequestKey, bytes]] = []
        response = coupon_pb2.ReceiveCouponResponse()
        coupon = response.coupon
        for issue, owners in given:
            row = issue.row("", owners[0][1])
            coupon.CopyFrom(coupon_message(row, from_sql(issue.received_at), self.codes))
            for call, coupon_id in owners:
                # The coupons of one issue differ in nothing else.
                coupon.user_id, coupon.coupon_id, coupon.code = call.user_id, coupon_id, self.codes.encode(coupon_id)
                outcomes[call] = answer = response.SerializeToString()
                answers.append((call.key, answer))
        await insert_answers(tx, answers)
        for call, first in repeats:
            outcomes[call] = outcomes[first] if call.key == first.key else _mismatch()
        outcomes |= await self._absent(tx, offers)
        return [call.user_id for _, owners in given for call, _ in owners], outcomes

    async def _offers(self, tx: Tx) -> dict[int, Offer]:
        if len(self.templates) > 1:
            return await free_offers_of(tx, self.templates)
        [template_id] = self.templates
        return {template_id: await offer_of(tx, template_id)}

    async def _absent(self, tx: Tx, offers: Mapping[int, Offer]) -> dict[_Call, _Outcome]:
        """Templates without an offer are held by somebody else, or are not there."""
        missing = [template_id for template_id in self.templates if template_id not in offers]
        there = {row["id"] for row in await select_offers(tx, missing)} if missing else set()
        absent = set(missing) - there
        return {call: NotFound("no such template") for call in self.calls if call.template_id in absent}

    async def _pick(
        self,
        tx: Tx,
        offers: Mapping[int, Offer],
        asking: Mapping[int, list[_Call]],
        outcomes: dict[_Call, _Outcome],
    ) -> dict[int, list[_Call]]:
        """By template the calls that get a coupon; the others' outcomes say why not."""
        open_to: dict[int, list[_Call]] = {}
        for template_id, calls in asking.items():
            for call in calls:
                refusal = offers[template_id].refusal(_SOURCE)
                if refusal is None:
                    open_to.setdefault(template_id, []).append(call)
                else:
                    outcomes[call] = refusal
        pairs = [
            (template_id, call.user_id)
            for template_id, calls in open_to.items()
            if offers[template_id].counts_receipts
            for call in calls
        ]
        receipts = await count_receipts(tx, pairs)
        lucky: dict[int, list[_Call]] = {}
        for template_id, calls in open_to.items():
            limits = offers[template_id].limits([call.user_id for call in calls], receipts)
            for call, limit in zip(calls, limits, strict=True):
                if limit is None:
                    lucky.setdefault(template_id, []).append(call)
                else:
                    outcomes[call] = limit_error(limit)
        return lucky


def _sort_out(
    calls: list[_Call], known: Mapping[tuple[str, str], Row], outcomes: dict[_Call, _Outcome]
) -> tuple[list[_Call], list[tuple[_Call, _Call]]]:
    """Settles the calls that have an answer; the calls that ask for a coupon, and repeats beside their first."""
    asking: list[_Call] = []
    repeats: list[tuple[_Call, _Call]] = []
    firsts: dict[tuple[str, str], _Call] = {}
    for call in calls:
        if call.place in known:
            row = known[call.place]
            outcomes[call] = row["answer"] if row["fingerprint"] == call.key.fingerprint else _mismatch()
        elif call.place in firsts:
            repeats.append((call, firsts[call.place]))
        else:
            if call.key.given:
                firsts[call.place] = call
            asking.append(call)
    return asking, repeats


def _mismatch() -> InvalidArgument:
    return InvalidArgument.of("request_id", "was used before with another body", reason="IDEMPOTENCY_MISMATCH")
