"""Checksums, and which format demands which.

    crc32c     Kafka's record batches and producer snapshots (Castagnoli polynomial, RFC 3720)
    crc64      Redis's RDB files and DUMP payloads (Jones polynomial, reflected, from 0 and without a final xor)
    xxh3_64    our own frames (`disk.frames`)

All take a buffer and return an unsigned integer, and none copies it. No start has to wait for what none of them needs:
crc64 is imported with the first sum, and of the package crc32c its compiled module alone, because the package looks up
its own version in the files of its distribution, which takes a fifth of a start.
"""

from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING

from xxhash import xxh3_64_intdigest as xxh3_64

if TYPE_CHECKING:
    from crc32c import crc32c
else:
    _package = PathFinder.find_spec("crc32c")
    _found = _package and PathFinder.find_spec("crc32c._crc32c", _package.submodule_search_locations)
    if _found:
        _compiled = module_from_spec(_found)
        _found.loader.exec_module(_compiled)
        crc32c = _compiled.crc32c
    else:  # installed in some other way
        from crc32c import crc32c

__all__ = ["crc32c", "crc64", "xxh3_64"]


def crc64(data: bytes, total: int = 0) -> int:
    """The sum over `data`, going on from the sum `total` over what came before it."""
    from anycrc import Model

    found: int = Model("CRC64-REDIS").calc(data, total)
    return found
