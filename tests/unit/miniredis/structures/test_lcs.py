"""The longest common subsequence against the plain table."""

from __future__ import annotations

from random import Random

from miniredis.structures import lcs


def plain(first: bytes, second: bytes) -> tuple[bytes, list[lcs.Run]]:
    """Cell by cell, and back as Redis goes."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, byte in enumerate(first, 1):
        for j, other in enumerate(second, 1):
            taken = table[i - 1][j - 1] + 1
            table[i][j] = taken if byte == other else max(table[i - 1][j], table[i][j - 1])
    i, j = len(first), len(second)
    common = b""
    runs: list[lcs.Run] = []
    size = 0
    while i and j:
        if first[i - 1] == second[j - 1]:
            i, j, size = i - 1, j - 1, size + 1
            common = first[i : i + 1] + common
            continue
        if size:
            runs.append((i, j, size))
        size = 0
        if table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return common, [*runs, (i, j, size)] if size else runs


def test_it_is_the_one_the_plain_table_gives() -> None:
    """LCS would find another subsequence than Redis finds, or a shorter one."""
    chance = Random(1)
    for _ in range(1500):
        letters = chance.choice([b"ab", b"abc", b"abcdefgh"])
        first, second = (bytes(chance.choices(letters, k=chance.randrange(14))) for _ in range(2))
        common, runs = plain(first, second)
        assert lcs.length(first, second) == len(common)
        assert lcs.trace(first, second) == (common, runs)


def test_long_strings_take_no_table() -> None:
    """Two strings of ten thousand bytes would hold everybody up for seconds, and take a gigabyte."""
    chance = Random(2)
    first, second = chance.randbytes(10_000), chance.randbytes(10_000)
    common, runs = lcs.trace(first, second)
    assert lcs.length(first, second) == len(common) == sum(size for _, _, size in runs)
    assert lcs.trace(b"x" + bytes(100_000), b"x")[0] == b"x"
