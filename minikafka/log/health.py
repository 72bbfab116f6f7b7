"""Whether a data directory takes what is written to it, told once when it ceases to and once when it does again.

    taking ──── a write was refused: no space ────► refusing ──── one that was refused went through ────► taking
       └─────── a sync failed: EIO ──► lost

Kafka takes a directory offline for either and halts when it was the last one. What was refused is no loss, though: it
was never acknowledged, readers can be served, and there may be room again. So only a failed sync, after which nobody
knows what the medium still has, ends the broker, as Kafka ends when its log directories have all failed.
"""

from collections.abc import Callable
from errno import EDQUOT, ENOSPC

from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

__all__ = ["NO_ROOM", "Health"]

NO_ROOM = (ENOSPC, EDQUOT)
QUIET_MS = 60_000  # a disk just about full may refuse and take by turns: it is told of no oftener


class Health:
    """Of one data directory; all its logs report here."""

    def __init__(
        self, directory: str, clock: Clock, log: KafkaLogger, on_lost: Callable[[BaseException], None] | None = None
    ) -> None:
        self.directory = directory
        self.is_lost = False
        self.on_lost = on_lost
        self._clock = clock
        self._log = log
        self._refusals = 0  # since it was last said
        self._is_told = False
        self._told_ms = -QUIET_MS

    def refused(self, what: str, error: OSError) -> None:
        """A write failed and left everything as it was; `what` was to be written."""
        self._refusals += 1
        now_ms = self._clock.wall_ms()
        if self._is_told or self.is_lost or 0 <= now_ms - self._told_ms < QUIET_MS:
            return
        self._is_told, self._told_ms = True, now_ms
        self._log.error(
            "Error while writing %s in dir %s: %s; writes are refused until there is room again",
            what, self.directory, error.strerror or error,
        )  # fmt: skip

    def took(self) -> None:
        """A write of the kind that was refused went through."""
        if self._is_told:
            self._is_told = False
            self._log.info("%s takes writes again; %d were refused", self.directory, self._refusals)
        self._refusals = 0

    def lost(self, what: str, error: BaseException) -> None:
        """A sync failed: what the medium holds is not known any more."""
        if self.is_lost:
            return
        self.is_lost = True
        self._log.error("Error while flushing log for %s in dir %s: %s", what, self.directory, error)
        self._log.error("Shutdown broker because all log dirs in %s have failed", self.directory)
        if self.on_lost is not None:
            self.on_lost(error)
