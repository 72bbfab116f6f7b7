"""Incremental fetch sessions (KIP-227): a reader of a thousand partitions names only those that changed.

    (id 0, epoch -1)    no session: everything is named, everything is answered
    (id n, epoch 0)     a new one, please (and forget session n)
    (id n, epoch -1)    forget session n
    (id n, epoch k)     session n: k counts its requests; what is named is added or changed, the rest is as before

Law 1: a session is a convenience. Without room for one the answer says id 0, and the reader goes on without.
Law 2: a partition is answered when it has records, an error, or watermarks the reader was not told yet.
Law 3: what all sessions keep is bounded twice, by their number and by that of their partitions. A session that would
       grow past the latter is forgotten, and its reader begins anew.
Law 4: a partition that gave records goes behind the others: each gets its turn under a size limit.
"""

from collections.abc import Iterable
from random import Random
from typing import Protocol, TypeVar

from protocol.kafka.errors import FetchSessionIdNotFound, FetchSessionTopicIdError, InvalidFetchSessionEpoch
from protocol.kafka.messages.produce import FetchPartition, FetchPartitionData

__all__ = ["NO_SESSION", "FetchKey", "FetchSession", "FetchSessions"]

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
MAX_EPOCH = (1 << 31) - 1
MAX_ID = (1 << 31) - 1
SHARDS = 8
MAX_PARTITIONS = 200_000  # that all sessions together keep, half a kilobyte each

FetchKey = tuple[str | bytes, int]  # topic name, or its id in requests that use ids; partition


class Wanted:
    """One partition of a session: what the reader asked last, and what it was told."""

    __slots__ = ("asked", "high_watermark", "log_start_offset", "topic")

    def __init__(self, asked: FetchPartition) -> None:
        self.asked = asked
        self.topic = ""  # its topic's name, once known: that outlives the topic
        self.high_watermark = -1
        self.log_start_offset = -1

    def is_news(self, answer: FetchPartitionData | None) -> bool:
        """Must this be told? Afterwards it counts as told. None is an error."""
        if answer is None:
            self.high_watermark = self.log_start_offset = -1
            return True
        is_news = bool(
            answer.records
            or answer.high_watermark != self.high_watermark
            or answer.log_start_offset != self.log_start_offset
            or answer.diverging_epoch is not None
        )
        self.high_watermark = answer.high_watermark
        self.log_start_offset = answer.log_start_offset
        if answer.error_code:
            self.high_watermark = -1  # so that the end of the error is news
            return True
        return is_news


class Answered(Protocol):
    """One partition of a request and what is to be told of it; None: an error."""

    @property
    def key(self) -> FetchKey: ...

    @property
    def answer(self) -> FetchPartitionData | None: ...


Answer = TypeVar("Answer", bound=Answered)


class FetchSession:
    """What one reader follows."""

    __slots__ = ("created_ms", "epoch", "id", "is_follower", "partitions", "used_ms", "uses_ids")

    def __init__(self, session_id: int, *, is_follower: bool, uses_ids: bool, now_ms: int) -> None:
        self.id = session_id
        self.epoch = INITIAL_EPOCH + 1  # what its next request must say
        self.is_follower = is_follower
        self.uses_ids = uses_ids
        self.created_ms = self.used_ms = now_ms
        self.partitions: dict[FetchKey, Wanted] = {}

    def change(self, named: Iterable[tuple[FetchKey, FetchPartition]], forgotten: Iterable[FetchKey]) -> None:
        for key, asked in named:
            wanted = self.partitions.get(key)
            if wanted is None:
                self.partitions[key] = Wanted(asked)
            else:
                wanted.asked = asked
        for key in forgotten:
            self.partitions.pop(key, None)

    def pick(self, answers: Iterable[Answer]) -> list[Answer]:
        """Of all answers those that must be told."""
        picked = []
        for told in answers:
            wanted = self.partitions.get(told.key)
            if wanted is not None and wanted.is_news(told.answer):
                picked.append(told)
                if told.answer is not None and told.answer.records:
                    del self.partitions[told.key]
                    self.partitions[told.key] = wanted
        return picked


