"""The wiring of the primary's side: replicas of this server, their snapshots, their time.

chore()   at every tick; once a second what is due by the second
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from miniredis.engine.journal import TO_REPLICAS
from miniredis.engine.state import BUSY_SCRIPT, NEVER, PAUSED_ALL, PAUSED_WRITES, TOO_FEW_REPLICAS
from miniredis.engine.waiting import Purpose
from miniredis.persist.snapshot_source import SnapshotSource
from miniredis.replication.failover import Failover, Target
from miniredis.replication.hub import Replication
from miniredis.replication.primary import Primary

if TYPE_CHECKING:
    from miniredis.appending import Appending
    from miniredis.config import Config
    from miniredis.engine.execute import Engine
    from miniredis.persist.snapshots import Snapshots
    from protocol.disk.files import Disk
    from protocol.net.connection import Turn
    from protocol.ops.logs import Logger

# What is due every second may come so much early: ticks are not exact.
EARLY_S: Final = 0.01


class Replicas:
    """Hangs itself into `state`, `snapshots` and `config`."""

    def __init__(
        self, engine: Engine, snapshots: Snapshots, appending: Appending, turn: Turn, config: Config, *, loop: Any,
        disk: Disk, log: Logger,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._state = state = engine.state
        self._log = log
        source = SnapshotSource(snapshots, disk, log, state.dbs, is_amid_unit=lambda: bool(state.mode & BUSY_SCRIPT))
        self.primary = Primary(
            state.history, lambda: state.settings, state.journal, source, log, monotonic=state.clock.monotonic,
            random=state.secrets, want_turn=turn.want, judge=self._judge, is_paused=self._is_paused,
            target=TO_REPLICAS,
        )  # fmt: skip
        self.replication = Replication(state.history, self.primary)
        self.replication.failover = Failover(
            self.primary, state.clock.monotonic, log, pause=self._pause, unpause=self._unpause,
            hand_over=self._hand_over, take_back=lambda: self.replication.become_primary(),
        )  # fmt: skip
        self.primary.acknowledged_told = self.replication.failover.look
        state.replication = self.replication
        snapshots.saved_told = self.primary.fullsync.saved
        snapshots.replication_told = self._place_in_history
        config.apply["repl-backlog-size"] = self._resize
        config.apply["min-replicas-to-write"] = config.apply["min-replicas-max-lag"] = self._rejudge
        self._loop = loop
        self._file = appending.file
        appending.switched = self.primary.count_for_aof
        self._file.offset = lambda: state.history.offset
        self._file.synced_told = self._synced
        self._second_at = state.clock.monotonic()

    def chore(self) -> None:
        now = self._state.clock.monotonic()
        if now - self._second_at >= 1 - EARLY_S:
            self._second_at = now
            failover = self.replication.failover
            failover.look()
            self.primary.second(may_ping=not (failover.is_under_way and self._is_paused()))
            self._engine.waiting.resume_unblocked()

    def _synced(self) -> None:
        """What was written is on the medium. Those who waited for it go on after this turn: what they do next has to
        be written before they are answered."""
        self.primary.synced(self._file.synced_offset)
        if self._engine.waiting.unblocked:
            self._loop.call_soon(self._engine.waiting.resume_unblocked)

    def _judge(self) -> None:
        """Whether writes are refused for want of replicas."""
        if self.primary.lacks_replicas:
            self._state.mode |= TOO_FEW_REPLICAS
        else:
            self._state.mode &= ~TOO_FEW_REPLICAS

    def _rejudge(self, value: int) -> None:
        self._judge()

    def _resize(self, size_bytes: int) -> None:
        self.primary.resize_backlog()

    def _is_paused(self) -> bool:
        return bool(self._state.mode & (PAUSED_ALL | PAUSED_WRITES))

    def _pause(self) -> None:
        self._engine.waiting.pause(NEVER, writes_only=True, purpose=Purpose.FAILOVER)

    def _unpause(self) -> None:
        self._engine.waiting.unpause(Purpose.FAILOVER)

    def _hand_over(self, target: Target) -> None:
        self.replication.become_replica(target.host.encode(), target.port, True)

    def _place_in_history(self) -> list[tuple[bytes, bytes]]:
        """What a snapshot says of the stream: where it is in it, so that its reader can go on from there."""
        history, upstream = self._state.history, self.replication.upstream
        db: int | None = max(self._state.journal.db, 0) if upstream is None else upstream.stream_db
        if history.backlog is None or db is None:
            return []
        return [
            (b"repl-stream-db", b"%d" % db), (b"repl-id", history.id), (b"repl-offset", b"%d" % history.offset),
        ]  # fmt: skip
