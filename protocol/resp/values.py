"""Replies Python has no word for.

A reply is a plain Python value wherever there is one (`encoder` draws the bytes):

    bytes → bulk string        int → integer         None → null              list → array
    dict → map (flat in 2)     set → set (array)     float → double (bulk)    bool → boolean (0 or 1)

and one of the classes below where there is none. A `str` is never a reply: text is bytes on this wire.
Shared instances (`OK`, `NULL_ARRAY`, `BLOCKED`, …) are never changed. A shared `Failure` may be returned but must not
be raised: raising hangs a traceback on the instance, which then grows with every request. Raise a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Reply: TypeAlias = Any
"""What a command answers; the shapes are those of this module's docstring."""

_NO_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
_CODE_MAX_BYTES = 31  # a longer first word is none, as Redis looks for it


class ProtocolError(Exception):
    """The peer broke RESP: it gets `-ERR <message>` after the replies before it, then the connection is closed."""

    def __init__(self, message: str | bytes) -> None:
        super().__init__(message)
        self.message: bytes = message if isinstance(message, bytes) else message.encode()


class Status:
    """A simple string such as +OK; its bytes are made once."""

    __slots__ = ("encoded", "text")

    def __init__(self, text: str | bytes) -> None:
        self.text: bytes = text if isinstance(text, bytes) else text.encode()
        self.encoded: bytes = b"+" + self.text.translate(_NO_NEWLINES) + b"\r\n"

    def __repr__(self) -> str:
        return f"Status({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Status) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Failure(Exception):
    """An error reply: raised anywhere below the one place that turns it into `-text`, or returned as a value.

    `text` is the whole line without the leading dash: the code is its first word ("ERR", "WRONGTYPE", …).
    """

    def __init__(self, text: str | bytes) -> None:
        super().__init__(text)
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        self.is_counted = False  # in INFO's error statistics: an error that a script passes on is one error
        # One line on the wire, whatever of the client's own bytes went into it.
        self.text: bytes = raw.rstrip(b"\r\n").translate(_NO_NEWLINES)

    @property
    def code(self) -> bytes:
        """The first word, by which clients and INFO errorstats tell errors apart; ERR where nothing comes behind it."""
        word, space, _ = self.text[:_CODE_MAX_BYTES].partition(b" ")
        return word if space else b"ERR"

    @property
    def encoded(self) -> bytes:
        """The reply's bytes, the same in RESP2 and RESP3."""
        return b"-" + self.text + b"\r\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Push(list[Any]):
    """Out-of-band data: a push frame in RESP3, an array in RESP2."""

    __slots__ = ()


class Members(list[Any]):
    """A set in RESP3 and an array in RESP2, in the order given (a Python set would leave the order to chance)."""

    __slots__ = ()


class Alike(list[bytes]):
    """Strings, at least one, that are known to be equally long: an array."""

    __slots__ = ()


class Pairs(list[Any]):
    """(first, second) tuples: one flat array in RESP2, an array of two-element arrays in RESP3 (ZRANGE WITHSCORES …).

    What is a *map* in RESP3 and flat in RESP2 (HGETALL, CONFIG GET …) is a dict.
    """

    __slots__ = ()


class Verbatim:
    """Text with a three-letter format: a verbatim string in RESP3, a bulk string in RESP2."""

    __slots__ = ("format", "text")

    def __init__(self, text: bytes, format: bytes = b"txt") -> None:
        self.text = text
        self.format = format

    def __repr__(self) -> str:
        return f"Verbatim({self.text!r}, {self.format!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verbatim) and other.text == self.text and other.format == self.format

    def __hash__(self) -> int:
        return hash((self.text, self.format))


class NullArray:
    """The null of commands whose good answer is an array: *-1 in RESP2, the one null in RESP3."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NULL_ARRAY"


class Map(list[Any]):
    """(key, value) tuples of a map whose keys no dict can hold, or come twice; what scripts return."""

    __slots__ = ()


class BigNumber:
    """An integer beyond 64 bits: (… in RESP3, a bulk string in RESP2. As text it is what a script says it is."""

    __slots__ = ("value",)

    def __init__(self, value: int | bytes) -> None:
        self.value = value if isinstance(value, int) else value.translate(_NO_NEWLINES)

    @property
    def text(self) -> bytes:
        return b"%d" % self.value if isinstance(self.value, int) else self.value

    def __repr__(self) -> str:
        return f"BigNumber({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BigNumber) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class Double:
    """A double written with digits of the command's own choosing: ,… in RESP3, a bulk string in RESP2."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Double({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Double) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Attributed:
    """A reply with attributes before it (RESP3 only; RESP2 has no room for them and gets the reply alone)."""

    __slots__ = ("attributes", "reply")

    def __init__(self, attributes: dict[Any, Any], reply: Reply) -> None:
        self.attributes = attributes
        self.reply = reply

    def __repr__(self) -> str:
        return f"Attributed({self.attributes!r}, {self.reply!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Attributed) and other.attributes == self.attributes and other.reply == self.reply

    __hash__ = None  # type: ignore[assignment]


class Many:
    """Several replies to one command, one after the other (SUBSCRIBE a b); none at all when empty."""

    __slots__ = ("replies",)

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self.replies: list[Reply] = list(replies)

    def __repr__(self) -> str:
        return f"Many({self.replies!r})"


class Spoken:
    """A reply in a protocol version of its own: one of a transaction that changed the version after it."""

    __slots__ = ("proto", "reply")

    def __init__(self, reply: Reply, proto: int) -> None:
        self.reply = reply
        self.proto = proto

    def __repr__(self) -> str:
        return f"Spoken({self.reply!r}, {self.proto})"


class Blocked:
    """No reply now: the client waits, and is answered when it is woken."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "BLOCKED"


OK = Status("OK")
PONG = Status("PONG")
QUEUED = Status("QUEUED")
NULL_ARRAY = NullArray()
BLOCKED = Blocked()
NOTHING = Many()
