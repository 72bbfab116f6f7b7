"""`cjson`: JSON as Redis' Lua has it, with its settings, its error texts and its order of keys (Lua's own)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from miniredis.scripting.convert import Other, Table, TooDeep
from miniredis.scripting.errors import ScriptError

if TYPE_CHECKING:
    from miniredis.scripting.sandbox import Sandbox

# cjson's own default; settings may ask for less, not for more.
DEPTH_MAX: Final = 1000
# Elements that are not there, in the arrays of one value: a table of one element may ask for as many as it likes.
NULLS_MAX: Final = 1_000_000
# Values between two looks at whether the script is to end.
LOOK_UP_INTERVAL: Final = 10_000
_ESCAPES: Final = {
    b'"': b'\\"', b"\\": b"\\\\", b"/": b"\\/", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r",
    b"\t": b"\\t",
}  # fmt: skip
_SPECIAL: Final = re.compile(rb'[\x00-\x1f"\\/\x7f]')
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_PLAIN: Final = re.compile(rb'[^"\\\x00]*')
_NUMBER: Final = re.compile(rb"-?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)")
_WORDS: Final = re.compile(rb"-?(?:inf(?:inity)?|nan)|true|false|null", re.IGNORECASE)
_UNESCAPED: Final = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"
}  # fmt: skip
_MARKS: Final = {
    b"{": "T_OBJ_BEGIN", b"}": "T_OBJ_END", b"[": "T_ARR_BEGIN", b"]": "T_ARR_END", b":": "T_COLON", b",": "T_COMMA"
}  # fmt: skip
_OFF_ON: Final[dict[bytes, bool | None]] = {b"off": False, b"on": True}
_OFF_ON_NULL: Final[dict[bytes, bool | None]] = {**_OFF_ON, b"null": None}
INT_MAX: Final = 2**31 - 1
_VALUES: Final = ("T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL")


class Json:
    """One script engine's cjson, with the settings its scripts gave it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.encode_depth = self.decode_depth = DEPTH_MAX
        self.precision = 14
        self.sparse = (False, 2, 10)  # convert, ratio, safe
        self.encodes_invalid: bool | None = False  # None: as null
        self.decodes_invalid = True
        self.keeps_buffer = True
        self.nulls = 0  # in the arrays of the value being encoded

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "encode": self.encode, "decode": self.decode, "encode_max_depth": self.set_encode_depth,
            "decode_max_depth": self.set_decode_depth, "encode_number_precision": self.set_precision,
            "encode_sparse_array": self.set_sparse, "encode_invalid_numbers": self.set_encode_invalid,
            "decode_invalid_numbers": self.set_decode_invalid, "encode_keep_buffer": self.set_keep_buffer,
        }  # fmt: skip

    # Settings.

    def set_encode_depth(self, *arguments: Any) -> int:
        """What is asked for is told back; deeper than DEPTH_MAX nothing goes."""
        (value,) = _at_most(1, "encode_max_depth", arguments)
        self.encode_depth = _integer("encode_max_depth", 1, value, self.encode_depth, 1, INT_MAX)
        return self.encode_depth

    def set_decode_depth(self, *arguments: Any) -> int:
        (value,) = _at_most(1, "decode_max_depth", arguments)
        self.decode_depth = _integer("decode_max_depth", 1, value, self.decode_depth, 1, INT_MAX)
        return self.decode_depth

    @property
    def encode_max_depth(self) -> int:
        return min(self.encode_depth, DEPTH_MAX)

    @property
    def decode_max_depth(self) -> int:
        return min(self.decode_depth, DEPTH_MAX)

    def set_precision(self, *arguments: Any) -> int:
        (value,) = _at_most(1, "encode_number_precision", arguments)
        self.precision = _integer("encode_number_precision", 1, value, self.precision, 1, 14)
        return self.precision

    def set_sparse(self, *arguments: Any) -> tuple[bool, int, int]:
        name = "encode_sparse_array"
        convert, ratio, safe = _at_most(3, name, arguments)
        was = self.sparse
        self.sparse = (bool(_choice(name, convert, was[0], _OFF_ON)), was[1], was[2])
        self.sparse = (self.sparse[0], _integer(name, 2, ratio, was[1], 0, INT_MAX), was[2])
        self.sparse = (*self.sparse[:2], _integer(name, 3, safe, was[2], 0, INT_MAX))
        return self.sparse

    def set_encode_invalid(self, *arguments: Any) -> Any:
        (value,) = _at_most(1, "encode_invalid_numbers", arguments)
        chosen = _choice("encode_invalid_numbers", value, self.encodes_invalid, _OFF_ON_NULL)
        self.encodes_invalid = chosen
        return b"null" if chosen is None else chosen

    def set_decode_invalid(self, *arguments: Any) -> bool:
        (value,) = _at_most(1, "decode_invalid_numbers", arguments)
        self.decodes_invalid = bool(_choice("decode_invalid_numbers", value, self.decodes_invalid, _OFF_ON))
        return self.decodes_invalid

    def set_keep_buffer(self, *arguments: Any) -> bool:
        """How the original uses its memory: told back, and nothing here depends on it."""
        (value,) = _at_most(1, "encode_keep_buffer", arguments)
        self.keeps_buffer = bool(_choice("encode_keep_buffer", value, self.keeps_buffer, _OFF_ON))
        return self.keeps_buffer

    # Encoding.

    def encode(self, *values: Any) -> bytes:
        if len(values) != 1:
            raise ScriptError("bad argument #1 to 'encode' (expected 1 argument)")
        parts: list[bytes] = []
        # An explicit stack: as deep as Lua allows is deeper than Python's own.
        work: list[Any] = [(self.sandbox.tree(values[0], self.encode_max_depth), 0)]
        self.nulls = 0
        while work:
            if not len(parts) % LOOK_UP_INTERVAL:
                self.sandbox.look_up()
            item = work.pop()
            if type(item) is bytes:
                parts.append(item)
                continue
            value, depth = item
            if type(value) is TooDeep:
                raise ScriptError(f"Cannot serialise, excessive nesting ({self.encode_max_depth + 1})")
            if type(value) is Table:
                work.extend(reversed(self._table(value, depth + 1)))
            else:
                parts.append(self._scalar(value))
        return b"".join(parts)

    def _scalar(self, value: Any) -> bytes:
        kind = type(value)
        if kind is bytes:
            return _quoted(value)
        if kind is bool:
            return b"true" if value else b"false"
        if kind is int or kind is float:
            return self._number(value)
        if value is None or (kind is Other and value.kind in ("nil", "null")):
            return b"null"
        name = value.kind if kind is Other else "table"
        raise ScriptError(f"Cannot serialise {name}: type not supported")

    def _number(self, value: float) -> bytes:
        if value != value or value in (float("inf"), float("-inf")):
            if self.encodes_invalid is None:
                return b"null"
            if not self.encodes_invalid:
                raise ScriptError("Cannot serialise number: must not be NaN or Inf")
            return b"nan" if value != value else b"inf" if value > 0 else b"-inf"
        return f"{float(value):.{self.precision}g}".encode()

    def _table(self, table: Table, depth: int) -> list[Any]:
        """What a table is written as: ready bytes, and (value, depth) still to be written."""
        size = self._array_size(table)
        out: list[Any] = []
        if size > 0:
            for at in range(1, size + 1):
                out += (b"," if at > 1 else b"[", (table.by_name.get(at), depth))
            out.append(b"]")
            return out
        for key, value in table.pairs:
            if type(key) is bytes:
                name = _quoted(key)
            elif type(key) in (int, float):
                name = b'"%b"' % self._number(key)
            else:
                kind = "boolean" if type(key) is bool else "table" if type(key) is not Other else key.kind
                raise ScriptError(f"Cannot serialise {kind}: table key must be a number or string")
            out += (b"," if out else b"{", name + b":", (value, depth))
        out.append(b"}" if out else b"{}")
        return out

    def _array_size(self, table: Table) -> int:
        """Up to where it is an array; 0: it is an object."""
        convert, ratio, safe = self.sparse
        highest = 0
        for key, _ in table.pairs:
            if type(key) is not int or key < 1:
                return 0
            highest = max(highest, key)
        if ratio and highest > len(table.pairs) * ratio and highest > safe:
            if not convert:
                raise ScriptError("Cannot serialise table: excessively sparse array")
            return 0
        self.nulls += highest - len(table.pairs)
        if self.nulls > NULLS_MAX:
            raise ScriptError("not enough memory")
        return highest

    # Decoding.

    def decode(self, *values: Any) -> Any:
        if len(values) != 1:
            raise ScriptError("bad argument #1 to 'decode' (expected 1 argument)")
        text = values[0] if type(values[0]) is bytes else _text(values[0])
        if len(text) >= 2 and not (text[0] and text[1]):
            raise ScriptError("JSON parser does not support UTF-16 or UTF-32")
        return _Parser(text, self).parse()


