"""The longest common subsequence of two strings, many cells of the table at a time.

With L[i][j] the length for the first i and j bytes, what the way back has to know is where a row grows:

    d(i, j) = L[i][j] − L[i][j−1], 0 or 1

A whole row of these is one integer, and the next row follows from it in four operations (H. Hyyrö, "Bit-parallel LCS
length computation revisited", 2004). The longer string makes the rows, so that there are few: where that is the first
string, columns are computed instead, and d follows from how two columns grow.

Law: of several subsequences the one Redis finds: a match is taken, else the first string is shortened where that loses
nothing that shortening the second would keep.
"""

from __future__ import annotations

Run = tuple[int, int, int]  # start in the first string, start in the second, length


def length(first: bytes, second: bytes) -> int:
    """How long the subsequence is."""
    short, long = sorted((first, second), key=len)
    rows = _growth(short, long)
    return rows[-1].bit_count() if rows else 0


def trace(first: bytes, second: bytes) -> tuple[bytes, list[Run]]:
    """The subsequence, and its unbroken runs from the last to the first."""
    by_row = len(first) <= len(second)
    grows = _growth(first, second) if by_row else _turned(_growth(second, first), len(first))
    i, j = len(first), len(second)
    common = bytearray()
    runs: list[Run] = []
    size = 0  # of the run that ends (backwards) at i, j
    while i > 0 and j > 0:
        if first[i - 1] == second[j - 1]:
            common.append(first[i - 1])
            i -= 1
            j -= 1
            size += 1
            continue
        if size:
            runs.append((i, j, size))
            size = 0
        if grows[i - 1] >> (j - 1) & 1 if by_row else grows[j - 1] >> (i - 1) & 1:
            # Growth in column j comes from a match with its byte: further up there is nothing but that to find.
            i = first.rfind(second[j - 1 : j], 0, i) + 1
        elif by_row:
            match = second.rfind(first[i - 1 : i], 0, j) + 1
            j = max(match, (grows[i - 1] & ((1 << j) - 1)).bit_length())
        else:
            j -= 1
    if size:
        runs.append((i, j, size))
    common.reverse()
    return bytes(common), runs


def _growth(rows: bytes, columns: bytes) -> list[int]:
    """For each byte of `rows` an integer: bit j says whether the length grows with byte j of `columns`."""
    full = (1 << len(columns)) - 1
    places = {byte: _places(columns, byte) for byte in set(rows)}
    state = full
    found = []
    for byte in rows:
        matched = state & places[byte]
        state = ((state + matched) | (state - matched)) & full
        found.append(state ^ full)
    return found


def _places(text: bytes, byte: int) -> int:
    """A bit for each place where the byte stands."""
    digits = text[::-1].translate(bytes(49 if other == byte else 48 for other in range(256)))
    return int(digits, 2) if digits else 0


def _turned(columns: list[int], size: int) -> list[int]:
    """Growth down columns made into growth along rows: d(i, j) is the parity of two columns' growth up to i."""
    found = []
    before = 0
    full = (1 << size) - 1
    for column in columns:
        parity = column ^ before
        step = 1
        while step < size:
            parity ^= parity << step & full
            step *= 2
        found.append(parity)
        before = column
    return found
