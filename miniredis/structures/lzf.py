"""LZF, the compression of Redis's RDB strings (liblzf's format).

    000LLLLL              L + 1 bytes follow as they are                                     (1 … 32)
    LLLooooo oooooooo     repeat L + 2 bytes from o + 1 bytes back                           (3 … 8, up to 8192 back)
    111ooooo LLLLLLLL oooooooo            the same with L + 9 bytes                          (9 … 264)

Law: `decompress` allocates what was announced only as the input yields it, and never more.
"""

from typing import Final

MAX_LITERAL: Final = 32
MAX_OFFSET: Final = 8192
MAX_REPEAT: Final = 264
_LEAST_REPEAT: Final = 3
_STRETCH: Final = 19
# A repeat of three input bytes yields at most this many.
MAX_RATIO: Final = MAX_REPEAT // 3 + 1
# Repeats that `compress` writes before it leaves the rest as it is.
MAX_REPEATS: Final = 1 << 14
# After so many bytes (as a power of two) without a repeat a byte more is stepped over each time.
_PATIENCE_BITS: Final = 7


def compress(data: bytes) -> bytes | None:
    """`data` compressed, or None where that would not save at least four bytes.

    Greedy, as liblzf. Where nothing repeats the steps grow, and after MAX_REPEATS repeats the rest stays as it is: a
    value of megabytes costs milliseconds more, not hundreds of them."""
    room = len(data) - 4
    output = bytearray()
    places: dict[bytes, int] = {}
    end = len(data)
    start = at = 0
    budget = MAX_REPEATS
    while at < end - 2 and budget:
        key = data[at : at + _LEAST_REPEAT]
        earlier = places.get(key, 0)
        places[key] = at
        # liblzf's rule too: place 0 is never repeated from.
        if not earlier or at - earlier > MAX_OFFSET:
            at += 1 + (at - start >> _PATIENCE_BITS)
            continue
        # liblzf leaves the last two bytes out, but compares sixteen at a stretch where it sees as many before it.
        room_left = min(end - at - 2, MAX_REPEAT)
        length = _common(data, earlier, at, max(room_left, _STRETCH if room_left > 16 else _LEAST_REPEAT))
        _literals(output, data, start, at)
        _repeat(output, at - earlier - 1, length - 2)
        # As liblzf: of what was repeated only the last two places are remembered.
        start = at = at + length
        for place in range(at - 2, min(at, end - 2)):
            places[data[place : place + _LEAST_REPEAT]] = place
        budget -= 1
    if len(output) + (end - start) * (MAX_LITERAL + 1) // MAX_LITERAL > room:
        return None
    _literals(output, data, start, end)
    return bytes(output) if len(output) <= room else None


def _common(data: bytes, earlier: int, at: int, most: int) -> int:
    """How many bytes, at most `most`, are the same at two places; three are known to be."""
    if data[earlier : earlier + most] == data[at : at + most]:
        return most
    low, high = _LEAST_REPEAT, most
    while high - low > 1:
        middle = (low + high) // 2
        if data[earlier : earlier + middle] == data[at : at + middle]:
            low = middle
        else:
            high = middle
    return low


def _literals(output: bytearray, data: bytes, start: int, stop: int) -> None:
    for at in range(start, stop, MAX_LITERAL):
        piece = data[at : min(at + MAX_LITERAL, stop)]
        output.append(len(piece) - 1)
        output += piece


def _repeat(output: bytearray, offset: int, length: int) -> None:
    if length < 7:
        output.append(length << 5 | offset >> 8)
    else:
        output.append(0xE0 | offset >> 8)
        output.append(length - 7)
    output.append(offset & 0xFF)


def decompress(data: bytes, size: int) -> bytes:
    """What `data` was made of, `size` bytes; ValueError if it does not yield exactly that."""
    if size > len(data) * MAX_RATIO:
        raise ValueError("compressed data that cannot become so long")
    output = bytearray()
    at = 0
    end = len(data)
    try:
        while at < end:
            mark = data[at]
            at += 1
            if mark < MAX_LITERAL:
                piece = data[at : at + mark + 1]
                if len(piece) != mark + 1:
                    raise ValueError("compressed data that breaks off")
                output += piece
                at += mark + 1
            else:
                length = mark >> 5
                if length == 7:
                    length += data[at]
                    at += 1
                back = ((mark & 0x1F) << 8 | data[at]) + 1
                at += 1
                length += 2
                start = len(output) - back
                if start < 0:
                    raise ValueError("compressed data that repeats what was never there")
                if back >= length:
                    output += output[start : start + length]
                else:
                    piece = bytes(output[start:])
                    output += (piece * (length // back + 1))[:length]
            if len(output) > size:
                raise ValueError("compressed data that becomes longer than announced")
    except IndexError:
        raise ValueError("compressed data that breaks off") from None
    if len(output) != size:
        raise ValueError("compressed data that becomes shorter than announced")
    return bytes(output)
