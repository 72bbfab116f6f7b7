"""What an element takes in Redis' packed form (a listpack), without packing it.

    listpack:  ┌───────────┬──────────┬─────────┬─────┬──────┐     element:  ┌──────────┬──────┬─────────┐
               │ bytes u32 │ count u16│ element │  …  │ 0xFF │               │ encoding │ data │ backlen │
               └───────────┴──────────┴─────────┴─────┴──────┘               └──────────┴──────┴─────────┘

An element that reads as a whole number of 64 bits, written the only canonical way, is stored as that number
in 1, 2, 3, 4, 5 or 9 bytes; any other is stored as it is behind 1, 2 or 5 bytes of length. `backlen` repeats
the length of what stands before it, seven bits a byte.

Redis decides by these sizes where a list is cut into nodes and when it changes its encoding, so they have to be
exact.
"""

from typing import Final

# An empty listpack: its header and its end mark.
HEADER_BYTES: Final = 7
# A longer string is not looked at as a number: no 64-bit number has more characters.
MAX_INTEGER_DIGITS: Final = 20


def entry_size(value: bytes) -> int:
    """Bytes `value` takes in a listpack, its encoding and backlen included."""
    length = len(value)
    if length < 64:
        if length <= MAX_INTEGER_DIGITS and (value.isdigit() or value[:1] == b"-"):
            size = integer_size(value)
            if size:
                return size
        return length + 2
    stored = length + (2 if length < 4096 else 5)
    return stored + backlen_size(stored)


def integer_size(value: bytes) -> int:
    """Bytes `value` takes when it is stored as a number; 0 when it is not one, or not written canonically."""
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or (digits[:1] == b"0" and len(value) > 1):
        return 0
    number = int(value)
    if 0 <= number <= 127:
        return 2
    if -4096 <= number <= 4095:
        return 3
    if -32768 <= number <= 32767:
        return 4
    if -8388608 <= number <= 8388607:
        return 5
    if -2147483648 <= number <= 2147483647:
        return 6
    return 10 if -(1 << 63) <= number < 1 << 63 else 0


def backlen_size(stored: int) -> int:
    """Bytes it takes to repeat a length of `stored` behind an element."""
    if stored <= 127:
        return 1
    if stored < 16383:
        return 2
    if stored < 2097151:
        return 3
    return 4 if stored < 268435455 else 5
