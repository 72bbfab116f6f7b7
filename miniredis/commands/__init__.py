"""What each command means. One family a file; importing this package declares them all (engine/registry.py)."""

from miniredis.commands import (
    bitfields,
    bitmaps,
    clients,
    command_docs,
    config,
    connection,
    debug,
    functions,
    hashes,
    info,
    keys,
    lists,
    pubsub,
    scripting,
    server,
    sets,
    strings,
    transactions,
    zset_algebra,
    zset_ranges,
    zsets,
)

FAMILIES = (
    bitfields, bitmaps, clients, command_docs, config, connection, debug, functions, hashes, info, keys, lists, pubsub, scripting,
    server, sets, strings,
    transactions, zset_algebra, zset_ranges, zsets,
)  # fmt: skip
