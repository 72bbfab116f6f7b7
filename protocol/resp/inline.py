"""Inline commands and quoting: one line of text becomes arguments, as `sdssplitargs` of Redis splits it.

The same rules read telnet input, lines of redis.conf and the lines redis-cli is given, which is why they stand alone.

    SET key "a \\x00 b\\n" 'it\\'s'     →     SET · key · a <NUL> b<LF> · it's

A quoted part must be followed by a space or the end of the line, and must be closed.
"""

from __future__ import annotations

from typing import Final

_SPACES: Final = frozenset(b" \t\n\v\f\r")
_SEPARATORS: Final = frozenset(b" \t\n\r")  # inside a word the other two are characters like any other
_SPECIAL: Final = (b'"', b"'", b"\0", b"\v", b"\f")
_ESCAPES: Final = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_DOUBLE: Final = ord('"')
_SINGLE: Final = ord("'")
_BACKSLASH: Final = ord("\\")


class Unbalanced(ValueError):
    """A quote was left open, or something follows a closing quote without a space."""


def split_arguments(line: bytes) -> list[bytes]:
    """The arguments of one line; [] for a blank one. Raises Unbalanced."""
    if not any(mark in line for mark in _SPECIAL):
        return line.split()
    line = line.split(b"\0", 1)[0]  # a C string ends here
    arguments: list[bytes] = []
    position = 0
    end = len(line)
    while True:
        while position < end and line[position] in _SPACES:
            position += 1
        if position == end:
            return arguments
        word, position = _word(line, position)
        arguments.append(word)


def _word(line: bytes, position: int) -> tuple[bytes, int]:
    """The argument that starts at `position`, and where it ends. Quotes may open in the middle of it: a"b c" is one."""
    word = bytearray()
    end = len(line)
    while position < end:
        char = line[position]
        if char in _SEPARATORS:
            break
        if char == _DOUBLE:
            position = _double_quoted(line, position + 1, word)
            return bytes(word), position
        if char == _SINGLE:
            position = _single_quoted(line, position + 1, word)
            return bytes(word), position
        word.append(char)
        position += 1
    return bytes(word), position


def _double_quoted(line: bytes, position: int, word: bytearray) -> int:
    end = len(line)
    while position < end:
        char = line[position]
        if char == _BACKSLASH and position + 1 < end:
            following = line[position + 1]
            if (
                following == ord("x")
                and position + 3 < end
                and line[position + 2] in _HEX
                and line[position + 3] in _HEX
            ):
                word.append(int(line[position + 2 : position + 4], 16))
                position += 4
                continue
            word.append(_ESCAPES.get(following, following))
            position += 2
            continue
        if char == _DOUBLE:
            return _closed(line, position)
        word.append(char)
        position += 1
    raise Unbalanced("unbalanced quotes")


def _single_quoted(line: bytes, position: int, word: bytearray) -> int:
    end = len(line)
    while position < end:
        char = line[position]
        if char == _BACKSLASH and position + 1 < end and line[position + 1] == _SINGLE:
            word.append(_SINGLE)
            position += 2
            continue
        if char == _SINGLE:
            return _closed(line, position)
        word.append(char)
        position += 1
    raise Unbalanced("unbalanced quotes")


def _closed(line: bytes, position: int) -> int:
    position += 1
    if position < len(line) and line[position] not in _SPACES:
        raise Unbalanced("unbalanced quotes")
    return position
