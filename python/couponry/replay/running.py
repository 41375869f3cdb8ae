"""A replay from the file to the sums: reads blocks, has them priced, adds up.

One process prices here; more are started for it. A wrong line ends the replay unless it is to be skipped.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Final

from couponry.replay.carts import MAX_LINE, Block, TooLong, blocks
from couponry.replay.dominance import Candidates, intersect
from couponry.replay.errors import BadLine, BadLines
from couponry.replay.memory import peak_bytes
from couponry.replay.pool import Answer, Pool
from couponry.replay.pricing import Plan, Pricer, empty_tally
from couponry.replay.tally import Tally

__all__ = ["Outcome", "Progress", "replay"]

Progress = Callable[[int, int], None]
"""Called with the bytes of a block, and the carts in it."""
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """The sums of a whole history, and what they took: seconds, the processes that priced, peak memory of all."""

    plan: Plan
    tally: Tally
    candidates: Candidates = field(default_factory=dict)
    seconds: float = 0.0
    processes: int = 1
    peak_bytes: int = 0


def replay(
    plan: Plan,
    source: BufferedIOBase,
    *,
    name: str,
    processes: int,
    skip_bad: bool = False,
    progress: Progress = lambda _size, _carts: None,
    block_size: int = 256 * 1024,
) -> Outcome:
    """Prices all of `source`, which errors call `name`. Raises BadLines, WorkerDied."""
    began = time.perf_counter()
    tally = empty_tally(plan)
    candidates: Candidates = {}
    pool = Pool(plan, processes) if processes > 1 else None
    parts = _read(source, name, block_size)
    with closing(_here(plan, parts) if pool is None else pool.price(parts)) as answers:
        for answer in answers:
            tally.merge(answer.found.tally)
            intersect(candidates, answer.found.candidates)
            if tally.bad and not skip_bad:
                raise BadLines(_told(tally, name))
            progress(answer.size, answer.found.tally.carts)
    seconds = time.perf_counter() - began
    peak = peak_bytes() + (0 if pool is None else pool.peak_bytes)
    return Outcome(plan, tally, candidates, seconds, 1 if pool is None else pool.processes, peak)


def _read(source: BufferedIOBase, name: str, block_size: int) -> Iterator[Block]:
    try:
        yield from blocks(source, block_size)
    except TooLong as error:
        # Not to be skipped: where a line without end ends is not known.
        wrong = BadLine(error.line, (("", f"longer than {MAX_LINE // _MIB} MiB"),))
        raise BadLines("\n".join(wrong.shown(name))) from None


def _here(plan: Plan, parts: Iterable[Block]) -> Generator[Answer, None, None]:
    pricer = Pricer(plan)
    for block in parts:
        yield Answer(len(block.text), pricer.price(block))


def _told(tally: Tally, name: str) -> str:
    bad = tally.first_bad.entries()
    told = [text for line in bad for text in line.shown(name)]
    if tally.bad > len(bad):
        told.append(f"{name}: and more wrong lines")
    return "\n".join([*told, "--skip-bad leaves wrong lines out and counts them"])
