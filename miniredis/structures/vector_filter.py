"""The language of VSIM's FILTER: whether an element's attributes, a JSON object, are as an expression wants them.

    .year >= 1980 and .year < 1990            .field takes a top-level field of the object
    .genre in ["drama", "comedy"]             in: one of several, or part of a text
    (.rating * 2) ** 2 > 50 or not .is_old    ! not  **  * / %  + -  > >= < <= == != in  and &&  or ||, strongest first

Values are numbers, texts, null, and lists of these. A text where a number is wanted is read as one, or is 0; true and
false are 1 and 0. A field that is not there, an object in an object, or attributes that are no JSON up to the field
make the whole expression false, whatever it says: nothing is left out because its outcome is known already.

The expression is compiled to a program for a stack: values are pushed, an operator takes its values off and pushes the
outcome. Real servers read on to the first zero byte, and so does this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

# Bounds that a real server does not have: there, a thread of its own works on the query.
MAX_EXPRESSION_BYTES: Final = 1 << 16
MAX_STEPS: Final = 256
_MAX_NESTING: Final = 32  # of lists in attributes
_MAX_MEMBERS: Final = 4096  # of a list in attributes

Value: TypeAlias = "float | bytes | tuple[Value, ...] | None"

_NUMBER_TEXT: Final = re.compile(rb"[ \t\n\v\f\r]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_BYTES: Final = 255


class FilterError(Exception):
    """The expression is none. `at`: how many bytes of it were understood."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


# ── values ─────────────────────────────────────────────────────────────────────────────────────────────


def _float(text: bytes) -> float | None:
    if len(text) > _MAX_NUMBER_BYTES or _NUMBER_TEXT.fullmatch(text) is None:
        return None
    return float(text)


def _number(value: Value) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, bytes):
        return _float(value) or 0.0
    return 0.0


def _is_true(value: Value) -> bool:
    if isinstance(value, tuple):
        return True
    return bool(value)


def _equals(one: Value, other: Value) -> bool:
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one == other
    if one is None or other is None:
        return one is other
    return _number(one) == _number(other)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def _quotient(one: float, other: float) -> float:
    if other:
        return one / other
    return math.nan if not one or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1, other)


def _remainder(one: float, other: float) -> float:
    try:
        return math.fmod(one, other)
    except ValueError:
        return math.nan


class _Listed(tuple[Value, ...]):
    """A list that stands in the expression: asked once for every element looked at, so it is kept as sets."""

    texts: frozenset[Value]
    numbers: frozenset[float]
    all_numbers: frozenset[float]  # what its texts are as numbers, too

    @classmethod
    def of(cls, members: list[Value]) -> _Listed:
        listed = cls(members)
        listed.texts = frozenset([member for member in members if isinstance(member, bytes)])
        listed.numbers = frozenset([member for member in members if isinstance(member, float)])
        listed.all_numbers = frozenset([_number(member) for member in members])
        return listed

    def has(self, value: Value) -> bool:
        if isinstance(value, bytes):
            return value in self.texts or (bool(self.numbers) and _number(value) in self.numbers)
        return value is not None and _number(value) in self.all_numbers


def _is_in(one: Value, other: Value) -> bool:
    if isinstance(other, _Listed):
        return other.has(one)
    if isinstance(other, tuple):
        return any(_equals(one, member) for member in other)
    return isinstance(one, bytes) and isinstance(other, bytes) and one in other


# ── operators ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Operator:
    strength: int
    operands: int
    run: Callable[[Value, Value], Value]  # the first operand is None where there is but one


def _arithmetic(strength: int, run: Callable[[float, float], float]) -> _Operator:
    return _Operator(strength, 2, lambda one, other: run(_number(one), _number(other)))


def _test(strength: int, run: Callable[[Value, Value], bool], operands: int = 2) -> _Operator:
    return _Operator(strength, operands, lambda one, other: 1.0 if run(one, other) else 0.0)


_NOT: Final = _test(6, lambda _, value: not _is_true(value), 1)
_POWER: Final = _arithmetic(5, _power)
_AND: Final = _test(1, lambda one, other: _is_true(one) and _is_true(other))
_OR: Final = _test(0, lambda one, other: _is_true(one) or _is_true(other))
_OPEN: Final = _Operator(7, 0, lambda _, __: None)
_CLOSE: Final = _Operator(7, 0, lambda _, __: None)

