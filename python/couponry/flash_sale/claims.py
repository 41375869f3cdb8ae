"""Claims go to Redis in batches: the extension gathers those of one loop tick, sends them and tells the callers.

Here is what only Python can do for a batch, one task a batch: find out about its activity, open the activity, carry the
script where the extension has no connection, wait for rows. Every verdict comes from Redis: a SOLD_OUT remembered here
could lie after a restock, or to a repeat. A caller that goes away leaves its claim in the batch: its win is found by
repeating the request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from couponry._core import L1, ClaimBatch, ClaimBatcher
from couponry.config import FlashSaleSettings
from couponry.coupons.codes import Codes
from couponry.errors import CouponryError, Exhausted, NotFound, Unavailable
from couponry.flash_sale.activities import ACTIVITY_KIND
from couponry.flash_sale.balancing import Balance
from couponry.flash_sale.claim_connection import ClaimConnection
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.replicas import Replicas, Told
from couponry.flash_sale.rows import Rows
from couponry.flash_sale.sale import Claimed, Sale
from couponry.flash_sale.settled_claims import SettledClaims
from couponry.flash_sale.wire import WON, Place
from couponry.store.layers import Layers
from couponry.store.redis import Redis
from couponry.v1 import flash_sale_pb2

__all__ = ["Claims", "Refusal"]

# What a call is refused with: a status code's number, its details, trailing metadata.
Refusal = tuple[int, str, tuple[tuple[str, str | bytes], ...]]

_PASSES: Final = 3
_FILLS: Final = 3
_FULL_RETRY_S: Final = 0.5


class _Settled(Exception):
    """The activity is settled: MySQL answers for it."""


class Claims:
    """`on_win` is told of each place that has a win to persist, once a batch."""

    def __init__(
        self,
        *,
        redis: Redis,
        layers: Layers,
        l1: L1,
        codes: Codes,
        sale: Sale,
        fence: Fence,
        rows: Rows,
        replicas: Replicas,
        settled: SettledClaims,
        balance: Balance,
        settings: FlashSaleSettings,
        on_win: Callable[[Place], None],
    ) -> None:
        self._layers = layers
        self._sale = sale
        self._fence = fence
        self._rows = rows
        self._replicas = replicas
        self._settled = settled
        self._balance = balance
        self._on_win = on_win
        self._fence_retry_s = settings.fence_retry_ms / 1000
        self._user_retry_s = 1 / (settings.user_claims_per_second or 1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._tell: Callable[[Exception], Refusal] = _not_served
        self.batcher: Final = ClaimBatcher(
            asyncio.get_running_loop(),
            l1,
            codes.key,
            self._work,
            self._won,
            sha=redis.script_sha("claim"),
            prefix=redis.key(""),
            per_script=settings.claims_per_script,
            in_flight=settings.scripts_in_flight,
            held=settings.claims_waiting,
            per_user_s=settings.user_claims_per_second,
            user_burst=settings.user_claim_burst,
        )
        self._connection = ClaimConnection(redis=redis, batcher=self.batcher)
        self._acts: Mapping[str, Callable[[ClaimBatch], Awaitable[None]]] = MappingProxyType(
            {
                "stray": self._find_activity,
                "carry": self._carry,
                "not_ready": self._open,
                "wins": self._confirm,
                "empty": self._fill,
                "full": self._refuse_full,
                "fast": self._refuse_fast,
            }
        )

    async def participate(self, activity_id: int, user_id: str, request_id: str) -> bytes:
        """The serialized ParticipateResponse to one valid claim.

        Raises NotFound, Exhausted where too many wait, or Unavailable where the activity could not be opened, Redis did
        not answer or the row did not come. A claim that met a Redis which nobody has opened waits for a fence pass.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.batcher.claim(activity_id, user_id.encode(), request_id.encode(), answer)
        return await answer

    def tell_calls(self, tell: Callable[[Exception], Refusal]) -> None:
        """The front end hands calls straight to the batcher; `tell` says what an error is to them."""
        self._tell = tell

    async def close(self) -> None:
        """Waits until every claim has its answer."""
        while self._tasks or self.batcher.held:
            idle = asyncio.Event()
            self.batcher.when_idle(idle.set)
            await idle.wait()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
        self.batcher.close()

    def _won(self, activity_id: int, bucket: int) -> None:
        self._on_win(Place(activity_id, bucket))

    def _work(self, batches: list[ClaimBatch]) -> None:
        loop = asyncio.get_running_loop()
        for batch in batches:
            task = loop.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: ClaimBatch) -> None:
        try:
            await self._acts[batch.kind](batch)
        except _Settled:
            await self._run_settled(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
            self._refuse(batch, error)
        except BaseException:
            self._refuse(batch, Unavailable("draining", reason="DRAINING"))
            raise

    async def _run_settled(self, batch: ClaimBatch) -> None:
        place = _place(batch)
        try:
            batch.answer(await self._settled.answers(place.activity_id, batch.claims()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
            self._refuse(batch, error)

    def _refuse(self, batch: ClaimBatch, error: Exception) -> None:
        batch.refuse(error, *self._tell(error))

    async def _find_activity(self, batch: ClaimBatch) -> None:
        # Redis decides: while SQL is down, where the activity is may be read from what is known of it.
        payload = await self._layers.get(ACTIVITY_KIND, str(batch.activity_id), stale=True)
        if payload is None:
            raise NotFound("no such activity")
        if flash_sale_pb2.Activity.FromString(payload).state == flash_sale_pb2.ACTIVITY_STATE_SETTLED:
            raise _Settled
        if not batch.send(payload):
            raise CouponryError("an activity cannot be read")

    async def _carry(self, batch: ClaimBatch) -> None:
        # Also what was lost with its connection: a request that has won gets its win again.
        self._connection.want()
        claimed = await self._claim(batch)
        if claimed is None:
            await self._open(batch)
        else:
            self._decided(batch, claimed)

    async def _open(self, batch: ClaimBatch) -> None:
        # More than one pass is rare: another instance may have closed the activity again meanwhile.
        for _ in range(_PASSES):
            if not await self._fence.ensure(_place(batch)):
                raise _Settled
            claimed = await self._claim(batch)
            if claimed is not None:
                self._decided(batch, claimed)
                return
        raise Unavailable("the activity is being opened", reason="NOT_READY", retry_after_s=self._fence_retry_s)

    async def _fill(self, batch: ClaimBatch) -> None:
        # What is moved to a bucket may be sold before the claims that asked for it are decided.
        if batch.round <= _FILLS:
            await self._balance.fill(_place(batch))
            claimed = await self._claim(batch)
            if claimed is not None:
                self._decided(batch, claimed)
                return
        raise Unavailable("stock is being moved to this user's bucket", reason="NOT_READY")

    async def _claim(self, batch: ClaimBatch) -> Claimed | None:
        return await self._sale.claim(_place(batch), WON, batch.claims())

    @staticmethod
    def _decided(batch: ClaimBatch, claimed: Claimed) -> None:
        batch.decided(claimed.left, claimed.now_ms, claimed.start_ms, claimed.verdicts)

    async def _confirm(self, batch: ClaimBatch) -> None:
        place, wins = _place(batch), batch.wins()
        if batch.ack == flash_sale_pb2.ACK_MYSQL:
            batch.confirmed(await self._rows.persisted(place, [(number, user) for user, _, number in wins]))
            if len(batch):
                raise Unavailable("the win is not in the database yet", reason="PENDING")
        else:
            batch.confirmed(await self._replicas.confirm(place, [Told(*win) for win in wins]))
            if len(batch):
                raise Unavailable("the win was lost with its server", reason="NOT_READY")

    async def _refuse_full(self, batch: ClaimBatch) -> None:  # noqa: ARG002 - as the others
        raise Exhausted("too many claims wait for an answer", reason="OVERLOADED", retry_after_s=_FULL_RETRY_S)

    async def _refuse_fast(self, batch: ClaimBatch) -> None:  # noqa: ARG002 - as the others
        raise Exhausted("this user claims too often", reason="RATE_LIMITED", retry_after_s=self._user_retry_s)


def _place(batch: ClaimBatch) -> Place:
    return Place(batch.activity_id, batch.bucket)


def _not_served(error: Exception) -> Refusal:
    return 13, str(error), ()
