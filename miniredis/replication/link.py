"""A replica's connection to its primary: what came is cut into the parts of a synchronization.

    lines of the handshake ──► announcement ──► payload ──► stream          a full synchronization
                          └───────────────────────────────► stream          a partial one

Laws:
1. A line is bounded. What is neither a line nor announced ends the connection.
2. What comes behind the payload waits, in the kernel beyond a bound, until the data set is loaded.
3. Nothing is decided here: `Owner` is told, and says how it goes on.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from miniredis.replication.handshake import LINE_MAX_BYTES, Handshake, Verdict
from miniredis.replication.payload import Payload
from protocol.resp.encoder import encode_command
from protocol.resp.values import ProtocolError

if TYPE_CHECKING:
    from protocol.net.connection import Connection

SHOWN_BYTES: Final = 128


class Phase(Enum):
    """Of one connection."""

    HANDSHAKE = auto()
    ANNOUNCEMENT = auto()
    PAYLOAD = auto()
    LOADING = auto()
    STREAM = auto()
    ENDED = auto()


class Owner(Protocol):
    """Who keeps the link, and the data set."""

    def agreed(self, link: Link) -> None:
        """The handshake has its verdict."""

    def announced(self, link: Link, payload: Payload) -> None:
        """So a data set comes."""

    def brought(self, link: Link, data: bytes) -> None:
        """The next bytes of the payload; it may be complete now."""

    def streamed(self, data: bytes) -> None:
        """The next bytes of the stream."""

    def broke(self, link: Link, why: str) -> None:
        """What came cannot be; the connection is of no use."""

    def lost_link(self, link: Link) -> None:
        """The connection has ended."""


class Link:
    """The session behind the connection."""

    def __init__(self, connection: Connection, handshake: Handshake, owner: Owner) -> None:
        self.connection = connection
        self.handshake = handshake
        self.phase = Phase.HANDSHAKE
        self.payload: Payload | None = None
        self.last_heard_at = connection.loop.time()
        self._owner = owner
        self._line = b""
        self._held: list[bytes] = []
        self._say(handshake.opening)

    def _say(self, *commands: list[bytes]) -> None:
        self.connection.write(b"".join(map(encode_command, commands)))

    # What the connection calls.

    def received(self, data: bytes) -> None:
        self.last_heard_at = self.connection.loop.time()
        if self.phase is Phase.STREAM:
            self._owner.streamed(data)
        elif self.phase is Phase.PAYLOAD:
            self._take_payload(data)
        elif self.phase is Phase.LOADING:
            self._hold(data)
        elif self.phase is not Phase.ENDED:
            self._take_lines(data)

    def lost(self) -> None:
        if self.phase is not Phase.ENDED:
            self._owner.lost_link(self)

    def resumed(self) -> None:
        """What we say is little: nothing waits for room."""

    # What the owner calls.

    def end(self) -> None:
        """It is of no use any more; nothing is told of it."""
        self.phase = Phase.ENDED
        self._held.clear()
        self.connection.abort()

    def ask_for_all(self) -> None:
        """SYNC, for a primary that does not know PSYNC."""
        self.connection.write(b"SYNC\r\n")

    def keep_alive(self) -> None:
        """A sign of life while the data set is loaded."""
        self.connection.write(b"\n")

    def go_on(self) -> None:
        """From here on it is the stream: first what has come of it."""
        self.phase = Phase.STREAM
        held, self._held = self._held, []
        for data in held:
            if self.phase is Phase.STREAM:
                self._owner.streamed(data)
        if self.phase is Phase.STREAM:
            self.connection.resume_reading()

    # The parts.

    def _take_lines(self, data: bytes) -> None:
        data = self._line + data
        self._line = b""
        while data and self.phase in (Phase.HANDSHAKE, Phase.ANNOUNCEMENT):
            line, end, rest = data.partition(b"\n")
            if len(line) > LINE_MAX_BYTES:
                self._owner.broke(self, f"a line of more than {LINE_MAX_BYTES} bytes from MASTER")
                return
            if not end:
                self._line = data
                return
            data = rest
            self._take_line(line.removesuffix(b"\r"))
        if data:
            self.received(data)

    def _take_line(self, line: bytes) -> None:
        if self.phase is Phase.HANDSHAKE:
            handshake = self.handshake
            commands = handshake.hear(line)
            if commands:
                self._say(*commands)
            if handshake.verdict is not None:
                is_full = handshake.verdict in (Verdict.FULL, Verdict.UNSUPPORTED)
                self.phase = Phase.ANNOUNCEMENT if is_full else Phase.LOADING
                self._owner.agreed(self)
        elif line.startswith(b"-"):
            self._owner.broke(self, f"MASTER aborted replication with an error: {_shown(line[1:])}")
        elif line:
            try:
                payload = Payload(line)
            except ProtocolError:
                self._owner.broke(
                    self,
                    f"Bad protocol from MASTER, the first byte is not '$' (we received '{_shown(line)}'), are you sure "
                    "the host and port are right?",
                )
                return
            self.payload = payload
            self.phase = Phase.PAYLOAD
            self._owner.announced(self, payload)
            if payload.is_complete and self.phase is Phase.PAYLOAD:
                self._take_payload(b"")

    def _take_payload(self, data: bytes) -> None:
        payload = self.payload
        assert payload is not None
        data = payload.feed(data)
        if payload.is_complete:
            self.phase = Phase.LOADING
            self._hold(payload.rest)
        self._owner.brought(self, data)

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
        self.connection.pause_reading()


def link_fields(
    host: str, port: int, state: bytes, link: Link | None, offsets: tuple[int, int], now: float
) -> dict[str, object]:  # fmt: skip
    """What INFO tells of a link to a primary. `offsets`: how much of the stream was received, and applied."""
    fields: dict[str, object] = {
        "role": "slave",
        "master_host": host,
        "master_port": port,
        "master_link_status": "up" if state == b"connected" else "down",
        "master_last_io_seconds_ago": -1 if link is None or state != b"connected" else int(now - link.last_heard_at),
        "master_sync_in_progress": int(state == b"sync"),
        "slave_read_repl_offset": offsets[0],
        "slave_repl_offset": offsets[1],
    }
    return fields | _progress(link, now) if state == b"sync" else fields


def _progress(link: Link | None, now: float) -> dict[str, object]:
    payload = link.payload if link is not None else None
    total, done = (payload.size, payload.received) if payload is not None else (-1, 0)
    return {
        "master_sync_total_bytes": total,
        "master_sync_read_bytes": done,
        "master_sync_left_bytes": total - done,
        "master_sync_perc": f"{done / total * 100 if total > 0 else 0:.2f}",
        "master_sync_last_io_seconds_ago": int(now - link.last_heard_at) if link is not None else 0,
    }


def _shown(line: bytes) -> str:
    return line[:SHOWN_BYTES].decode("utf-8", "replace")
