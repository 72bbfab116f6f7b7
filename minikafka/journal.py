"""The metadata log as the quorum wants it: a partition's log that only the raft leader writes."""

from __future__ import annotations

import asyncio

from minikafka.log.log import Log, Origin
from protocol.disk.files import Buffer
from protocol.ops.clock import Clock

__all__ = ["MetadataJournal"]


class MetadataJournal:
    """The metadata log as the quorum wants it."""

    def __init__(self, opened: Log, clock: Clock) -> None:
        self.log = opened
        self.clock = clock

    @property
    def start_offset(self) -> int:
        return self.log.log_start_offset

    @property
    def end_offset(self) -> int:
        return self.log.log_end_offset

    @property
    def size(self) -> int:
        return self.log.size

    @property
    def last_epoch(self) -> int:
        return max(self.log.epochs.latest, 0)

    def end_of(self, epoch: int) -> tuple[int, int]:
        """(end offset, epoch) of the greatest epoch at or below."""
        latest = self.log.epochs.latest
        if latest < 0:
            return self.start_offset, 0
        found, end = self.log.epochs.end_offset(min(epoch, latest), self.end_offset)
        return end, found

    def truncate_to(self, offset: int) -> None:
        self.log.truncate_to(offset)

    def restart_at(self, offset: int) -> None:
        self.log.restart_at(offset)

    def append(self, batch: Buffer, epoch: int) -> None:
        self.log.append(batch, leader_epoch=epoch, now_ms=self.clock.wall_ms(), origin=Origin.RAFT)

    async def read(self, offset: int, max_bytes: int) -> Buffer:
        found = self.log.read(offset, max_bytes, up_to=self.log.log_end_offset)
        if isinstance(found, asyncio.Future):
            found = await found
        return found.records

    def sync(self) -> None:
        self.log.sync()
        self.log.advance_high_watermark(self.log.log_end_offset)

    def sync_soon(self) -> asyncio.Future[int]:
        return self.log.sync_soon()

    def delete_before(self, offset: int) -> None:
        self.log.advance_high_watermark(offset)
        self.log.delete_before(offset)
        self.log.enforce_retention(self.clock.wall_ms())
