"""`cmsgpack`: Lua values as MessagePack, as Redis' Lua has it.

Nesting and counts are looked at before anything is made of them: a count is believed only as far as bytes follow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from miniredis.scripting.convert import Table
from miniredis.scripting.errors import ScriptError

if TYPE_CHECKING:
    from miniredis.scripting.sandbox import Sandbox

# Deeper tables become nil, as in the original.
PACK_MAX_DEPTH: Final = 16
UNPACK_MAX_DEPTH: Final = 128
_VALUES_MAX: Final = 7_000


class Msgpack:
    """The functions of cmsgpack, for one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "pack": self.pack, "unpack": self.unpack, "unpack_one": self.unpack_one, "unpack_limit": self.unpack_limit
        }  # fmt: skip

    def pack(self, *values: Any) -> bytes:
        """cmsgpack.pack: the values, one behind the other. ScriptError: there are none."""
        if not values:
            raise ScriptError("bad argument #0 to 'pack' (MessagePack pack needs input.)")
        parts: list[bytes] = []
        for value in values:
            _pack(parts, self.sandbox.tree(value, PACK_MAX_DEPTH))
        return b"".join(parts)

    def unpack(self, data: Any = None, *_: Any) -> Any:
        return self._unpacked(data, _VALUES_MAX, 0, is_full=True)

    def unpack_one(self, data: Any = None, offset: Any = 0, *_: Any) -> Any:
        return self._unpacked(data, 1, _whole(offset), is_full=False)

    def unpack_limit(self, data: Any = None, limit: Any = None, offset: Any = 0, *_: Any) -> Any:
        return self._unpacked(data, _whole(limit), _whole(offset), is_full=False)

    def _unpacked(self, data: Any, limit: int, offset: int, *, is_full: bool) -> Any:
        if type(data) is not bytes:
            raise ScriptError("bad argument #1 to 'unpack' (string expected, got no value)")
        if offset < 0 or limit < 0:
            raise ScriptError(f"Invalid request to unpack with offset of {offset} and limit of {len(data)}.")
        if offset > len(data):
            raise ScriptError(f"Start offset {offset} greater than input length {len(data)}.")
        reader = _Reader(data, offset, self.sandbox.builder.table)
        values: list[Any] = []
        while reader.at < len(data) and len(values) < min(limit, _VALUES_MAX):
            values.append(reader.value(0))
        if is_full:
            return tuple(values) if len(values) != 1 else values[0]
        return (-1 if reader.at >= len(data) else reader.at, *values)


def _whole(value: Any) -> int:
    if type(value) is int or type(value) is float:
        return int(value)
    raise ScriptError("bad argument (number expected)")


def _pack(parts: list[bytes], value: Any) -> None:
    kind = type(value)
    if kind is bytes:
        parts += (_head(len(value), 0xA0, 32, 0xD9), value)
    elif kind is bool:
        parts.append(b"\xc3" if value else b"\xc2")
    elif kind is int or kind is float:
        parts.append(_packed_number(value))
    elif kind is Table:
        _pack_table(parts, value)
    else:
        parts.append(b"\xc0")


def _head(count: int, small: int, limit: int, byte_form: int) -> bytes:
    if count < limit:
        return bytes((small | count,))
    if byte_form == 0xD9 and count < 256:
        return bytes((0xD9, count))
    word = {0xD9: 0xDA, 0x90: 0xDC, 0x80: 0xDE}[byte_form]
    return struct.pack(">BH", word, count) if count < 65536 else struct.pack(">BI", word + 1, count)


def _packed_number(value: float) -> bytes:
    if value == value and abs(value) < 2.0**63 and value == int(value):
        number = int(value)
        if number >= 0:
            if number < 128:
                return bytes((number,))
            for limit, form in ((1 << 8, ">BB"), (1 << 16, ">BH"), (1 << 32, ">BI")):
                if number < limit:
                    return struct.pack(form, {">BB": 0xCC, ">BH": 0xCD, ">BI": 0xCE}[form], number)
            return struct.pack(">BQ", 0xCF, number)
        if number >= -32:
            return struct.pack(">b", number)
        for limit, form, code in ((1 << 7, ">Bb", 0xD0), (1 << 15, ">Bh", 0xD1), (1 << 31, ">Bi", 0xD2)):
            if number >= -limit:
                return struct.pack(form, code, number)
        return struct.pack(">Bq", 0xD3, number)
    try:
        short = struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">Bd", 0xCB, value)
    return b"\xca" + short if struct.unpack(">f", short)[0] == value else struct.pack(">Bd", 0xCB, value)


def _pack_table(parts: list[bytes], table: Table) -> None:
    count = len(table.pairs)
    items = table.sequence()
    if len(items) == count:
        parts.append(_head(count, 0x90, 16, 0x90))
        for item in items:
            _pack(parts, item)
        return
    parts.append(_head(count, 0x80, 16, 0x80))
    for key, item in table.pairs:
        _pack(parts, key)
        _pack(parts, item)


_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
_COUNTS: Final = {0xD9: 1, 0xC4: 1, 0xDA: 2, 0xC5: 2, 0xDB: 4, 0xC6: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


class _Reader:
    def __init__(self, data: bytes, at: int, table: Any) -> None:
        self.data = data
        self.at = at
        self.table = table

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ScriptError("Missing bytes in input.")
        self.at += size
        return self.data[self.at - size : self.at]

    def value(self, depth: int) -> Any:
        if depth > UNPACK_MAX_DEPTH:
            raise ScriptError("Bad data format in input.")
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 256
        if code in _NUMBERS:
            form = _NUMBERS[code]
            number = struct.unpack(form, self.take(struct.calcsize(form)))[0]
            return float(number) if abs(number) > 1 << 53 else number
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        count = int.from_bytes(self.take(_COUNTS[code]), "big") if code in _COUNTS else code & 0x0F
        if 0xA0 <= code < 0xC0:
            return self.take(code & 0x1F)
        if code in (0xD9, 0xDA, 0xDB, 0xC4, 0xC5, 0xC6):
            return self.take(count)
        if code < 0x90 or code in (0xDE, 0xDF):
            return self._map(count, depth)
        if code < 0xA0 or code in (0xDC, 0xDD):
            return self._array(count, depth)
        raise ScriptError("Bad data format in input.")

    def _array(self, count: int, depth: int) -> Any:
        if count > len(self.data) - self.at:
            raise ScriptError("Missing bytes in input.")
        values = [self.value(depth + 1) for _ in range(count)]
        return self.table({at: value for at, value in enumerate(values, 1) if value is not None})

    def _map(self, count: int, depth: int) -> Any:
        if 2 * count > len(self.data) - self.at:
            raise ScriptError("Missing bytes in input.")
        pairs = [(self.value(depth + 1), self.value(depth + 1)) for _ in range(count)]
        if any(key is None or key != key for key, _ in pairs):
            raise ScriptError("Bad data format in input.")
        return self.table({key: value for key, value in pairs if value is not None})