_OPERATORS: Final = {
    b"(": _OPEN, b")": _CLOSE, b"!": _NOT, b"not": _NOT, b"**": _POWER,
    b"*": _arithmetic(4, lambda one, other: one * other),
    b"/": _arithmetic(4, _quotient),
    b"%": _arithmetic(4, _remainder),
    b"+": _arithmetic(3, lambda one, other: one + other),
    b"-": _arithmetic(3, lambda one, other: one - other),
    b">": _test(2, lambda one, other: _number(one) > _number(other)),
    b">=": _test(2, lambda one, other: _number(one) >= _number(other)),
    b"<": _test(2, lambda one, other: _number(one) < _number(other)),
    b"<=": _test(2, lambda one, other: _number(one) <= _number(other)),
    b"==": _test(2, _equals),
    b"!=": _test(2, lambda one, other: not _equals(one, other)),
    b"in": _test(2, _is_in),
    b"and": _AND, b"&&": _AND, b"or": _OR, b"||": _OR,
}  # fmt: skip
_LONGEST: Final = max(map(len, _OPERATORS))


@dataclass(frozen=True, slots=True)
class _Field:
    name: bytes


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Value


_Step = _Operator | _Field | _Constant


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────

_SPACE: Final = re.compile(rb"[ \t\n\v\f\r]*")
_DIGITS: Final = re.compile(rb"-?[0-9.eE]*")
_SELECTOR: Final = re.compile(rb"\.([A-Za-z0-9_-]+)")
_WORD: Final = re.compile(rb"[A-Za-z+\-*%/!()<>=|&]+")
_QUOTED: Final = re.compile(rb"\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_MINUS_NUMBER: Final = re.compile(rb"-[0-9]")


class _Reader:
    """An expression, read from the left."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def steps(self) -> list[_Step]:
        found: list[_Step] = []
        while True:
            self._skip_space()
            if self.at >= len(self.text):
                return found
            if len(found) >= MAX_STEPS:
                raise FilterError(self.at)
            last = found[-1] if found else _OPEN
            found.append(self._step(isinstance(last, _Operator) and last is not _CLOSE))

    def _step(self, minus_is_sign: bool) -> _Step:
        text, at = self.text, self.at
        byte = text[at : at + 1]
        if byte.isdigit() or (minus_is_sign and _MINUS_NUMBER.match(text, at)):
            return _Constant(self._number())
        if byte in (b'"', b"'"):
            return _Constant(self._quoted())
        if byte == b"[":
            return _Constant(self._list())
        if (selector := _SELECTOR.match(text, at)) is not None:
            self.at = selector.end()
            return _Field(selector[1])
        word = _WORD.match(text, at)
        if word is None:
            raise FilterError(at)
        return self._operator(word)

    def _operator(self, word: re.Match[bytes]) -> _Step:
        if word[0] == b"null":
            self.at = word.end()
            return _Constant(None)
        for length in range(min(_LONGEST, len(word[0])), 0, -1):
            operator = _OPERATORS.get(word[0][:length])
            if operator is not None:
                self.at += length
                return operator
        raise FilterError(word.end())

    def _skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _number(self) -> float:
        found = _DIGITS.match(self.text, self.at)
        assert found is not None
        number = _float(found[0])
        if number is None:
            raise FilterError(found.end())
        self.at = found.end()
        return number

    def _quoted(self) -> bytes:
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            raise FilterError(len(self.text))
        self.at = found.end()
        return found[1] if found[1] is not None else found[2]

    def _list(self) -> tuple[Value, ...]:
        found: list[Value] = []
        self.at += 1
        while True:
            self._skip_space()
            byte = self.text[self.at : self.at + 1]
            if byte == b"]":
                break
            if byte.isdigit() or byte == b"-":
                found.append(self._number())
            elif byte in (b'"', b"'"):
                found.append(self._quoted())
            else:
                raise FilterError(self.at)
            self._skip_space()
            byte = self.text[self.at : self.at + 1]
            if byte == b",":
                self.at += 1
            elif byte != b"]":
                raise FilterError(self.at)
        self.at += 1
        return _Listed.of(found)


def _arranged(steps: list[_Step]) -> list[_Step]:
    """The steps as a program: operands before their operators (the shunting yard). FilterError."""
    program: list[_Step] = []
    waiting: list[_Operator] = []
    depth = 0

    def emit(operator: _Operator) -> None:
        nonlocal depth
        if depth < operator.operands or operator is _OPEN:
            raise FilterError(0)
        depth -= operator.operands - 1
        program.append(operator)

    for step in steps:
        if not isinstance(step, _Operator):
            program.append(step)
            depth += 1
        elif step is _OPEN:
            waiting.append(step)
        elif step is _CLOSE:
            while waiting and waiting[-1] is not _OPEN:
                emit(waiting.pop())
            if not waiting:
                raise FilterError(0)
            waiting.pop()
        else:
            while waiting and waiting[-1] is not _OPEN and _goes_first(waiting[-1], step):
                emit(waiting.pop())
            waiting.append(step)
    while waiting:
        emit(waiting.pop())
    if depth != 1:
        raise FilterError(0)
    return program


def _goes_first(before: _Operator, after: _Operator) -> bool:
    """Whether the operator on the left is done first. Of powers the right one is; a second NOT is nearer its value."""
    if after is _POWER or after is _NOT:
        return before.strength > after.strength
    return before.strength >= after.strength


class Filter:
    """A compiled expression."""

    __slots__ = ("_program",)

    def __init__(self, expression: bytes) -> None:
        """FilterError: not an expression, or one too long."""
        text = expression.partition(b"\0")[0]
        if len(text) > MAX_EXPRESSION_BYTES:
            raise FilterError(0)
        self._program = _arranged(_Reader(text).steps())

    def accepts(self, attributes: bytes) -> bool:
        """Whether attributes are as the expression wants them."""
        stack: list[Value] = []
        for step in self._program:
            if isinstance(step, _Constant):
                stack.append(step.value)
            elif isinstance(step, _Field):
                try:
                    stack.append(field_of(attributes, step.name))
                except ValueError:
                    return False
            else:
                other = stack.pop()
                one = stack.pop() if step.operands == 2 else None
                stack.append(step.run(one, other))
        return _is_true(stack[-1])


# ── attributes ─────────────────────────────────────────────────────────────────────────────────────────

_JSON_STRING: Final = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_JSON_NUMBER: Final = re.compile(rb"[-+.eE0-9]+")
_JSON_KEY: Final = re.compile(rb'[ \t\n\v\f\r]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\v\f\r]*:[ \t\n\v\f\r]*', re.DOTALL)
_JSON_BEGIN: Final = re.compile(rb"[ \t\n\v\f\r]*\{")
_JSON_COMMA: Final = re.compile(rb"[ \t\n\v\f\r]*,")
_JSON_LITERAL: Final = re.compile(rb"true|false|null")
_LITERAL_END: Final = re.compile(rb"[ \t\n\v\f\r,\]}]|\Z")
_LITERALS: Final[dict[bytes, Value]] = {b"true": 1.0, b"false": 0.0, b"null": None}
_OBJECT_PIECE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}"]', re.DOTALL)
_LIST_PIECE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]"]', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def field_of(attributes: bytes, name: bytes) -> Value:
    """The value of a top-level field, the first of that name. ValueError: none that an expression could use."""
    at = _matched(_JSON_BEGIN, attributes, 0).end()
    while True:
        key = _matched(_JSON_KEY, attributes, at)
        if key[1] == name:
            return _value_at(attributes, key.end(), 0)[0]
        at = _matched(_JSON_COMMA, attributes, _end_of_value(attributes, key.end())).end()


def _matched(pattern: re.Pattern[bytes], text: bytes, at: int) -> re.Match[bytes]:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError("attributes")
    return found


def _end_of_value(text: bytes, at: int) -> int:
    byte = text[at : at + 1]
    if byte == b'"':
        return _matched(_JSON_STRING, text, at).end()
    if byte == b"{":
        return _end_of_brackets(_OBJECT_PIECE, text, at)
    if byte == b"[":
        return _end_of_brackets(_LIST_PIECE, text, at)
    return _matched(_JSON_LITERAL if byte in (b"t", b"f", b"n") else _JSON_NUMBER, text, at).end()


def _end_of_brackets(pieces: re.Pattern[bytes], text: bytes, at: int) -> int:
    depth = 0
    for piece in pieces.finditer(text, at):
        byte = piece[0]
        if byte in (b"{", b"["):
            depth += 1
        elif byte in (b"}", b"]"):
            depth -= 1
            if not depth:
                return piece.end()
        elif byte == b'"':
            break  # a text without an end
    raise ValueError("attributes")


def _value_at(text: bytes, at: int, nesting: int) -> tuple[Value, int]:
    """A value and where it ends."""
    byte = text[at : at + 1]
    if byte == b'"':
        found = _matched(_JSON_STRING, text, at)
        return _ESCAPE.sub(_unescaped, found[1]), found.end()
    if byte == b"[" and nesting < _MAX_NESTING:
        return _list_at(text, at, nesting + 1)
    if byte in (b"t", b"f", b"n"):
        found = _matched(_JSON_LITERAL, text, at)
        _matched(_LITERAL_END, text, found.end())
        return _LITERALS[found[0]], found.end()
    found = _matched(_JSON_NUMBER, text, at)
    number = _float(found[0])
    if number is None or byte == b".":
        raise ValueError("attributes")
    return number, found.end()


def _list_at(text: bytes, at: int, nesting: int) -> tuple[Value, int]:
    found: list[Value] = []
    at = _matched(_SPACE, text, at + 1).end()
    if text[at : at + 1] == b"]":
        return (), at + 1
    while True:
        value, at = _value_at(text, _matched(_SPACE, text, at).end(), nesting)
        found.append(value)
        at = _matched(_SPACE, text, at).end()
        byte = text[at : at + 1]
        at += 1
        if byte == b"]":
            return tuple(found), at
        if byte != b"," or len(found) >= _MAX_MEMBERS:
            raise ValueError("attributes")


def _unescaped(found: re.Match[bytes]) -> bytes:
    return _ESCAPED.get(found[1], found[1])
