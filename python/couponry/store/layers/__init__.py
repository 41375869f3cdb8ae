"""Reads through three layers: L1 in the extension, L2 in Redis, L3 in MySQL (docs/cache.md).

MySQL is the truth; L1 and L2 are told of every change by the binlog, and step aside where they were not told lately.
Without a binlog reader, L1 holds entries for half a second and L2 is not used.

    reading   `Layers`: the one way in which cached rows are read, and told of local commits
    loading   what a loader gives, and how long it is kept
    l2        entries in Redis, under what each bucket was told
    feed      what the layers ask of the binlog reader, and what a change is
    trace     which layer answered the call under way
"""

from couponry.store.layers.feed import Change, Coordinate, Fate, Feed, NoFeed
from couponry.store.layers.l2 import BUCKETS, L2, Entry, L2Stats, Told
from couponry.store.layers.loading import LayerLives, LayerStats, Loaded, Loader, versions
from couponry.store.layers.reading import Layers
from couponry.store.layers.trace import Trace, traced

__all__ = [
    "BUCKETS",
    "L2",
    "Change",
    "Coordinate",
    "Entry",
    "Fate",
    "Feed",
    "L2Stats",
    "LayerLives",
    "LayerStats",
    "Layers",
    "Loaded",
    "Loader",
    "NoFeed",
    "Told",
    "Trace",
    "traced",
    "versions",
]
