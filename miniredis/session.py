"""One client behind a connection: bytes in, commands to the engine, answers out.

Laws:
1. What a client sends is run in its order. While it is blocked nothing of it is run, and what arrives is held – up to
   a bound, beyond which the connection is not read any more. So is what would take too much of one turn.
2. Answers of one read leave in one write.
3. Output that the client does not take is bounded by its class (`client-output-buffer-limit`); beyond it the
   connection is closed, whatever waits in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from miniredis.engine.client import CLOSING, HOLDING, REPLICA, UNAUTHENTICATED, Client
from miniredis.engine.execute import Engine
from miniredis.keyspace.db import Db
from protocol.net.connection import Connection, Turn
from protocol.resp.parser import Parser

# What a blocked client may send ahead before its connection is no longer read. Reading goes on below this so that its
# going away is noticed.
HELD_MAX_BYTES = 1024 * 1024
# Output handed over at once that is looked at even though the connection is not congested (yet).
UNCHECKED_BYTES = 64 * 1024
# One read as large as this means that more waits: the others get their turn first. (The loop itself would read on, many
# times over, as long as the kernel has more.)
GREEDY_BYTES = 128 * 1024
# Lines of one client's that are read and run in a turn of the loop: a mebibyte of tiny commands takes many. Less than
# so many bytes are not counted.
LINES_PER_TURN = 2048
LINES_OF_A_COMMAND = 4  # arrays have so many lines, or more, for the work of one inline command
COUNTED_BYTES = 8 * 1024


class Session(Client):
    __slots__ = (
        "_has_ended", "_is_lost", "_soft_limit_since", "backlog", "connection", "engine", "held", "held_bytes", "log",
        "parser", "traffic", "wait",
    )  # fmt: skip

    def __init__(
        self, id: int, db: Db, engine: Engine, connection: Connection, log: Callable[[str], None],
        wait: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(id, db)
        self.wait = wait  # tells the wiring that a client has begun to wait: its deadline may be the next
        self.engine = engine
        self.connection = connection
        self.log = log
        self.traffic = engine.state.traffic
        settings = engine.state.settings
        self.parser = Parser(
            max_bulk=settings.proto_max_bulk_len, max_buffer=settings.client_query_buffer_limit,
            shapes=engine.plain.shapes,
        )  # fmt: skip
        self.backlog: list[list[bytes]] = []  # commands not yet run: the client was blocked before them
        self.held: list[bytes] = []  # bytes that came while it was blocked, or are for the next turn
        self.held_bytes = 0
        self.peer = connection.peer
        self.laddr = connection.local
        self.created_at = connection.last_active
        self._soft_limit_since = 0.0
        self._is_lost = False
        self._has_ended = False  # it sends no more, but not all it sent was run

    # What the connection calls.

    def received(self, data: bytes) -> None:
        traffic = self.traffic
        traffic.reads += 1
        traffic.input_bytes += len(data)
        if len(data) >= GREEDY_BYTES:
            self.connection.pause_reading()
            self.connection.loop.call_soon(self._read_on)
        self.receive(data)

    def receive(self, data: bytes) -> None:
        if not self.mode & (HOLDING | UNAUTHENTICATED) and len(data) < COUNTED_BYTES:
            self._take(data)
            if self.blocked is not None or self.backlog or not self.parser.is_plain:
                self.mode |= HOLDING
            return
        if self.blocked is not None or self.backlog or self.held:
            self._hold(data)
        else:
            if len(data) >= COUNTED_BYTES:
                data = self._first_slice(data)
            if self.mode & UNAUTHENTICATED or not self.parser.authenticated:
                self._take_as_stranger(data)
            else:
                self._take(data)
        self._note_whether_holding()

    def _note_whether_holding(self) -> None:
        if self.blocked is None and not self.backlog and not self.held and self.parser.is_plain:
            self.mode &= ~HOLDING
        else:
            self.mode |= HOLDING

    def _read_on(self) -> None:
        if self.held_bytes <= HELD_MAX_BYTES:
            self.connection.resume_reading()

    def lost(self) -> None:
        if self.held and self._may_go_on():
            self._is_lost = True  # what it sent before it left is still to be run
        else:
            self._leave()

    def ended(self) -> bool:
        self._has_ended = bool(self.held) and self._may_go_on()
        return self._has_ended

    def _leave(self) -> None:
        self.backlog.clear()
        self.held.clear()
        self.engine.dismiss(self)

    # What is too much for one turn.

    def _first_slice(self, data: bytes) -> bytes:
        """As much of it as is run now; the rest is held until the others have had their turn."""
        known = self.parser.missing  # of an argument: they are no lines
        lines = data.count(b"\n", known)
        most = LINES_PER_TURN * LINES_OF_A_COMMAND if data.startswith(b"*") else LINES_PER_TURN
        if lines <= most:
            return data
        size = max(1, known + (len(data) - known) * most // lines)
        self._hold(data[size:])
        self.connection.loop.call_soon(self._next_slice)
        return data[:size]

    def _next_slice(self) -> None:
        if self.held and self._may_go_on():
            self._take_held()
            self._note_whether_holding()
        if self.held and self._may_go_on():
            return
        if self._is_lost:
            self._is_lost = False
            self._leave()
        elif self._has_ended:
            self.connection.close()

    def _may_go_on(self) -> bool:
        return self.blocked is None and not self.backlog and not self.mode & CLOSING

    def _take_held(self) -> None:
        data = b"".join(self.held)
        self.held.clear()
        self.held_bytes = 0
        self.connection.resume_reading()
        self.receive(data)

    def resumed(self) -> None:
        self._soft_limit_since = 0.0
        if self.mode & REPLICA:
            self.engine.state.replication.primary.resumed(self)

    # Commands.

    def _take(self, data: bytes) -> None:
        parser = self.parser
        commands = parser.take(data)
        if commands:
            taken = self.engine.plain.run(self, commands)
            if taken < len(commands) or self.mode & CLOSING or self.blocked is not None:
                self._stopped(commands[taken:])
        if parser.failure is not None and not self.backlog and self.blocked is None and not self.mode & CLOSING:
            self._refuse()

    def _take_as_stranger(self, data: bytes) -> None:
        """Before AUTH the limits are strict, and each command may change that."""
        parser = self.parser
        parser.authenticated = not self.mode & UNAUTHENTICATED
        commands = parser.take(data)
        while commands and not self.mode & CLOSING:
            self._run(commands)
            if self.blocked is not None:
                break
            parser.authenticated = not self.mode & UNAUTHENTICATED
            commands = parser.take()
        if parser.failure is not None and self.blocked is None and not self.mode & CLOSING:
            self._refuse()

    def _run(self, commands: list[list[bytes]]) -> None:
        taken = self.engine.plain.run(self, commands)
        if taken < len(commands) or self.mode & CLOSING or self.blocked is not None:
            self._stopped(commands[taken:])

    def _stopped(self, left: list[list[bytes]]) -> None:
        """The client waits, or its connection is to end: what it sent after that is kept, or dropped."""
        if self.mode & CLOSING:
            self.connection.close()
        else:
            self.backlog = left
            if self.blocked is not None:
                self.wait()
        if self.engine.waiting.unblocked:
            self.engine.waiting.resume_unblocked()

    def drop_attacker(self) -> None:
        self.log(
            "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. "
            "This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis "
            f"instance. Connection from {self.peer} aborted."
        )
        self.kill()

    def _refuse(self) -> None:
        """The client broke the protocol: it is told, after the answers before, and the connection ends."""
        failure = self.parser.failure
        assert failure is not None
        if self.mode & REPLICA:  # it would take what it is told for a part of the stream
            self.kill()
            return
        if failure.is_silent:
            self.traffic.query_buffer_disconnections += 1
        else:
            self.send(failure.encoded)
        self.close_after_reply()

    def _hold(self, data: bytes) -> None:
        self.held.append(data)
        self.held_bytes += len(data)
        if self.held_bytes > HELD_MAX_BYTES:
            self.connection.pause_reading()

    def hold_first(self, argv: list[bytes]) -> None:
        self.backlog.insert(0, argv)

    def resume(self) -> None:
        self._resume()
        self._note_whether_holding()

    def _resume(self) -> None:
        backlog, self.backlog = self.backlog, []
        if backlog:
            self._run(backlog)
        if self.blocked is not None or self.backlog or self.mode & CLOSING:
            return
        if self.parser.failure is not None:
            self._refuse()
            return
        if not self.parser.authenticated:
            self._take_as_stranger(b"")  # it reads a command at a time: more may be there
        if self.held and self._may_go_on():
            self._take_held()

    # Output.

    def flush(self) -> None:
        out = self.out
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        connection = self.connection
        if not connection.is_closing:
            traffic = self.traffic
            traffic.writes += 1
            traffic.output_bytes += len(data)
            connection.write(data)
            if connection.is_congested or len(data) > UNCHECKED_BYTES:
                self._check_output()

    def send_now(self, data: bytes | memoryview) -> None:
        connection = self.connection
        if not connection.is_closing:
            traffic = self.traffic
            traffic.writes += 1
            traffic.output_bytes += len(data)
            connection.send_now(data)

    def pressed(self, answer: bytes) -> None:
        if not self.connection.is_closing:
            self.connection.write(answer)
            self._check_output()

    def _check_output(self) -> None:
        """Close a client that takes its answers too slowly, by the limits of its class."""
        settings = self.engine.state.settings
        if self.subscriptions or self.shard_channels:
            hard, soft, soft_s = settings.output_limit_pubsub
        else:
            hard, soft, soft_s = settings.output_limit_normal
        pending = self.connection.pending_bytes
        if soft and pending >= soft:
            now = self.connection.loop.time()
            if not self._soft_limit_since:
                self._soft_limit_since = now
            is_over = now - self._soft_limit_since > soft_s
        else:
            self._soft_limit_since = 0.0
            is_over = False
        if is_over or (hard and pending >= hard):
            self.log(f"Client id={self.id} addr={self.peer} closed for overcoming of output buffer limits.")
            self.traffic.output_buffer_disconnections += 1
            self.kill()

    @property
    def buffered_bytes(self) -> int:
        return self.parser.buffered + self.held_bytes

    @property
    def argument_bytes(self) -> int:
        return self.parser.argument_bytes

    @property
    def descriptor(self) -> int:
        return self.connection.descriptor

    @property
    def last_active_at(self) -> float:
        return self.connection.last_active

    @property
    def pending_bytes(self) -> int:
        return 0 if self.connection.is_closing else self.connection.pending_bytes

    @property
    def is_congested(self) -> bool:
        return self.connection.is_congested

    def close_when_sent(self) -> None:
        self.mode |= CLOSING
        self.connection.close()

    def close_after_reply(self) -> None:
        self.mode |= CLOSING
        if not self.is_running:
            self.connection.close()

    def kill(self) -> None:
        self.mode |= CLOSING
        self.out.clear()
        self.connection.loop.call_soon(self.connection.abort)


class Crowd:
    """What the clients of one server sent in a turn, a few reads at a time: run as one, answered one by one."""

    def __init__(self, engine: Engine, turn: Turn, loop: asyncio.AbstractEventLoop) -> None:
        self.plain = engine.plain
        self.traffic = engine.state.traffic
        self.turn = turn
        self.loop = loop
        self.connections: list[Connection] = []

    def work(self, connections: list[Connection], chunks: list[bytes]) -> None:
        """The turn's `work`."""
        traffic = self.traffic
        traffic.reads += len(chunks)
        traffic.input_bytes += sum(map(len, chunks))
        self.connections = connections
        clients: list[Any] = [connection.session for connection in connections]
        at = 0
        while at < len(clients):
            try:
                self.plain.run_each(clients, chunks, at, self.deliver)
            except BaseException as fault:  # ours: who sent the words loses the connection, as if read alone
                clients[self.plain.position].kill()
                context = {"message": "Fault while a command was run", "exception": fault}
                self.loop.call_exception_handler(context)
                at = self.plain.position + 1
            else:
                break

    def deliver(self, at: int, answers: list[bytes]) -> None:
        traffic = self.traffic
        traffic.writes += len(answers)
        traffic.output_bytes += sum(map(len, answers))
        self.turn.answer(self.connections[at : at + len(answers)], answers)
