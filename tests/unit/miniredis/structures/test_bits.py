"""Bit strings against the plainest way to say the same."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.structures import bits


def plain(text: bytes) -> list[int]:
    return [byte >> (7 - at) & 1 for byte in text for at in range(8)]


@pytest.mark.parametrize("seed", range(5))
def test_counts_and_positions_are_those_of_the_single_bits(seed: int) -> None:
    """BITCOUNT or BITPOS would be off at the edge of a range or of a piece."""
    chance = Random(seed)
    size = chance.choice([1, 3, 50, bits.PIECE_BYTES + 3])
    text = bytes(chance.choice([0, 0, 255, 255, 8, 247]) for _ in range(size))
    if seed % 2:
        text = bytes([chance.choice([0, 255])]) * size
    single = plain(text)
    for _ in range(60):
        first = chance.randrange(size * 8)
        last = chance.choice([first, min(first + 9, size * 8 - 1), chance.randrange(first, size * 8)])
        part = single[first : last + 1]
        assert bits.count(text, first, last) == sum(part)
        for bit in (0, 1):
            assert bits.position(text, bit, first, last) == (first + part.index(bit) if bit in part else -1)


def test_fields_lie_where_their_bits_are() -> None:
    """BITFIELD would read or write beside the field."""
    chance = Random(1)
    text = bytearray(chance.randbytes(40))
    for _ in range(500):
        width = chance.randrange(1, 65)
        offset = chance.randrange(0, 320 - width)
        value = chance.getrandbits(width)
        before = plain(text)
        bits.set_field(text, offset, width, value)
        wanted = [*before[:offset], *(value >> at & 1 for at in reversed(range(width))), *before[offset + width :]]
        assert plain(text) == wanted
        assert bits.field_at(text, offset, width, False) == value
        assert bits.field_at(text, offset, width, True) == (value - (value >> (width - 1) << width))
    assert bits.field_at(b"\xff", 4, 8, False) == 0xF0
    assert bits.field_at(b"", 1 << 40, 64, True) == 0


def test_strings_of_different_lengths_are_joined_over_several_pieces() -> None:
    """BITOP would cut a long string short or join its pieces in the wrong place."""
    chance = Random(2)
    texts = [chance.randbytes(bits.PIECE_BYTES * 2 + 5), chance.randbytes(bits.PIECE_BYTES + 1), chance.randbytes(3)]
    padded = [text.ljust(len(texts[0]), b"\0") for text in texts]
    assert bits.joined(b"AND", texts) == bytes(a & b & c for a, b, c in zip(*padded, strict=True))
    assert bits.joined(b"OR", texts) == bytes(a | b | c for a, b, c in zip(*padded, strict=True))
    assert bits.joined(b"XOR", texts) == bytes(a ^ b ^ c for a, b, c in zip(*padded, strict=True))


def test_setbit_does_not_copy_a_long_string() -> None:
    """Setting bits of a long string one by one would take time by its length."""
    from tests.unit.miniredis.world import World

    world = World()
    world("SETBIT k 8000000 1")
    before = world.state.dbs[0].peek(b"k")
    world("SETBIT k 5 1")
    world("BITFIELD k SET u8 64 7")
    assert world.state.dbs[0].peek(b"k") is before