class FetchSessions:
    """All sessions of one broker. As in Kafka its slots are dealt out to shards, `slots // shards` each, and each new
    session belongs to the next shard: of fewer slots than shards there are none."""

    def __init__(
        self,
        random: Random,
        slots: int = 1000,
        stale_ms: int = 120_000,
        shards: int = SHARDS,
        max_partitions: int = MAX_PARTITIONS,
    ) -> None:
        self._random = random
        self._slots = slots // shards
        self._stale_ms = stale_ms  # unused for so long, a session gives way to any; younger, to none
        self._shards: list[dict[int, FetchSession]] = [{} for _ in range(shards)]  # least recently used first
        self._ids = MAX_ID // shards  # of one shard
        self._asked = 0  # for a new session, so many times
        self._max_partitions = max_partitions
        self.partitions = 0  # of all sessions

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def _shard_of(self, session_id: int) -> dict[int, FetchSession]:
        return self._shards[min(max(session_id, 0) // self._ids, len(self._shards) - 1)]

    def resume(self, session_id: int, epoch: int, *, uses_ids: bool, now_ms: int) -> FetchSession:
        """The session of an incremental request. Raises the error the whole request gets."""
        shard = self._shard_of(session_id)
        session = shard.get(session_id)
        if session is None:
            raise FetchSessionIdNotFound
        if session.epoch != epoch:
            raise InvalidFetchSessionEpoch
        if session.uses_ids != uses_ids:
            raise FetchSessionTopicIdError
        session.epoch = 1 if epoch == MAX_EPOCH else epoch + 1
        session.used_ms = now_ms
        del shard[session_id]
        shard[session_id] = session
        return session

    def change(
        self, session: FetchSession, named: Iterable[tuple[FetchKey, FetchPartition]], forgotten: Iterable[FetchKey]
    ) -> None:
        """Take over what a request names and forgets. FetchSessionIdNotFound when that is more than may be kept."""
        before = len(session.partitions)
        session.change(named, forgotten)
        self.partitions += len(session.partitions) - before
        if self.partitions > self._max_partitions and len(session.partitions) > before:
            self.close(session.id)
            raise FetchSessionIdNotFound

    def close(self, session_id: int) -> None:
        session = self._shard_of(session_id).pop(session_id, None)
        if session is not None:
            self.partitions -= len(session.partitions)

    def create(self, size: int, *, is_follower: bool, uses_ids: bool, now_ms: int) -> FetchSession | None:
        """A new session for `size` partitions; None when all slots are better used, or too much is kept already."""
        number = self._asked % len(self._shards)
        self._asked += 1
        shard = self._shards[number]
        if len(shard) >= self._slots and not self._evict(shard, size, is_follower, now_ms):
            return None
        if self.partitions + size > self._max_partitions:
            self._drop_stale(now_ms)
            if self.partitions + size > self._max_partitions:
                return None
        least = max(1, number * self._ids)
        session_id = self._random.randrange(least, (number + 1) * self._ids)
        while session_id in shard:
            session_id = self._random.randrange(least, (number + 1) * self._ids)
        session = FetchSession(session_id, is_follower=is_follower, uses_ids=uses_ids, now_ms=now_ms)
        shard[session_id] = session
        return session

    def _drop_stale(self, now_ms: int) -> None:
        for shard in self._shards:
            for session in list(shard.values()):
                if now_ms - session.used_ms <= self._stale_ms:
                    break
                self.close(session.id)

    def _evict(self, shard: dict[int, FetchSession], size: int, is_follower: bool, now_ms: int) -> bool:
        """Make room: the least recently used if it is stale; else the smallest that may give way: to a follower any
        consumer's, to others one that has lived a while and is smaller."""
        oldest = next(iter(shard.values()), None)
        if oldest is None:
            return False
        if now_ms - oldest.used_ms > self._stale_ms:
            self.close(oldest.id)
            return True
        settled = now_ms - self._stale_ms
        evictable = [
            session
            for session in shard.values()
            if session.created_ms < settled or (is_follower and not session.is_follower)
        ]
        victim = min(evictable, key=lambda each: (each.is_follower, len(each.partitions), each.id), default=None)
        if victim is None or (is_follower, size) < (victim.is_follower, len(victim.partitions)):
            return False
        self.close(victim.id)
        return True
