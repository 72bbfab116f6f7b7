"""Lists lose, invent or reorder elements, or report an encoding that Redis would not."""

import random
from pathlib import Path

import pytest

from miniredis.structures.chain import LIVE_RUNS
from miniredis.structures.chunks import List
from miniredis.structures.packed import HEADER_BYTES, entry_size

TRACE = Path(__file__).parents[3] / "golden" / "redis-7.4.1-list-encodings.txt"


def check_accounts(values: List) -> None:
    """What the list counts as it goes must equal what is there."""
    runs = values.runs()
    for run in runs:
        expected = len(run.items[0]) if run.is_plain else HEADER_BYTES + sum(map(entry_size, run.items))
        assert run.size == expected
        assert run.items or values.encoding == b"listpack"
    assert sum(len(run.items) for run in runs) == len(values)
    assert values._packed == sum(run.size for run in runs)
    # An answer is written by this length: were it wrong, the client would read nonsense from there on.
    assert values.width < 0 or {len(item) for run in runs for item in run.items} <= {values.width}


def expand(text: str) -> bytes:
    """`v12*` stands for twelve bytes of the text, so that the recording stays small."""
    if not text.endswith("*"):
        return text.encode()
    size = int(text[1:-1])
    return (text[:-1] * (size // len(text) + 1))[:size].encode()


def play(values: List, plain: list[bytes], words: list[str], limit: int) -> None:
    """Run one recorded step on both; linear Python is right about the content."""
    name, *args = words
    length = len(plain)
    if name in ("LPUSH", "RPUSH"):
        pushed = [expand(word) for word in args]
        if name == "LPUSH":
            values.push_head(pushed, limit)
            plain[:0] = pushed[::-1]
        else:
            values.push_tail(pushed, limit)
            plain += pushed
    elif name == "LSET":
        assert values.set(int(args[0]), expand(args[1]), limit)
        plain[int(args[0])] = expand(args[1])
    elif name.startswith("LINSERT"):
        pivot = plain[int(args[0])]
        assert values.insert(pivot, expand(args[1]), name.endswith("A"), limit)
        plain.insert(plain.index(pivot) + name.endswith("A"), expand(args[1]))
    elif name == "LPOP":
        count = int(args[0]) if args else 1
        assert (values.take_head(count, limit) if args else [values.pop_head(limit)]) == plain[:count]
        del plain[:count]
    elif name == "LPOPN":
        assert values.take_head(int(args[0]), limit) == plain[: int(args[0])]
        del plain[: int(args[0])]
    elif name == "RPOP":
        assert values.pop_tail(limit) == plain.pop()
    elif name == "RPOPN":
        taken = [plain.pop() for _ in range(min(int(args[0]), length))]
        assert values.take_tail(int(args[0]), limit) == taken
    elif name == "LREM":
        count, value = int(args[0]), args[1].encode()
        at = [i for i, item in enumerate(plain) if item == value]
        at = at[count:] if count < 0 else at[:count] if count else at
        assert values.remove(value, count, limit) == len(at)
        plain[:] = [item for i, item in enumerate(plain) if i not in set(at)]
    else:
        assert name == "LTRIM"
        # The recorded stop is exclusive; 0 became LTRIM's -1, the end of the list.
        start, stop = min(int(args[0]), length), min(int(args[1]) or length, length)
        start = start if start < stop else stop
        assert values.trim(start, stop, limit) == length - (stop - start)
        plain[:] = plain[start:stop]


def test_encoding_follows_redis() -> None:
    """A list is a listpack where Redis says quicklist, or is cut into other nodes than Redis cuts it."""
    limit, values, plain = 0, List(), list[bytes]()
    for number, line in enumerate(TRACE.read_text().splitlines(), 1):
        if line.startswith("limit "):
            limit, values, plain = int(line[6:]), List(), []
            continue
        step, _, expected = line.partition(" = ")
        play(values, plain, step.split(), limit)
        check_accounts(values)
        assert list(values) == plain, f"line {number}: {step}"
        if not plain:
            state = "-"
            values = List()
        elif values.encoding == b"listpack":
            state = f"1 {len(values)}"
        else:
            state = f"{len(values.runs())}q {len(values)}"
        assert state == expected, f"line {number}: {step}"


@pytest.mark.parametrize(("seed", "limit"), [(1, -2), (2, 1), (3, 8), (4, -1), (5, 128)])
def test_places_in_long_lists(seed: int, limit: int) -> None:
    """An index into a long list finds the wrong element after pushes, pops and inserts around it."""
    chance = random.Random(seed)
    values, plain = List(), list[bytes]()
    for value in range(3000):
        item = b"%d" % value + b"x" * chance.randrange(60)
        values.push_tail((item,), limit)
        plain.append(item)
    for step in range(1500):
        kind = chance.randrange(8)
        item = b"new%d" % step
        if kind == 0:
            values.push_head((item, item + b"!"), limit)
            plain[:0] = [item + b"!", item]
        elif kind == 1:
            values.push_tail((item,), limit)
            plain.append(item)
        elif kind == 2:
            assert values.pop_head(limit) == plain.pop(0)
        elif kind == 3:
            assert values.pop_tail(limit) == plain.pop()
        elif kind == 4 and step % 10 == 0:
            pivot = chance.choice(plain)
            values.insert(pivot, item, bool(step % 20), limit)
            plain.insert(plain.index(pivot) + bool(step % 20), item)
        elif kind == 5 and step % 10 == 0:
            start, stop = chance.randrange(30), len(plain) - chance.randrange(30)
            values.trim(start, stop, limit)
            plain = plain[start:stop]
        index = chance.randrange(len(plain))
        assert values.get(index) == plain[index]
        assert values.slice(index, min(index + 50, len(plain))) == plain[index : index + 50]
    check_accounts(values)
    assert values.get(len(plain)) is None
    assert values.get(-1) is None
    assert list(values.copy()) == plain


@pytest.mark.parametrize("limit", [-2, 2, 5])
def test_positions(limit: int) -> None:
    """LPOS skips, repeats or miscounts a match across the runs of a list."""
    chance = random.Random(limit)
    plain = [chance.choice([b"a", b"b", b"c"]) for _ in range(200)]
    values = List.of(plain, limit)
    for _ in range(400):
        rank = chance.choice([1, 2, 3, 30, 100, -1, -2, -30])
        count, most = chance.choice([0, 1, 2, 50]), chance.choice([0, 1, 10, 150, 500])
        order = range(len(plain)) if rank > 0 else range(len(plain) - 1, -1, -1)
        seen = [at for at in order[: most or len(plain)] if plain[at] == b"a"][abs(rank) - 1 :]
        assert values.positions(b"a", rank, count, most) == (seen[:count] if count else seen)


def test_size_follows_content() -> None:
    """An emptied list still counts bytes, or a growing one does not."""
    values = List()
    empty = values.size_bytes
    values.push_tail([b"x" * 100] * 5000, -2)
    assert values.size_bytes > 500_000
    values.trim(0, 3, -2)
    assert values.encoding == b"listpack"
    values.take_head(3, -2)
    assert values.size_bytes == empty


@pytest.mark.parametrize("seed", range(12))
def test_folded_runs_are_the_same_list(seed: int) -> None:
    """What lies folded in the middle is lost, or an end is folded and takes no more elements."""
    chance = random.Random(seed)
    fill, depth, plain_from = chance.choice([3, 8, -1, 1]), chance.choice([0, 1, 2]), chance.choice([0, 30])
    ours, plain = List(depth, plain_from), list[bytes]()
    for step in range(600):
        value = chance.choice([b"x" * chance.randrange(60), b"%d" % chance.randrange(100), b"y" * 5000])
        place = chance.randrange(len(plain)) if plain else 0
        match chance.randrange(8):
            case 0 | 1:
                ours.push_tail([value], fill)
                plain.append(value)
            case 2 | 3:
                ours.push_head([value], fill)
                plain.insert(0, value)
            case 4 if plain:
                assert ours.set(place, value, fill)
                plain[place] = value
            case 5 if plain:
                assert ours.insert(plain[place], value, True, fill)
                plain.insert(plain.index(plain[place]) + 1, value)
            case 6 if plain:
                assert ours.pop_head(fill) == plain.pop(0)
            case 7 if len(plain) > 40 and chance.random() < 0.3:
                ours.trim(3, len(plain) - 5, fill)
                plain = plain[3:-5]
        if step % 40 == 0:
            assert list(ours) == list(ours.copy()) == plain
            live = [not run._folded for run in ours.runs()]
            edge = depth or LIVE_RUNS
            assert all(live[:edge] + live[-edge:])
            assert all(run._folded or run.is_plain for run in ours.runs()[edge:-edge])
    assert ours.slice(2, len(plain)) == plain[2:]


@pytest.mark.parametrize("limit", [-2, 3])
def test_a_list_knows_that_its_elements_are_equally_long(limit: int) -> None:
    """LRANGE of ids and tokens, all of one length, looks at each of them before it answers."""
    values = List()
    values.push_tail([b"aaa", b"bbb"], limit)
    values.push_head([b"ccc"] * 9, limit)
    assert values.width == 3
    assert values.copy().width == 3
    assert values.set(1, b"four", limit)
    assert values.width < 0
    assert values.remove(b"four", 0, limit) == 1
    assert values.width < 0, "nobody has looked whether all are again"
    check_accounts(values)
