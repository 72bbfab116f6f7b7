"""Streams against a plain list of entries."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.structures.listpack import decode, encode
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import UNKNOWN, Group
from miniredis.structures.stream_node import MAX_ID, Entry

ALL = (0, MAX_ID)
VALUES = [
    b"", b"v", b"-1", b"0", b"-0", b"007", b"127", b"128", b"4095", b"-4097", b"32768", b"8388608", b"2147483648",
    b"123456789", b"9" * 19, b"-9223372036854775808", b"18446744073709551615", b"y" * 63, b"y" * 64, b"y" * 4095,
    b"y" * 4096, b"\x00\xff",
]  # fmt: skip


def at(ms: int, sequence: int = 0) -> int:
    return ms << 64 | sequence


def filled(count: int, max_entries: int = 100) -> Stream:
    stream = Stream()
    for number in range(1, count + 1):
        stream.append(at(number), [b"field", b"%d" % number], 4096, max_entries)
    return stream


class Twin:
    """A stream and the list it has to be like."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.stream = Stream()
        self.entries: list[Entry] = []
        self.last = 0
        self.bounds = (self.chance.choice([0, 100, 200, 4096]), self.chance.choice([0, 3, 10, 100]))

    def add(self) -> None:
        chance = self.chance
        later = (self.last >> 64) + chance.randrange(5000) << 64 | chance.choice([0, chance.getrandbits(64)])
        self.last = max(self.last + 1, chance.choice([0, self.last + chance.randrange(1, 300), later]))
        pairs: list[bytes] = []
        is_same = chance.random() < 0.6
        for place in range(chance.randrange(1, 4)):
            pairs += [b"f%d" % place if is_same else chance.choice(VALUES), chance.choice(VALUES)]
        self.stream.append(self.last, pairs, *self.bounds)
        self.entries.append((self.last, pairs))

    def delete(self) -> None:
        ids = [self.some_id(), self.some_id(), self.chance.getrandbits(64)]
        left = [entry for entry in self.entries if entry[0] not in ids]
        assert self.stream.delete(ids) == len(self.entries) - len(left)
        self.entries = left

    def trim(self) -> None:
        most = self.chance.randrange(len(self.entries) + 3)
        removed = self.stream.trim_to_length(most)
        assert removed == max(0, len(self.entries) - most)
        self.entries = self.entries[removed:]
        least = self.some_id() + self.chance.choice([0, 1])
        left = [entry for entry in self.entries if entry[0] >= least]
        assert self.stream.trim_before(least) == len(self.entries) - len(left)
        self.entries = left

    def trim_nodes(self) -> None:
        most, limit = self.chance.randrange(len(self.entries) + 3), self.chance.choice([0, 5])
        before = len(self.entries)
        removed = self.stream.trim_to_length(most, whole_nodes=True, limit=limit)
        assert not limit or removed <= limit
        self.entries = self.entries[removed:]
        assert len(self.entries) >= min(most, before)

    def save(self) -> None:
        loaded = Stream()
        for master, listpack in self.stream.nodes():
            assert encode(decode(listpack)) == listpack, "not the bytes of a listpack"
            loaded.add_node(master, listpack, deep=self.chance.random() < 0.5)
        loaded.last_id = self.stream.last_id
        loaded.settle()
        assert list(loaded.nodes()) == list(self.stream.nodes())
        loaded.entries_added, loaded.max_deleted_id = self.stream.entries_added, self.stream.max_deleted_id
        self.stream = loaded if self.chance.random() < 0.5 else self.stream.copy()

    def some_id(self) -> int:
        return self.chance.choice(self.entries)[0] if self.entries else 0

    def compare(self) -> None:
        stream, entries, chance = self.stream, self.entries, self.chance
        assert len(stream) == len(entries)
        assert stream.first_id == (entries[0][0] if entries else 0)
        assert stream.top_id == (entries[-1][0] if entries else 0)
        start, end = chance.choice([0, self.some_id(), self.last >> 1]), chance.choice([MAX_ID, self.some_id(), 5])
        count = chance.choice([0, 0, 1, 2, 5])
        found = [entry for entry in entries if start <= entry[0] <= end]
        assert stream.range(start, end, count) == (found[:count] if count else found)
        found.reverse()
        assert stream.range_back(start, end, count) == (found[:count] if count else found)
        assert all(entry[0] in stream for entry in entries[:3])


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_is_like_a_list(seed: int) -> None:
    """Entries would be lost, found twice, or found in another form after some sequence of changes."""
    twin = Twin(seed)
    steps = [twin.add] * 12 + [twin.delete] * 3 + [twin.trim, twin.trim_nodes, twin.save, twin.save]
    for _ in range(120):
        twin.chance.choice(steps)()
        twin.compare()


def test_a_node_is_the_listpack_of_a_real_server() -> None:
    """DUMP, RDB files and the bounds of nodes would differ from Redis'. Elements as t_stream.c describes them."""
    stream = Stream()
    stream.append(at(5, 7), [b"f", b"1", b"g", b"x"], 4096, 100)
    stream.append(at(6, 3), [b"f", b"y", b"g", b"2"], 4096, 100)
    stream.append(at(6, 4), [b"other", b"z"], 4096, 100)
    stream.delete([at(6, 3)])
    ((master, listpack),) = stream.nodes()
    assert master == at(5, 7)
    shown = b"2 1 2 f g 0  2 0 0 1 x 5  3 1 -4 y 2 5  0 1 -3 1 other z 6"
    assert decode(listpack) == shown.split()


