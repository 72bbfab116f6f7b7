"""`bit`: operations on 32-bit integers, as LuaBitOp has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, Final

from miniredis.scripting.errors import ScriptError

_MASK: Final = 0xFFFFFFFF


def _unsigned(value: Any, name: str, at: int = 1) -> int:
    number = value
    if type(value) is bytes:
        try:
            number = float(value)
        except ValueError:
            number = None
    if type(number) is int:
        return number & _MASK
    if type(number) is float:
        return round(number) & _MASK if math.isfinite(number) else 0
    raise ScriptError(f"bad argument #{at} to '{name}' (number expected, got {_named(value)})")


def _named(value: Any) -> str:
    if value is None:
        return "no value"
    return {bytes: "string", bool: "boolean"}.get(type(value), "table")


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 32) if value & 0x80000000 else value


def _several(name: str, operate: Callable[[int, int], int]) -> Callable[..., int]:
    def function(*values: Any) -> int:
        if not values:
            _unsigned(None, name)
        return _signed(reduce(operate, [_unsigned(value, name, at) for at, value in enumerate(values, 1)]))

    return function


def _shift(name: str, operate: Callable[[int, int], int]) -> Callable[..., int]:
    def function(value: Any = None, count: Any = None, *_: Any) -> int:
        return _signed(operate(_unsigned(value, name), _unsigned(count, name, 2) & 31))

    return function


def _rotated(value: int, count: int) -> int:
    return value << count | value >> (32 - count)


def _swapped(value: Any = None, *_: Any) -> int:
    return _signed(int.from_bytes(_unsigned(value, "bswap").to_bytes(4, "big"), "little"))


def _hexadecimal(value: Any = None, digits: Any = 8, *_: Any) -> bytes:
    count = _signed(_unsigned(digits, "tohex", 2))
    pattern = "%0*X" if count < 0 else "%0*x"
    wanted = min(abs(count), 8)
    text = pattern % (8, _unsigned(value, "tohex"))
    return text[8 - wanted :].encode()


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "tobit": lambda value=None, *_: _signed(_unsigned(value, "tobit")),
    "bnot": lambda value=None, *_: _signed(~_unsigned(value, "bnot")),
    "band": _several("band", lambda a, b: a & b),
    "bor": _several("bor", lambda a, b: a | b),
    "bxor": _several("bxor", lambda a, b: a ^ b),
    "lshift": _shift("lshift", lambda value, count: value << count),
    "rshift": _shift("rshift", lambda value, count: value >> count),
    "arshift": _shift("arshift", lambda value, count: _signed(value) >> count),
    "rol": _shift("rol", _rotated),
    "ror": _shift("ror", lambda value, count: _rotated(value, (32 - count) & 31)),
    "bswap": _swapped,
    "tohex": _hexadecimal,
}
