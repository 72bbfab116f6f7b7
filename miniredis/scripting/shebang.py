"""The first line of a script or library, where it says what it is.

A script: `#!lua flags=no-writes,allow-stale`. A library of functions: `#!lua name=mylib`.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.resp.inline import split_arguments
from protocol.resp.values import Failure, ProtocolError

NO_WRITES: Final = 1
ALLOW_OOM: Final = 2
ALLOW_STALE: Final = 4
NO_CLUSTER: Final = 8
ALLOW_CROSS_SLOT_KEYS: Final = 16
COMPATIBLE: Final = 32  # nothing was said: as scripts were before there was such a line

FLAGS: Final = {
    b"no-writes": NO_WRITES, b"allow-oom": ALLOW_OOM, b"allow-stale": ALLOW_STALE, b"no-cluster": NO_CLUSTER,
    b"allow-cross-slot-keys": ALLOW_CROSS_SLOT_KEYS,
}  # fmt: skip


NOT_A_NAME: Final = (
    b"Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
_NAME: Final = re.compile(rb"[a-zA-Z0-9_]+")


def is_name(text: bytes) -> bool:
    """Whether a library or function may be called so."""
    return _NAME.fullmatch(text) is not None


def read_library(code: bytes) -> tuple[bytes, bytes]:
    """(name, code without the first line's words) of a library. Raises Failure."""
    if not code.startswith(b"#!"):
        raise Failure("ERR Missing library metadata")
    line, newline, _ = code.partition(b"\n")
    try:
        words = split_arguments(line) if newline else []
    except (ValueError, ProtocolError):
        words = []
    if not words:
        raise Failure("ERR Invalid library metadata")
    name = None
    for word in words[1:]:
        if word[:5].lower() != b"name=":
            raise Failure(b"ERR Invalid metadata value given: " + word)
        if name is not None:
            raise Failure("ERR Invalid metadata value, name argument was given multiple times")
        name = word[5:]
    if name is None:
        raise Failure("ERR Library name was not given")
    if not is_name(name):
        raise Failure(b"ERR " + NOT_A_NAME)
    if words[0][2:].lower() != b"lua":
        raise Failure(b"ERR Engine '%b' not found" % words[0][2:])
    return name, code[len(line) :]


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
        for name in word[6:].split(b",") if word[6:] else ():
            if name not in FLAGS:
                raise Failure(b"ERR Unexpected flag in script shebang: " + name)
            flags |= FLAGS[name]
    return flags, body[len(line) :]
