"""Figures for Prometheus, read from the parts at the time of a scrape: nothing is counted twice.

`couponry_layer_reads_total{kind, layer}` are keys answered by L1, L2 and L3; `couponry_l1_*` are what L1 holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from couponry._core import L1
from couponry.config import parse_listen
from couponry.store.layers import Layers

__all__ = ["LayerCollector", "metrics_page"]


class LayerCollector(Collector):
    """The layers' own counters."""

    def __init__(self, layers: Layers, l1: L1) -> None:
        self._layers = layers
        self._l1 = l1

    def collect(self) -> Iterator[Metric]:
        """One family a figure."""
        reads = CounterMetricFamily("couponry_layer_reads", "Keys answered by a layer", labels=["kind", "layer"])
        loads = CounterMetricFamily("couponry_loader_calls", "Reads of MySQL for cached rows", labels=["kind"])
        for kind, stats in self._layers.stats().items():
            for layer, count in (("l1", stats.l1), ("l2", stats.l2), ("l3", stats.l3)):
                reads.add_metric([kind, layer], count)
            loads.add_metric([kind], stats.loader_calls)
        entries = GaugeMetricFamily("couponry_l1_entries", "Entries in L1", labels=["kind"])
        size = GaugeMetricFamily("couponry_l1_bytes", "Bytes in L1", labels=["kind"])
        for kind, figures in self._l1.stats().items():
            entries.add_metric([kind], figures["entries"])
            size.add_metric([kind], figures["bytes"])
        yield from (reads, loads, entries, size)


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
