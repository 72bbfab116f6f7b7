"""HyperLogLog: whatever bytes a client stores, an answer or an error; and the estimate is one."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.structures import hyperloglog

MULTIPLIER = 0xC6A4A7935BD1E995  # of MurmurHash64A


def test_both_forms_hold_the_same_registers() -> None:
    """Growing dense, a HyperLogLog would forget or invent elements."""
    sparse, dense = hyperloglog.new(), hyperloglog.new()
    hyperloglog.make_dense(dense)
    for number in range(2000):
        element = [b"element %d" % number]
        assert hyperloglog.add(sparse, element, 3000) == hyperloglog.add(dense, element, 3000)
        if number in (3, 100, 900, 1999):
            assert hyperloglog.registers(sparse) == hyperloglog.registers(dense)
            assert hyperloglog.cardinality(sparse) == hyperloglog.cardinality(dense)
    assert hyperloglog.is_dense(sparse)
    assert abs(hyperloglog.cardinality(sparse) - 2000) < 100


def test_elements_added_together_leave_the_bytes_of_one_by_one() -> None:
    """A replica that is told several PFADDs as one would not hold the same bytes."""
    elements = [b"%d" % number for number in range(900)]
    together, single = hyperloglog.new(), hyperloglog.new()
    hyperloglog.add(together, elements, 3000)
    for element in elements:
        hyperloglog.add(single, [element], 3000)
    hyperloglog.mark_stale(together)
    assert together == single
    assert not hyperloglog.is_dense(together)


def test_the_larger_register_wins() -> None:
    """PFMERGE and PFCOUNT of several keys would lose elements."""
    chance = Random(3)
    one, other = (bytes(chance.randrange(64) for _ in range(hyperloglog.REGISTERS)) for _ in range(2))
    assert hyperloglog.largest(one, other) == bytes(map(max, one, other))


def test_damaged_bytes_are_an_answer_or_corrupted() -> None:
    """Bytes that a client wrote into a HyperLogLog would end a command with a crash."""
    chance = Random(4)
    answered = refused = 0
    for _ in range(400):
        data = hyperloglog.new()
        hyperloglog.add(data, [chance.randbytes(4) for _ in range(chance.choice([0, 3, 200]))], 3000)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(16, len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(16, len(data)) :]
        for use in (hyperloglog.cardinality, hyperloglog.registers, hyperloglog.runs_shown, add_some,
                    hyperloglog.make_dense):  # fmt: skip
            try:
                use(data)
            except hyperloglog.Corrupted:
                refused += 1
            else:
                answered += 1
    assert min(answered, refused) > 100


def add_some(data: bytearray) -> None:
    hyperloglog.add(data, [b"%d" % number for number in range(20)], 3000)


def test_registers_that_do_not_add_up_are_noticed() -> None:
    """A damaged HyperLogLog would be counted as if it were whole."""
    header = hyperloglog.new()[:16]
    for runs in (b"", b"\x7f\xfe", b"\x7f\xff\x00", b"\x80", b"\x7f\xfe\x84\x84"):
        with pytest.raises(hyperloglog.Corrupted):
            hyperloglog.cardinality(header + runs)


def test_long_elements_are_hashed_as_they_are_defined_to_be() -> None:
    """An element would be counted elsewhere than Redis counts it: a merge with Redis's own values counts it twice."""
    chance = Random(11)
    sizes = [*range(120, 150), 4095, 4096, 4097, 4104, 4111, 8192, 8200, 12_345]
    for size in sizes:
        data = chance.choice((chance.randbytes(size), b"\xff" * size))
        found = 0xADC83B19 ^ size * MULTIPLIER % 2**64
        for at in range(0, size - size % 8, 8):
            word = int.from_bytes(data[at : at + 8], "little") * MULTIPLIER % 2**64
            found = (found ^ (word ^ word >> 47) * MULTIPLIER % 2**64) * MULTIPLIER % 2**64
        if size % 8:
            found = (found ^ int.from_bytes(data[size - size % 8 :], "little")) * MULTIPLIER % 2**64
        found = (found ^ found >> 47) * MULTIPLIER % 2**64
        assert hyperloglog.murmur64(data) == found ^ found >> 47
