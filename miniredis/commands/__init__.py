"""What each command means. One family a file; importing this package declares them all (engine/registry.py)."""

from miniredis.commands import (
    bitfields,
    bitmaps,
    clients,
    command_docs,
    config,
    connection,
    debug,
    dump,
    functions,
    hashes,
    hyperloglog,
    info,
    keys,
    lists,
    pubsub,
    scripting,
    server,
    sets,
    stream_groups,
    stream_info,
    streams,
    strings,
    transactions,
    zset_algebra,
    zset_ranges,
    zsets,
)

FAMILIES = (
    bitfields, bitmaps, hyperloglog,
    clients, command_docs, config, connection, debug, dump, functions, hashes, info, keys, lists, pubsub, scripting,
    server, sets, stream_groups, stream_info, streams, strings,
    transactions, zset_algebra, zset_ranges, zsets,
)  # fmt: skip
