"""What an append-only file holds, run again.

Laws:
1. Nobody is asked and nobody is told: no guards, no answers, no journal, and a key past its end is there until the
   command comes that removed it.
2. A command that fails now and did not then says that something is wrong: the log hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from miniredis.engine import divergence
from miniredis.engine.call import Call, Origin
from miniredis.engine.client import IN_MULTI, Client
from miniredis.engine.guards import OF_REPLICA
from miniredis.engine.registry import UNQUEUED
from miniredis.engine.state import BUSY_SCRIPT
from miniredis.keyspace.db import IGNORES
from protocol.resp.values import Failure, Reply

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine
    from miniredis.engine.observe import Command


class Replay:
    """`unknown` makes the exception for a command that is not one here; `warn` writes to the log."""

    def __init__(self, engine: Engine, unknown: Callable[[str], Exception], warn: Callable[[str], None]) -> None:
        self._engine = engine
        self._unknown = unknown
        self._warn = warn
        state = engine.state
        self._client = Client(0, state.dbs[0])
        self._call = self._client.call = Call(state, self._client, Origin.AOF)
        self._rule = state.keyspace.expiry_rule
        self._lifted = 0  # modes in which clients are refused
        self._rest: Iterator[tuple[list[bytes], int]] = iter(())
        self._late: tuple[Command, list[bytes], int] | None = None  # has not ended yet, and where it does in the file

    def open(self) -> None:
        """A load begins: the file says from its own beginning which database it is about."""
        engine = self._engine
        engine.journal.hush(True)
        self._rule, engine.keyspace.expiry_rule = engine.keyspace.expiry_rule, IGNORES
        self._lifted = engine.state.mode & OF_REPLICA
        engine.state.mode &= ~self._lifted
        self._call.select(engine.state.dbs[0])
        self._call.deny_blocking = True

    def close(self) -> None:
        self._engine.keyspace.expiry_rule = self._rule
        self._engine.state.mode |= self._lifted
        self._engine.journal.hush(False)

    @property
    def is_amid_transaction(self) -> bool:
        return bool(self._client.mode & IN_MULTI)

    def abandon(self) -> None:
        """What was begun with MULTI is not to be."""
        self._engine.transactions.discard(self._client)

    def run(self, commands: list[tuple[list[bytes], int]], valid: int) -> int:
        """Run commands, each with where it ends: where the last whole unit ended, `valid` if none did. Raises what
        `unknown` makes. Where one of them has not ended, `is_waiting`, the rest waits for `go_on`."""
        self._rest = iter(commands)
        return self._run_rest(valid)

    @property
    def is_waiting(self) -> bool:
        return self._late is not None

    def go_on(self, valid: int) -> int:
        """The rest, once the slow one has ended."""
        late = self._late
        if late is None or self._engine.state.mode & BUSY_SCRIPT:
            return valid
        command, argv, end = late
        self._late = None
        self._conclude(command, argv, self._engine.waiting.of_file)
        return self._run_rest(end)

    def _run_rest(self, valid: int) -> int:
        engine, call, client = self._engine, self._call, self._client
        state, keyspace, table = engine.state, engine.keyspace, engine.commands
        call.now = engine.begin_unit()
        for argv, end in self._rest:
            command = table.get(argv[0])
            if (
                command is None
                or not command.is_of_data
                or client.mode & IN_MULTI
                or not command.low <= len(argv) <= command.high
            ):
                self._step(argv, end)
                if self._late is not None:
                    return valid
                if not client.mode & IN_MULTI:
                    valid = end
                continue
            call.argv = argv
            db = call.db
            try:
                reply = command.run(call)
            except Failure as failure:
                failure.__traceback__ = failure.__context__ = None  # see plain.py
                reply = failure
            if keyspace.pending or call.effects is not None:
                engine.conclude(call, command)
            elif db.dirty:
                state.dirty += db.dirty
                db.dirty = 0
            if type(reply) is Failure:
                self._tell_failed(command, reply)
            valid = end
        return valid

    def _step(self, argv: list[bytes], end: int) -> None:
        """One command that is not plain: of a transaction, of many names, not about data, or none."""
        engine, call, client = self._engine, self._call, self._client
        command = engine.lookup(argv)
        if command is None or (command.subcommands and len(argv) > 1):
            raise self._unknown(argv[0].decode("utf-8", "backslashreplace"))
        if client.mode & IN_MULTI and not command.flags & UNQUEUED:
            client.queue.append((command, argv))
            return
        call.argv = argv
        try:
            if command.spec.run is None or not command.low <= len(argv) <= command.high:
                raise Failure(b"ERR wrong number of arguments for '%b' command" % command.spec.name)
            reply = command.run(call)
        except Failure as failure:
            failure.__traceback__ = failure.__context__ = None  # see plain.py
            reply = failure
        if engine.state.mode & BUSY_SCRIPT:
            self._late = command, argv, end
        else:
            self._conclude(command, argv, reply)

    def _conclude(self, command: Command, argv: list[bytes], reply: Reply) -> None:
        call = self._call
        call.argv = argv
        self._engine.conclude(call, command)
        call.deny_blocking = True
        for failed in reply if type(reply) is list else (reply,):
            if type(failed) is Failure:
                self._tell_failed(command, failed)

    def _tell_failed(self, command: Command, failure: Failure) -> None:
        divergence.of_file(self._engine.state, self._warn, command.spec.name, failure.text)
