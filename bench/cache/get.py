"""How long a hit of L1 takes from Python, beside a dict's get, in one process; the answer is asserted first."""

import json
import statistics
import timeit

from couponry._core import L1

_KIND = "template"
_KEYS = [str(number) for number in range(1000)]
_ROUNDS = 7
_CALLS = 200_000


def _filled() -> tuple[L1, dict[str, bytes]]:
    l1 = L1({_KIND: 32 << 20})
    held = {key: f"payload of {key}".encode() for key in _KEYS}
    for key, payload in held.items():
        refused = l1.begin(_KIND, key).store(payload, [(int(key), 1)], life_ms=3_600_000, sent_ms=l1.now_ms)
        assert refused is None
    for key, payload in held.items():
        assert l1.get(_KIND, key) == payload
    return l1, held


def _ns(statement: str, names: dict[str, object]) -> float:
    # The loop over keys is the same for both, and its cost is taken off.
    loop = f"for key in keys: {statement}"
    times = timeit.repeat(loop, globals={**names, "keys": _KEYS}, number=_CALLS // len(_KEYS), repeat=_ROUNDS)
    empty = timeit.repeat("for key in keys: pass", globals={"keys": _KEYS}, number=_CALLS // len(_KEYS), repeat=_ROUNDS)
    return (statistics.median(times) - statistics.median(empty)) / _CALLS * 1e9


def main() -> None:
    l1, held = _filled()
    figures = {
        "l1_ns": _ns(f"get({_KIND!r}, key)", {"get": l1.get}),
        "dict_ns": _ns("get(key)", {"get": held.get}),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
