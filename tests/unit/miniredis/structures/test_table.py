"""The table of keys against a plain dict."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from miniredis.structures.table import SHARDS, Shard, Table


def spots(table: Table[int]) -> int:
    return sum([len(shard.spots) for shard in table.shards])


def key(number: int) -> bytes:
    return b"key:%d" % number


@pytest.mark.parametrize("seed", range(30))
def test_scan_never_misses_a_key_that_stays(seed: int) -> None:
    """A client walking the keyspace with SCAN would miss keys while others come and go."""
    random = Random(seed)
    table: Table[int] = Table()
    size = random.choice([0, 1, 5, 50, 500, 5000])
    stays = {key(number) for number in range(size)}
    passing = [b"passing:%d" % number for number in range(random.choice([0, 10, 1000, 8000]))]
    for name in stays | {name for name in passing if random.random() < 0.5}:
        table.add(name, 1, 0)
    seen: set[bytes] = set()
    cursor = rounds = 0
    while True:
        cursor, names = table.scan(cursor, random.choice([1, 3, 10, 100]))
        seen.update(names)
        rounds += 1
        if cursor == 0:
            break
        for name in random.sample(passing, min(len(passing), random.choice([0, 5, 300]))):
            if name in table:
                table.remove(name)
            else:
                table.add(name, 1, 0)
    assert stays <= seen
    assert rounds <= 2 * (size + len(passing)) + SHARDS


def test_behaves_as_a_dict_does() -> None:
    """Keys would be lost or found under another's value."""
    random = Random(7)
    table: Table[int] = Table()
    model: dict[bytes, int] = {}
    for step in range(30_000):
        name = key(random.randrange(600 if step < 20_000 else 30))
        if random.random() < 0.5:
            table.set(name, step)
            model[name] = step
        else:
            assert table.remove(name) == model.pop(name, None)
        assert len(table) == len(model)
    assert dict(table.items()) == model
    assert set(table) == set(model)
    for name, value in model.items():
        assert table.get(name) == value
    for name in list(model):
        table.remove(name)
    assert all(shard is table.vacant for shard in table.shards)
    assert not table.vacant.keys


@pytest.mark.parametrize("seed", range(8))
def test_crowded_shards_lose_no_key(seed: int) -> None:
    """A key would be hidden behind a gap where its neighbours were removed, or found in another's slot."""
    random = Random(seed)
    shard_of = random.randrange(SHARDS)
    names = [name for name in map(key, range(60_000)) if hash(name) & (SHARDS - 1) == shard_of]
    table: Table[int] = Table()
    model: dict[bytes, int] = {}
    for step in range(6000):
        name = random.choice(names)
        if random.random() < (0.7 if step % 2000 < 1000 else 0.2):
            table.set(name, step)
            model[name] = step
        else:
            assert table.remove(name) == model.pop(name, None)
        if step % 100 == 0:
            assert all(table.get(name) == model.get(name) for name in names)
            assert {name: table.clock(name) for name in model} == dict.fromkeys(model, 0)


def test_a_shard_of_more_slots_than_two_bytes_count() -> None:
    """Keys beyond 32,768 of one shard would be found in others' slots."""
    names = [key(number) for number in range(70_000)]
    shard: Shard[int] = Shard([], 0, 8)
    shard.keys += names
    shard.make_spots(1 << 18)
    assert all(shard.find(name, hash(name)) == number for number, name in enumerate(names))
    assert shard.find(b"none", hash(b"none")) == -1


def test_shards_grow_one_after_the_other() -> None:
    """Near every power of two all shards would grow at once, and everybody would wait for them."""
    table: Table[int] = Table()
    for number in range(250_000):
        table.add(key(number), 1, 0)
    most = 0
    for first in range(250_000, 400_000, 500):
        before = spots(table)
        for number in range(first, first + 500):
            table.add(key(number), 1, 0)
        most = max(most, spots(table) - before)
    # Were it one power of two for all, 500 keys would find up to 16 shards of 1024 spots full.
    assert 0 < most < 12 * 1024


def test_clocks_follow_their_keys() -> None:
    """A key would inherit another's idle time when keys are removed."""
    table: Table[int] = Table()
    for number in range(2000):
        table.add(key(number), number, number)
    for number in range(0, 2000, 3):
        table.remove(key(number))
    assert all(table.clock(key(number)) == number for number in range(2000) if number % 3)


@pytest.mark.parametrize("size", [3, 40, 400, 20_000])
def test_samples_are_fair(size: int) -> None:
    """RANDOMKEY and active expiry would favour some keys."""
    table: Table[int] = Table()
    for number in range(size):
        table.add(key(number), 1, 0)
    random = Random(3)
    drawn = Counter(table.sample(random) for _ in range(20_000))
    if size <= 400:
        assert min(drawn.values()) > 0.5 * 20_000 / size
        assert max(drawn.values()) < 1.7 * 20_000 / size
    assert len(drawn) > 0.6 * min(size, 20_000) if size > 400 else len(drawn) == size


def test_memory_is_given_back() -> None:
    """A table that was large once would stay large."""
    table: Table[int] = Table()
    for number in range(50_000):
        table.add(key(number), 1, 0)
    large = spots(table)
    for number in range(49_000):
        table.remove(key(number))
    assert spots(table) < large / 6
