"""Figures of the binlog's reader and of the teller for Prometheus. The ages of L1 and L2 are the layers' own."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from couponry.invalidation.following import Following

__all__ = ["BinlogCollector"]

_READER: Final = {
    "events": "Events of the binlog that were read",
    "transactions": "Transactions among them",
    "rows": "Rows of cached tables among them",
    "bytes": "Bytes of the binlog that were read",
    "reconnects": "Times that the reader connected again",
    "probes": "Answers to where the server's log is",
    "failed_probes": "Questions without an answer",
}
_TELLER: Final = {
    "takeovers": "Times that this worker began to tell L2",
    "tells": "Round trips that told L2",
    "changes": "Changes told",
    "refused": "Tells that another teller was faster than",
    "epochs": "Times that this worker began a new epoch",
}


class BinlogCollector(Collector):
    """Nothing but `couponry_binlog_followed 0` without a reader."""

    def __init__(self, following: Following) -> None:
        self._following = following

    def collect(self) -> Iterator[Metric]:
        """One family a figure."""
        binlog, teller = self._following.binlog, self._following.teller
        yield GaugeMetricFamily("couponry_binlog_followed", "Whether there is a reader", value=int(binlog is not None))
        if binlog is not None:
            yield GaugeMetricFamily(
                "couponry_binlog_trouble", "1 while the reader cannot go on", value=int(binlog.trouble() is not None)
            )
            figures = dict(binlog.figures())
            for name, text in _READER.items():
                yield CounterMetricFamily(f"couponry_binlog_{name}", text, value=figures[name])
            losses = CounterMetricFamily(
                "couponry_binlog_losses", "Times that L1 was emptied and L2 began a new epoch", labels=["cause"]
            )
            for cause, count in binlog.losses():
                losses.add_metric([cause], count)
            yield losses
        if teller is not None:
            yield GaugeMetricFamily("couponry_telling", "Whether this worker tells L2", value=int(teller.stats.telling))
            for name, text in _TELLER.items():
                yield CounterMetricFamily(f"couponry_teller_{name}", text, value=getattr(teller.stats, name))