def test_nodes_end_where_they_are_full() -> None:
    """Approximate trimming would remove other entries than Redis does."""
    assert filled(250).node_count == 3
    stream = filled(10, max_entries=4)
    stream.delete([at(9), at(10)])  # the last node goes, and the one before it is full
    assert stream.node_count == 2
    stream.append(at(20), [b"field", b"v"], 4096, 4)
    assert stream.node_count == 3
    assert stream.trim_to_length(4, whole_nodes=True) == 4
    assert stream.trim_to_length(4, whole_nodes=True) == 0


def test_places_are_remembered_for_few_nodes() -> None:
    """Reading all over a long stream would leave it larger than it was."""
    stream = filled(2000, max_entries=10)
    for number in range(1, 2001, 7):
        assert stream.range(at(number), MAX_ID, 1)[0][0] == at(number)
    assert sum(node.places is not None for node in stream._nodes) <= 4


def test_what_is_no_node_is_refused() -> None:
    """RESTORE of damaged or hostile bytes would bring down the server or fill it with nonsense."""
    stream = filled(5)
    stream.append(at(9), [b"f", b"v" * 100, b"g", b"5000"], 4096, 100)
    stream.delete([at(2)])
    ((master, listpack),) = stream.nodes()
    refused = 0
    for place in range(len(listpack)):
        for bit in (0, 3, 7):
            damaged = bytearray(listpack)
            damaged[place] ^= 1 << bit
            loaded = Stream()
            loaded.last_id = MAX_ID
            try:
                loaded.add_node(master, bytes(damaged), deep=True)
            except ValueError:
                refused += 1
                continue
            loaded.settle()
            assert len(loaded.range(*ALL)) == len(loaded) == len(loaded.range_back(*ALL))
    assert refused > len(listpack)
    for size in range(len(listpack)):
        with pytest.raises(ValueError):
            Stream().add_node(master, listpack[:size], deep=True)


def _tree_nodes(keys: list[bytes], depth: int = 0) -> int:
    """Nodes of a radix tree below a place, the plain way."""
    if len(keys) == 1:
        return 1 if depth == 16 else 2
    shared = depth
    while len({key[shared] for key in keys}) == 1:
        shared += 1
    below: dict[int, list[bytes]] = {}
    for key in keys:
        below.setdefault(key[shared], []).append(key)
    return (shared > depth) + 1 + sum(_tree_nodes(group, shared + 1) for group in below.values())


@pytest.mark.parametrize("seed", range(50))
def test_tree_nodes_are_counted(seed: int) -> None:
    """XINFO STREAM would tell of another radix tree than a real server has."""
    chance = Random(seed)
    bits, shift = chance.choice([4, 9, 16, 30, 127]), chance.choice([0, 3, 60])
    ids = sorted({chance.getrandbits(bits) + 1 << shift & MAX_ID for _ in range(12)})
    stream = Stream()
    for id in ids:
        stream.append(id, [b"f", b"v"], 4096, 1)
    assert stream.tree_nodes == _tree_nodes([id.to_bytes(16, "big") for id in ids])


def test_a_large_stream_is_freed_in_pieces() -> None:
    """The server would stand still while a stream of millions of entries is deleted."""
    stream = filled(5000, max_entries=10)
    group = stream.groups[b"g"] = Group(0)
    consumer = group.create_consumer(b"c", 5)
    for id, _ in stream.range(*ALL):
        group.deliver(id, consumer, 5, 1)
    steps = 1
    while stream.dissolve(100):
        steps += 1
    assert steps >= 50


def test_the_end_of_all_ids() -> None:
    """Ids would overflow into the next millisecond, or into nothing."""
    stream = Stream()
    stream.append(at(5, (1 << 64) - 1), [b"f", b"v"], 4096, 100)
    assert stream.next_id(1) == at(6, 0)
    stream.append(MAX_ID, [b"f", b"w"], 4096, 100)
    assert [id for id, _ in stream.range(*ALL)] == [at(5, (1 << 64) - 1), MAX_ID]
    assert stream.range_back(MAX_ID, MAX_ID) == [(MAX_ID, [b"f", b"w"])]


def test_lag_follows_what_was_read_and_deleted() -> None:
    """Whoever scales consumers by the lag of their group would be told another number than by Redis."""
    stream = filled(10)
    group = Group(at(4), 4)
    assert stream.lag(group) == 6
    assert stream.lag(Group(at(4))) is None
    assert stream.lag(Group(0)) == 10
    assert stream.lag(Group(at(10))) == 0
    stream.delete([at(7)])
    assert stream.lag(group) is None
    stream.trim_to_length(3)
    assert stream.lag(group) == 6  # 7.4 counts what was trimmed away unread
    assert stream.entries_until(at(99)) == UNKNOWN
