"""What lies in the table: a string is bare, a collection is an object of its own.

    bytes      a string, as the client sent it      OBJECT ENCODING embstr up to 44 bytes, else raw
    int        a string that is a 64-bit integer    int
    bytearray  a string that was changed in place   raw (APPEND, SETRANGE, SETBIT)
    Structure  list, set, sorted set, hash, stream  says itself

Law: a `bytearray` never leaves the keyspace: whoever answers with it makes `bytes` of it first.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeAlias

EMBSTR_MAX_BYTES = 44
SHARED_INTEGERS = 10_000
INT32_MAX = 0x7FFFFFFF
INTEGER_MAX_BYTES = 20  # of the text of a 64-bit integer
# sizeof(robj) + the sds header of a short string + its NUL, as MEMORY USAGE of a real server counts them.
STRING_OVERHEAD_BYTES = 20


class Structure(Protocol):
    """What every collection offers the keyspace."""

    type_name: ClassVar[bytes]

    @property
    def encoding(self) -> bytes: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def counted_bytes(self) -> int: ...
    def __len__(self) -> int: ...
    def copy(self) -> Structure: ...


String: TypeAlias = "bytes | int | bytearray"
Value: TypeAlias = "bytes | int | bytearray | Structure"


def is_string(value: Value) -> bool:
    """Whether TYPE says `string` of it, in any of its three forms."""
    kind = type(value)
    return kind is bytes or kind is int or kind is bytearray


def string_bytes(value: String) -> bytes:
    """A string value as bytes that nobody will change."""
    if isinstance(value, bytes):
        return value
    return b"%d" % value if isinstance(value, int) else bytes(value)


def compact(value: bytes) -> bytes | int:
    """The form a new string is kept in: an `int` where the text is exactly what a 64-bit integer prints as."""
    if len(value) > INTEGER_MAX_BYTES:
        return value
    if value.isdigit() or (value[:1] == b"-" and value[1:].isdigit()):
        number = int(value)
        if b"%d" % number == value and -0x8000000000000000 <= number <= 0x7FFFFFFFFFFFFFFF:
            return number
    return value


def type_name(value: Value) -> bytes:
    """TYPE."""
    if isinstance(value, bytes | int | bytearray):
        return b"string"
    return value.type_name


def encoding(value: Value) -> bytes:
    """OBJECT ENCODING."""
    if isinstance(value, int):
        return b"int"
    if isinstance(value, bytes):
        return b"embstr" if len(value) <= EMBSTR_MAX_BYTES else b"raw"
    if isinstance(value, bytearray):
        return b"raw"
    return value.encoding


def reference_count(value: Value) -> int:
    """OBJECT REFCOUNT: Redis keeps one object for each small number, which all share."""
    return INT32_MAX if isinstance(value, int) and 0 <= value < SHARED_INTEGERS else 1


def copied(value: Value) -> Value:
    """A value of its own for another key."""
    if isinstance(value, bytes | int):
        return value
    if isinstance(value, bytearray):
        return bytearray(value)
    return value.copy()


def size_bytes(value: Value) -> int:
    """About how much memory the value takes, for MEMORY USAGE and for decisions of lazy freeing."""
    if isinstance(value, int):
        return STRING_OVERHEAD_BYTES
    if isinstance(value, bytes | bytearray):
        return STRING_OVERHEAD_BYTES + len(value)
    return value.size_bytes
