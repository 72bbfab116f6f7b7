"""Records looked at without being made."""

import random

import pytest

from protocol.kafka.batch import LOG_APPEND_TIME, BatchHeader
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import SKIMMED_AT_ONCE, NewRecord, Skimmed, build_batch, skim, unfold, walk
from protocol.ops.slices import at_once

SEED = 20_261_123
DAMAGES = 4000


def found(data: bytes, header: BatchHeader) -> Skimmed | None:
    """What skim should say."""
    try:
        records = list(walk(data, header))
    except ProtocolError:
        return None
    if not records:
        return None
    times = [record.timestamp for record in records]
    return Skimmed(len(records), min(times), max(times), any(record.key is None for record in records))


def skimmed(data: bytes, header: BatchHeader) -> Skimmed | None:
    return at_once(skim(data, header))


def batches(choose: random.Random) -> list[bytes]:
    made = []
    for _ in range(40):
        records: list[NewRecord] = []
        for _ in range(choose.randrange(1, 6)):
            key = choose.choice([None, b"", b"k", b"k" * 100])
            value = choose.choice([None, b"", b"v", b"v" * 300])
            time = choose.choice([5, 5, 6, 70, 1 << 40])
            if choose.random() < 0.3:
                records.append((time, key, value, [("name", choose.choice([None, b"", b"w" * 99]))]))
            else:
                records.append((time, key, value))
        made.append(build_batch(records))
    return made


def test_skim_sees_what_walk_finds() -> None:
    """A damaged batch would be taken into a compacted log, or a sound one be refused."""
    choose = random.Random(SEED)
    for batch in batches(choose):
        header, data = BatchHeader.peek(batch), unfold(batch)
        assert skimmed(data, header) == found(data, header) is not None
        stamped = header._replace(attributes=header.attributes | LOG_APPEND_TIME)
        assert skimmed(data, stamped) == found(data, stamped)
        for _ in range(DAMAGES // 40):
            damaged = bytearray(data)
            for _ in range(choose.randrange(1, 3)):
                damaged[choose.randrange(len(damaged))] = choose.choice([0, 1, 2, 127, 128, 255, choose.randrange(256)])
            cut = bytes(damaged[: choose.randrange(len(damaged) + 1)] if choose.random() < 0.3 else damaged)
            assert skimmed(cut, header) == found(cut, header), cut.hex()


@pytest.mark.parametrize("key", [b"k", None])
def test_a_key_that_is_missing_is_seen(key: bytes | None) -> None:
    """A compacted topic would take records that its cleaner cannot place."""
    batch = build_batch([(1, b"a", b""), (1, key, b"")])
    seen = skimmed(unfold(batch), BatchHeader.peek(batch))
    assert seen is not None
    assert seen.has_null_key == (key is None)


def test_a_long_batch_is_looked_through_to_its_end() -> None:
    """Of a batch that takes several slices only the first would be checked."""
    count = 2 * SKIMMED_AT_ONCE + 1
    batch = build_batch([(at, b"k", b"") for at in range(1, count)] + [(0, None, b"")])
    assert skimmed(unfold(batch), BatchHeader.peek(batch)) == Skimmed(count, 0, count - 1, has_null_key=True)
