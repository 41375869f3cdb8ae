"""One client process: claims without a pause, and writes every answer down before it does anything else.

Run: `python -m tests.chaos.flash.load PLAN`, a JSON object with name, targets, log, seed, workers and pace_ms.
Lines of JSON on standard input name the activities that claims go to (`{"activities": [{"id": 1, "users": 500}]}`); at
its end the client waits for the calls under way and goes.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from couponry.client import refusal_of
from couponry.v1 import flash_sale_pb2
from couponry.v1.flash_sale_pb2_grpc import FlashSaleServiceStub
from tests.chaos.flash.evidence import Answer

__all__ = ["Target", "claim"]

_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
    # A channel of its own, and not one that another target's state decides about.
    ("grpc.use_local_subchannel_pool", 1),
)
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """One server process, and a channel to it that does not repeat anything by itself."""

    name: str
    channel: grpc.aio.Channel
    stub: FlashSaleServiceStub

    @classmethod
    def of(cls, name: str, address: str) -> "Target":
        """A channel to an address."""
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return cls(name, channel, FlashSaleServiceStub(channel))


async def claim(target: Target, client: str, activity: int, user: str, request: str, timeout_s: float) -> Answer:
    """One call and what came of it."""
    sent = time.monotonic()
    call = flash_sale_pb2.ParticipateRequest(activity_id=activity, user_id=user, request_id=request)
    try:
        answer = await target.stub.Participate(call, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        outcome, coupon, left, detail = f"!{error.code().name}", 0, 0, f"{refusal.reason} {refusal.text}"
    else:
        name = flash_sale_pb2.ParticipateStatus.Name(answer.status)
        outcome, coupon, left, detail = name.removeprefix("PARTICIPATE_STATUS_"), answer.coupon_id, answer.left, ""
    return Answer(sent, time.monotonic(), client, target.name, activity, user, request, outcome, coupon, left, detail)


@dataclass
class Load:
    """What this client does: new claims, repeats of won and of unanswered ones, second claims of winners."""

    name: str
    targets: list[Target]
    log: int
    rng: random.Random
    pace_s: float
    activities: list[dict[str, Any]] = field(default_factory=list)
    won: list[tuple[int, str, str]] = field(default_factory=list)
    unanswered: deque[tuple[int, str, str]] = field(default_factory=deque)
    made: int = 0
    stopping: bool = False

    def choose(self) -> tuple[int, str, str]:
        dice = self.rng.random()
        if self.unanswered and dice < 0.3:
            return self.unanswered.popleft()
        if self.won and dice < 0.45:
            # Mostly one of the last, but any may come back.
            recent = self.won if self.rng.random() < 0.3 else self.won[-200:]
            return self.rng.choice(recent)
        activity = self.rng.choice(self.activities)
        self.made += 1
        request = f"{self.name}-{self.made}"
        if self.won and dice < 0.6:
            winner = self.rng.choice(self.won[-500:])
            if winner[0] == activity["id"]:
                return activity["id"], winner[1], request
        return activity["id"], f"u{self.rng.randrange(activity['users'])}", request

    async def work(self) -> None:
        while not self.stopping:
            if self.activities:
                wanted = self.choose()
                answer = await claim(self.rng.choice(self.targets), self.name, *wanted, timeout_s=_TIMEOUT_S)
                os.write(self.log, answer.line())
                if answer.won:
                    self.won.append(wanted)
                elif not answer.decided:
                    self.unanswered.append(wanted)
            await asyncio.sleep(self.rng.expovariate(1 / self.pace_s))


async def main() -> None:
    """Runs until standard input ends."""
    plan = json.loads(sys.argv[1])
    log = os.open(Path(plan["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    targets = [Target.of(name, address) for name, address in plan["targets"]]
    load = Load(plan["name"], targets, log, random.Random(plan["seed"]), plan["pace_ms"] / 1000)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    workers = [asyncio.create_task(load.work()) for _ in range(plan["workers"])]
    while line := await reader.readline():
        load.activities = json.loads(line)["activities"]
    load.stopping = True
    await asyncio.gather(*workers)
    for target in targets:
        with contextlib.suppress(grpc.RpcError):
            await target.channel.close()


if __name__ == "__main__":
    uvloop.run(main())
