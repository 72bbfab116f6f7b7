"""FAILOVER: this primary hands its part to one of its replicas, and loses nothing on the way.

    no-failover ──FAILOVER──► waiting-for-sync ──a replica has everything──► failover-in-progress ──► no-failover
                                    │ TIMEOUT: with FORCE, on all the same; else abandoned        (its replica now)
                                    └──ABORT──► no-failover

Law: from the request on nobody writes (clients are paused) until the part is handed over or the failover abandoned.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from miniredis.replication.follower import Follower, Phase
from miniredis.replication.primary import Primary
from protocol.ops.logs import Logger


class Stage(Enum):
    """By the names INFO has for them."""

    NONE = "no-failover"
    WAITING = "waiting-for-sync"
    IN_PROGRESS = "failover-in-progress"


class Target(NamedTuple):
    """The replica that is to become the primary."""

    host: str
    port: int


class Failover:
    """`pause` and `unpause` hold and release those who write; `hand_over` makes us a replica of the target, which is
    asked to become the primary; `take_back` makes us a primary again. Instants are monotonic seconds."""

    def __init__(
        self, primary: Primary, monotonic: Callable[[], float], log: Logger, *, pause: Callable[[], None],
        unpause: Callable[[], None], hand_over: Callable[[Target], None], take_back: Callable[[], None],
    ) -> None:  # fmt: skip
        self.stage = Stage.NONE
        self.target: Target | None = None
        self._primary = primary
        self._monotonic = monotonic
        self._log = log
        self._pause = pause
        self._unpause = unpause
        self._hand_over = hand_over
        self._take_back = take_back
        self._until = 0.0  # 0: for ever
        self._is_forced = False

    @property
    def is_under_way(self) -> bool:
        return self.stage is not Stage.NONE

    def find(self, target: Target) -> Follower | None:
        for follower in self._primary.followers.values():
            if follower.address.lower() == target.host.lower() and follower.port == target.port:
                return follower
        return None

    def begin(self, target: Target | None, timeout_ms: int, *, is_forced: bool) -> None:
        """To that replica, or to the first that has everything. No `timeout_ms`: however long it takes."""
        self.target = target
        self._until = self._monotonic() + timeout_ms / 1000 if timeout_ms else 0.0
        self._is_forced = is_forced
        self.stage = Stage.WAITING
        self._log.notice(f"FAILOVER requested to {self._name}.")
        self._pause()
        self._primary.request_acks()

    @property
    def _name(self) -> str:
        return f"{self.target.host}:{self.target.port}" if self.target is not None else "any replica"

    def abort(self, reason: str) -> None:
        self._log.notice(f"FAILOVER to {self._name} aborted: {reason}")
        if self.stage is Stage.IN_PROGRESS:
            self._take_back()
        self.end()

    def end(self) -> None:
        """The part is handed over, or stays with us."""
        self.stage = Stage.NONE
        self.target = None
        self._unpause()

    def look(self) -> None:
        """Whether it can go on: called every second, and with every acknowledgement while one is under way."""
        if self.stage is not Stage.WAITING:
            return
        if self._until and self._until <= self._monotonic():
            if not self._is_forced:
                self.abort("Replica never caught up before timeout")
                return
            self._log.notice(f"FAILOVER to {self._name} time out exceeded, failing over.")
        else:
            if not self._has_caught_up():
                return
            self._log.notice(f"Failover target {self._name} is synced, failing over.")
        self.stage = Stage.IN_PROGRESS
        assert self.target is not None
        self._hand_over(self.target)

    def _has_caught_up(self) -> bool:
        offset = self._primary.history.offset
        if self.target is not None:
            follower = self.find(self.target)
            return follower is not None and follower.ack_offset == offset
        for follower in self._primary.followers.values():
            if follower.phase == Phase.ONLINE and follower.ack_offset == offset:
                self.target = Target(follower.address, follower.port)
                return True
        return False
