"""`couponry doctor`: asks both stores what they are set to and names what would cost coupons, or make the caches lie.

A finding that fails carries the line to put into the server's configuration. Nothing is changed.

    mysql     settings, session and schema
    binlog    what the caches hear of changes by
    redis     the addresses of the sale and of the cache
    findings  what is said of one thing
"""

from couponry.config import Settings
from couponry.doctor.binlog import of_binlog
from couponry.doctor.findings import Finding, State
from couponry.doctor.mysql import CACHED_TABLES, of_mysql
from couponry.doctor.redis import of_redis

__all__ = ["CACHED_TABLES", "Finding", "State", "examine"]


def examine(settings: Settings) -> list[Finding]:
    """Every finding, of MySQL first; a store that does not answer is one that fails."""
    return [*of_mysql(settings), *of_binlog(settings), *of_redis(settings)]
