"""What each command means. One family a file; importing this package declares them all (engine/registry.py)."""

from miniredis.commands import (
    hashes,
    keys,
    lists,
    sets,
    strings,
    transactions,
    zset_algebra,
    zset_ranges,
    zsets,
)

FAMILIES = (hashes, keys, lists, sets, strings, transactions, zset_algebra, zset_ranges, zsets)
