"""The primary as a client of its replica: its stream is run, counted and passed on.

    bytes ──► parser ──► commands ──► the plain way, obeyed      received: offset of the last byte that came
      └───────────────── verbatim ──► forward()                  applied:  of the last command that was run

Laws:
1. What is passed on, and counted as applied, are whole commands, and transactions only when they are complete: who
   goes on from there after a break runs nothing twice and nothing half.
2. Nothing that a replica refuses its clients is refused to its primary, and for it no key has expired: whether one has
   was decided over there.
3. The primary is not answered. An error is a difference between the two, and goes to the log.
4. While clients have to wait (a script, CLIENT PAUSE), so has the stream, and a long read of it is run in slices with
   clients between them. What came and has to wait is held; what comes stays in the kernel meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miniredis.engine import divergence
from miniredis.engine.client import CLOSING, IN_MULTI, PRIMARY
from miniredis.engine.execute import Engine, Obeyed
from miniredis.engine.state import BUSY_SCRIPT, PAUSED_ALL, PAUSED_WRITES
from protocol.resp.encoder import encode_command
from protocol.resp.numbers import INT64_MAX
from protocol.resp.parser import Parser

if TYPE_CHECKING:
    from miniredis.keyspace.db import Db
    from protocol.net.connection import Connection

# So much of the stream is run between two turns of the clients: 10 ms of small commands.
SLICE_BYTES: Final = 32 * 1024
# What is held while nothing may be run is looked at again after so long.
RETRY_S: Final = 0.02

_WAITING: Final = BUSY_SCRIPT | PAUSED_ALL | PAUSED_WRITES


class Upstream(Obeyed):
    """`forward` gets the applied bytes; `broke` is told why the stream cannot be followed any further."""

    __slots__ = (
        "_backlog", "_connection", "_engine", "_forward", "_held", "_held_bytes", "_is_executing", "_is_waking", "_log",
        "_most_bytes", "_owes_ack", "_parser", "_pending", "_pending_bytes", "_since_multi", "_synced", "applied",
        "broke", "counts", "received",
    )  # fmt: skip

    def __init__(
        self, id: int, db: Db, engine: Engine, connection: Connection, offset: int, *,
        forward: Callable[[bytes], None], broke: Callable[[str], None], synced: Callable[[], int],
        log: Callable[[str], None], most_bytes: int,
    ) -> None:  # fmt: skip
        super().__init__(id, db)
        self.mode |= PRIMARY
        self.peer = connection.peer
        self.laddr = connection.local
        self.created_at = connection.loop.time()
        self.received = self.applied = offset
        self.counts = True  # offsets are known: the primary speaks PSYNC
        self.broke = broke
        self._engine = engine
        self._connection = connection
        self._forward = forward
        self._synced = synced  # the offset up to which an append-only file is on the medium; -1 without one
        self._log = log
        self._most_bytes = most_bytes  # of what is not complete
        self._parser = Parser(max_bulk=INT64_MAX, max_buffer=INT64_MAX, takes_inline=False)
        self._pending: list[bytes] = []  # run or about to be, and not yet applied
        self._pending_bytes = 0
        self._since_multi = 0  # of them, those of an open transaction
        self._backlog: list[list[bytes]] = []  # commands behind one that has to wait
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_waking = self._is_executing = False
        self._owes_ack = False

    # The stream.

    def take(self, data: bytes) -> None:
        """The next bytes."""
        self.received += len(data)
        if self._held or self._must_wait():
            self._hold(data)
        else:
            self._run_slice(data)

    @property
    def is_behind(self) -> bool:
        """Whether something that came is still to be run: that nothing comes then is our own doing."""
        return bool(self._held or self._backlog)

    def _must_wait(self) -> bool:
        return self.blocked is not None or bool(self._backlog) or bool(self._engine.state.mode & _WAITING)

    def _run_slice(self, data: bytes) -> None:
        size = SLICE_BYTES + self._parser.missing  # of a large argument every byte belongs to it
        if len(data) <= size:
            self._run(data)
        else:
            self._hold(data[size:])
            self._run(data[:size])

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        self._connection.pause_reading()
        self._look_again()

    def _look_again(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            if self._must_wait():
                self._connection.loop.call_later(RETRY_S, self._wake)
            else:
                self._connection.loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._is_waking = False
        self.resume()

    def resume(self) -> None:
        """It waits no longer, or it is time to look."""
        if self.mode & CLOSING:
            return
        if self._is_executing:  # it was let go on by what it sent itself: in its place, then
            self._look_again()
            return
        if self._backlog and not self.blocked and not self._engine.state.mode & _WAITING:
            backlog, self._backlog = self._backlog, []
            self._execute(backlog)
        if self.mode & CLOSING:
            return
        if self._must_wait():
            self._look_again()
            return
        held, self._held = b"".join(self._held), []
        self._held_bytes = 0
        if held:
            self._run_slice(held)
        if not self._held and not self.mode & CLOSING:
            self._connection.resume_reading()

    def _run(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)
        parser = self._parser
        commands = parser.take(data)
        if commands:
            self._execute(commands)
        if self.mode & CLOSING:
            return
        if parser.failure is not None:
            self.broke(f"Protocol error from master: {parser.failure.message.decode('utf-8', 'replace')}")
        elif self._pending_bytes > max(self._most_bytes, self._engine.state.settings.client_query_buffer_limit):
            self.broke(f"A command or transaction of the master is longer than {self._most_bytes} bytes")

    def _execute(self, commands: list[list[bytes]]) -> None:
        call = self.call
        assert call is not None
        call.deny_blocking = True
        taken = -1
        self._is_executing = True
        try:
            taken = self._engine.obey(self, commands)
        finally:
            self._is_executing = False
            if taken < 0:  # a fault of ours: nobody knows how far it came
                self.broke("Fault while a command of the master was run: its stream cannot be followed any further")
        if self.mode & CLOSING:
            return
        if taken < len(commands):
            self._backlog = commands[taken:]
            del commands[taken:]
        self._note_transaction(commands)
        self._apply()
        if self._owes_ack:
            self._owes_ack = False
            self.acknowledge()

    def _note_transaction(self, commands: list[list[bytes]]) -> None:
        """How many bytes an open transaction has so far."""
        if not self.mode & IN_MULTI:
            self._since_multi = 0
            return
        first = 0
        for at in range(len(commands) - 1, -1, -1):
            if commands[at][0].upper() == b"MULTI":
                first, self._since_multi = at, 0
                break
        self._since_multi += _size(commands[first:])

    def _apply(self) -> None:
        """Pass on what is complete."""
        left = self._parser.amid_bytes + self._since_multi + _size(self._backlog)
        done = self._pending_bytes - left
        if done <= 0:
            return
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        self._pending = [data[done:]] if left else []
        self._pending_bytes = left
        self.applied += done
        self._forward(data[:done] if left else data)

    # What the primary hears.

    def acknowledge(self) -> None:
        """How far we are. Asked for by the primary, that is when what came with the question is applied."""
        if self.is_running:
            self._owes_ack = True
        elif self.counts:
            words = [b"REPLCONF", b"ACK", b"%d" % self.applied]
            synced = self._synced()
            if synced >= 0:
                words += [b"FACK", b"%d" % synced]
            self._connection.write(encode_command(words))

    def flush(self) -> None:
        """Answers end here."""
        self.out.clear()

    def tell_error(self, name: bytes, text: bytes) -> None:
        divergence.of_primary(self._engine.state, self._log, name, text)

    # As a client.

    def hold_first(self, argv: list[bytes]) -> None:
        self._backlog.insert(0, argv)

    def kill(self) -> None:
        """CLIENT KILL: the link is cut, and made anew."""
        self.mode |= CLOSING
        self._connection.loop.call_soon(self._connection.abort)

    def close_after_reply(self) -> None:
        self.kill()

    @property
    def buffered_bytes(self) -> int:
        return self._pending_bytes + self._held_bytes

    @property
    def descriptor(self) -> int:
        return self._connection.descriptor

    @property
    def last_active_at(self) -> float:
        return self._connection.last_active

    @property
    def pending_bytes(self) -> int:
        return 0 if self._connection.is_closing else self._connection.pending_bytes


def _size(commands: list[list[bytes]]) -> int:
    """Bytes of these commands in the stream."""
    return sum([len(encode_command(argv)) for argv in commands])