class _Parser:
    def __init__(self, text: bytes, settings: Json) -> None:
        self.text = text
        self.at = 0
        self.settings = settings
        self.table = settings.sandbox.builder.table
        self.null = settings.sandbox.null

    def parse(self) -> Any:
        open_items: list[Any] = []  # lists and dicts under way; a dict's waiting key behind it
        keys: list[Any] = []
        kind, value, start = self.token()
        values = 0
        while True:
            values += 1
            if not values % LOOK_UP_INTERVAL:
                self.settings.sandbox.look_up()
            if kind == "T_OBJ_BEGIN" or kind == "T_ARR_BEGIN":
                if len(open_items) >= self.settings.decode_max_depth:
                    raise ScriptError(
                        f"Found too many nested data structures ({len(open_items) + 1}) at character {start + 1}"
                    )
                inner: Any = {} if kind == "T_OBJ_BEGIN" else []
                kind, value, start = self.token()
                if kind == ("T_OBJ_END" if type(inner) is dict else "T_ARR_END"):
                    done = self.table(inner)
                else:
                    open_items.append(inner)
                    keys.append(None)
                    if type(inner) is dict:
                        keys[-1], (kind, value, start) = self.key(kind, value, start)
                    continue
            elif kind in _VALUES:
                done = value
            else:
                raise self.unexpected("value", kind, start)
            # A value is complete: it belongs into what is open, which it may end.
            while True:
                if not open_items:
                    kind, value, start = self.token()
                    if kind != "T_END":
                        raise self.unexpected("the end", kind, start)
                    return done
                inner = open_items[-1]
                if type(inner) is dict:
                    inner[keys[-1]] = done
                    closer, wanted = "T_OBJ_END", "comma or object end"
                else:
                    inner.append(done)
                    closer, wanted = "T_ARR_END", "comma or array end"
                kind, value, start = self.token()
                if kind == closer:
                    done = self.table(open_items.pop())
                    keys.pop()
                    continue
                if kind != "T_COMMA":
                    raise self.unexpected(wanted, kind, start)
                kind, value, start = self.token()
                if type(inner) is dict:
                    keys[-1], (kind, value, start) = self.key(kind, value, start)
                break

    def key(self, kind: str, value: Any, start: int) -> tuple[Any, tuple[str, Any, int]]:
        if kind != "T_STRING":
            raise self.unexpected("object key string", kind, start)
        colon, _, place = self.token()
        if colon != "T_COLON":
            raise self.unexpected("colon", colon, place)
        return value, self.token()

    def unexpected(self, wanted: str, kind: str, start: int) -> ScriptError:
        return ScriptError(f"Expected {wanted} but found {kind} at character {start + 1}")

    def token(self) -> tuple[str, Any, int]:
        text = self.text
        space = _SPACE.match(text, self.at)
        start = space.end() if space else self.at
        first = text[start : start + 1]
        self.at = start + 1
        if first in _MARKS:
            return _MARKS[first], None, start
        if first == b'"':
            return self.string(start)
        if not first:
            return "T_END", None, start
        number = _NUMBER.match(text, start)
        if number:
            return self.number(number.group(), start, number.end())
        word = _WORDS.match(text, start)
        if word:
            return self.word(word.group(), start, word.end())
        return "invalid token", None, start

    def number(self, digits: bytes, start: int, end: int) -> tuple[str, Any, int]:
        plain = digits.lstrip(b"-")
        is_odd = plain[:2].lower() == b"0x" or (len(plain) > 1 and plain[:1] == b"0" and plain[1:2].isdigit())
        if is_odd and not self.settings.decodes_invalid:
            return "invalid number", None, start
        self.at = end
        if plain[:2].lower() == b"0x":
            value = float(int(plain[2:][:64], 16))
            return "T_NUMBER", -value if digits[:1] == b"-" else value, start
        return "T_NUMBER", float(digits), start

    def word(self, word: bytes, start: int, end: int) -> tuple[str, Any, int]:
        self.at = end
        if word in (b"true", b"false"):
            return "T_BOOLEAN", word == b"true", start
        if word == b"null":
            return "T_NULL", self.null, start
        if word.lower() in (b"true", b"false", b"null"):
            return "invalid token", None, start
        if not self.settings.decodes_invalid:
            return "invalid number" if word[:1] == b"-" else "invalid token", None, start
        return "T_NUMBER", float(word), start

    def string(self, start: int) -> tuple[str, Any, int]:
        text, parts = self.text, []
        while True:
            plain = _PLAIN.match(text, self.at)
            assert plain is not None
            parts.append(plain.group())
            at = plain.end()
            end = text[at : at + 1]
            if end == b'"':
                self.at = at + 1
                return "T_STRING", b"".join(parts), start
            if end != b"\\":
                return "unexpected end of string", None, at
            letter = text[at + 1 : at + 2]
            if letter == b"u":
                character, self.at = self._unicode(at)
                if character is None:
                    return "invalid unicode escape code", None, at
                parts.append(character)
            elif letter in _UNESCAPED:
                parts.append(_UNESCAPED[letter])
                self.at = at + 2
            else:
                return "invalid escape code", None, at

    def _unicode(self, at: int) -> tuple[bytes | None, int]:
        code = _hex4(self.text[at + 2 : at + 6])
        end = at + 6
        if code is None or 0xDC00 <= code < 0xE000:
            return None, end
        if 0xD800 <= code < 0xDC00:
            low = _hex4(self.text[at + 8 : at + 12]) if self.text[at + 6 : at + 8] == b"\\u" else None
            if low is None or not 0xDC00 <= low < 0xE000:
                return None, end
            code = 0x10000 + (code - 0xD800 << 10) + (low - 0xDC00)
            end = at + 12
        return chr(code).encode(), end


