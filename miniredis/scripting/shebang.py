"""The first line of a script, where it says what it is: `#!lua flags=no-writes,allow-stale`."""

from __future__ import annotations

from typing import Final

from protocol.resp.inline import split_arguments
from protocol.resp.values import Failure, ProtocolError

NO_WRITES: Final = 1
ALLOW_OOM: Final = 2
ALLOW_STALE: Final = 4
NO_CLUSTER: Final = 8
ALLOW_CROSS_SLOT_KEYS: Final = 16
COMPATIBLE: Final = 32  # nothing was said: as scripts were before there was such a line

_FLAGS: Final = {
    b"no-writes": NO_WRITES, b"allow-oom": ALLOW_OOM, b"allow-stale": ALLOW_STALE, b"no-cluster": NO_CLUSTER,
    b"allow-cross-slot-keys": ALLOW_CROSS_SLOT_KEYS,
}  # fmt: skip


def read_shebang(body: bytes) -> tuple[int, bytes]:
    """(flags, code). The line feed stays, so that line numbers are the user's. Raises Failure."""
    if not body.startswith(b"#!"):
        return COMPATIBLE, body
    line, newline, _ = body.partition(b"\n")
    if not newline:
        raise Failure("ERR Invalid script shebang")
    try:
        words = split_arguments(line)
    except (ValueError, ProtocolError):
        words = []
    if not words:
        raise Failure("ERR Invalid engine in script shebang")
    if words[0] != b"#!lua":
        raise Failure(b"ERR Unexpected engine in script shebang: " + words[0])
    flags = 0
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise Failure(b"ERR Unknown lua shebang option: " + word)
        for name in word[6:].split(b","):
            if name not in _FLAGS:
                raise Failure(b"ERR Unexpected flag in script shebang: " + name)
            flags |= _FLAGS[name]
    return flags, body[len(line) :]
