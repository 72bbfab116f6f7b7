"""MEMORY: what values and the server take in RAM.

Sizes are those of this server's own objects, not of a real Redis's. What is in use is counted (engine/memory.py),
without the interpreter; what the process occupies altogether, the system says.
"""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import READONLY, command, container
from miniredis.keyspace.counting import DEADLINE_BYTES, INTEGER_BYTES, PLACES_BYTES
from miniredis.keyspace.db import Db
from miniredis.keyspace.value import Value
from protocol.resp.values import OK, Failure, Reply, Verbatim

# The head of a `bytes` object with its final NUL; the allocator gives out multiples of 16.
BYTES_OVERHEAD: Final = 33
BYTEARRAY_OVERHEAD: Final = 57
# Below this much there is nothing to say about a server's memory.
SMALL_SERVER_BYTES: Final = 64 * 1024 * 1024
# Clients that hold more than this on average take their answers too slowly.
LARGE_BUFFER_BYTES: Final = 200 * 1024
MANY_SCRIPTS: Final = 1000

_SHARDS: Final = ("request_policy:all_shards", "response_policy:special")

container("MEMORY", since="4.0.0", group="server", summary="Commands about memory.", help_since="4.0.0")


def rounded(size: int) -> int:
    """Bytes up to the next multiple of 16, in which allocators hand them out."""
    return (size + 15) & ~15


def value_bytes(value: Value) -> int:
    """What a value takes, as an allocator hands it out: of a string exactly, of a collection by its own reckoning."""
    if isinstance(value, int):
        return INTEGER_BYTES
    if isinstance(value, bytes):
        return rounded(BYTES_OVERHEAD + len(value))
    if isinstance(value, bytearray):
        return rounded(BYTEARRAY_OVERHEAD + len(value))
    return value.size_bytes


@command("MEMORY|USAGE key [SAMPLES count:integer]", READONLY, since="4.0.0", keys="RO",
         complexity="O(1): collections keep their size as they change")  # fmt: skip
def memory_usage(call: Call) -> Reply:
    """Return how many bytes a key and its value take."""
    at = 3
    while at < len(call.argv):
        # Nothing is estimated from samples here, but what no number is stays an error.
        if call.option(at) != b"SAMPLES" or at + 1 == len(call.argv) or call.integer(at + 1) < 0:
            raise Failure(SYNTAX_ERROR)
        at += 2
    key = call.argv[2]
    value = call.db.table.get(key)
    if value is None:
        return None
    return PLACES_BYTES + rounded(BYTES_OVERHEAD + len(key)) + value_bytes(value)


@command("MEMORY|STATS", since="4.0.0", tips=("nondeterministic_output", *_SHARDS))
def memory_stats(call: Call) -> Reply:
    """Return where the memory goes."""
    state = call.state
    memory = state.engine.memory
    used, resident = memory.used_bytes(), state.process.resident_bytes()
    peak, explained = memory.peak_bytes, used + state.interpreter_bytes
    dbs = [db for db in state.dbs if len(db)]
    keys = sum(map(len, dbs))
    tables = sum(len(db) * PLACES_BYTES + db.deadlines.size * DEADLINE_BYTES for db in dbs)
    buffers = memory.client_bytes()
    scripts = state.engine.scripts
    kept, functions = scripts.size_bytes, scripts.functions.size_bytes
    overhead = min(memory.startup_bytes() + tables + buffers + kept + functions, used)
    found: dict[Reply, Reply] = {
        b"peak.allocated": peak, b"total.allocated": used, b"startup.allocated": memory.startup_bytes(),
        b"replication.backlog": 0, b"clients.slaves": 0, b"clients.normal": buffers, b"cluster.links": 0,
        b"aof.buffer": call.state.appending.file.waiting_bytes, b"lua.caches": kept, b"functions.caches": functions,
    }  # fmt: skip
    for db in dbs:
        found[b"db.%d" % db.index] = _tables(db)
    found |= {
        b"overhead.db.hashtable.lut": tables, b"overhead.db.hashtable.rehashing": 0, b"overhead.total": overhead,
        b"db.dict.rehashing.count": 0, b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
        b"dataset.bytes": used - overhead,
        b"dataset.percentage": (used - overhead) * 100 / used,
        b"peak.percentage": used * 100 / peak,
        b"allocator.allocated": used, b"allocator.active": used, b"allocator.resident": used, b"allocator.muzzy": 0,
        b"allocator-fragmentation.ratio": 1.0, b"allocator-fragmentation.bytes": 0, b"allocator-rss.ratio": 1.0,
        b"allocator-rss.bytes": 0, b"rss-overhead.ratio": resident / used, b"rss-overhead.bytes": resident - used,
        b"fragmentation": resident / explained, b"fragmentation.bytes": resident - explained,
    }  # fmt: skip
    return found


def _tables(db: Db) -> Reply:
    return {
        b"overhead.hashtable.main": len(db) * PLACES_BYTES,
        b"overhead.hashtable.expires": db.deadlines.size * DEADLINE_BYTES,
    }


@command("MEMORY|DOCTOR", since="4.0.0", tips=("nondeterministic_output", *_SHARDS))
def memory_doctor(call: Call) -> Reply:
    """Tell in words what is wrong with the memory, if anything is."""
    state = call.state
    memory = state.engine.memory
    used, peak, buffers = memory.used_bytes(), memory.peak_bytes, memory.client_bytes()
    found: list[str] = []
    if peak > used * 1.5:
        found.append("Peak: this server once took more than one and a half times what it takes now.")
    if buffers / max(len(state.clients), 1) > LARGE_BUFFER_BYTES:
        found.append("Clients: their buffers hold more than 200 KB each on average; CLIENT LIST shows whose.")
    if len(state.engine.scripts.known) > MANY_SCRIPTS:
        found.append("Scripts: more than 1000 are kept; give what changes as KEYS and ARGV.")
    if used < SMALL_SERVER_BYTES:
        text = "This server takes so little memory that there is nothing to look at."
    elif not found:
        text = "Nothing is wrong with this server's memory."
    else:
        text = "\n".join([" * " + line for line in found])
    return Verbatim(text.encode() + b"\n")


@command("MEMORY|MALLOC-STATS", since="4.0.0", tips=("nondeterministic_output", *_SHARDS))
def memory_malloc_stats(call: Call) -> Reply:
    """Return what the allocator says of itself: this one keeps silent."""
    return b"Stats not supported for the current allocator"


@command("MEMORY|PURGE", since="4.0.0", tips=("request_policy:all_shards", "response_policy:all_succeeded"))
def memory_purge(call: Call) -> Reply:
    """Give the system back what lies free."""
    call.state.process.release_memory()
    return OK