def _hex4(digits: bytes) -> int | None:
    return int(digits, 16) if re.fullmatch(rb"[0-9a-fA-F]{4}", digits) else None


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % _SPECIAL.sub(lambda found: _ESCAPES.get(found.group()) or b"\\u%04x" % found.group()[0], text)


def _text(value: Any) -> bytes:
    if type(value) is int or type(value) is float:
        return f"{float(value):.14g}".encode()
    raise ScriptError("bad argument #1 to 'decode' (string expected, got table)")


def _at_most(count: int, name: str, arguments: tuple[Any, ...]) -> list[Any]:
    """The arguments, None for those left out."""
    if len(arguments) > count:
        raise ScriptError(f"bad argument #{count + 1} to '{name}' (found too many arguments)")
    return [*arguments, *[None] * (count - len(arguments))]


def _integer(name: str, at: int, value: Any, was: int, low: int, high: int) -> int:
    if value is None:
        return was
    try:
        number = int(float(value)) if type(value) in (bytes, int, float) else None
    except (ValueError, OverflowError):
        number = low - 1 if type(value) is float else None
    if number is None:
        raise ScriptError(f"bad argument #{at} to '{name}' (number expected, got {_named(value)})")
    if not low <= number <= high:
        raise ScriptError(f"bad argument #1 to '{name}' (expected integer between {low} and {high})")
    return number


def _choice(name: str, value: Any, was: bool | None, options: dict[bytes, bool | None]) -> bool | None:
    if value is None:
        return was
    if type(value) is bool:
        return value
    word = b"%g" % value if type(value) in (int, float) else value
    if type(word) is not bytes:
        raise ScriptError(f"bad argument #1 to '{name}' (string expected, got {_named(value)})")
    if word not in options:
        raise ScriptError(b"bad argument #1 to '%b' (invalid option '%b')" % (name.encode(), word))
    return options[word]


def _named(value: Any) -> str:
    return {bytes: "string", bool: "boolean", int: "number", float: "number"}.get(type(value), "table")
