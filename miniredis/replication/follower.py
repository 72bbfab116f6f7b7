"""One of our replicas as we know it: what it said of itself, how far it is, what it still has to get.

WAIT_START ──► WAIT_END ──────────────────────────► ONLINE      sent while it is made
    │             └────────► SEND_BULK ───────────────┘         from a file
    │  a snapshot is still to be begun;  it is being made;  its file is being sent;  the stream follows
    └──────────────────────────────────────────────► ONLINE     a partial synchronization
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Protocol

from protocol.disk.files import File

UNKNOWN_PORT: Final = 0


class Phase(IntEnum):
    """How far a replica is, in the order in which it gets there; INFO names some of them."""

    NONE = 0  # it has introduced itself, no more
    WAIT_START = 1
    WAIT_END = 2
    SEND_BULK = 3
    ONLINE = 4


PHASE_NAMES: Final = {
    Phase.WAIT_START: "wait_bgsave", Phase.WAIT_END: "wait_bgsave", Phase.SEND_BULK: "send_bulk",
    Phase.ONLINE: "online",
}  # fmt: skip


class Link(Protocol):
    """The connection of a replica, as its session offers it."""

    @property
    def peer(self) -> str: ...
    @property
    def is_congested(self) -> bool: ...
    @property
    def pending_bytes(self) -> int: ...

    def send_now(self, data: bytes | memoryview) -> None:
        """To the kernel at once, past everything that waits for the turn's end."""

    def kill(self) -> None: ...

    def close_when_sent(self) -> None: ...


class Follower:
    """`position` is the offset of the next byte of the stream it gets; what it acknowledged are offsets too. Instants
    are monotonic seconds."""

    __slots__ = (
        "ack_at", "ack_offset", "aof_offset", "awaits_ack", "file", "file_position", "host", "is_old", "is_rdb_only",
        "is_tried",
        "knows_eof", "knows_psync2", "link", "phase", "port", "position", "skips_data", "skips_functions",
        "soft_limit_since", "start_offset", "stuck_since", "version", "waits_since",
    )  # fmt: skip

    def __init__(self, link: Link) -> None:
        self.link = link
        self.phase = Phase.NONE
        # What it says of itself (REPLCONF).
        self.port = UNKNOWN_PORT
        self.host = b""  # where the address of its connection is not the one to be told
        self.version = b""
        self.knows_eof = False
        self.knows_psync2 = False
        self.is_rdb_only = False  # redis-cli --rdb: no stream
        self.skips_data = False
        self.skips_functions = False
        self.is_old = False  # came with SYNC: acknowledges nothing
        # How far it is.
        self.position = 0
        self.start_offset = 0  # the place in the stream that its snapshot shows
        self.ack_offset = 0
        self.aof_offset = 0
        self.ack_at = 0.0
        self.is_tried = False  # it was sent what it may not be able to read, and has acknowledged nothing since
        self.awaits_ack = False  # the stream begins with its first acknowledgement
        self.waits_since = 0.0
        self.stuck_since = 0.0  # it takes nothing of a snapshot that is sent while it is made; 0: it does
        self.soft_limit_since = 0.0
        self.file: File | None = None
        self.file_position = 0

    @property
    def wants(self) -> tuple[bool, bool]:
        """What the snapshot is to leave out: those that want the same can share one."""
        return self.skips_data, self.skips_functions

    @property
    def address(self) -> str:
        return self.host.decode("utf-8", "replace") or self.link.peer.rpartition(":")[0].strip("[]")

    @property
    def name(self) -> str:
        """As Redis's log names replicas."""
        return f"{self.address}:{self.port or '<unknown-replica-port>'}"

    def can_share(self, other: Follower) -> bool:
        """Whether the snapshot under way for the other will do for this one too."""
        return (
            self.wants == other.wants
            and self.knows_eof >= other.knows_eof
            and self.knows_psync2 >= other.knows_psync2
            and (self.is_rdb_only or not other.is_rdb_only)
        )

    def close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
