"""The scripts of lua/ over one bucket of a real Redis, and what they left there."""

import secrets
from typing import Any

from couponry.flash_sale.wire import Place, fields, from_outbox, from_records

__all__ = ["EPOCH", "FAR", "PLACE", "Scripts"]

PLACE = Place(7)
EPOCH = 1_700_000_000_000
FAR = 10**15


class Scripts:
    """One bucket, under a prefix of its own."""

    def __init__(self, client: Any, texts: dict[str, str]) -> None:
        self.client = client
        self._run = {name: client.register_script(text) for name, text in texts.items()}
        self._prefix = secrets.token_hex(8)
        self.keys = [f"{self._prefix}:{name}" for name in PLACE.names()]

    def run(self, name: str, *args: Any) -> Any:
        return self._run[name](keys=self.keys, args=args)

    def run_beside(self, name: str, token: str, *args: Any) -> Any:
        """A script that also gets the keys of a fence pass."""
        beside = [f"{self._prefix}:{key}" for key in PLACE.beside(token)]
        keys = [self.keys[0], beside[0]] if name == "fence_fill" else [*self.keys, *beside]
        return self._run[name](keys=keys, args=args)

    def open(self, stock: int, limit: int) -> None:
        token = secrets.token_hex(8)
        replid = self.run("fence_close", token)[0]
        m = {
            "epoch": EPOCH, "number": 100, "base": 100, "left": stock, "total": stock, "ended": 0, "elsewhere": 0,
            "token": "", "adj_place": 0, "adj_id": "", "adj_result": 1, "adj_delta": 0, "adj_left": 0, "adj_total": 0,
            "version": 1, "start": 0, "end": FAR, "limit": limit, "paused": 0, "template_version": 1,
            "template_paused": 0,
        }  # fmt: skip
        assert self.run_beside("fence_open", token, token, replid, "rebuild", 60, *flat(m)) == 1

    def m(self) -> dict[str, str]:
        return fields(flat(self.client.hgetall(self.keys[0])))

    def wins(self) -> dict[bytes, list[tuple[int, bytes, bytes]]]:
        return {
            user: [(win.number, win.request_hash, win.kind) for win in from_records(user, records)]
            for user, records in self.client.hgetall(self.keys[1]).items()
        }

    def outbox(self) -> list[tuple[int, bytes, bytes, bytes]]:
        entries = [(entry_id, flat(entry)) for entry_id, entry in self.client.xrange(self.keys[2])]
        return [(win.number, win.user, win.request_hash, win.kind) for win in from_outbox(entries)]

    def remove(self) -> None:
        self.client.delete(*self.client.scan_iter(match=f"{self._prefix}:*", count=1000))


def flat(pairs: dict[Any, Any]) -> list[Any]:
    """field, value, ... of a dict."""
    return [part for pair in pairs.items() for part in pair]
