"""The plain case, fast: commands that nothing forbids, of clients in no special mode.

    run(client, commands)             what one client sent together
    run_each(clients, chunks, …)      what many clients sent in one turn of the loop, mostly one command each
        │  refused bits, arity, unknown → the engine's long way, one client at a time
        ▼
    handler(call) → reply → encoded

Laws:
1. Nothing is done here that the long way (`Engine.process`) does not do: this is what is left of it in the plain case.
2. Commands are run in the order in which they came, across clients too.
3. An answer is handed over before anything that its client could be told because of a later command, and the journal
   gets what a command did before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import CLOSING, HOLDING, Client
from miniredis.engine.observe import Command
from miniredis.engine.rows import BULK_LINES, INTEGER_LINES, OK_LINE, Rows
from miniredis.engine.state import OUT_OF_MEMORY
from miniredis.engine.told import STAR, Told
from protocol.resp.encoder import encode
from protocol.resp.parser import OTHER, one_command_each
from protocol.resp.shapes import Shapes
from protocol.resp.values import OK, Failure, Reply, Status

if TYPE_CHECKING:
    from miniredis.engine.call import Call
    from miniredis.engine.execute import Engine
    from miniredis.keyspace.db import Db

# So many calls of one brief command in a row (SET, SET, …) are timed together: each is given its part of the time, and
# if it was long, the slow log names the last of them. A slow log that asks for shorter times has each timed alone.
TIMED_TOGETHER: Final = 64
TIMED_ALONE_US: Final = 1000

# What is shared by fewer clients than this costs more than it saves.
WORTH_SHARING: Final = 3

# A pipeline whose answers grow beyond this hands them over before it is done, so that limits of output are looked at.
FLUSH_BYTES: Final = 256 * 1024
# An answer as long as this is looked at by its client's session.
LONG_ANSWER_BYTES: Final = 16 * 1024

# The bits of a command's `refuses` that are a client's own.
_OF_CLIENT: Final = (1 << 32) - 1


class Plain:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes = Shapes()
        self._told = Told(engine)
        self._rows = Rows(engine.state, self._told)
        self.position = 0  # in `run_each`, after it was left: who comes next, or had a fault of ours in its command

    # One client.

    def run(self, client: Client, commands: list[list[bytes]]) -> int:
        """Run what a client sent, answers to its `out`; how many were taken (a blocked or closing client stops). Others
        whom it woke go on then; where it waits itself, its session lets them, once it has put the rest by.

        Calls of one brief `command` in a row are looked up, guarded and timed together: `count` of them so far, since
        `started`.
        """
        engine = self.engine
        state, keyspace, journal = engine.state, engine.keyspace, engine.journal
        call = client.call
        assert call is not None
        append = client.out.append
        told = self._told
        told_db: Db | None = None  # see `run_each`
        late = client.late
        left = iter(commands)
        taken = len(commands)
        command: Command | None = None
        count = most = large = 0
        name = b""
        client.is_running = True
        started = engine.look_at_clock()
        call.now = keyspace.now
        try:
            for argv in left:
                if command is not None and (
                    count >= most or argv[0] != name or not command.low <= len(argv) <= command.high
                ):
                    started = self._count(command, call, count, started)
                    call.now = keyspace.now
                    command = None
                if command is None:
                    command = self._allowed(client, argv)
                    if command is None:
                        told.tell()
                        engine.process(client, call, argv)
                        if client.blocked is not None or client.mode & CLOSING:
                            taken -= length_hint(left)
                            break
                        engine.follow_up(client)
                        started = engine.look_at_clock()
                        call.now = keyspace.now
                        continue
                    name = argv[0]
                    told_db = told.db_of(command)
                    count = 0
                    most = TIMED_TOGETHER if command.is_brief and state.slow_us >= TIMED_ALONE_US else 1
                count += 1
                call.argv = argv
                db = call.db
                try:
                    reply = command.run(call)
                except Failure as failure:
                    # Both lead to every frame of the call, and those back here: a cycle, large values in it.
                    failure.__traceback__ = failure.__context__ = None
                    reply = failure
                if (
                    keyspace.pending
                    or call.effects is not None
                    or (db.dirty and journal.is_heard and db is not told_db)
                ):
                    told.tell()
                    engine.conclude(call, command)
                    told_db = told.db_of(command)
                    if state.mode & OUT_OF_MEMORY:
                        most = 0  # whether it may go on is to be asked again
                elif db.dirty:
                    state.dirty += db.dirty
                    db.dirty = 0
                    if told_db is not None:
                        told.add(client, call.argv)
                kind = type(reply)
                if kind is bytes and len(reply) < 1024:
                    append(BULK_LINES[len(reply)] + reply + b"\r\n")
                elif kind is Status:
                    append(reply.encoded)
                elif kind is int:
                    append(INTEGER_LINES[reply] if 0 <= reply < 1024 else b":%d\r\n" % reply)
                else:
                    data = self._encoded(client, command, reply)
                    append(data)
                    large += len(data)
                    if large > FLUSH_BYTES:
                        large = most = 0  # whether it may go on is to be asked again
                        told.tell()
                        client.flush()
                if late or keyspace.ready:
                    told.tell()
                    engine.follow_up(client)
            if command is not None:
                self._count(command, call, count, started)
        finally:
            told.tell()
            client.is_running = False
        if client.out:
            client.flush()
        if engine.waiting.unblocked and client.blocked is None:
            engine.waiting.resume_unblocked()
        return taken

    # Many clients.

    def run_each(
        self, clients: Sequence[Client], chunks: Sequence[bytes], start: int,
        deliver: Callable[[int, list[bytes]], None],
    ) -> None:  # fmt: skip
        """Run what each of a few clients sent, from `start` on. `deliver(at, answers)` sends those from `at` one each.

        Calls of one brief command in a row are looked up, guarded and timed together, whoever sent them.
        """
        if len(clients) < WORTH_SHARING:
            for at in range(start, len(clients)):
                self.position = at
                clients[at].receive(chunks[at])
            return
        engine = self.engine
        state, keyspace, journal = engine.state, engine.keyspace, engine.journal
        commands = one_command_each(chunks, self.shapes)
        sent: Iterator[tuple[Client, bytes, list[bytes]]] = zip(clients, chunks, commands, strict=True)
        if start:
            sent = islice(sent, start, None)
        told = self._told
        tell = told.requests.append
        tell_of = told.clients.append
        told_db: Db | None = None  # whose effects may be told as they came, at the end of all
        answers: list[bytes] = []
        append = answers.append
        first = since = start  # of those not answered yet, and of the calls in a row: len(answers) says how far we are
        command = engine.commands[b"ping"]  # of the calls in a row: none so far
        call: Call | None = None
        name = b""
        refuses = words = now = 0
        started = 0.0
        is_alone = False
        try:
            for client, chunk, argv in sent:
                if argv[0] != name or len(argv) != words or client.mode & refuses:
                    at = first + len(answers)
                    ended = self._count(command, call, at - since, started) if at > since else 0.0
                    found = self._plain(client, argv)
                    if found is None:
                        told.tell()
                        first = _hand_over(deliver, first, answers)
                        client.receive(chunks[at])
                        first = since = at + 1
                        words = 0  # whatever it did: everything is asked again
                        continue
                    command = found
                    since = at
                    started = ended or engine.look_at_clock()
                    now = keyspace.now
                    name = argv[0]
                    words = len(argv)
                    is_alone = not command.is_brief  # what may take long is timed alone
                    refuses = command.refuses & _OF_CLIENT | HOLDING
                    run = command.run
                    told_db = told.db_of(command)
                    if command.run_row is not None:
                        done = self._rows.run(command, clients, chunks, commands, at, refuses, told_db, answers)
                        if done:
                            if done > 1:
                                next(islice(sent, done - 2, None))  # beside this one, so many are done with
                            call = clients[at + done - 1].call
                            assert call is not None
                            call.argv = commands[at + done - 1]
                            continue
                elif is_alone:
                    at = first + len(answers)
                    started = self._count(command, call, at - since, started)
                    since = at
                    now = keyspace.now
                call = client.call
                assert call is not None
                call.argv = argv
                call.now = now
                db = call.db
                try:
                    reply = run(call)
                except Failure as failure:
                    failure.__traceback__ = failure.__context__ = None  # see `run`
                    reply = failure
                if keyspace.pending:
                    told.tell()
                    first = _hand_over(deliver, first, answers)
                    if self._conclude_heard(client, call, command, reply):
                        words = 0  # whatever was done: everything is asked again
                    told_db = told.db_of(command)
                    first += 1
                    continue
                if call.effects is not None or (db.dirty and journal.is_heard and db is not told_db):
                    told.tell()
                    engine.conclude(call, command)
                    told_db = told.db_of(command)
                elif db.dirty:
                    state.dirty += db.dirty
                    db.dirty = 0
                    if told_db is not None:
                        if chunk[0] == STAR and call.argv is argv:
                            tell(chunk)
                            tell_of(client)
                        else:
                            told.add(client, call.argv)
                if reply is OK:
                    append(OK_LINE)
                    continue
                kind = type(reply)
                if kind is bytes and len(reply) < 1024:
                    append(BULK_LINES[len(reply)] + reply + b"\r\n")
                elif kind is int:
                    append(INTEGER_LINES[reply] if 0 <= reply < 1024 else b":%d\r\n" % reply)
                elif reply is None and client.resp == 2:
                    append(b"$-1\r\n")
                else:
                    data = self._encoded(client, command, reply)
                    if len(data) <= LONG_ANSWER_BYTES:
                        append(data)
                        continue
                    told.tell()
                    first = _hand_over(deliver, first, answers)
                    client.send(data)
                    first += 1
        finally:
            told.tell()
            self.position = at = first + len(answers)
            _hand_over(deliver, first, answers)
        if at > since:
            self._count(command, call, at - since, started)

    def _allowed(self, client: Client, argv: list[bytes]) -> Command | None:
        """The command these words call, if nothing forbids it; None: somebody has to look at them."""
        command = self.engine.commands.get(argv[0])
        if (
            command is None
            or command.refuses & (self.engine.state.mode | client.mode)
            or not command.low <= len(argv) <= command.high
        ):
            return None
        return command

    def _plain(self, client: Client, argv: list[bytes]) -> Command | None:
        """The same for one command of data, all that the client has sent, which need not be timed alone."""
        if argv is OTHER or client.mode & HOLDING or self.engine.state.slow_us < TIMED_ALONE_US:
            return None
        command = self._allowed(client, argv)
        return command if command is not None and command.is_of_data else None

    def _count(self, command: Command, call: Call | None, count: int, started: float) -> float:
        """So many calls in a row, the last of them `call`, since `started`; the time at which they ended."""
        assert call is not None
        ended = self.engine.look_at_clock()
        self.engine.count(call.session, command, call.argv, count, ended - started)
        return ended

    def _encoded(self, client: Client, command: Command, reply: Reply) -> bytes:
        """An answer that is not one of the short ones."""
        if type(reply) is Failure:
            self.engine.count_failure(command, reply)
        return encode(reply, client.resp)

    def _conclude_heard(self, client: Client, call: Call, command: Command, reply: Reply) -> bool:
        """Clients are told of what this command has done: the one that sent it after its answer. Whether that may have
        changed what others may do."""
        engine = self.engine
        client.is_running = True
        try:
            engine.conclude(call, command)
            client.out.append(self._encoded(client, command, reply))
            engine.follow_up(client)
        finally:
            client.is_running = False
        client.flush()
        if engine.waiting.unblocked:
            engine.waiting.resume_unblocked()
            return True
        return bool(engine.state.mode & OUT_OF_MEMORY)


def _hand_over(deliver: Callable[[int, list[bytes]], None], first: int, answers: list[bytes]) -> int:
    """Deliver what there is, from `first` on; who comes next."""
    following = first + len(answers)
    if answers:
        deliver(first, answers)
        answers.clear()
    return following
