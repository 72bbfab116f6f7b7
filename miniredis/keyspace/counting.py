"""How much memory the keys and values take: counted as they change, since nobody can be asked.

The allocator of CPython does not say cheaply what is in use, and what the process occupies does not fall when keys go.
So every key counts for its bytes, its object's head and its places in the table, and every value for what it holds:

    a string          when it is put, exchanged or removed: its length
    a collection,     by `counted_bytes`, a function of what it holds. Whoever gets one to change it (it comes from
    a `bytearray`     `Db.find_for_write`) opens it: what it was counted as is kept in `Keyspace.opened` until the
                      figure is asked for, or until so many are open, and the difference is added then

Laws:
1. What is taken off when a value goes is what was added: `counted_bytes` does not know what reads leave behind
   (rosters, unfolded runs), nor whether a small value lies packed.
2. Nothing is kept for a value that nobody has opened.
3. Values that are being freed (waste.py) no longer count.
"""

from __future__ import annotations

from typing import Final

from miniredis.keyspace.value import Value
from miniredis.structures.table import SHARDS

# A `bytes` object beside its bytes: 33 of head and NUL, and 7 to the next multiple of 16, on average.
BYTES_OBJECT: Final = 40
# Places for key, value and clock in lists with room for growth, and a spot in the table.
PLACES_BYTES: Final = 28
KEY_BYTES: Final = BYTES_OBJECT + PLACES_BYTES
# A key with a `bytes` under it, beside their bytes.
TEXT_BYTES: Final = KEY_BYTES + BYTES_OBJECT
INTEGER_BYTES: Final = 32
BYTEARRAY_OBJECT: Final = 64
# A key's place among those that have a deadline.
DEADLINE_BYTES: Final = 32
# The shards of a database without keys, and of its deadlines: a place each.
DB_BYTES: Final = 2 * 8 * SHARDS
# A client with its parser and its call.
CLIENT_BYTES: Final = 2500

NO_LIMIT: Final = 1 << 62
# So many values are open at a time: none lives much longer for it, and one that is changed again and again is counted
# once in a while.
OPENED_MOST: Final = 256
# Of these the latest that are not counted yet: more than a command opens before it changes them.
OPENED_KEPT: Final = 32


def counted_bytes(value: Value) -> int:
    """What a value counts for, beside its key."""
    if isinstance(value, bytes):
        return BYTES_OBJECT + len(value)
    if isinstance(value, int):
        return INTEGER_BYTES
    if isinstance(value, bytearray):
        return BYTEARRAY_OBJECT + len(value)
    return value.counted_bytes
