"""L1 at its capacity under entries of random sizes, with floors under it: what the process holds beside its base.

Prints one JSON line. Run alone: the resident set is of the whole process.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path

from couponry._core import L1

_KIND = "user"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KEYS = 4_000_000
_NOW_AND_THEN = 1000


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _size(chance: random.Random) -> int:
    """Mostly small, some large: 100 bytes to 64 KiB, each power of two as often."""
    return int(100 * 2 ** (chance.random() ** 3 * 9.3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--capacity-mb", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    payload = chance.randbytes(1 << 17)
    capacity = arguments.capacity_mb << 20
    l1 = L1({_KIND: capacity})
    base = _rss()
    highest, stores, events = 0, 0, 0
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        for _ in range(_NOW_AND_THEN):
            key = str(int(_KEYS * chance.random() ** 3))
            if l1.get(_KIND, key) is None:
                fill = l1.begin(_KIND, key)
                fill.store(payload[: _size(chance)], [(int(key), 1)], life_ms=3_600_000, sent_ms=l1.now_ms)
                stores += 1
            if chance.random() < 0.05:
                l1.changed(_KIND, str(chance.randrange(_KEYS)), chance.randrange(_KEYS), "present", 1)
                events += 1
        highest = max(highest, _rss())
    stats = l1.stats()[_KIND]
    figures = {"base": base, "highest": highest, "capacity": capacity, "stores": stores, "events": events}
    print(json.dumps({**figures, "held": stats["bytes"], "floors": stats["floors"], "evictions": stats["evictions"]}))


if __name__ == "__main__":
    main()
