"""Figures for Prometheus, read from the parts at the time of a scrape: nothing is counted twice.

`couponry_layer_reads_total{kind, layer}` are keys answered by L1, L2 and L3; `couponry_l1_*` are what L1 holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from couponry._core import L1
from couponry.config import parse_listen
from couponry.store.layers import Layers

__all__ = ["LayerCollector", "metrics_page"]

_L1_COUNTERS: Final = {
    "stores": "Entries stored",
    "evictions": "Entries that made room for others, or were not let in",
    "events": "Changes heard of, local commits included",
    "removed": "Entries that changes removed",
    "expired": "Entries whose time was over",
    "folds": "Times that floors were folded",
}
_L1_GAUGES: Final = {
    "entries": "Entries in L1",
    "absences": "Negative entries in L1",
    "bytes": "Bytes in L1",
    "floors": "Changed rows that L1 remembers",
    "folded_stripes": "Parts of 256 in which nothing is stored",
}


class LayerCollector(Collector):
    """The layers' own counters."""

    def __init__(self, layers: Layers, l1: L1) -> None:
        self._layers = layers
        self._l1 = l1

    def collect(self) -> Iterator[Metric]:
        """One family a figure."""
        yield from self._reads()
        yield from self._held()
        yield from self._of_l2()

    def _reads(self) -> Iterator[Metric]:
        reads = CounterMetricFamily("couponry_layer_reads", "Keys answered by a layer", labels=["kind", "layer"])
        loads = CounterMetricFamily("couponry_loader_calls", "Reads of MySQL for cached rows", labels=["kind"])
        stale = CounterMetricFamily("couponry_stale_reads", "Keys answered stale while MySQL was down", labels=["kind"])
        refreshes = CounterMetricFamily("couponry_refreshes", "Hot entries loaded before their end", labels=["kind"])
        for kind, stats in self._layers.stats().items():
            for layer, count in (("l1", stats.l1), ("l2", stats.l2), ("l3", stats.l3)):
                reads.add_metric([kind, layer], count)
            loads.add_metric([kind], stats.loader_calls)
            stale.add_metric([kind], stats.stale)
            refreshes.add_metric([kind], stats.refreshes)
        yield from (reads, loads, stale, refreshes)

    def _held(self) -> Iterator[Metric]:
        caused = {
            "missed": CounterMetricFamily(
                "couponry_l1_misses", "Reads that L1 did not answer", labels=["kind", "cause"]
            ),
            "refused": CounterMetricFamily("couponry_l1_refused_fills", "Loads not kept", labels=["kind", "cause"]),
        }
        counters = {
            name: CounterMetricFamily(f"couponry_l1_{name}", text, labels=["kind"])
            for name, text in _L1_COUNTERS.items()
        }
        gauges = {
            name: GaugeMetricFamily(f"couponry_l1_{name}", text, labels=["kind"]) for name, text in _L1_GAUGES.items()
        }
        for kind, figures in self._l1.stats().items():
            for name, figure in figures.items():
                group, _, cause = name.partition("_")
                if group in caused:
                    caused[group].add_metric([kind, cause], figure)
                elif name in counters:
                    counters[name].add_metric([kind], figure)
                elif name in gauges:
                    gauges[name].add_metric([kind], figure)
        yield from (*caused.values(), *counters.values(), *gauges.values())
        yield GaugeMetricFamily("couponry_l1_bypassed", "1 while L1 is not fresh", value=int(not self._l1.fresh))
        age_ms = self._l1.age_ms
        if age_ms is not None:
            text = "Since when L1 may lack changes; bypassed beyond max_staleness"
            yield GaugeMetricFamily("couponry_l1_age_seconds", text, value=age_ms / 1000)

    def _of_l2(self) -> Iterator[Metric]:
        stats = self._layers.l2_stats()
        refused = CounterMetricFamily("couponry_l2_refused_fills", "Entries that L2 did not take", labels=["cause"])
        for cause, count in stats.refused.items():
            refused.add_metric([cause], count)
        yield refused
        yield CounterMetricFamily("couponry_l2_round_trips", "Pipelined round trips", value=stats.round_trips)
        yield CounterMetricFamily("couponry_l2_failures", "Round trips that Redis did not answer", value=stats.failures)
        yield CounterMetricFamily("couponry_l2_stores", "Entries that L2 took", value=stats.stored)
        if stats.told_age_ms is not None:
            yield GaugeMetricFamily(
                "couponry_l2_told_age_seconds",
                "How long ago L2 was told, when it was asked last; negative: never, or in the future",
                value=stats.told_age_ms / 1000,
            )


@contextmanager
def metrics_page(listen: str | None, *collectors: Collector) -> Iterator[None]:
    """Serves the figures over HTTP on `HOST:PORT` while the block runs; with None, not at all."""
    if listen is None:
        yield
        return
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    address = parse_listen(listen)
    server, thread = start_http_server(address.port, addr=address.host, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
