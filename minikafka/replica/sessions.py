"""Incremental fetch sessions (KIP-227): a reader of a thousand partitions names only those that changed.

    (id 0, epoch -1)    no session: everything is named, everything is answered
    (id n, epoch 0)     a new one, please (and forget session n)
    (id n, epoch -1)    forget session n
    (id n, epoch k)     session n: k counts its requests; what is named is added or changed, the rest is as before

Law 1: a session is a convenience. Without room for one the answer says id 0, and the reader goes on without.
Law 2: a partition is answered when it has records, an error, or watermarks the reader was not told yet.
Law 3: a partition that gave records goes behind the others: each gets its turn under a size limit.
"""

from collections.abc import Iterable
from random import Random

from protocol.kafka.errors import FetchSessionIdNotFound, FetchSessionTopicIdError, InvalidFetchSessionEpoch
from protocol.kafka.messages.produce import FetchPartition, FetchPartitionData

__all__ = ["NO_SESSION", "FetchKey", "FetchSession", "FetchSessions"]

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
MAX_EPOCH = (1 << 31) - 1
MAX_ID = (1 << 31) - 1

FetchKey = tuple[str | bytes, int]  # topic name, or its id in requests that use ids; partition


class Wanted:
    """One partition of a session: what the reader asked last, and what it was told."""

    __slots__ = ("asked", "high_watermark", "log_start_offset", "topic")

    def __init__(self, asked: FetchPartition) -> None:
        self.asked = asked
        self.topic = ""  # its topic's name, once known: that outlives the topic
        self.high_watermark = -1
        self.log_start_offset = -1

    def is_news(self, answer: FetchPartitionData) -> bool:
        """Must this be told? Afterwards it counts as told."""
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

    def pick(self, answers: list[tuple[FetchKey, FetchPartitionData]]) -> list[tuple[FetchKey, FetchPartitionData]]:
        """Of all answers those that must be told."""
        picked = []
        for key, answer in answers:
            wanted = self.partitions.get(key)
            if wanted is not None and wanted.is_news(answer):
                picked.append((key, answer))
                if answer.records:
                    del self.partitions[key]
                    self.partitions[key] = wanted
        return picked


class FetchSessions:
    """All sessions of one broker: at most `slots`."""

    def __init__(self, random: Random, slots: int = 1000, stale_ms: int = 120_000) -> None:
        self._random = random
        self._slots = slots
        self._stale_ms = stale_ms  # unused for so long, a session gives way to any; younger, to none
        self._by_id: dict[int, FetchSession] = {}  # least recently used first

    def __len__(self) -> int:
        return len(self._by_id)

    def resume(self, session_id: int, epoch: int, *, uses_ids: bool, now_ms: int) -> FetchSession:
        """The session of an incremental request. Raises the error the whole request gets."""
        session = self._by_id.get(session_id)
        if session is None:
            raise FetchSessionIdNotFound
        if session.epoch != epoch:
            raise InvalidFetchSessionEpoch
        if session.uses_ids != uses_ids:
            raise FetchSessionTopicIdError
        session.epoch = 1 if epoch == MAX_EPOCH else epoch + 1
        session.used_ms = now_ms
        del self._by_id[session_id]
        self._by_id[session_id] = session
        return session

    def close(self, session_id: int) -> None:
        self._by_id.pop(session_id, None)

    def create(self, size: int, *, is_follower: bool, uses_ids: bool, now_ms: int) -> FetchSession | None:
        """A new session for `size` partitions; None when all slots are better used."""
        if len(self._by_id) >= self._slots and not self._evict(size, is_follower, now_ms):
            return None
        session_id = self._random.randint(1, MAX_ID)
        while session_id in self._by_id:
            session_id = self._random.randint(1, MAX_ID)
        session = FetchSession(session_id, is_follower=is_follower, uses_ids=uses_ids, now_ms=now_ms)
        self._by_id[session_id] = session
        return session

    def _evict(self, size: int, is_follower: bool, now_ms: int) -> bool:
        """Make room: the least recently used if it is stale; else the smallest that may give way: to a follower any
        consumer's, to others one that has lived a while and is smaller."""
        oldest = next(iter(self._by_id.values()))
        if now_ms - oldest.used_ms > self._stale_ms:
            self.close(oldest.id)
            return True
        settled = now_ms - self._stale_ms
        evictable = [
            session
            for session in self._by_id.values()
            if session.created_ms < settled or (is_follower and not session.is_follower)
        ]
        victim = min(evictable, key=lambda each: (each.is_follower, len(each.partitions), each.id), default=None)
        if victim is None or (is_follower, size) < (victim.is_follower, len(victim.partitions)):
            return False
        self.close(victim.id)
        return True
