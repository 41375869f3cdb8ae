"""Where changes come from, and who is told: the binlog, this worker's L1, and L2 in Redis (docs/invalidation.md).

A reader in the extension raises L1's floors on a thread of its own. One worker of all, whichever, also tells L2.

    following  `following`: starts what a worker needs, or says why it lives without
    feed       how far this worker's reader is, for the layers
    teller     tells L2, by compare-and-set, while nobody else does
    sale       brings changes made by SQL to the Redis of the sale
    ending     ends tasks, in spite of what a library does to cancellations
    figures    for Prometheus
"""

from couponry.invalidation.feed import BinlogFeed
from couponry.invalidation.figures import BinlogCollector
from couponry.invalidation.following import Following, following, source_of
from couponry.invalidation.sale import SaleFollower
from couponry.invalidation.teller import Teller, TellerStats

__all__ = [
    "BinlogCollector",
    "BinlogFeed",
    "Following",
    "SaleFollower",
    "Teller",
    "TellerStats",
    "following",
    "source_of",
]
