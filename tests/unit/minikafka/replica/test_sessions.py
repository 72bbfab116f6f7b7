"""Fetch sessions."""

from random import Random
from typing import NamedTuple

import pytest

from minikafka.replica.sessions import FetchKey, FetchSession, FetchSessions
from protocol.kafka.errors import FetchSessionIdNotFound, FetchSessionTopicIdError, InvalidFetchSessionEpoch
from protocol.kafka.messages.produce import FetchPartition, FetchPartitionData

MAX_EPOCH = (1 << 31) - 1


def create(
    sessions: FetchSessions, size: int = 1, *, now_ms: int = 0, is_follower: bool = False
) -> FetchSession | None:
    made = sessions.create(size, is_follower=is_follower, uses_ids=False, now_ms=now_ms)
    if made is not None:
        sessions.change(made, [(("t", at), asked(at)) for at in range(size)], ())
    return made


def asked(partition: int, offset: int = 0) -> FetchPartition:
    return FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=100)


def answer(partition: int, high_watermark: int = 5, records: bytes = b"", error: int = 0) -> FetchPartitionData:
    return FetchPartitionData(
        partition_index=partition,
        high_watermark=high_watermark,
        records=records,
        error_code=error,
        aborted_transactions=None,
        log_start_offset=0,
    )


class Told(NamedTuple):
    key: FetchKey
    answer: FetchPartitionData | None


def told(partition: int, high_watermark: int = 5) -> Told:
    return Told(("t", partition), answer(partition, high_watermark))


def test_epochs_count_requests() -> None:
    """A repeated or reordered request would change what the reader follows."""
    sessions = FetchSessions(Random(1))
    session = create(sessions)
    assert session is not None
    assert sessions.resume(session.id, 1, uses_ids=False, now_ms=1) is session
    for epoch in (1, 3, 0):
        with pytest.raises(InvalidFetchSessionEpoch):
            sessions.resume(session.id, epoch, uses_ids=False, now_ms=1)
    with pytest.raises(FetchSessionTopicIdError):
        sessions.resume(session.id, 2, uses_ids=True, now_ms=1)
    with pytest.raises(FetchSessionIdNotFound):
        sessions.resume(session.id + 1, 2, uses_ids=False, now_ms=1)
    session.epoch = MAX_EPOCH
    sessions.resume(session.id, MAX_EPOCH, uses_ids=False, now_ms=1)
    assert session.epoch == 1
    sessions.close(session.id)
    with pytest.raises(FetchSessionIdNotFound):
        sessions.resume(session.id, 1, uses_ids=False, now_ms=1)


def test_only_news_is_told() -> None:
    """A reader would be told the same again and again, or miss a change."""
    session = create(FetchSessions(Random(1)), 3)
    assert session is not None
    everything = [told(at) for at in range(3)]
    assert len(session.pick(everything)) == 3
    assert session.pick(everything) == []
    changed = [told(0, high_watermark=6), Told(("t", 1), None), Told(("t", 2), answer(2, records=b"x"))]
    assert [key[1] for key, _ in session.pick(changed)] == [0, 1, 2]
    again = [told(0, high_watermark=6), told(1), told(2)]
    assert [key[1] for key, _ in session.pick(again)] == [1], "the end of an error is news"


def test_who_gave_records_goes_last() -> None:
    """One busy partition would keep the others from their turn."""
    session = create(FetchSessions(Random(1)), 3)
    assert session is not None
    session.pick([Told(("t", 0), answer(0, records=b"x")), told(1), told(2)])
    assert [key[1] for key in session.partitions] == [1, 2, 0]
    session.change([(("t", 1), asked(1, 9)), (("u", 0), asked(0))], [("t", 2)])
    assert list(session.partitions) == [("t", 1), ("t", 0), ("u", 0)]
    assert session.partitions["t", 1].asked.fetch_offset == 9


def test_slots_are_bounded() -> None:
    """Readers that never come back would fill the memory, or keep others from a session."""
    sessions = FetchSessions(Random(1), slots=3, stale_ms=100, shards=1)
    first = [create(sessions, size) for size in (2, 1, 5)]
    assert all(first)
    assert create(sessions, 9, now_ms=50) is None, "everyone is young"
    assert create(sessions, 1, now_ms=50, is_follower=True) is not None, "a follower takes a consumer's place"
    assert len(sessions) == 3
    assert create(sessions, 1, now_ms=101) is not None, "the oldest is stale"
    assert len(sessions) == 3


def test_slots_are_dealt_out_to_shards() -> None:
    """Where Kafka gives a session, or none, we would do otherwise."""
    assert create(FetchSessions(Random(1), slots=7)) is None, "less than one for each of eight shards"
    sessions = FetchSessions(Random(1), slots=8)
    made = [create(sessions) for _ in range(9)]
    assert all(made[:8])
    assert made[8] is None, "the first shard is full"
    for session in made[:8]:
        assert session is not None
        assert sessions.resume(session.id, 1, uses_ids=False, now_ms=0) is session
    for strange in (0, -5, MAX_EPOCH):
        with pytest.raises(FetchSessionIdNotFound):
            sessions.resume(strange, 1, uses_ids=False, now_ms=0)


def test_partitions_of_all_sessions_are_bounded() -> None:
    """A thousand sessions of a hundred thousand partitions each would fill the memory."""
    sessions = FetchSessions(Random(1), stale_ms=100, max_partitions=10)
    first, second = create(sessions, 6), create(sessions, 3)
    assert first is not None
    assert second is not None
    assert create(sessions, 2) is None, "eleven would be kept"
    assert sessions.partitions == 9
    sessions.change(second, [(("u", 1), asked(1))], [])
    with pytest.raises(FetchSessionIdNotFound):
        sessions.change(second, [(("u", 2), asked(2))], [])
    assert (len(sessions), sessions.partitions) == (1, 6), "it is forgotten as a whole"
    assert create(sessions, 9, now_ms=101) is not None, "what is stale gives way"
    assert sessions.partitions == 9
    sessions.close(first.id)
    assert sessions.partitions == 9
